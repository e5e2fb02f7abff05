# SPDX-License-Identifier: GPL-3.0-or-later
"""Coarse-to-fine extraction: exact on a sphere, and equal to the whole grid's mesh."""

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from backend.checkpoint import FaceModel
from backend.errors import BackendError
from backend.face.extract import (
    ExtractConfig,
    GridValues,
    SdfFunction,
    clip,
    extract_mesh,
    face_sdf,
    largest_component,
    mesh_cells,
)
from backend.face.generate import face_of, generate
from backend.mesh import Mesh, triangle_normals

CENTER = np.array([0.05, -0.03, 0.1])


def _sphere(center: np.ndarray, radius: float) -> SdfFunction:
    def sdf(points: np.ndarray) -> np.ndarray:
        return (np.linalg.norm(points - center, axis=1) - radius).astype(np.float32)

    return sdf


def _bumpy(points: np.ndarray) -> np.ndarray:
    """Return a ball with bumps that are smaller than the coarsest blocks; slope below 1.3."""
    bumps = 0.02 * np.sin(14 * points).prod(1)
    return (np.linalg.norm(points - CENTER, axis=1) - 0.6 + bumps).astype(np.float32)


def _all_cells(resolution: int) -> np.ndarray:
    """Return every cell of the grid that meets the unit ball."""
    cells = np.indices((resolution - 1,) * 3).reshape(3, -1).T
    spacing = 2 / (resolution - 1)
    centers = (cells + 0.5) * spacing - 1
    return cells[np.linalg.norm(centers, axis=1) <= 1 + spacing * np.sqrt(3) / 2]


def _volume(mesh: Mesh) -> float:
    """Return the enclosed volume; negative if the triangles face inwards."""
    a, b, c = np.moveaxis(mesh.vertices[mesh.polygons], 1, 0)
    return float((a * np.cross(b, c)).sum() / 6)


def _components(mesh: Mesh) -> int:
    edges = mesh.polygons[:, [0, 1, 1, 2]].reshape(-1, 2).T
    graph = coo_matrix((np.ones(edges.shape[1]), edges), shape=(len(mesh.vertices),) * 2)
    return int(connected_components(graph, directed=False)[0])


