# SPDX-License-Identifier: GPL-3.0-or-later
"""Blend weights are a partition of unity, and the field is the blend of its mini-nets."""

import pytest
import torch

from backend.model.blend_field import BlendField, Fusion
from backend.model.sine import SineNet

LANDMARKS = torch.tensor([[[-0.4, 0.3, 0], [0.4, 0.3, 0], [0, 0, 0.4], [-0.2, -0.3, 0.2]]])


@torch.no_grad()
def test_weights_sum_to_one() -> None:
    torch.manual_seed(0)
    weights = Fusion(5)(torch.rand(2, 100, 3) * 2 - 1)
    assert weights.shape == (2, 100, 5)
    assert weights.min() > 0
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 100))
    assert weights.std(dim=1).max() > 1e-3  # they depend on the point


@torch.no_grad()
def test_constant_mini_nets_give_their_weighted_mean() -> None:
    torch.manual_seed(0)
    field = BlendField(4, 2, 8, 1, None, 0, 0)
    assert isinstance(field.source, SineNet)
    values = torch.tensor([[1.0, 10], [2, 20], [3, 30], [4, 40]])
    field.source.weights[-1].zero_()
    field.source.biases[-1].copy_(values.flatten())
    points = torch.rand(1, 50, 3)
    out = field.write(LANDMARKS)(points)
    torch.testing.assert_close(out, field.fusion(points) @ values)


@torch.no_grad()
def test_equal_mini_nets_need_no_blending() -> None:
    torch.manual_seed(0)
    field = BlendField(4, 1, 8, 1, None, 0, 0)
    assert isinstance(field.source, SineNet)
    field.source.weights[-1].copy_(field.source.weights[-1][:1].expand(4, -1))
    field.source.biases[-1].fill_(0.25)
    points = torch.rand(1, 50, 3)
    out = field.write(LANDMARKS)(points)
    hidden = torch.cat([points - LANDMARKS[:, k : k + 1] for k in range(4)], dim=-1)
    for weight, bias in zip(field.source.weights[:-1], field.source.biases[:-1], strict=True):
        hidden = torch.sin(30 * (hidden @ weight.T + bias))
    wanted = hidden @ field.source.weights[-1][:1].T + 0.25
    torch.testing.assert_close(out, wanted, rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("code_dim", [None, 6])
def test_a_field_moves_with_its_landmarks(code_dim: int | None) -> None:
    """The mini-nets see offsets only: moved along with the landmarks they give the same."""
    torch.manual_seed(0)
    field = BlendField(4, 3, 8, 1, code_dim, 8, 1)
    code = None if code_dim is None else torch.randn(1, code_dim)
    shift, points = torch.tensor([0.1, -0.2, 0.3]), torch.rand(1, 50, 3)
    first = field.write(LANDMARKS, code)
    moved = field.write(LANDMARKS + shift, code)
    moved.fusion = first.fusion = lambda at: torch.full((*at.shape[:-1], 4), 0.25)  # type: ignore
    torch.testing.assert_close(moved(points + shift), first(points), rtol=0, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("conditioning", ["hypernetwork", "modulation", "concatenation"])
def test_a_batch_of_codes_gives_the_fields_of_each(conditioning: str) -> None:
    torch.manual_seed(0)
    field = BlendField(4, 3, 8, 1, 6, 8, 1, conditioning)
    codes, points = torch.randn(3, 6), torch.rand(3, 50, 3)
    landmarks = LANDMARKS + 0.1 * torch.randn(3, 1, 3)
    out = field.write(landmarks, codes)(points)
    for i in range(3):
        alone = field.write(landmarks[i : i + 1], codes[i : i + 1])(points[i : i + 1])
        torch.testing.assert_close(out[i], alone[0], rtol=0, atol=1e-5)
    other = field.write(landmarks, codes.flip(0))(points)
    assert (out[0] - other[0]).abs().max() > 1e-5  # the code is heard
