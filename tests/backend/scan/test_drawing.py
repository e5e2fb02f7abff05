# SPDX-License-Identifier: GPL-3.0-or-later

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree

from backend.mesh import triangle_normals
from backend.scan.drawing import DrawnPoints, draw_points, evenly_drawn, some_triangles, steady


@pytest.fixture(scope="module")
def ball() -> tuple[np.ndarray, np.ndarray]:
    sphere = trimesh.creation.icosphere(subdivisions=4)
    return np.array(sphere.vertices), np.array(sphere.faces)


@pytest.fixture(scope="module")
def drawn(ball: tuple[np.ndarray, np.ndarray]) -> DrawnPoints:
    return draw_points(*ball, 4 * np.pi / 60_000)


def test_points_lie_on_the_surface_as_dense_here_as_there(drawn: DrawnPoints) -> None:
    assert len(drawn) == pytest.approx(60_000, rel=0.01)
    np.testing.assert_allclose(np.linalg.norm(drawn.points, axis=1), 1, atol=2e-3)
    np.testing.assert_allclose(drawn.points.mean(0), 0, atol=0.01)
    assert ((drawn.points * drawn.normals).sum(1) > 0.99).all()
    assert len(np.unique(drawn.keys)) == len(drawn)


def test_points_fill_a_triangle_evenly_up_to_the_largest() -> None:
    corners, triangle = np.array([[0.0, 0, 0], [3, 0, 0], [0, 3, 0]]), np.array([[0, 1, 2]])
    drawn = draw_points(corners, triangle, 4.5 / 20_000)
    np.testing.assert_allclose(drawn.points.mean(0), [1, 1, 0], atol=0.02)
    x, y = drawn.points[:, :2].T
    np.testing.assert_array_less([-x.min(), -y.min(), (x + y).max()], [1e-12, 1e-12, 3 + 1e-12])
    assert (x < 1).mean() == pytest.approx(5 / 9, abs=0.01)
    assert len(draw_points(corners, triangle, 4.5 / 20_000, largest=1.5)) == pytest.approx(6667, 1)


def test_nothing_is_drawn_on_triangles_without_area() -> None:
    assert len(draw_points(np.zeros((3, 3)), np.array([[0, 1, 2]]), steady(0.0))) == 0


def test_other_seeds_draw_other_points(ball: tuple[np.ndarray, np.ndarray]) -> None:
    first, second = (draw_points(*ball, 0.01, seed) for seed in (0, 1))
    assert not np.isin(first.keys, second.keys).any()


def test_chances_are_uniform_and_not_alike(drawn: DrawnPoints) -> None:
    chances = np.stack([drawn.chance(use) for use in range(3)])
    assert chances.min() > 0
    assert chances.max() < 1
    np.testing.assert_allclose(chances.mean(1), 0.5, atol=0.01)
    np.testing.assert_allclose(chances.var(1), 1 / 12, atol=0.002)
    with_place = np.concatenate([chances, drawn.points.T])
    correlations = np.corrcoef(with_place) - np.eye(len(with_place))
    assert np.abs(correlations[:3]).max() < 0.02


def test_a_small_change_of_a_surface_changes_few_points(
    ball: tuple[np.ndarray, np.ndarray], drawn: DrawnPoints
) -> None:
    """Drawn one after the other, all that come after the change would be others."""
    vertices, triangles = ball
    again = draw_points(vertices * (1 + 1e-4), triangles[3:], drawn.area)
    assert np.isin(drawn.keys, again.keys).mean() > 0.995
    even, even_again = (evenly_drawn(points, 3000, 0) for points in (drawn, again))
    assert np.isin(even.keys, even_again.keys).mean() > 0.98
    both = np.intersect1d(even.keys, even_again.keys, return_indices=True)
    np.testing.assert_allclose(even.points[both[1]], even_again.points[both[2]], atol=2e-4)


def test_evenly_drawn_points_leave_smaller_holes_than_chance(drawn: DrawnPoints) -> None:
    even = evenly_drawn(drawn, 2000, 0)
    assert len(even) == pytest.approx(2000, rel=0.12)
    by_chance = drawn[np.argsort(drawn.chance(7))[: len(even)]]
    holes, larger = (
        cKDTree(some.points).query(drawn.points)[0].max() for some in (even, by_chance)
    )
    assert holes < 0.8 * larger
    apart = cKDTree(even.points).query(even.points, 2)[0][:, 1]
    assert apart.min() > 0.7 * apart.mean()
    # Any part of them is spread as well, and a small cloud gives all that it has.
    np.testing.assert_allclose(even.points[:200].mean(0), 0, atol=0.15)
    assert len(evenly_drawn(drawn[np.arange(50)], 200, 0)) == 50
    assert not np.isin(even.keys, evenly_drawn(drawn, 2000, 1).keys).all()


def test_some_triangles_are_about_so_many(ball: tuple[np.ndarray, np.ndarray]) -> None:
    triangles = ball[1]
    some = some_triangles(triangles, 2000)
    assert len(some) == pytest.approx(2000, rel=0.1)
    # Without one of them, the others stay the same.
    again = some_triangles(np.delete(triangles, 7, axis=0), 2000)
    assert abs(len(again) - len(some)) <= 3
    assert some_triangles(triangles, 10**6) is triangles


def test_some_triangles_get_as_many_points_as_they_ask_for(
    ball: tuple[np.ndarray, np.ndarray],
) -> None:
    """Though most of them get none, and all others are left out."""
    vertices, triangles = ball
    some = some_triangles(triangles, 2000)
    area = triangle_normals(vertices, some)[1].sum() / 400
    assert len(draw_points(vertices, some, area)) == pytest.approx(400, rel=0.15)


def test_steady_sizes_are_few_and_near() -> None:
    sizes = np.geomspace(1e-6, 1e6, 1000)
    found = np.array([steady(size) for size in sizes])
    assert np.abs(found / sizes - 1).max() < 0.091
    assert len(np.unique(found)) < 165
