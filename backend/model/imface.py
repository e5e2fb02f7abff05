# SPDX-License-Identifier: GPL-3.0-or-later
"""ImFace (arXiv 2203.14510): two deformation fields and a template field, one chain."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from .blend_field import BlendField, Field
from .pieces import by_pieces
from .refinement import Detail, refine
from .sine import CONDITIONINGS
from .warp import WARP_CHANNELS, warp

#: Multi-PIE 68 indices of the anchors: outer eye corners, nose tip, mouth corners.
ANCHOR_LANDMARKS = (36, 45, 30, 48, 54)
#: One model unit in millimetres.
UNIT_MM = 100.0
#: Settings below without which there is no network.
_SIZES = (
    *("identity_dim", "expression_dim", "identity_hidden", "expression_hidden"),
    *("identity_hyper_hidden", "expression_hyper_hidden"),
)


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the network; defaults are the paper's."""

    identity_dim: int = 128  #: length of an identity code
    expression_dim: int = 128  #: length of an expression code
    identity_hidden: int = 128  #: width of the identity and template mini-nets
    expression_hidden: int = 128  #: width of the expression mini-nets
    hidden_layers: int = 3  #: hidden-to-hidden layers of a mini-net
    identity_hyper_hidden: int = 128  #: width of the identity hypernetworks
    expression_hyper_hidden: int = 128  #: width of the expression hypernetworks
    hyper_hidden_layers: int = 1  #: hidden-to-hidden layers of a hypernetwork
    warp: str = "se3"  #: "se3" or "translation"
    conditioning: str = "hypernetwork"  #: or "modulation", or "concatenation"; see ``BlendField``
    correction: bool = True  #: whether a person's field corrects the template's signed distance
    anchors: tuple[int, ...] = ANCHOR_LANDMARKS  #: landmarks of the mini-nets
    identities: int = 0  #: rows of the identity table; 0 in a bundled model
    expressions: int = 0  #: rows of the expression table; 0 in a bundled model

    def __post_init__(self) -> None:
        object.__setattr__(self, "anchors", tuple(self.anchors))  # JSON gives a list
        for name, words in (("warp", WARP_CHANNELS), ("conditioning", CONDITIONINGS)):
            if getattr(self, name) not in words:
                raise ValueError(f"'{name}' is one of: {', '.join(words)}")
        for name in _SIZES:
            if getattr(self, name) < 1:
                raise ValueError(f"'{name}' has to be 1 at least")
        if not self.anchors or not set(self.anchors) <= set(range(68)):
            raise ValueError("'anchors' are some of the 68 landmarks, counted from 0")


@dataclass
class FieldValues:
    """What the chain computes at points (B, N); lengths in model units."""

    sdf: Tensor  #: (B, N)
    template_sdf: Tensor  #: (B, N)
    correction: Tensor  #: (B, N)
    neutral_points: Tensor  #: (B, N, 3)
    template_points: Tensor  #: (B, N, 3)
    expression_deformation: Tensor | None  #: (B, N, 6 or 3); None for a neutral face


@dataclass
class Face:
    """One pair of codes (or a batch of B pairs) with every field's weights written, and a scan's
    detail if there is one."""

    expression: Field | None
    identity: Field
    template: Field
    detail: Detail | None = None
    is_corrected: bool = True

    def to_neutral(self, points: Tensor) -> tuple[Tensor, Tensor | None]:
        """Observation -> neutral space; a neutral face skips the field (the neutral rule)."""
        if self.expression is None:
            return points, None
        deformation = self.expression(points)
        return warp(points, deformation), deformation

    def to_template(self, neutral_points: Tensor) -> tuple[Tensor, Tensor]:
        """Neutral -> template space, and the SDF correction (B, N)."""
        out = self.identity(neutral_points)
        correction = out[..., -1] if self.is_corrected else torch.zeros_like(out[..., -1])
        return warp(neutral_points, out[..., :-1]), correction

    def through_warps(self, points: Tensor) -> Tensor:
        """Observation -> template space (B, N, 3)."""
        return self.to_template(self.to_neutral(points)[0])[0]

    def query(self, points: Tensor) -> FieldValues:
        """Run the whole chain at points (B, N, 3) in observation space."""
        neutral_points, deformation = self.to_neutral(points)
        template_points, correction = self.to_template(neutral_points)
        template_sdf = self.template(template_points)[..., 0]
        sdf = template_sdf + correction
        if self.detail is not None:
            sdf = refine(sdf, self.detail(template_points))
        return FieldValues(
            sdf=sdf,
            template_sdf=template_sdf,
            correction=correction,
            neutral_points=neutral_points,
            template_points=template_points,
            expression_deformation=deformation,
        )


