# SPDX-License-Identifier: GPL-3.0-or-later
"""Heights between control heights, and a surface that stands out by them, 5 mm at most."""

from dataclasses import replace

import pytest
import torch

from backend.checkpoint import FaceModel
from backend.model.refinement import MAX_HEIGHT, Detail, refine, spline, wanted_height

SIDE = 9


@pytest.fixture
def points() -> torch.Tensor:
    """Return points (200, 3) of a cube a little larger than the control heights' square."""
    torch.manual_seed(0)
    return (torch.rand(200, 3, dtype=torch.float64) - 0.5) * 2.2


def test_weights_are_a_partition_of_unity(points: torch.Tensor) -> None:
    nodes, weights = spline(points, SIDE)
    assert nodes.shape == weights.shape == (200, 9)
    assert weights.min() >= 0
    torch.testing.assert_close(weights.sum(-1), torch.ones(200, dtype=torch.float64))
    assert 0 <= nodes.min() <= nodes.max() < SIDE**2


def test_a_plane_of_control_heights_is_that_plane() -> None:
    line = torch.linspace(-1, 1, SIDE, dtype=torch.float64)
    detail = Detail(0.03 * line[:, None] + 0.01 * line)  # rows are y
    inner = (torch.rand(100, 3, dtype=torch.float64) - 0.5) * 1.7
    torch.testing.assert_close(detail(inner), 0.03 * inner[:, 1] + 0.01 * inner[:, 0])


def test_slopes_are_continuous_and_true(points: torch.Tensor) -> None:
    detail = Detail(torch.rand(SIDE, SIDE, dtype=torch.float64))
    inner = (points * 0.8).requires_grad_()
    (slope,) = torch.autograd.grad(detail(inner).sum(), inner)
    step = torch.tensor([1e-6, 0, 0], dtype=torch.float64)
    with torch.no_grad():
        differences = (detail(inner + step) - detail(inner - step)) / 2e-6
    torch.testing.assert_close(slope[:, 0], differences, rtol=1e-4, atol=1e-6)
    assert (slope[:, 2] == 0).all()
    border = torch.tensor([[0.125 - 1e-9, 0.3, 0], [0.125 + 1e-9, 0.3, 0]], dtype=torch.float64)
    border.requires_grad_()
    (slope,) = torch.autograd.grad(detail(border).sum(), border)
    torch.testing.assert_close(slope[0], slope[1], rtol=1e-6, atol=1e-6)


def test_the_surface_moves_by_the_height_and_never_by_more_than_5_mm(points: torch.Tensor) -> None:
    detail = Detail(torch.full((SIDE, SIDE), MAX_HEIGHT, dtype=torch.float64))
    torch.testing.assert_close(detail(points), torch.full((200,), 0.05, dtype=torch.float64))
    distance = torch.linspace(-0.3, 0.3, 60_001, dtype=torch.float64)
    for height in (-0.05, 0.001, 0.01, 0.05):
        refined = refine(distance, torch.tensor(height))
        crossings = distance[1:][refined[:-1].sign() != refined[1:].sign()]
        assert crossings.min() == pytest.approx(height, rel=0.06)
        assert crossings.max() - crossings.min() < 1e-4  # one surface
        assert crossings.abs().max() < MAX_HEIGHT + 1e-5


def test_far_away_the_detail_is_nothing() -> None:
    far = torch.tensor([-0.5, 0.5])
    torch.testing.assert_close(refine(far, torch.tensor(0.05)), far, rtol=0, atol=1e-4)


def test_the_wanted_height_puts_a_point_on_the_surface() -> None:
    distance = torch.linspace(-0.05, 0.05, 101, dtype=torch.float64)
    refined = refine(distance, wanted_height(distance))
    torch.testing.assert_close(refined, torch.zeros(101, dtype=torch.float64))


@torch.no_grad()
def test_zero_detail_changes_no_bit(tiny_model: FaceModel, points: torch.Tensor) -> None:
    face = tiny_model.imface.face(torch.randn(1, 8), torch.randn(1, 6))
    smooth = face.query(points.float()[None])
    refined = replace(face, detail=Detail(torch.zeros(SIDE, SIDE))).query(points.float()[None])
    for name in ("sdf", "template_sdf", "correction", "template_points"):
        assert torch.equal(getattr(smooth, name), getattr(refined, name))


@torch.no_grad()
def test_a_face_asks_the_detail_in_template_space(
    tiny_model: FaceModel, points: torch.Tensor
) -> None:
    face = tiny_model.imface.face(torch.randn(1, 8), torch.randn(1, 6))
    detail = Detail(0.05 * (2 * torch.rand(SIDE, SIDE) - 1))
    smooth = face.query(points.float()[None])
    refined = replace(face, detail=detail).query(points.float()[None])
    wanted = refine(smooth.sdf, detail(smooth.template_points))
    assert torch.equal(refined.sdf, wanted)
    assert torch.equal(refined.template_sdf, smooth.template_sdf)
    assert not torch.equal(refined.sdf, smooth.sdf)
