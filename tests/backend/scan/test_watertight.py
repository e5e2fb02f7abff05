# SPDX-License-Identifier: GPL-3.0-or-later
"""One closed sheet of what the front sees: hidden layers go, holes close, the ball cuts."""

import numpy as np
import pytest
from scipy.spatial import Delaunay
from scipy.spatial.transform import Rotation

from backend.errors import ScanError
from backend.mesh import Mesh, triangle_normals
from backend.scan.align import IDENTITY, Similarity
from backend.scan.watertight import (
    BORDER_EDGE,
    PIXEL,
    _peel_border,
    depth_map,
    make_watertight,
    visible_from_front,
)

SAMPLES = 40_000


def _plane(half: float, z: float, cells: int = 30) -> Mesh:
    """Return a square grid of side 2 half at height z that faces +z."""
    side = np.linspace(-half, half, cells + 1)
    x, y = np.meshgrid(side, side)
    vertices = np.stack([x.ravel(), y.ravel(), np.full(x.size, z)], axis=1)
    first = (np.arange(cells)[:, None] * (cells + 1) + np.arange(cells)).ravel()
    a, b, c, d = first, first + 1, first + cells + 2, first + cells + 1
    return Mesh(vertices, np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]))


def _joined(a: Mesh, b: Mesh) -> Mesh:
    return Mesh(
        np.concatenate([a.vertices, b.vertices]),
        np.concatenate([a.polygons, b.polygons + len(a.vertices)]),
    )


def _without(mesh: Mesh, drop: np.ndarray) -> Mesh:
    return Mesh(mesh.vertices, mesh.polygons[~drop])


def _centers(mesh: Mesh) -> np.ndarray:
    return mesh.vertices[mesh.polygons].mean(1)


