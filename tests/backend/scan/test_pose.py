# SPDX-License-Identifier: GPL-3.0-or-later
"""The face is found however a scan lies, and where there is none, none is found."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from backend.checkpoint import FaceModel
from backend.face.fit import mean_face
from backend.learn.ict import SKIN_PARTS, IctFaceKit
from backend.mesh import Mesh, load_scan, sample_surface, triangulate
from backend.model.imface import UNIT_MM
from backend.scan.align import IDENTITY, Similarity
from backend.scan.clean import faced_out, wound_alike
from backend.scan.cloud import squares_of_points
from backend.scan.landmark_files import read_scan_landmarks
from backend.scan.pose import NO_FACE, find_faces, find_pose, find_pose_by_landmarks
from backend.scan.watertight import visible_points

#: Where a scan may lie: unit, axes turned or any rotation, shift.
PLACES = [
    Similarity(1000.0, Rotation.from_euler("x", 90, degrees=True).as_matrix(), np.zeros(3)),
    Similarity(1.0, Rotation.from_euler("y", 180, degrees=True).as_matrix(), np.full(3, 20.0)),
    Similarity(0.001, Rotation.from_rotvec([0.7, -2.0, 1.1]).as_matrix(), np.array([0, 1.0, 0])),
    Similarity(30.0, Rotation.from_rotvec([-1.9, 0.4, 0.8]).as_matrix(), np.array([9.0, -5, 2])),
]


@pytest.fixture(scope="module")
def reference(bundled: FaceModel) -> Mesh:
    """Return the bundled model's mean face."""
    return mean_face(bundled)


@pytest.fixture(scope="module")
def head(ict: IctFaceKit) -> Mesh:
    """Return the mean of the training heads, which stands in model space."""
    return Mesh(ict.mean, triangulate(ict.part_polygons(SKIN_PARTS)))


@pytest.fixture(scope="module")
def scan(lee_perry_smith: Path) -> Mesh:
    """Return a real scan."""
    return load_scan(lee_perry_smith)


@pytest.fixture(scope="module")
def found(scan: Mesh, reference: Mesh) -> Similarity:
    """Return the pose of the scan as it comes."""
    pose, error = find_pose(scan, reference)
    assert error < 0.6 * NO_FACE
    return pose


def _moved(mesh: Mesh, place: Similarity, inwards: bool = False) -> Mesh:
    polygons = mesh.polygons[:, ::-1] if inwards else mesh.polygons
    return Mesh(place.apply(mesh.vertices), polygons)


def _off(pose: Similarity, wanted: Similarity, front: np.ndarray) -> float:
    """Return how far [model units] a pose takes points (N, 3) of the front from where they go."""
    return float(np.linalg.norm(pose.apply(wanted.inverse().apply(front)) - front, axis=1).mean())


@pytest.mark.parametrize("place", PLACES, ids=["on its back", "turned away", "metres", "askew"])
def test_a_head_is_found_wherever_it_lies(head: Mesh, reference: Mesh, place: Similarity) -> None:
    pose, error = find_pose(_moved(head, place), reference)
    assert error < 0.6 * NO_FACE
    assert _off(pose, place.inverse(), head.vertices[:6706]) < 0.02
    turn = Rotation.from_matrix(pose.rotation @ place.rotation)
    assert np.degrees(turn.magnitude()) < 2


@pytest.mark.parametrize("inwards", [False, True], ids=["outwards", "inwards"])
@pytest.mark.parametrize("place", PLACES[2:], ids=["metres", "askew"])
def test_a_scan_has_one_pose(
    scan: Mesh, reference: Mesh, found: Similarity, place: Similarity, inwards: bool
) -> None:
    """To the last digits, whatever its orientation, unit and winding; and a fit sees the very same
    points, so that it ends with the very same face."""
    moved = _moved(scan, place, inwards)
    out = faced_out(moved.vertices, wound_alike(moved.vertices, moved.polygons))
    moved = Mesh(moved.vertices, out)
    pose, _ = find_pose(moved, reference)
    assert _off(pose, found.after(place.inverse()), reference.vertices) < 1e-9
    here, there = visible_points(scan, found), visible_points(moved, pose)
    np.testing.assert_array_equal(there.points, here.points)
    np.testing.assert_array_equal(there.normals, here.normals)
    np.testing.assert_array_equal(there.keys, here.keys)