class ImFace(nn.Module):
    """The model: embeddings, landmark nets, and the three Neural Blend-Fields."""

    template_landmarks: Tensor
    anchor_rows: Tensor  #: (K,) of the 68 landmarks, those of the mini-nets

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        k = len(config.anchors)
        channels = WARP_CHANNELS[config.warp]
        self.identity_codes = nn.Embedding(config.identities, config.identity_dim)
        self.expression_codes = nn.Embedding(config.expressions, config.expression_dim)
        nn.init.normal_(self.identity_codes.weight, std=0.01)
        nn.init.normal_(self.expression_codes.weight, std=0.01)
        self.landmarks = _landmark_net(config.expression_dim + config.identity_dim, k)
        self.identity_landmarks = _landmark_net(config.identity_dim, k)
        self.register_buffer("template_landmarks", torch.zeros(68, 3))
        self.register_buffer("anchor_rows", torch.tensor(config.anchors), persistent=False)
        self.expression_field = BlendField(
            k,
            channels,
            config.expression_hidden,
            config.hidden_layers,
            config.expression_dim,
            config.expression_hyper_hidden,
            config.hyper_hidden_layers,
            config.conditioning,
        )
        self.identity_field = BlendField(
            k,
            channels + 1,
            config.identity_hidden,
            config.hidden_layers,
            config.identity_dim,
            config.identity_hyper_hidden,
            config.hyper_hidden_layers,
            config.conditioning,
        )
        self.template_field = BlendField(
            k, 1, config.identity_hidden, config.hidden_layers, None, 0, 0
        )

    @property
    def device(self) -> torch.device:
        """Where the weights live."""
        return self.template_landmarks.device

    def anchors(self, identity: Tensor, expression: Tensor) -> tuple[Tensor, Tensor]:
        """Anchor landmarks (B, K, 3) in observation and in neutral space, from codes (B, D)."""
        observed = self.landmarks(torch.cat([expression, identity], dim=-1))
        neutral = self.identity_landmarks(identity)
        return observed.unflatten(-1, (-1, 3)), neutral.unflatten(-1, (-1, 3))

    def face(self, identity: Tensor, expression: Tensor | None) -> Face:
        """Write a face's fields: the hypernetworks run here, once, and never per point.

        Parameters
        ----------
        identity : Tensor (B, D_id)
        expression : Tensor (B, D_exp) or None
            None is the neutral face: the expression field is skipped.
        """
        template_anchors = self.template_landmarks[self.anchor_rows][None]
        neutral_anchors = self.identity_landmarks(identity).unflatten(-1, (-1, 3))
        neutral = Face(
            expression=None,
            identity=self.identity_field.write(neutral_anchors, identity),
            template=self.template_field.write(template_anchors),
            is_corrected=self.config.correction,
        )
        return neutral if expression is None else self.express(neutral, identity, expression)

    def express(self, neutral: Face, identity: Tensor, expression: Tensor) -> Face:
        """Return a person's neutral face with an expression, codes (B, D)."""
        observed_anchors, _ = self.anchors(identity, expression)
        return replace(
            neutral, expression=self.expression_field.write(observed_anchors, expression)
        )

    def indexed_face(self, identity: int, expression: int) -> Face:
        """Return a face of the training tables: row e * identities + i, expression 0 neutral."""
        row = expression * self.config.identities + identity
        code = None if expression == 0 else self.expression_codes.weight[row][None]
        return self.face(self.identity_codes.weight[identity][None], code)


def _landmark_net(inputs: int, landmarks: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, 256),
        nn.LeakyReLU(),
        nn.Linear(256, 256),
        nn.LeakyReLU(),
        nn.Linear(256, 3 * landmarks),
    )


@torch.no_grad()
def query_sdf(face: Face, points: Tensor) -> Tensor:
    """Signed distance [model units] at points (N, 3) of a single face."""
    return torch.cat(by_pieces(lambda piece: face.query(piece[None]).sdf[0], points))


def query_gradient(face: Face, points: Tensor) -> tuple[Tensor, Tensor]:
    """Signed distance (N,) and its gradient (N, 3) at points (N, 3) of a single face."""

    def query(piece: Tensor) -> tuple[Tensor, Tensor]:
        piece = piece.requires_grad_()
        with torch.enable_grad():
            sdf = face.query(piece[None]).sdf[0]
            (gradient,) = torch.autograd.grad(sdf.sum(), piece)
        return sdf.detach(), gradient

    sdf, gradient = zip(*by_pieces(query, points.detach()), strict=True)
    return torch.cat(sdf), torch.cat(gradient)
