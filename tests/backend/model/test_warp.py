# SPDX-License-Identifier: GPL-3.0-or-later
"""The SE(3) warp in closed form is the 4x4 exponential map, and smooth at no rotation."""

import math

import pytest
import torch
from torch import Tensor

from backend.model.warp import se3_coefficients, warp

ANGLES = [0.0, 1e-300, 1e-12, 1e-8, 1e-4, 0.1, 0.49999, 0.5, 0.50001, 1.0, math.pi, 6.0]


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _by_matrix(points: Tensor, deformation: Tensor) -> Tensor:
    """Move points (N, 3) by the matrix exponentials of the twists (N, 6)."""
    x, y, z, *v = deformation.unbind(-1)
    zero = torch.zeros_like(x)
    rows = [[zero, -z, y, v[0]], [z, zero, -x, v[1]], [-y, x, zero, v[2]], [zero] * 4]
    twist = torch.stack([torch.stack(row, -1) for row in rows], -2)
    homogeneous = torch.cat([points, torch.ones(len(points), 1, dtype=points.dtype)], -1)
    return (torch.linalg.matrix_exp(twist) @ homogeneous[..., None])[:, :3, 0]


def _deformations(angle: float, count: int = 20) -> Tensor:
    axis = torch.nn.functional.normalize(_random(count, 3), dim=-1)
    return torch.cat([angle * axis, _random(count, 3, seed=1)], -1)


@pytest.mark.parametrize("angle", ANGLES)
def test_it_is_the_exponential_map(angle: float) -> None:
    points, deformation = _random(20, 3, seed=2), _deformations(angle)
    wanted = _by_matrix(points, deformation)
    # Just below 0.5 rad the series leaves out terms of 2e-11, far below float32's steps.
    torch.testing.assert_close(warp(points, deformation), wanted, rtol=0, atol=5e-11)
    single = warp(points.float(), deformation.float())
    torch.testing.assert_close(single, wanted.float(), rtol=0, atol=5e-6)


def test_known_motions() -> None:
    point = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
    quarter_turn = torch.tensor([[0, 0, math.pi / 2, 0, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(warp(point, quarter_turn), torch.tensor([[0.0, 1, 0]]).double())
    shift = torch.tensor([[0, 0, 0, 0.1, -0.2, 0.3]], dtype=torch.float64)
    torch.testing.assert_close(warp(point, shift), torch.tensor([[1.1, -0.2, 0.3]]).double())
    # A screw: half a turn around z while moving 0.5 along it.
    screw = torch.tensor([[0, 0, math.pi, 0, 0, 0.5]], dtype=torch.float64)
    torch.testing.assert_close(warp(point, screw), torch.tensor([[-1.0, 0, 0.5]]).double())


def test_three_channels_are_a_translation() -> None:
    points, shift = _random(4, 3), _random(4, 3, seed=1)
    torch.testing.assert_close(warp(points, shift), points + shift, rtol=0, atol=0)


def test_coefficients_at_no_rotation() -> None:
    a, b, c = se3_coefficients(torch.zeros(1, dtype=torch.float64))
    assert (a.item(), b.item(), c.item()) == (1, 1 / 2, 1 / 6)


@pytest.mark.parametrize("angle", [0.0, 1e-8, 0.4, 0.6, 2.0])
def test_gradients_are_right(angle: float) -> None:
    points = _random(3, 3, seed=2).requires_grad_()
    deformation = _deformations(angle, 3).requires_grad_()
    assert torch.autograd.gradcheck(warp, (points, deformation))
    assert torch.autograd.gradgradcheck(warp, (points, deformation))


def test_float32_gradients_at_no_rotation_are_finite_and_right() -> None:
    points = torch.tensor([[0.3, -0.2, 0.4]], requires_grad=True)
    deformation = torch.zeros(1, 6, requires_grad=True)
    (first,) = torch.autograd.grad(warp(points, deformation)[0, 0], deformation, create_graph=True)
    # x' = x + w x p + v to first order: d x'_0 / d w = (0, p_2, -p_1), d x'_0 / d v = (1, 0, 0).
    torch.testing.assert_close(first[0], torch.tensor([0, 0.4, 0.2, 1, 0, 0]))
    (second,) = torch.autograd.grad(first[0, 1], deformation)
    # The second order is (w x (w x p) + w x v) / 2: rows d2 x'_0 / d w_1 d(w, v).
    torch.testing.assert_close(second[0], torch.tensor([-0.1, -0.3, 0, 0, 0, 0.5]))
