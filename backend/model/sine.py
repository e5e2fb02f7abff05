# SPDX-License-Identifier: GPL-3.0-or-later
"""Sine mini-nets (SIREN) whose weights, or a part of them, may be written, per face, by a code."""

import itertools
import math

import torch
from torch import Tensor, nn

OMEGA_0 = 30.0

#: Weights (..., out, in) and biases (..., out), layer by layer.
Layers = list[tuple[Tensor, Tensor]]


def layer_sizes(
    inputs: int, hidden: int, hidden_layers: int, outputs: int
) -> list[tuple[int, int]]:
    """Return (out, in) of every layer of a sine net."""
    widths = [inputs] + [hidden] * (hidden_layers + 1) + [outputs]
    return [(after, before) for before, after in itertools.pairwise(widths)]


class SineNet(nn.Module):
    """A sine net's own weights (the template field has no hypernetwork)."""

    def __init__(self, sizes: list[tuple[int, int]]) -> None:
        super().__init__()
        self.weights = nn.ParameterList(nn.Parameter(torch.empty(size)) for size in sizes)
        self.biases = nn.ParameterList(nn.Parameter(torch.empty(size[0])) for size in sizes)
        for weight, bias, bounds in zip(self.weights, self.biases, _bounds(sizes), strict=True):
            for tensor, bound in zip((weight, bias), bounds, strict=True):
                nn.init.uniform_(tensor, -bound, bound)

    def layers(self) -> Layers:
        """Return the weights with a leading batch axis of one."""
        return [(w[None], b[None]) for w, b in zip(self.weights, self.biases, strict=True)]


class HyperNetwork(nn.Module):
    """Writes a sine net's weights from a code: one ReLU MLP per tensor, L0.weight, L0.bias, ..."""

    def __init__(
        self, code_dim: int, hidden: int, hidden_layers: int, sizes: list[tuple[int, int]]
    ) -> None:
        super().__init__()
        self.sizes = sizes
        self.nets = nn.ModuleList()
        for i, ((out, fan_in), bounds) in enumerate(zip(sizes, _bounds(sizes), strict=True)):
            for outputs, bound in zip((out * fan_in, out), bounds, strict=True):
                last = i == len(sizes) - 1
                self.nets.append(_relu_mlp(code_dim, hidden, hidden_layers, outputs, bound, last))

    def layers(self, code: Tensor) -> Layers:
        """Return the sine net written by ``code`` (B, D)."""
        written = [net(code) for net in self.nets]
        return [
            (weight.view(-1, *size), bias)
            for weight, bias, size in zip(written[::2], written[1::2], self.sizes, strict=True)
        ]


class ModulatedNet(nn.Module):
    """A sine net that all faces share, but for its biases and last layer, which a code writes.

    A bias within a sine shifts its phase: "shift modulation" (Dupont et al., arXiv 2201.12204,
    section 3.1). In training it learned new faces faster than hypernetworks do, at a sixth of
    their size (docs/training.md).
    """

    def __init__(
        self, code_dim: int, hidden: int, hidden_layers: int, sizes: list[tuple[int, int]]
    ) -> None:
        super().__init__()
        self.last_size = out, fan_in = sizes[-1]
        bounds = _bounds(sizes)
        mlp = (code_dim, hidden, hidden_layers)
        self.weights = SineNet(sizes[:-1]).weights
        self.biases = nn.ModuleList(
            _Writer(*mlp, width, bound, last=i == len(sizes) - 1)
            for i, ((width, _), (_, bound)) in enumerate(zip(sizes, bounds, strict=True))
        )
        self.last = _Writer(*mlp, out * fan_in, bounds[-1][0], last=True)

    def layers(self, code: Tensor) -> Layers:
        """Return the sine net of ``code`` (B, D); shared weights have a batch axis of one."""
        weights = [weight[None] for weight in self.weights]
        weights.append(self.last(code).view(-1, *self.last_size))
        return list(zip(weights, (bias(code) for bias in self.biases), strict=True))


class _Writer(nn.Module):
    """A ReLU MLP whose last layer the input also reaches past the ReLUs: half of every sum is lost
    in a ReLU, and most of what a code does to a face is linear."""

    def __init__(
        self, inputs: int, hidden: int, hidden_layers: int, outputs: int, bound: float, last: bool
    ) -> None:
        super().__init__()
        self.net = _relu_mlp(inputs, hidden, hidden_layers, outputs, bound, last)
        self.straight = nn.Linear(inputs, hidden, bias=False)
        nn.init.zeros_(self.straight.weight)

    def forward(self, code: Tensor) -> Tensor:
        """Return what code (B, D) writes, (B, out)."""
        written: Tensor = self.net[-1](self.net[:-1](code) + self.straight(code))
        return written


