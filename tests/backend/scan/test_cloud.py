# SPDX-License-Identifier: GPL-3.0-or-later
"""Points stand for the surface they were measured on."""

import numpy as np
import pytest

from backend.errors import ScanError
from backend.mesh import triangle_normals
from backend.scan.align import Similarity
from backend.scan.cloud import squares_of_points, visible_surface

#: Puts the sphere into the model's ball.
SMALL = Similarity(0.3, np.eye(3), np.zeros(3))


def _sphere(count: int) -> np.ndarray:
    points = np.random.default_rng(0).normal(size=(count, 3))
    return 3 * points / np.linalg.norm(points, axis=1, keepdims=True)


def test_squares_lie_on_the_surface_and_look_outwards() -> None:
    mesh = squares_of_points(_sphere(5000))
    centers = mesh.vertices[mesh.triangles].mean(1)
    normals, areas = triangle_normals(mesh.vertices, mesh.triangles)
    outwards = centers / np.linalg.norm(centers, axis=1, keepdims=True)
    assert ((normals * outwards).sum(1) > 0.95).all()
    assert 3 < areas.sum() / (36 * np.pi) < 6  # they overlap: no holes
    np.testing.assert_allclose(np.linalg.norm(centers, axis=1), 3, atol=0.1)


def test_points_in_the_air_and_repeated_ones_are_left_out() -> None:
    points = np.concatenate([_sphere(5000), [[9, 9, 9]], np.ones((30, 3))])
    mesh = squares_of_points(points)
    assert 4950 < len(mesh.polygons) <= 5000  # chance leaves a few points lonely
    assert np.linalg.norm(mesh.vertices, axis=1).min() > 2.9


def test_points_in_a_few_places_are_no_scan() -> None:
    with pytest.raises(ScanError, match="in a few places only"):
        squares_of_points(np.repeat(_sphere(5), 600, axis=0))


def test_many_points_are_thinned() -> None:
    assert len(squares_of_points(_sphere(150_000)).polygons) <= 100_000


def test_the_surface_joins_the_points_that_the_front_sees() -> None:
    surface = visible_surface(squares_of_points(_sphere(20_000)), SMALL)
    np.testing.assert_allclose(np.linalg.norm(surface.vertices, axis=1), 3, atol=1e-6)
    assert (surface.vertices[:, 2] > -0.1).mean() > 0.98  # few of the back, through chinks
    normals, areas = triangle_normals(surface.vertices, surface.polygons)
    assert (normals[:, 2] >= 0).all()
    assert areas.sum() == pytest.approx(2 * np.pi * 9, rel=0.1)


def test_where_there_are_no_points_there_is_no_surface() -> None:
    points = _sphere(20_000)
    kept = (np.linalg.norm(points - [0, 0, 3], axis=1) > 1) & (points[:, 2] > -1)
    surface = visible_surface(squares_of_points(points[kept]), SMALL)
    centers = surface.vertices[surface.polygons].mean(1)
    assert np.linalg.norm(centers[:, :2], axis=1).min() > 0.8


def test_points_that_are_behind_do_not_show() -> None:
    """Sparse points hide what is behind them, and where the surface bends not each other."""
    outer, inner = _sphere(3000), 0.8 * _sphere(3000)
    surface = visible_surface(squares_of_points(np.concatenate([outer, inner])), SMALL)
    radius = np.linalg.norm(surface.vertices, axis=1)
    assert (radius > 2.9).mean() > 0.97
    assert (radius > 2.9).sum() > 0.75 * (outer[:, 2] > 0).sum()


def test_points_elsewhere_are_no_face() -> None:
    away = Similarity(0.3, np.eye(3), np.full(3, 5.0))
    with pytest.raises(ScanError, match="Hardly any of the scan is visible"):
        visible_surface(squares_of_points(_sphere(5000)), away)