def _is_a_disk(mesh: Mesh) -> bool:
    """Tell whether a mesh is one piece without holes: V - E + F = 1, every edge in 1 or 2 faces."""
    edges = np.sort(mesh.polygons[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    unique, count = np.unique(edges, axis=0, return_counts=True)
    euler = len(np.unique(mesh.polygons)) - len(unique) + len(mesh.polygons)
    return bool(count.max() <= 2 and euler == 1)


@pytest.fixture(scope="module")
def half(sphere: Mesh) -> Mesh:
    """Return the front half of a sphere of radius 0.6."""
    return _without(sphere, _centers(sphere)[:, 2] < 0)


@pytest.fixture(scope="module")
def sheet(half: Mesh) -> Mesh:
    """Return its sheet."""
    return make_watertight(half, IDENTITY, samples=SAMPLES)


def test_the_sheet_is_the_surface_it_came_from(sheet: Mesh) -> None:
    np.testing.assert_allclose(np.linalg.norm(sheet.vertices, axis=1), 0.6, atol=2e-4)
    assert _is_a_disk(sheet)
    normals, areas = triangle_normals(sheet.vertices, sheet.polygons)
    assert normals[:, 2].min() >= 0
    assert areas.sum() == pytest.approx(2 * np.pi * 0.6**2, rel=0.1)


def test_the_sheet_is_evenly_fine(sheet: Mesh) -> None:
    corners = sheet.vertices[sheet.polygons]
    edges = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)
    steep = corners.mean(1)[:, 2] < 0.3
    assert edges[~steep].max() < 0.06
    assert np.median(edges[~steep]) == pytest.approx(0.014, abs=0.005)


def test_the_pose_takes_the_scan_into_model_space(half: Mesh, sheet: Mesh) -> None:
    rotation = Rotation.from_rotvec([0.4, 0.2, -0.1]).as_matrix()
    pose = Similarity(0.01, rotation, np.array([0.3, 0.2, -0.1]))
    scan = Mesh(pose.inverse().apply(half.vertices), half.polygons)
    posed = make_watertight(scan, pose, samples=SAMPLES)
    np.testing.assert_allclose(posed.vertices, sheet.vertices, atol=1e-9)


def test_the_winding_does_not_matter(half: Mesh, sheet: Mesh) -> None:
    """Triangles that face inwards, or some that do, give the same surface."""
    rng = np.random.default_rng(0)
    for inwards in (np.ones(len(half.polygons), bool), rng.random(len(half.polygons)) < 0.5):
        polygons = np.where(inwards[:, None], half.polygons[:, ::-1], half.polygons)
        turned = make_watertight(Mesh(half.vertices, polygons), IDENTITY, samples=SAMPLES)
        np.testing.assert_allclose(np.linalg.norm(turned.vertices, axis=1), 0.6, atol=2e-4)
        assert len(turned.vertices) == pytest.approx(len(sheet.vertices), rel=0.02)
        assert triangle_normals(turned.vertices, turned.polygons)[0][:, 2].min() >= 0
        assert _is_a_disk(turned)


def test_a_spike_is_not_part_of_the_sheet(half: Mesh) -> None:
    tip = int(np.argmin(np.linalg.norm(half.vertices - [0.1, 0.1, 0.58], axis=1)))
    vertices = half.vertices.copy()
    vertices[tip] *= 1.6
    sheet = make_watertight(Mesh(vertices, half.polygons), IDENTITY, samples=SAMPLES)
    np.testing.assert_allclose(np.linalg.norm(sheet.vertices, axis=1), 0.6, atol=2e-4)
    assert _is_a_disk(sheet)


def test_a_hidden_inner_layer_is_removed(sphere: Mesh) -> None:
    inner = Mesh(0.8 * sphere.vertices, sphere.polygons)
    sheet = make_watertight(_joined(inner, sphere), IDENTITY, samples=SAMPLES)
    front = np.linalg.norm(sheet.vertices[:, :2], axis=1) < 0.55
    np.testing.assert_allclose(np.linalg.norm(sheet.vertices[front], axis=1), 0.6, atol=2e-4)
    assert sheet.vertices[:, 2].min() > -0.1  # nor does the back of the sphere remain


def test_a_hole_is_closed(half: Mesh) -> None:
    """A mouth: what is missing inside the outline is bridged."""
    x, y, _ = _centers(half).T
    mouth = (np.abs(x) < 0.15) & (np.abs(y + 0.2) < 0.04)
    sheet = make_watertight(_without(half, mouth), IDENTITY, samples=SAMPLES)
    assert _is_a_disk(sheet)
    at_mouth = _centers(sheet)[np.linalg.norm(_centers(sheet)[:, :2] - [0, -0.2], axis=1) < 0.03]
    assert len(at_mouth) > 0
    chord = np.sqrt(0.6**2 - 0.16**2)  # the bridge hangs between the lips, at y = -0.16 and -0.24
    assert at_mouth[:, 2].min() > np.sqrt(0.6**2 - 0.24**2) - 0.01
    assert at_mouth[:, 2].max() < chord + 0.01


def test_a_notch_of_the_outline_stays_open(half: Mesh) -> None:
    x, y, _ = _centers(half).T
    notch = (np.abs(x) < 0.15) & (y < -0.1)
    sheet = make_watertight(_without(half, notch), IDENTITY, samples=SAMPLES)
    assert _is_a_disk(sheet)
    x, y, _ = _centers(sheet).T
    assert not ((np.abs(x) < 0.1) & (y < -0.25)).any()


def _doubled_areas(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    a, b, c = (points[triangles[:, i], :2] for i in range(3))
    return np.abs(np.cross(b - a, c - a))


def test_a_border_is_peeled_of_a_notch_but_not_of_a_hole() -> None:
    """An 11 x 11 grid; a void of 4 x 3 cells at its edge opens, one of 4 x 4 inside does not."""
    cell = 0.06  # half a cell has no long edge, two cells in line have
    assert np.sqrt(2) * cell < BORDER_EDGE < 2 * cell
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(11), np.arange(11)))
    notch = (abs(x - 5) < 2) & (y < 3)
    hole = (abs(x - 3) < 2) & (abs(y - 7) < 2)
    points = np.stack([x, y, 0 * x], axis=1)[~notch & ~hole] * cell
    delaunay = Delaunay(points[:, :2])
    kept = _peel_border(points, delaunay.simplices, delaunay.neighbors)
    corners = np.rint(points[kept][..., :2] / cell)
    # The notch's two inner corners keep half a cell each: their edges are short.
    assert _doubled_areas(points, kept).sum() / cell**2 == pytest.approx(2 * (100 - 12 + 1))
    in_notch = (abs(corners[..., 0] - 5) <= 2).all(1) & (corners[..., 1] <= 3).all(1)
    assert _doubled_areas(points, kept[in_notch]).sum() / cell**2 == pytest.approx(2)
    in_hole = (abs(corners[..., 0] - 3) <= 2).all(1) & (abs(corners[..., 1] - 7) <= 2).all(1)
    assert _doubled_areas(points, kept[in_hole]).sum() / cell**2 == pytest.approx(2 * 16)