class ConcatenatedNet(nn.Module):
    """A sine net that all faces share, the code being a further input: the usual auto-decoder.

    It has no use for the sizes of hypernetworks.
    """

    def __init__(
        self, code_dim: int, _hidden: int, _hidden_layers: int, sizes: list[tuple[int, int]]
    ) -> None:
        super().__init__()
        (out, fan_in), *others = sizes
        self.net = SineNet([(out, fan_in + code_dim), *others])

    def layers(self, code: Tensor) -> Layers:
        """Fold ``code`` (B, D), which is the same at every point of a face, into the first bias."""
        (weight, bias), *others = self.net.layers()
        own, of_code = weight.split([weight.shape[-1] - code.shape[-1], code.shape[-1]], dim=-1)
        return [(own, bias + code @ of_code[0].T), *others]


CodedNet = HyperNetwork | ModulatedNet | ConcatenatedNet
#: How a code may condition mini-nets.
CONDITIONINGS: dict[str, type[CodedNet]] = {
    "hypernetwork": HyperNetwork,
    "modulation": ModulatedNet,
    "concatenation": ConcatenatedNet,
}


def _bounds(sizes: list[tuple[int, int]]) -> list[tuple[float, float]]:
    """Return how large weights and biases are at first, layer by layer (SIREN)."""
    return [
        (1 / fan_in if i == 0 else math.sqrt(6 / fan_in) / OMEGA_0, 1 / math.sqrt(fan_in))
        for i, (_, fan_in) in enumerate(sizes)
    ]


def _relu_mlp(
    inputs: int, hidden: int, hidden_layers: int, outputs: int, bound: float, last: bool
) -> nn.Sequential:
    widths = [inputs] + [hidden] * (hidden_layers + 1)
    modules: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        modules += [nn.Linear(before, after), nn.ReLU()]
        nn.init.kaiming_normal_(modules[-2].weight, nonlinearity="relu")  # type: ignore[arg-type]
    # The output bias is the net's starting point; the code's part starts 100 times smaller.
    head = nn.Linear(hidden, outputs)
    nn.init.kaiming_normal_(head.weight, nonlinearity="relu")
    head.weight.data /= 1e2
    # A field starts near the identity warp: its last layer starts small.
    nn.init.uniform_(head.bias, -bound, bound)
    if last:
        head.weight.data /= 1e1
        head.bias.data /= 1e1
    return nn.Sequential(*modules, head)


def anchor(layers: Layers, landmarks: Tensor) -> Layers:
    """Fold the landmark offsets and omega_0 into the weights: the net then takes plain points.

    The released net sees the K concatenated offsets x - l_k; (x - l_k) W_k summed over k is
    x (sum W_k) - sum(l_k W_k), so one 3-wide first layer does the same work.

    Parameters
    ----------
    layers : Layers
        First weight (B, H, 3 K).
    landmarks : Tensor (B, K, 3)
    """
    weight, bias = layers[0]
    # Sums of K large, cancelling terms: float64 keeps the fold as exact as the unfolded net.
    per_landmark = weight.double().unflatten(-1, (landmarks.shape[-2], 3))
    shift = (per_landmark * landmarks.double().unsqueeze(1)).sum((-1, -2))
    first_weight = OMEGA_0 * per_landmark.sum(-2)
    first = (first_weight.to(weight.dtype), (OMEGA_0 * (bias - shift)).to(weight.dtype))
    middle = [(OMEGA_0 * w, OMEGA_0 * b) for w, b in layers[1:-1]]
    return [first, *middle, layers[-1]]


def evaluate(layers: Layers, points: Tensor) -> Tensor:
    """Run an anchored sine net.

    Parameters
    ----------
    layers : Layers
        Anchored weights (B, out, in) and biases (B, out); either B may be 1 for every batch.
    points : Tensor (B, N, 3)

    Returns
    -------
    Tensor (B, N, out)
    """
    # Coordinates and results need float32 even where autocast runs the wide layers in bfloat16.
    with torch.autocast(points.device.type, enabled=False):
        hidden = _sin(_affine(points, *layers[0]))
    for weight, bias in layers[1:-1]:
        hidden = _sin(_affine(hidden, weight, bias))
    with torch.autocast(points.device.type, enabled=False):
        return _affine(hidden.to(points.dtype), *layers[-1])


def _affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if len(weight) == 1:
        shared = len(bias) == 1
        y = nn.functional.linear(x, weight[0], bias[0] if shared else None)
        return y if shared else y + bias.unsqueeze(-2)
    return torch.baddbmm(bias.unsqueeze(-2), x, weight.transpose(-1, -2))


def _sin(x: Tensor) -> Tensor:
    return x.sin() if torch.is_grad_enabled() else x.sin_()
