# SPDX-License-Identifier: GPL-3.0-or-later
"""The Neural Blend-Field: landmark-anchored mini-nets, blended by a fusion net."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .sine import CONDITIONINGS, CodedNet, Layers, SineNet, anchor, evaluate, layer_sizes


class Fusion(nn.Module):
    """Blend weights of the K mini-nets at a point (ImFace section 3.3)."""

    def __init__(self, landmarks: int, width: int = 128) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(3, width),
            nn.LayerNorm(width),
            nn.LeakyReLU(inplace=True),
            nn.Linear(width, width),
            nn.LayerNorm(width),
            nn.LeakyReLU(inplace=True),
            nn.Linear(width, landmarks),
            nn.LayerNorm(landmarks),
            nn.Softmax(dim=-1),
        )

    def forward(self, points: Tensor) -> Tensor:
        """Return weights (..., K) that sum to one."""
        first, *others = self.net
        # bfloat16 coordinates would be off by up to 0.4 mm: the first layer stays in float32.
        with torch.autocast(points.device.type, enabled=False):
            hidden: Tensor = first(points)
        for layer in others:
            hidden = layer(hidden)
        return hidden.to(points.dtype)


@dataclass
class Field:
    """A blend-field with its weights written: a plain small network over points."""

    layers: Layers
    fusion: Fusion

    def __call__(self, points: Tensor) -> Tensor:
        """Evaluate at points (B, N, 3); returns (B, N, out)."""
        local = evaluate(self.layers, points)
        weights = self.fusion(points)
        local = local.unflatten(-1, (weights.shape[-1], -1))
        return (weights.unsqueeze(-1) * local).sum(-2)


class BlendField(nn.Module):
    """A Neural Blend-Field: from a code, if it has one, and landmarks to a ``Field``.

    Parameters
    ----------
    landmarks : int
        Number K of anchors.
    outputs : int
        Channels per mini-net.
    hidden, hidden_layers : int
        Size of the mini-nets.
    code_dim : int or None
        Length of the code; None for the template field, which owns its weights.
    hyper_hidden, hyper_hidden_layers : int
        Size of the hypernetworks.
    conditioning : str
        "hypernetwork": the code writes the mini-nets' weights. "modulation": it writes their
        biases and last layers, and all faces share the rest. "concatenation": it is a further
        input of mini-nets that all faces share.
    """

    def __init__(
        self,
        landmarks: int,
        outputs: int,
        hidden: int,
        hidden_layers: int,
        code_dim: int | None,
        hyper_hidden: int,
        hyper_hidden_layers: int,
        conditioning: str = "hypernetwork",
    ) -> None:
        super().__init__()
        sizes = layer_sizes(3 * landmarks, hidden, hidden_layers, outputs * landmarks)
        self.source: SineNet | CodedNet
        if code_dim is None:
            self.source = SineNet(sizes)
        else:
            coded = CONDITIONINGS[conditioning]
            self.source = coded(code_dim, hyper_hidden, hyper_hidden_layers, sizes)
        self.fusion = Fusion(landmarks)

    def write(self, landmarks: Tensor, code: Tensor | None = None) -> Field:
        """Run the hypernetworks once.

        Parameters
        ----------
        landmarks : Tensor (B, K, 3)
        code : Tensor (B, D) or None
        """
        with torch.autocast(landmarks.device.type, enabled=False):
            if isinstance(self.source, SineNet):
                layers = self.source.layers()
            else:
                assert code is not None
                layers = self.source.layers(code)
            return Field(anchor(layers, landmarks), self.fusion)
