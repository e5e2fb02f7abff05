# SPDX-License-Identifier: GPL-3.0-or-later
"""The folded sine nets equal the naive ones, and the hypernetworks write what they say."""

import torch
from torch import Tensor

from backend.model.sine import (
    OMEGA_0,
    HyperNetwork,
    Layers,
    ModulatedNet,
    SineNet,
    anchor,
    evaluate,
    layer_sizes,
)

SIZES = layer_sizes(15, 32, 2, 20)


def _naive(layers: Layers, landmarks: Tensor, points: Tensor) -> Tensor:
    """Evaluate one net as the paper has it: a sine MLP over the offsets from all landmarks."""
    hidden = torch.cat([points - landmark for landmark in landmarks], dim=-1)
    for weight, bias in layers[:-1]:
        hidden = torch.sin(OMEGA_0 * (hidden @ weight.T + bias))
    weight, bias = layers[-1]
    return hidden @ weight.T + bias


def test_sizes_are_out_by_in() -> None:
    assert layer_sizes(15, 128, 3, 30) == [(128, 15), (128, 128), (128, 128), (128, 128), (30, 128)]


@torch.no_grad()
def test_folded_offsets_give_the_naive_net() -> None:
    torch.manual_seed(0)
    layers = HyperNetwork(8, 16, 1, SIZES).layers(torch.randn(2, 8))
    landmarks, points = torch.rand(2, 5, 3) - 0.5, torch.rand(2, 300, 3) * 2 - 1
    folded = evaluate(anchor(layers, landmarks), points)
    assert folded.shape == (2, 300, 20)
    for i in range(2):
        one = [(weight[i].double(), bias[i].double()) for weight, bias in layers]
        naive = _naive(one, landmarks[i].double(), points[i].double())
        torch.testing.assert_close(folded[i].double(), naive, rtol=0, atol=1e-5)
        assert naive.std() > 1e-3  # not all the same


@torch.no_grad()
def test_a_net_of_its_own_serves_every_batch() -> None:
    torch.manual_seed(0)
    net = SineNet(SIZES)
    landmarks, points = torch.rand(1, 5, 3), torch.rand(3, 10, 3)
    folded = evaluate(anchor(net.layers(), landmarks), points)
    plain = [(weight[0], bias[0]) for weight, bias in net.layers()]
    for i in range(3):
        wanted = _naive(plain, landmarks[0], points[i])
        torch.testing.assert_close(folded[i], wanted, rtol=0, atol=1e-4)


def test_gradients_reach_landmarks_and_weights() -> None:
    torch.manual_seed(0)
    net = SineNet(layer_sizes(15, 4, 1, 2)).double()
    landmarks = torch.rand(1, 5, 3, dtype=torch.float64, requires_grad=True)
    points = torch.rand(1, 2, 3, dtype=torch.float64, requires_grad=True)
    weights = list(net.weights)

    def value(landmarks: Tensor, points: Tensor, *_: Tensor) -> Tensor:
        return evaluate(anchor(net.layers(), landmarks), points).sum(-1)

    assert torch.autograd.gradcheck(value, (landmarks, points, weights[-1]), atol=1e-4)


def test_hypernetworks_write_one_tensor_each() -> None:
    hyper = HyperNetwork(8, 16, 1, SIZES)
    layers = hyper.layers(torch.randn(3, 8))
    assert [tuple(w.shape) for w, _ in layers] == [(3, *size) for size in SIZES]
    assert [tuple(b.shape) for _, b in layers] == [(3, size[0]) for size in SIZES]
    assert len(hyper.nets) == 2 * len(SIZES)


def test_a_code_modulates_biases_and_the_last_layer_of_a_shared_net() -> None:
    torch.manual_seed(0)
    net = ModulatedNet(8, 16, 1, SIZES)
    codes = torch.randn(3, 8)
    layers = net.layers(codes)
    shared, last = layers[:-1], layers[-1]
    assert [tuple(w.shape) for w, _ in shared] == [(1, *size) for size in SIZES[:-1]]
    assert tuple(last[0].shape) == (3, *SIZES[-1])
    assert [tuple(b.shape) for _, b in layers] == [(3, size[0]) for size in SIZES]
    landmarks, points = torch.rand(3, 5, 3) - 0.5, torch.rand(3, 50, 3) * 2 - 1
    out = evaluate(anchor(layers, landmarks), points)
    for i in range(3):
        one = [(weight[-1 if len(weight) == 1 else i], bias[i]) for weight, bias in layers]
        wanted = _naive(one, landmarks[i], points[i])
        torch.testing.assert_close(out[i], wanted, rtol=0, atol=1e-4)


def test_a_code_reaches_a_modulated_net_past_dead_relus() -> None:
    torch.manual_seed(0)
    net = ModulatedNet(8, 16, 1, SIZES)
    for writer in (*net.biases, net.last):
        writer.net[0].bias.data.fill_(-1e3)
    code = torch.randn(1, 8)
    torch.cat([bias for _, bias in net.layers(code)], dim=1).square().sum().backward()
    for writer in net.biases:
        assert writer.straight.weight.grad.any()
        assert not writer.net[0].weight.grad.any()