def test_points_without_faces_have_one_pose(scan: Mesh, reference: Mesh) -> None:
    points, _, _ = sample_surface(scan.vertices, scan.polygons, 30_000, np.random.default_rng(0))
    here = squares_of_points(points)
    found, _ = find_pose(here, reference)
    for place in PLACES[2:]:
        there = squares_of_points(place.apply(points))
        np.testing.assert_allclose(
            place.inverse().apply(there.vertices), here.vertices, atol=1e-9 * np.ptp(here.vertices)
        )
        pose, _ = find_pose(there, reference)
        assert _off(pose, found.after(place.inverse()), reference.vertices) < 1e-9


def test_the_face_is_found_in_a_scan_of_many_triangles(scan: Mesh, reference: Mesh) -> None:
    fine = scan.vertices, scan.polygons
    for _ in range(2):
        fine = trimesh.remesh.subdivide(*fine)
    assert len(fine[1]) > 250_000
    assert find_pose(Mesh(*fine), reference)[1] < 0.6 * NO_FACE


def _half(mesh: Mesh, face: np.ndarray) -> Mesh:
    return Mesh(mesh.vertices, mesh.polygons[face[:, 0] < 0.02])


def _without_an_eye(mesh: Mesh, face: np.ndarray) -> Mesh:
    return Mesh(
        mesh.vertices, mesh.polygons[np.linalg.norm(face - [0.3, 0.35, 0.15], axis=1) > 0.2]
    )


def _with_stray_vertices(mesh: Mesh, _: np.ndarray) -> Mesh:
    rng = np.random.default_rng(0)
    stray = rng.random(len(mesh.vertices)) < 0.2
    far = 0.05 * np.ptp(mesh.vertices, axis=0).max()
    noise = rng.normal(0, far, mesh.vertices.shape)
    return Mesh(mesh.vertices + stray[:, None] * noise, mesh.polygons)


def _with_floating_bits(mesh: Mesh, _: np.ndarray) -> Mesh:
    rng = np.random.default_rng(0)
    low, size = mesh.vertices.min(0), np.ptp(mesh.vertices, axis=0)
    bits = low + size * rng.uniform(-0.2, 1.2, (200, 1, 3))
    bits = bits + rng.normal(0, 0.01 * size.max(), (200, 3, 3))
    return Mesh(
        np.concatenate([mesh.vertices, bits.reshape(-1, 3)]),
        np.concatenate([mesh.polygons, len(mesh.vertices) + np.arange(600).reshape(-1, 3)]),
    )


@pytest.mark.parametrize(
    "damage",
    [_half, _without_an_eye, _with_stray_vertices, _with_floating_bits],
    ids=lambda damage: damage.__name__[1:],
)
def test_a_damaged_scan_has_nearly_the_same_pose(
    scan: Mesh, reference: Mesh, found: Similarity, damage: Callable[[Mesh, np.ndarray], Mesh]
) -> None:
    face = found.apply(scan.vertices[scan.polygons].mean(axis=1))
    place = PLACES[3]
    pose, error = find_pose(_moved(damage(scan, face), place), reference)
    assert error < NO_FACE
    assert _off(pose, found.after(place.inverse()), reference.vertices) < 0.06


def _as_mesh(shape: trimesh.Trimesh, edge: float = 0.1) -> Mesh:
    vertices, faces = trimesh.remesh.subdivide_to_size(shape.vertices, shape.faces, edge)
    return Mesh(np.asarray(vertices), np.asarray(faces))


