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
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            fan_in = weight.shape[1]
            bound = 1 / fan_in if i == 0 else math.sqrt(6 / fan_in) / OMEGA_0
            nn.init.uniform_(weight, -bound, bound)
            nn.init.uniform_(bias, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))

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
        for i, (out, fan_in) in enumerate(sizes):
            # The output bias is the net's starting point; the code's part starts 100 times smaller.
            bound = 1 / fan_in if i == 0 else math.sqrt(6 / fan_in) / OMEGA_0
            last = i == len(sizes) - 1
            self.nets.append(_relu_mlp(code_dim, hidden, hidden_layers, out * fan_in, bound, last))
            self.nets.append(
                _relu_mlp(code_dim, hidden, hidden_layers, out, 1 / math.sqrt(fan_in), last)
            )

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
    section 3.1). It learns new faces faster than weights written anew, at a fifth of the size.
    """

    def __init__(
        self, code_dim: int, hidden: int, hidden_layers: int, sizes: list[tuple[int, int]]
    ) -> None:
        super().__init__()
        self.last_size = out, fan_in = sizes[-1]
        self.weights = SineNet(sizes[:-1]).weights
        writers = []
        for i, size in enumerate(sizes):
            bound, last = 1 / math.sqrt(size[1]), i == len(sizes) - 1
            writers.append(_Writer(code_dim, hidden, hidden_layers, size[0], bound, last))
        self.biases = nn.ModuleList(writers)
        bound = math.sqrt(6 / fan_in) / OMEGA_0
        self.last = _Writer(code_dim, hidden, hidden_layers, out * fan_in, bound, True)

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


def _relu_mlp(
    inputs: int, hidden: int, hidden_layers: int, outputs: int, bound: float, last: bool
) -> nn.Sequential:
    widths = [inputs] + [hidden] * (hidden_layers + 1)
    modules: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        modules += [nn.Linear(before, after), nn.ReLU()]
        nn.init.kaiming_normal_(modules[-2].weight, nonlinearity="relu")  # type: ignore[arg-type]
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


def concatenate(layers: Layers, code: Tensor) -> Layers:
    """Fold a code (B, D), the last inputs of the first layer, into that layer's bias: it is the
    same at every point of a face."""
    weight, bias = layers[0]
    inputs = weight.shape[-1] - code.shape[-1]
    folded = bias + code @ weight[0, :, inputs:].T
    return [(weight[..., :inputs], folded), *layers[1:]]


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
