# SPDX-License-Identifier: GPL-3.0-or-later
"""The signed distance of a sphere cap is |x| - r."""

import numpy as np
import pytest
import trimesh

from backend.mesh import Mesh, sample_surface, triangle_normals
from backend.scan.align import IDENTITY
from backend.scan.sampling import (
    NearestTriangle,
    SheetDistance,
    sample_sdf,
    uniform_in_ball,
)
from backend.scan.watertight import make_watertight

RADIUS = 0.6


@pytest.fixture(scope="module")
def sheet(sphere: Mesh) -> Mesh:
    """Return the front of a sphere as a sheet."""
    return make_watertight(sphere, IDENTITY, samples=60_000)


def _cone(count: int, low: float, high: float) -> np.ndarray:
    """Draw points between two radii at most 45 degrees off the +z axis: the cap's own region."""
    rng = np.random.default_rng(0)
    z, angle = rng.uniform(np.sqrt(0.5), 1, count), rng.uniform(0, 2 * np.pi, count)
    across = np.sqrt(1 - z * z)
    direction = np.stack([across * np.cos(angle), across * np.sin(angle), z], axis=1)
    return direction * rng.uniform(low, high, (count, 1))


def test_the_cap_gives_its_radius(sheet: Mesh) -> None:
    points = _cone(3000, 0.35, 0.95)
    sdf, gradients = SheetDistance(sheet)(points)
    radius = np.linalg.norm(points, axis=1)
    error = np.abs(sdf - (radius - RADIUS))
    assert error.max() < 2e-3
    assert np.percentile(error, 99) < 5e-4
    away = np.abs(radius - RADIUS) > 0.03
    np.testing.assert_allclose(np.linalg.norm(gradients, axis=1), 1, atol=1e-6)
    off = np.degrees(np.arccos(np.clip((gradients * points).sum(1) / radius, -1, 1)))
    assert off[away].max() < 15
    assert np.percentile(off[away], 99) < 3


def test_far_points_know_their_side(sheet: Mesh) -> None:
    """Beside a fold the nearest triangle may be seen from its wrong flank."""
    points = np.array([[0, 0, 0.95], [0, 0, -0.5], [0.3, 0.3, 0.9], [0.1, -0.4, -0.8]])
    sdf, _ = SheetDistance(sheet)(points)
    assert (np.sign(sdf) == [1, -1, 1, -1]).all()
    assert sdf[0] == pytest.approx(0.35, abs=1e-3)


def test_on_the_sheet_the_gradient_is_the_normal(sheet: Mesh) -> None:
    corners = sheet.vertices[sheet.polygons]
    sdf, gradients = SheetDistance(sheet)(corners.mean(1))
    assert np.abs(sdf).mean() < 1e-3
    on = (np.abs(sdf) < 1e-9) & (corners[:, :, 2].min(1) > 0.42)
    normals, _ = triangle_normals(sheet.vertices, sheet.polygons)
    np.testing.assert_allclose(gradients[on], normals[on])


def test_the_nearest_triangle_is_nearly_that_of_a_full_search(sheet: Mesh) -> None:
    """It looks only at the triangles whose samples or centres are nearest."""
    rng = np.random.default_rng(1)
    points, face, _ = sample_surface(sheet.vertices, sheet.polygons, 200, rng)
    normals, _ = triangle_normals(sheet.vertices, sheet.polygons)
    points += normals[face] * rng.normal(0, 0.02, (200, 1))
    _, closest, distance = NearestTriangle(sheet)(points)
    np.testing.assert_allclose(np.linalg.norm(points - closest, axis=1), distance)
    excess = distance - [_exact_distance(sheet, point) for point in points]
    assert excess.min() > -1e-9
    assert excess.mean() < 1e-4
    assert np.percentile(excess, 99) < 2e-3


def _exact_distance(mesh: Mesh, point: np.ndarray) -> float:
    """Search every triangle."""
    corners = mesh.vertices[mesh.polygons]
    closest = trimesh.triangles.closest_point(corners, np.repeat(point[None], len(corners), axis=0))
    return float(np.linalg.norm(closest - point, axis=1).min())


def test_samples_are_what_they_say(sheet: Mesh) -> None:
    samples = sample_sdf(sheet, surface=3000, near=2000, uniform=500, near_sigma=0.02)
    assert samples.surface == 3000
    assert 5000 < len(samples.points) <= 5500  # near points outside the ball are dropped
    assert len(samples.sdf) == len(samples.gradients) == len(samples.points)
    assert (samples.sdf[:3000] == 0).all()
    assert samples.gradients[:3000, 2].min() >= 0
    np.testing.assert_allclose(np.linalg.norm(samples.gradients, axis=1), 1, atol=1e-5)
    assert np.linalg.norm(samples.points, axis=1).max() <= 1
    near = samples.sdf[3000:-500]
    assert near.std() == pytest.approx(0.02, rel=0.15)
    in_cap = samples.points[3000:][_in_cone(samples.points[3000:])]
    wanted = np.linalg.norm(in_cap, axis=1) - RADIUS
    got = samples.sdf[3000:][_in_cone(samples.points[3000:])]
    np.testing.assert_allclose(got, wanted, atol=4e-3)
    assert np.abs(got - wanted).mean() < 3e-4


def _in_cone(points: np.ndarray) -> np.ndarray:
    radius = np.linalg.norm(points, axis=1)
    return (points[:, 2] > 0.75 * radius) & (radius > 0.35)


def test_the_same_seed_gives_the_same_samples(sheet: Mesh) -> None:
    first, second = (sample_sdf(sheet, surface=50, near=50, uniform=50) for _ in range(2))
    np.testing.assert_array_equal(first.points, second.points)
    other = sample_sdf(sheet, surface=50, near=50, uniform=50, seed=1)
    assert not np.array_equal(first.points, other.points)


def test_the_nearest_triangle_is_exact_on_a_square() -> None:
    corner = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    nearest = NearestTriangle(Mesh(corner, np.array([[0, 1, 2], [0, 2, 3]])), cover=4000)
    points = np.array([[0.7, 0.2, 0.5], [0.2, 0.7, -0.25], [2, 0.5, 0], [-3, -4, 0]])
    face, closest, distance = nearest(points)
    assert face[:2].tolist() == [0, 1]
    wanted = [[0.7, 0.2, 0], [0.2, 0.7, 0], [1, 0.5, 0], [0, 0, 0]]
    np.testing.assert_allclose(closest, wanted, atol=1e-9)
    np.testing.assert_allclose(distance, [0.5, 0.25, 1, 5])


def test_points_fill_the_ball_evenly() -> None:
    points = uniform_in_ball(20_000, np.random.default_rng(0))
    radius = np.linalg.norm(points, axis=1)
    assert radius.max() <= 1
    assert (radius < 0.5).mean() == pytest.approx(1 / 8, abs=0.01)
    np.testing.assert_allclose(points.mean(0), 0, atol=0.02)
