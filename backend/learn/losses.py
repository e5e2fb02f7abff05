# SPDX-License-Identifier: GPL-3.0-or-later
"""The training losses of ImFace (section 3.4), each by name, and their weighted sum."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional

from ..model.imface import FieldValues, ImFace


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms; the released values, but for what is said. 0 switches a term off."""

    sdf: float = 3000.0  #: L1 of the signed distance
    normal: float = 100.0  #: 1 - cos between gradient and true normal
    eikonal_observed: float = 50.0  #: | |grad| - 1 | in observation space
    eikonal_neutral: float = 50.0  #: | |grad| - 1 | in neutral space
    landmarks: float = 1000.0  #: L1 of the generated anchors, observation space
    neutral_landmarks: float = 1000.0  #: L1 of the generated anchors, neutral space
    carried_to_neutral: float = 100.0  #: L1 of all 68 landmarks carried to the neutral face
    carried_to_template: float = 100.0  #: L1 of all 68 landmarks carried on to the template
    neutral: float = 1e4  #: mean square of the expression field's output on neutral scans
    identity_code: float = 1e4  #: mean square of the codes' free part (released: 1e6, of it all)
    expression_code: float = 1e5  #: likewise
    correction: float = 100.0  #: L1 of the SDF correction
    correspondence: float = 2000.0  #: L1 of dense partners in neutral and template space (ours)


@dataclass
class Targets:
    """What is true of B faces at N points each, of which the first C have partners; model space."""

    is_neutral: Tensor  #: (B,)
    points: Tensor  #: (B, N, 3)
    sdf: Tensor  #: (B, N)
    gradients: Tensor  #: (B, N, 3) of length one
    neutral: Tensor  #: (B, C, 3) the same points on the neutral face
    template: Tensor  #: (B, C, 3) the same points on the mean face
    landmarks: Tensor  #: (B, 68, 3)
    neutral_landmarks: Tensor  #: (B, 68, 3)


def training_losses(
    model: ImFace, identity: Tensor, expression: Tensor, batch: Targets, gradient_stride: int
) -> dict[str, Tensor]:
    """Return every term but those of the codes, unweighted, for codes (B, D) and their scans.

    Parameters
    ----------
    gradient_stride : int
        Normals and eikonal are taken at every so-maniest point: the double backward pass that
        they need is the costliest part of a step.
    """
    face = model.face(identity, expression)
    every = torch.arange(batch.points.shape[1], device=batch.points.device)
    order = torch.argsort(every % gradient_stride, stable=True)  # those with gradients come first
    steep_rows, flat_rows = order.tensor_split([len(every[::gradient_stride])])
    steep = batch.points[:, steep_rows].requires_grad_()
    at_steep = face.query(steep)
    at_flat = face.query(batch.points[:, flat_rows])
    at_landmarks = face.query(batch.landmarks)
    back = torch.argsort(order)

    def everywhere(name: str) -> Tensor:
        return torch.cat([getattr(at_steep, name), getattr(at_flat, name)], dim=1).index_select(
            1, back
        )

    terms = _gradient_terms(steep, at_steep, batch.gradients[:, steep_rows])
    terms |= _landmark_terms(model, identity, expression, at_landmarks, batch)
    carried = batch.neutral.shape[1]
    terms["sdf"] = functional.l1_loss(everywhere("sdf"), batch.sdf)
    terms["correction"] = everywhere("correction").abs().mean()
    if carried:
        terms["correspondence"] = functional.l1_loss(
            everywhere("neutral_points")[:, :carried], batch.neutral
        ) + functional.l1_loss(everywhere("template_points")[:, :carried], batch.template)
    is_neutral = batch.is_neutral.view(-1, 1, 1)
    terms["neutral"] = (everywhere("expression_deformation") * is_neutral).square().mean()
    return terms


def neutral_losses(model: ImFace, identity: Tensor, batch: Targets) -> dict[str, Tensor]:
    """Return the terms of neutral people of whom only surface and correspondence are known.

    The expression field is skipped, as at inference (the neutral rule), and no gradient is taken.

    Parameters
    ----------
    identity : Tensor (B, D)
    batch : Targets
        All its points have partners. Some have to lie beside the surface: with the others alone,
        a field that is flat is as good as a true one, and slopes shrink.
    """
    face = model.face(identity, None)
    values = face.query(batch.points)
    carried, _ = face.to_template(batch.landmarks)
    anchors = model.identity_landmarks(identity).unflatten(-1, (-1, 3))
    return {
        "sdf": functional.l1_loss(values.sdf, batch.sdf),
        "correction": values.correction.abs().mean(),
        "correspondence": functional.l1_loss(values.template_points, batch.template),
        "neutral_landmarks": functional.l1_loss(anchors, batch.landmarks[:, model.anchor_rows]),
        "carried_to_template": functional.l1_loss(
            carried, model.template_landmarks.expand_as(carried)
        ),
    }


def _gradient_terms(points: Tensor, values: FieldValues, truth: Tensor) -> dict[str, Tensor]:
    observed, neutral = torch.autograd.grad(
        values.sdf.sum(), [points, values.neutral_points], create_graph=True
    )
    return {
        "normal": (1 - functional.cosine_similarity(observed, truth, dim=-1)).mean(),
        "eikonal_observed": (observed.norm(dim=-1) - 1).abs().mean(),
        "eikonal_neutral": (neutral.norm(dim=-1) - 1).abs().mean(),
    }


def _landmark_terms(
    model: ImFace, identity: Tensor, expression: Tensor, values: FieldValues, batch: Targets
) -> dict[str, Tensor]:
    anchors = model.anchor_rows
    observed, neutral = model.anchors(identity, expression)
    template = model.template_landmarks.expand_as(values.template_points)
    return {
        "landmarks": functional.l1_loss(observed, batch.landmarks[:, anchors]),
        "neutral_landmarks": functional.l1_loss(neutral, batch.neutral_landmarks[:, anchors]),
        "carried_to_neutral": functional.l1_loss(values.neutral_points, batch.neutral_landmarks),
        "carried_to_template": functional.l1_loss(values.template_points, template),
    }


def weighted_sum(terms: dict[str, Tensor], weights: LossWeights) -> Tensor:
    """Return the training loss."""
    names = [field.name for field in fields(weights) if field.name in terms]
    return torch.stack([getattr(weights, name) * terms[name] for name in names]).sum()
