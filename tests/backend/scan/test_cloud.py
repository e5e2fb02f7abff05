# SPDX-License-Identifier: GPL-3.0-or-later
"""Points stand for the surface they were measured on."""

import numpy as np
import pytest

from backend.errors import ScanError
from backend.mesh import triangle_normals
from backend.scan.cloud import squares_of_points


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
