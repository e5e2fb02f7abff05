# SPDX-License-Identifier: GPL-3.0-or-later
"""Bits in the air go, and parts of a face stay."""

import numpy as np
import pytest
import trimesh

from backend.mesh import Mesh
from backend.scan.align import IDENTITY, Similarity
from backend.scan.cloud import squares_of_points
from backend.scan.floating import without_floating_bits


def _ball(radius: float, at: tuple[float, float, float]) -> Mesh:
    ball = trimesh.creation.icosphere(subdivisions=3, radius=radius)
    return Mesh(np.asarray(ball.vertices) + np.array(at), np.asarray(ball.faces))


def _with(mesh: Mesh, *others: Mesh) -> Mesh:
    first = np.cumsum([0, *(len(m.vertices) for m in (mesh, *others))])
    return Mesh(
        np.concatenate([m.vertices for m in (mesh, *others)]),
        np.concatenate([n + m.polygons for n, m in zip(first[:-1], (mesh, *others), strict=True)]),
    )


@pytest.mark.parametrize("unit", [0.001, 1000.0])
@pytest.mark.parametrize("place", [(0, 0, 0.9), (0.85, 0, 0)], ids=["before", "beside"])
def test_bits_in_the_air_go(sphere: Mesh, unit: float, place: tuple[float, float, float]) -> None:
    whole = _with(sphere, _ball(0.05, place))
    scan = Mesh(unit * whole.vertices, whole.polygons)
    kept = without_floating_bits(scan, Similarity(1 / unit, np.eye(3), np.zeros(3)))
    np.testing.assert_array_equal(kept.polygons, sphere.polygons)


@pytest.mark.parametrize(
    "part",
    [
        _ball(0.05, (0, 0, 0.66)),
        _ball(0.15, (0, 0, 0.9)),
        _ball(0.05, (3, 0, 0)),
        Mesh(np.array([[-99.0, -0.7, -99], [99, -0.7, -99], [0, -0.7, 99]]), np.array([[0, 2, 1]])),
    ],
    ids=["upon it", "large", "far from the face", "floor"],
)
def test_parts_stay(sphere: Mesh, part: Mesh) -> None:
    scan = _with(sphere, part)
    assert without_floating_bits(scan, IDENTITY) is scan


@pytest.mark.parametrize("apart", [0.0, 0.002])
def test_a_scan_of_many_shells_stays_whole(sphere: Mesh, apart: float) -> None:
    """Every triangle is its own, a little off its neighbours or not."""
    vertices = sphere.vertices[sphere.polygons].reshape(-1, 3)
    vertices += np.random.default_rng(0).normal(0, apart, vertices.shape)
    scan = Mesh(vertices, np.arange(len(vertices)).reshape(-1, 3))
    assert without_floating_bits(scan, IDENTITY) is scan


def test_a_clump_of_points_goes() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(30_000, 3))
    points *= 0.6 / np.linalg.norm(points, axis=1)[:, None]
    clump = rng.normal((0, 0, 0.9), 0.02, (100, 3))
    squares = squares_of_points(np.concatenate([points, clump]))
    kept = without_floating_bits(squares, IDENTITY)
    middle = np.linalg.norm(kept.vertices[kept.polygons].mean(1), axis=1)
    assert middle.max() < 0.7
    assert (middle > 0.59).sum() > 0.999 * len(points)


def test_few_points_far_apart_stay() -> None:
    points = np.random.default_rng(0).normal(size=(2000, 3))
    squares = squares_of_points(0.6 * points / np.linalg.norm(points, axis=1)[:, None])
    assert without_floating_bits(squares, IDENTITY) is squares