def _chair() -> trimesh.Trimesh:
    legs = [(x, 0, z) for x in (-0.45, 0.45) for z in (-0.45, 0.45)]
    boxes = [((0.1, 1, 0.1), leg) for leg in legs]
    boxes += [((1, 0.1, 1), (0, 0.5, 0)), ((1, 1, 0.1), (0, 1, -0.5))]
    return trimesh.util.concatenate(
        [trimesh.creation.box(size).apply_translation(at) for size, at in boxes]
    )


@pytest.mark.parametrize(
    "shape",
    [
        trimesh.creation.box((1, 1, 1)),
        trimesh.creation.icosphere(4),
        trimesh.creation.torus(1, 0.35),
        trimesh.creation.capsule(count=[24, 24]),
        _chair(),
    ],
    ids=["cube", "sphere", "torus", "capsule", "chair"],
)
def test_a_thing_is_no_face(shape: trimesh.Trimesh, reference: Mesh) -> None:
    assert find_pose(_moved(_as_mesh(shape), PLACES[3]), reference)[1] > 1.2 * NO_FACE


def test_of_two_heads_both_are_found(scan: Mesh, reference: Mesh, found: Similarity) -> None:
    """The other one is smaller and turned away."""
    turned = Rotation.from_euler("y", 140, degrees=True).as_matrix()
    there = found.inverse().after(Similarity(0.8, turned, np.array([3.0, -0.4, 0])).after(found))
    both = Mesh(
        np.concatenate([scan.vertices, there.apply(scan.vertices)]),
        np.concatenate([scan.polygons, scan.polygons + len(scan.vertices)]),
    )
    poses = [pose for pose, _ in find_faces(_moved(both, PLACES[3]), reference)]
    assert len(poses) == 2
    for place in (IDENTITY, there):
        wanted = found.after(PLACES[3].after(place).inverse())
        assert min(_off(pose, wanted, reference.vertices) for pose in poses) < 0.06
    assert len(find_faces(scan, reference)) == 1


def test_a_head_without_its_face_is_none(scan: Mesh, reference: Mesh, found: Similarity) -> None:
    at = found.apply(scan.vertices[scan.polygons].mean(axis=1))
    face = (np.linalg.norm(at - [0, 0, 0.2], axis=1) < 0.85) & (at[:, 2] > -0.35)
    assert find_pose(Mesh(scan.vertices, scan.polygons[~face]), reference)[1] > 1.2 * NO_FACE


def _line() -> Mesh:
    line = np.arange(30.0)[:, None] * [1, 0, 0]
    return Mesh(line, np.stack([np.arange(28), np.arange(28) + 1, np.arange(28) + 2], axis=1))


def test_a_mesh_without_area_holds_none(reference: Mesh) -> None:
    assert find_pose(_line(), reference)[1] > NO_FACE


@pytest.fixture(scope="module")
def landmarks(scan: Mesh, lee_perry_smith_landmarks: Path) -> np.ndarray:
    """Return the scan's landmarks (7, 3)."""
    return read_scan_landmarks(lee_perry_smith_landmarks, scan)


@pytest.fixture(scope="module")
def mean_landmarks(bundled: FaceModel) -> np.ndarray:
    """Return the bundled model's mean landmarks (68, 3)."""
    landmarks: np.ndarray = bundled.imface.template_landmarks.double().numpy()
    return landmarks


@pytest.mark.parametrize("inwards", [False, True], ids=["outwards", "inwards"])
def test_landmarks_lead_to_the_same_pose(
    scan: Mesh,
    reference: Mesh,
    found: Similarity,
    landmarks: np.ndarray,
    mean_landmarks: np.ndarray,
    inwards: bool,
) -> None:
    place = PLACES[3]
    moved, shown = _moved(scan, place, inwards), place.apply(landmarks)
    pose, error, used = find_pose_by_landmarks(moved, reference, shown, mean_landmarks)
    assert used
    assert error < 0.6 * NO_FACE
    assert _off(pose, found.after(place.inverse()), reference.vertices) < 0.01