def _edge_uses(mesh: Mesh) -> np.ndarray:
    """Return in how many triangles each edge is."""
    edges = np.sort(mesh.polygons[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    return np.unique(edges, axis=0, return_counts=True)[1]


@pytest.mark.parametrize("resolution", [32, 64, 101, 128])
def test_a_sphere_has_its_radius_and_place(resolution: int) -> None:
    mesh = extract_mesh(_sphere(CENTER, 0.6), ExtractConfig(resolution))
    cell = 2 / (resolution - 1)
    radius = np.linalg.norm(mesh.vertices - CENTER, axis=1)
    # Linear interpolation of a true distance is off by about cell^2 / 8 r.
    np.testing.assert_allclose(radius, 0.6, atol=0.3 * cell**2)
    assert _volume(mesh) == pytest.approx(4 / 3 * np.pi * 0.6**3, rel=1.5 * cell**2 / 0.36)
    normals, areas = triangle_normals(mesh.vertices, mesh.polygons)
    outward = mesh.vertices[mesh.polygons].mean(1) - CENTER
    assert ((normals * outward).sum(1) > 0)[areas > 1e-9].all()
    assert _components(mesh) == 1
    assert (_edge_uses(mesh) == 2).all()


def test_only_the_largest_piece_remains() -> None:
    big, small = _sphere(np.array([-0.3, 0, 0]), 0.4), _sphere(np.array([0.5, 0, 0]), 0.2)
    mesh = extract_mesh(lambda p: np.minimum(big(p), small(p)), ExtractConfig(48))
    radius = np.linalg.norm(mesh.vertices - [-0.3, 0, 0], axis=1)
    np.testing.assert_allclose(radius, 0.4, atol=2e-3)
    assert len(np.unique(mesh.polygons)) == len(mesh.vertices)


def test_the_ball_cuts_the_surface() -> None:
    mesh = extract_mesh(_sphere(np.array([0, 0, 0.7]), 0.6), ExtractConfig(64))
    distance = np.linalg.norm(mesh.vertices, axis=1)
    assert distance.max() <= 1 + 1e-9
    rim = np.unique(_border(mesh))
    np.testing.assert_allclose(distance[rim], 1, atol=1e-3)  # triangles are cut by chords
    height = (1 + 0.7**2 - 0.6**2) / (2 * 0.7)
    np.testing.assert_allclose(mesh.vertices[rim, 2], height, atol=2e-3)


def _border(mesh: Mesh) -> np.ndarray:
    edges = np.sort(mesh.polygons[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    unique, count = np.unique(edges, axis=0, return_counts=True)
    return unique[count == 1]


def _assert_same_mesh(a: Mesh, b: Mesh) -> None:
    distance, partner = cKDTree(b.vertices).query(a.vertices)
    assert len(a.vertices) == len(b.vertices)
    assert distance.max() < 1e-6
    assert len(np.unique(partner)) == len(partner)
    first = {tuple(np.roll(t, -t.argmin())) for t in partner[a.polygons]}
    second = {tuple(np.roll(t, -t.argmin())) for t in b.polygons}
    assert first == second


@pytest.mark.parametrize("steepness", [1, 2], ids=["as thought", "steeper"])
@pytest.mark.parametrize("resolution", [64, 128])
def test_sparse_equals_dense_on_a_bumpy_ball(resolution: int, steepness: int) -> None:
    def sdf(points: np.ndarray) -> np.ndarray:
        return steepness * _bumpy(points)

    sparse = extract_mesh(sdf, ExtractConfig(resolution))
    dense = mesh_cells(GridValues(sdf, resolution), _all_cells(resolution), resolution)
    _assert_same_mesh(sparse, largest_component(dense))


@pytest.fixture(scope="module")
def generated(bundled: FaceModel) -> SdfFunction:
    """Return the field of a random smiling person."""
    codes = generate(bundled, 3, 1.0, {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8})
    return face_sdf(face_of(bundled, codes), bundled.device)


@pytest.mark.parametrize("resolution", [64, 128])
def test_sparse_equals_dense_on_a_face(generated: SdfFunction, resolution: int) -> None:
    sparse = extract_mesh(generated, ExtractConfig(resolution))
    dense = mesh_cells(GridValues(generated, resolution), _all_cells(resolution), resolution)
    _assert_same_mesh(sparse, largest_component(dense))


def test_hardly_any_of_the_grid_is_evaluated(generated: SdfFunction) -> None:
    counted = 0

    def counting(points: np.ndarray) -> np.ndarray:
        nonlocal counted
        counted += len(points)
        return generated(points)

    mesh = extract_mesh(counting, ExtractConfig(256))
    assert counted < 0.017 * 256**3
    assert len(mesh.vertices) > 50_000
    assert np.abs(generated(mesh.vertices[::50])).max() < 2 / 255


def test_clip_cuts_where_the_values_say() -> None:
    vertices = np.array([[0.0, 0, 0], [4, 0, 0], [0, 4, 0]])
    triangle = np.array([[0, 1, 2]])
    # One corner stays: at x + y = 1.
    new, kept = clip(vertices, triangle, np.array([1.0, -3, -3]))
    np.testing.assert_allclose(new[kept[0]], [[0, 0, 0], [1, 0, 0], [0, 1, 0]])
    assert len(kept) == 1
    # Two corners stay: what is left of the big triangle without the small one.
    new, kept = clip(vertices, triangle, np.array([-1.0, 3, 3]))
    normals, areas = triangle_normals(new, kept)
    assert areas.sum() == pytest.approx(8 - 0.5)
    np.testing.assert_allclose(normals, [[0, 0, 1]] * 2)  # nothing is turned over
    assert new[kept][..., :2].sum(-1).min() == pytest.approx(1)


def test_clip_keeps_all_or_nothing() -> None:
    vertices, triangle = np.eye(3), np.array([[0, 1, 2]])
    for values, left in (([1.0, 2, 0], 1), ([-1.0, -2, -3], 0)):
        _, kept = clip(vertices, triangle, np.array(values))
        assert len(kept) == left


def test_clip_shares_the_vertices_of_cut_edges() -> None:
    vertices = np.array([[0.0, 0, 0], [2, 0, 0], [2, 2, 0], [0, 2, 0]])
    new, kept = clip(vertices, np.array([[0, 1, 2], [0, 2, 3]]), np.array([1.0, -1, -1, 1]))
    mesh = Mesh(new, kept)
    assert len(np.unique(kept)) == 5  # 2 old ones, one on each side, one on the diagonal
    assert triangle_normals(new, kept)[1].sum() == pytest.approx(2)
    assert _edge_uses(mesh).max() == 2


def test_the_largest_component_has_the_most_triangles() -> None:
    vertices = np.arange(21.0).reshape(7, 3)
    mesh = largest_component(Mesh(vertices, np.array([[0, 1, 2], [3, 4, 5], [4, 6, 5]])))
    np.testing.assert_array_equal(mesh.vertices, vertices[3:])
    np.testing.assert_array_equal(mesh.polygons, [[0, 1, 2], [1, 3, 2]])


def test_no_surface_is_one_sentence() -> None:
    with pytest.raises(BackendError, match="The field has no surface. Choose other codes"):
        extract_mesh(lambda points: np.ones(len(points), np.float32), ExtractConfig(32))
    with pytest.raises(BackendError, match="The field has no surface"):
        extract_mesh(lambda points: np.full(len(points), 0.01, np.float32), ExtractConfig(32))


@pytest.mark.parametrize("resolution", [-1, 0, 15, 513])
def test_a_bad_resolution_is_one_sentence(resolution: int) -> None:
    with pytest.raises(BackendError, match="The resolution .* is out of range. Choose 16 to 512"):
        extract_mesh(_bumpy, ExtractConfig(resolution))
