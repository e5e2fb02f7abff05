# SPDX-License-Identifier: GPL-3.0-or-later
"""Spikes go, and nothing else does."""

import numpy as np
import pytest
from skimage.measure import marching_cubes

from backend.mesh import Mesh, triangle_normals
from backend.scan.clean import faced_out, without_spikes, wound_alike


def _moved(mesh: Mesh, share: float, far: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a mesh's vertices with a share of them moved, and which."""
    rng = np.random.default_rng(0)
    rows = rng.random(len(mesh.vertices)) < share
    step = rng.normal(size=mesh.vertices.shape)
    step *= far / np.linalg.norm(step, axis=1)[:, None]
    return mesh.vertices + rows[:, None] * step, rows


@pytest.mark.parametrize("unit", [1e-5, 1000.0])
@pytest.mark.parametrize("apart", [False, True])
def test_triangles_at_stray_vertices_go(sphere: Mesh, unit: float, apart: bool) -> None:
    """A fifth of the vertices 0.3 off, ten times the length of an edge: half of all triangles; of
    a file whose triangles share no vertices too."""
    vertices, stray = _moved(sphere, 0.2, 0.3)
    triangles = sphere.polygons
    if apart:
        vertices, stray = vertices[triangles].reshape(-1, 3), stray[triangles].ravel()
        triangles = np.arange(triangles.size).reshape(-1, 3)
    bad = stray[triangles].any(axis=1)
    assert 0.4 < bad.mean() < 0.6
    kept = without_spikes(unit * vertices, triangles)
    assert stray[kept].any(axis=1).mean() < 0.02
    assert (~stray[kept].any(axis=1)).sum() > 0.98 * (~bad).sum()


def test_a_vertex_far_away_hides_no_other_one(sphere: Mesh) -> None:
    """A billion radii away, all others seem to lie in one place."""
    vertices = sphere.vertices[sphere.polygons].reshape(-1, 3)
    triangles = np.arange(len(vertices)).reshape(-1, 3)
    at = (vertices == sphere.vertices[7]).all(1)
    vertices[at] *= 1.5
    vertices[0] *= 1e9
    wrong = at[triangles].any(1)
    wrong[0] = True
    np.testing.assert_array_equal(without_spikes(vertices, triangles), triangles[~wrong])


def test_the_worst_one_hides_none_beside_it(sphere: Mesh) -> None:
    vertices, triangles = sphere.vertices.copy(), sphere.polygons
    worst, beside = triangles[100, :2]
    vertices[worst] *= 1000
    vertices[beside] *= 1.3
    wanted = triangles[~np.isin(triangles, (worst, beside)).any(axis=1)]
    np.testing.assert_array_equal(without_spikes(vertices, triangles), wanted)


def test_a_triangle_without_size_holds_no_stray_vertex(sphere: Mesh) -> None:
    vertices = sphere.vertices.copy()
    vertices[7] *= 2
    wanted = sphere.polygons[(sphere.polygons != 7).all(axis=1)]
    triangles = np.concatenate([sphere.polygons, [[7, 7, 7]]])
    np.testing.assert_array_equal(without_spikes(vertices, triangles), wanted)


def test_what_stays_stays_in_order(sphere: Mesh) -> None:
    vertices = sphere.vertices.copy()
    vertices[7] *= 2
    wanted = sphere.polygons[(sphere.polygons != 7).all(axis=1)]
    np.testing.assert_array_equal(without_spikes(vertices, sphere.polygons), wanted)


def test_a_clean_mesh_stays_whole(sphere: Mesh) -> None:
    np.testing.assert_array_equal(without_spikes(sphere.vertices, sphere.polygons), sphere.polygons)


def test_a_mesh_that_grows_coarse_stays_whole() -> None:
    """A polar grid: its edges grow fiftyfold from the middle to the border."""
    radius, angle = np.meshgrid(np.geomspace(0.02, 1, 30), np.linspace(0, 2 * np.pi, 40))
    vertices = np.stack([radius * np.cos(angle), radius * np.sin(angle), 0 * radius], axis=-1)
    first = (np.arange(39)[:, None] * 30 + np.arange(29)).ravel()
    a, b, c, d = first, first + 1, first + 31, first + 30
    triangles = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    np.testing.assert_array_equal(without_spikes(vertices.reshape(-1, 3), triangles), triangles)


def test_slivers_of_marching_cubes_stay() -> None:
    x, y, z = np.mgrid[-1:1:40j, -1:1:40j, -1:1:40j]
    level = x * x + y * y + z * z - 0.5 + 0.05 * np.sin(9 * x) * np.sin(8 * y)
    vertices, triangles, _, _ = marching_cubes(level, 0)
    assert len(without_spikes(vertices, triangles)) > 0.99 * len(triangles)


@pytest.mark.filterwarnings("error")
def test_nothing_is_no_error() -> None:
    nothing = np.zeros((0, 3), int)
    assert without_spikes(np.zeros((3, 3)), nothing).shape == (0, 3)
    assert len(without_spikes(np.zeros((3, 3)), np.array([[0, 1, 2]]))) == 1


def _turned(triangles: np.ndarray, over: np.ndarray) -> np.ndarray:
    return np.where(over[:, None], triangles[:, ::-1], triangles)


@pytest.mark.parametrize("unit", [1e-5, 1000.0])
@pytest.mark.parametrize("seams", [False, True])
def test_triangles_that_are_turned_over_are_turned_back(
    sphere: Mesh, unit: float, seams: bool
) -> None:
    """Two spheres, one of them inside out: each stays as most of it is."""
    vertices = unit * np.concatenate([sphere.vertices, sphere.vertices + np.array([2, 0, 0])])
    wanted = np.concatenate([sphere.polygons, sphere.polygons[:, ::-1] + len(sphere.vertices)])
    left = sphere.vertices[sphere.polygons].mean(1)[:, 0] < -0.2  # as a whole, and some more
    over = np.tile(left | (np.random.default_rng(0).random(len(left)) < 0.1), 2)
    if seams:  # no vertex is shared
        vertices, wanted = vertices[wanted].reshape(-1, 3), np.arange(wanted.size).reshape(-1, 3)
    assert 0.2 < over.mean() < 0.5
    np.testing.assert_array_equal(wound_alike(vertices, _turned(wanted, over)), wanted)
    assert wound_alike(vertices, wanted) is wanted


def test_the_larger_area_tells_which_side_is_out(sphere: Mesh) -> None:
    """A sphere whose one half is drawn out tenfold: less than half of its triangles."""
    vertices = sphere.vertices * np.where(sphere.vertices[:, :1] > 0, [10, 1, 1], 1)
    over = sphere.vertices[sphere.polygons].mean(1)[:, 0] < 0.05
    assert over.mean() > 0.5
    turned = _turned(sphere.polygons, over)
    np.testing.assert_array_equal(wound_alike(vertices, turned), sphere.polygons)


def test_an_edge_of_three_triangles_joins_none(sphere: Mesh) -> None:
    """A fin on a sphere, wound like the triangle that it stands on."""
    vertices = np.concatenate([sphere.vertices, 1.2 * sphere.vertices[sphere.polygons[:1, 0]]])
    fin = [[*sphere.polygons[0, :2], len(sphere.vertices)]]
    triangles = np.concatenate([fin, sphere.polygons])
    np.testing.assert_array_equal(wound_alike(vertices, triangles), triangles)


def test_what_has_one_side_only_stays_as_it_is() -> None:
    """A Moebius strip of 20 quads."""
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    out = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    across = np.cos(angle / 2)[:, None] * out + np.sin(angle / 2)[:, None] * [0, 0, 1]
    vertices = np.concatenate([out - 0.2 * across, out + 0.2 * across])
    low, high = np.arange(20), np.arange(20) + 20
    after_low, after_high = np.append(low[1:], 20), np.append(high[1:], 0)
    triangles = np.stack([low, after_low, high, high, after_low, after_high], 1).reshape(-1, 3)
    np.testing.assert_array_equal(wound_alike(vertices, triangles), triangles)


@pytest.mark.parametrize("half", [False, True])
def test_a_scan_that_is_wound_the_other_way_becomes_the_same_scan(sphere: Mesh, half: bool) -> None:
    """Else other points would be drawn of it, and the fit would be another one."""
    front = sphere.vertices[sphere.polygons].mean(1)[:, 2] > 0
    out = sphere.polygons[front] if half else sphere.polygons
    if triangle_normals(sphere.vertices, out)[0][0] @ sphere.vertices[out[0, 0]] < 0:
        out = out[:, ::-1]
    assert faced_out(sphere.vertices, out) is out
    np.testing.assert_array_equal(faced_out(sphere.vertices, out[:, ::-1]), out)
