# SPDX-License-Identifier: GPL-3.0-or-later
"""Surfaces as quads: whole, on the surface, even, and of the same shape as the triangles."""

import numpy as np
import pytest

from backend.checkpoint import FaceModel
from backend.errors import BackendError
from backend.face.extract import ExtractConfig, SdfFunction, extract_mesh, face_sdf
from backend.face.generate import face_of, generate
from backend.face.quads import extract_quads
from backend.mesh import Mesh, triangle_normals
from backend.scan.sampling import NearestTriangle

CENTER = np.array([0.05, -0.03, 0.1])


def _sphere(points: np.ndarray) -> np.ndarray:
    return (np.linalg.norm(points - CENTER, axis=1) - 0.6).astype(np.float32)


def _sides(mesh: Mesh) -> np.ndarray:
    """Return each side (F, 4, 2) of the quads, in their own direction."""
    return np.stack([mesh.polygons, np.roll(mesh.polygons, -1, axis=1)], axis=-1)


def _uses(mesh: Mesh) -> np.ndarray:
    """Return in how many quads each edge is."""
    edges = np.sort(_sides(mesh).reshape(-1, 2), axis=1)
    return np.unique(edges, axis=0, return_counts=True)[1]


@pytest.fixture(scope="module")
def talking(bundled: FaceModel) -> SdfFunction:
    """Return the field of a random person who talks."""
    return face_sdf(face_of(bundled, generate(bundled, 3, 1.0, {"jawOpen": 0.6})), bundled.device)


@pytest.fixture(scope="module")
def face(talking: SdfFunction) -> Mesh:
    """Return the same face as quads."""
    return extract_quads(talking, ExtractConfig(128))


def test_a_ball_is_closed_and_has_its_radius() -> None:
    mesh = extract_quads(_sphere, ExtractConfig(48))
    assert mesh.polygons.shape[1] == 4
    assert (_uses(mesh) == 2).all()
    directed = _sides(mesh).reshape(-1, 2)
    assert len(np.unique(directed, axis=0)) == len(directed)  # neighbours face the same way
    np.testing.assert_allclose(np.linalg.norm(mesh.vertices - CENTER, axis=1), 0.6, atol=2e-5)
    normals, _ = triangle_normals(mesh.vertices, mesh.triangles)
    outward = mesh.vertices[mesh.triangles].mean(1) - CENTER
    assert ((normals * outward).sum(1) > 0).all()


def test_balls_that_meet_in_a_cell_stay_apart() -> None:
    spacing = 2 / 15
    inner = np.array([[7, 7, 7], [8, 8, 7]]) * spacing - 1  # across one side of a cell

    def sdf(points: np.ndarray) -> np.ndarray:
        away = np.linalg.norm(points[:, None] - inner, axis=2).min(1)
        return (away - 0.6 * spacing).astype(np.float32)

    mesh = extract_quads(sdf, ExtractConfig(16, coarsest=4))
    assert len(mesh.vertices) == 8  # the larger piece of two equal ones: a cube around one of them
    assert len(mesh.polygons) == 6
    assert np.linalg.norm(mesh.vertices[:, None] - inner, axis=2).max(0).min() < spacing


def test_a_face_is_one_sheet_on_the_level_set(talking: SdfFunction, face: Mesh) -> None:
    uses = _uses(face)
    assert uses.max() == 2
    off_mm = np.abs(talking(face.vertices)) * 100
    assert np.median(off_mm) < 1e-3
    assert np.percentile(off_mm, 99) < 0.05
    assert np.linalg.norm(face.vertices, axis=1).max() <= 1
    triangles = extract_mesh(talking, ExtractConfig(128))
    apart = NearestTriangle(Mesh(face.vertices, face.triangles))(
        triangles.vertices[np.linalg.norm(triangles.vertices, axis=1) < 0.97]
    )[2]
    assert np.percentile(apart, 99) * 100 < 0.2
    direction = triangle_normals(face.vertices, face.triangles)[0].mean(0)
    assert direction[2] > 0.3  # out of the face


def test_a_face_has_even_quads(face: Mesh) -> None:
    begin, end = np.moveaxis(face.vertices[_sides(face)], 2, 0)
    length = np.linalg.norm(end - begin, axis=-1)
    assert np.percentile(length, 99) < 2 * np.percentile(length, 1)
    corners = np.cross(end - begin, np.roll(begin - end, 1, axis=1))
    straight = np.linalg.norm(corners, axis=-1) / (length * np.roll(length, 1, axis=1))
    assert np.median(straight) > 0.95  # the sine of a quad's angles


def test_the_rim_is_one_line_whose_stairs_are_flattened_without_folding_quads(face: Mesh) -> None:
    sides = _sides(face).reshape(-1, 2)
    edges, uses = np.unique(np.sort(sides, axis=1), axis=0, return_counts=True)
    rim = edges[uses == 1]
    assert set(np.bincount(rim.ravel())) == {0, 2}  # one closed line, or several
    around: dict[int, list[int]] = {int(v): [] for v in np.unique(rim)}
    for a, b in rim.tolist():
        around[a].append(b)
        around[b].append(a)
    before, after = (face.vertices[[ends[i] for ends in around.values()]] for i in (0, 1))
    middle = face.vertices[list(around)]
    along = ((middle - before) * (after - middle)).sum(1)
    lengths = np.linalg.norm(middle - before, axis=1) * np.linalg.norm(after - middle, axis=1)
    assert np.percentile(along / lengths, 5) > 0.5  # of stairs, 0
    first, second = (
        triangle_normals(face.vertices, face.polygons[:, half])[0]
        for half in ([0, 1, 2], [0, 2, 3])
    )
    assert ((first * second).sum(1) < 0).sum() <= 1  # drawn straight, the rim folds thirty


def test_a_field_without_a_surface_is_one_sentence() -> None:
    with pytest.raises(BackendError, match="no surface"):
        extract_quads(lambda points: np.ones(len(points), np.float32), ExtractConfig(32))