def test_peeling_is_walking_in_from_the_outside_over_long_triangles() -> None:
    """Against the walk itself, on points so sparse that half of the triangles are long."""
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (400, 3)) * [1, 1, 0.05]
    delaunay = Delaunay(points[:, :2])
    corners = points[delaunay.simplices]
    edges = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)
    long = edges.max(1) > BORDER_EDGE
    assert 0.2 < long.mean() < 0.8
    gone = set()
    ahead = [t for t in np.flatnonzero(long) if -1 in delaunay.neighbors[t]]
    while ahead:
        triangle = ahead.pop()
        gone.add(triangle)
        ahead += [t for t in delaunay.neighbors[triangle] if t >= 0 and long[t] and t not in gone]
    kept = _peel_border(points, delaunay.simplices, delaunay.neighbors)
    stays = [t for t in range(len(corners)) if t not in gone]
    np.testing.assert_array_equal(kept, delaunay.simplices[stays])
    assert 0 < len(gone) < long.sum()  # long ones inside stay


def test_the_ball_cuts_the_scan() -> None:
    height = 0.1875  # one that vertices are rounded to
    sheet = make_watertight(_plane(3.0, height), IDENTITY, samples=400_000)
    radius = np.linalg.norm(sheet.vertices, axis=1)
    assert radius.max() <= 1
    border = np.linalg.norm(sheet.vertices[:, :2], axis=1).max()
    assert border == pytest.approx(np.sqrt(1 - height**2), abs=0.02)
    np.testing.assert_allclose(sheet.vertices[:, 2], height)


def test_a_scan_elsewhere_is_refused() -> None:
    with pytest.raises(ScanError, match="No part of the scan lies where the face should be"):
        make_watertight(_plane(0.5, 7.0), IDENTITY)
    with pytest.raises(ScanError, match="Hardly any of the scan is visible from the front"):
        make_watertight(_plane(0.02, 0.0), IDENTITY)


def test_depth_of_a_plane_and_of_what_stands_before_it() -> None:
    depth = depth_map(*_as_arrays(_joined(_plane(0.5, 0.25), _plane(0.1, 0.6))))
    assert depth.shape == (400, 400)
    centers = (np.arange(400) + 0.5) * PIXEL - 1
    x, y = np.meshgrid(centers, centers)
    wanted = np.where(np.maximum(abs(x), abs(y)) < 0.5, 0.25, -np.inf)
    wanted = np.where(np.maximum(abs(x), abs(y)) < 0.1, 0.6, wanted)
    np.testing.assert_allclose(depth, wanted)


def test_depth_between_vertices_is_linear() -> None:
    vertices = np.array([[-0.9, -0.9, 0.0], [0.9, -0.9, 0.9], [-0.9, 0.9, 0.0]])
    depth = depth_map(vertices, np.array([[0, 1, 2]]))
    assert depth[100, 200] == pytest.approx((0.0025 + 0.9) / 2)  # row is y, column is x
    assert depth[300, 300] == -np.inf


def _as_arrays(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    return mesh.vertices, mesh.polygons


@pytest.mark.parametrize("tilt", [0, 45, 75])
def test_all_of_a_plane_is_visible_and_nothing_behind_it(tilt: float) -> None:
    turn = Rotation.from_euler("y", tilt, degrees=True).as_matrix()
    front = Mesh(_plane(0.5, 0.0).vertices @ turn.T, _plane(0.5, 0.0).polygons)
    rng = np.random.default_rng(0)
    flat = np.concatenate([rng.uniform(-0.49, 0.49, (2000, 2)), np.zeros((2000, 1))], axis=1)
    points, normals = flat @ turn.T, np.tile(turn[:, 2], (2000, 1))
    depth = depth_map(*_as_arrays(front))
    assert visible_from_front(points, normals, depth).all()
    step = np.array([0, 0, 0.1])
    assert not visible_from_front(points - step, normals, depth).any()
    assert visible_from_front(points + step, normals, depth).all()