@pytest.mark.parametrize("rows", [slice(None), [0, 3, 4, 5, 6]], ids=["seven", "five"])
def test_landmarks_show_a_face_that_cannot_be_found(
    scan: Mesh,
    reference: Mesh,
    found: Similarity,
    landmarks: np.ndarray,
    mean_landmarks: np.ndarray,
    rows: slice | list[int],
) -> None:
    """Of four tenths of a face, from beside the nose, even the right pose tells nothing."""
    at = found.apply(scan.vertices[scan.polygons].mean(axis=1))
    part = _moved(Mesh(scan.vertices, scan.polygons[at[:, 0] > 0.1]), PLACES[3])
    assert find_pose(part, reference)[1] > NO_FACE
    shown = PLACES[3].apply(landmarks[rows])
    pose, _, used = find_pose_by_landmarks(part, reference, shown, mean_landmarks)
    assert used
    assert _off(pose, found.after(PLACES[3].inverse()), reference.vertices) < 0.06


def test_a_pose_without_landmarks_wins_over_plainly_wrong_ones(
    scan: Mesh,
    reference: Mesh,
    found: Similarity,
    landmarks: np.ndarray,
    mean_landmarks: np.ndarray,
) -> None:
    """Eyes and mouth in each other's place, and a face's landmarks on the back of the head."""
    back = scan.vertices[found.apply(scan.vertices)[:, 2] < -0.8]
    behind = found.inverse().apply(found.apply(landmarks) * [-1, 1, -1])
    behind = back[np.linalg.norm(back[:, None] - behind, axis=2).argmin(0)]
    for wrong in (landmarks[[5, 6, 4, 0, 3]], behind):
        pose, _, used = find_pose_by_landmarks(scan, reference, wrong, mean_landmarks)
        assert not used
        assert _off(pose, found, reference.vertices) < 0.01


def test_landmarks_on_a_mesh_without_area_show_nothing(
    reference: Mesh, mean_landmarks: np.ndarray
) -> None:
    wrong = np.array([[0, 0, 0], [9, 0, 0], [4, 1, 0], [2, 0, 0], [7, 0, 0.0]])
    _, error, used = find_pose_by_landmarks(_line(), reference, wrong, mean_landmarks)
    assert error > NO_FACE
    assert not used


@pytest.mark.parametrize("side_mm", [1000, 3000, 10_000])
@pytest.mark.parametrize("below", [True, False], ids=["floor", "wall"])
def test_a_floor_or_a_wall_of_two_triangles_takes_few_points_from_the_head(
    scan: Mesh, reference: Mesh, found: Similarity, side_mm: float, below: bool
) -> None:
    """200 mm below the shoulders, or behind the head and tilted."""
    mm = found.inverse().scale / UNIT_MM
    low, high = scan.vertices.min(0), scan.vertices.max(0)
    corners = side_mm / 2 * mm * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    x, y = corners.T
    if below:
        plane = np.stack([x, 0 * x, -y], axis=1) + np.array([0, low[1] - 200 * mm, 0])
    else:
        plane = np.stack([x, 0.98 * y, 0.17 * y], axis=1) + np.array([0, 0, high[2] - 350 * mm])
    first = len(scan.vertices)
    with_plane = Mesh(
        np.concatenate([scan.vertices, plane]),
        np.concatenate([scan.polygons, first + np.array([[0, 1, 2], [0, 2, 3]])]),
    )
    pose, error = find_pose(with_plane, reference)
    assert error < 0.6 * NO_FACE
    assert _off(pose, found, reference.vertices[::50]) < 0.02
    assert len(visible_points(with_plane, found)) > 0.4 * len(visible_points(scan, found))
