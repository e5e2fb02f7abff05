# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures tell a turn from another, and noses stand out."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from backend.checkpoint import FaceModel
from backend.face.fit import mean_face
from backend.mesh import Mesh, sample_surface
from backend.scan.align import NOSE_TIP_POSITION, Similarity
from backend.scan.placement import Poses, likely_placements, turned_signatures


@pytest.fixture(scope="module")
def face(bundled: FaceModel) -> np.ndarray:
    """Return points drawn on the mean face."""
    mesh = mean_face(bundled)
    points, _, _ = sample_surface(mesh.vertices, mesh.polygons, 30_000, np.random.default_rng(0))
    return points


@pytest.fixture(scope="module")
def turned(face: np.ndarray) -> np.ndarray:
    """Return its signatures."""
    return turned_signatures(face)


def test_poses_are_similarities() -> None:
    rotation = Rotation.from_rotvec([[0.3, -1.1, 2.0], [0, 0, 1]]).as_matrix()
    poses = Poses(
        np.array([2.0, 0.5])[:, None, None] * rotation, np.array([[1.0, 2, 3], [4, 5, 6]])
    )
    points = np.random.default_rng(0).normal(size=(7, 3))
    there = poses.apply(points)
    for k, scale in enumerate((2.0, 0.5)):
        one = Similarity(scale, rotation[k], poses.shift[k])
        np.testing.assert_allclose(poses.similarity(k).matrix(), one.matrix(), atol=1e-12)
        np.testing.assert_allclose(there[k], one.apply(points), atol=1e-12)
        back = poses.apply_inverse(there[k])[k]
        np.testing.assert_allclose(back, points, atol=1e-12)
    assert len(poses[np.array([1])]) == 1


def test_a_turned_face_has_the_turned_signature(face: np.ndarray, turned: np.ndarray) -> None:
    """Three sectors of 24 are 45 degrees."""
    turn = Rotation.from_euler("z", 45, degrees=True)
    again = turned_signatures(turn.apply(face))
    distance = np.abs(turned - again[0]).mean(axis=1)
    assert int(np.argmin(distance)) == 3
    assert distance[3] < 0.3 * np.delete(distance, 3).min()


@pytest.mark.parametrize("seed", range(4))
def test_the_best_placement_is_the_face(face: np.ndarray, turned: np.ndarray, seed: int) -> None:
    rotation = Rotation.random(random_state=seed)
    size = float(np.median(np.linalg.norm(face - face.mean(0), axis=1)))
    pose = likely_placements(rotation.apply(face - face.mean(0)) / size, turned, 5).similarity(0)
    assert pose.scale == pytest.approx(size, rel=0.15)
    angle = (Rotation.from_matrix(pose.rotation) * rotation).magnitude()
    assert np.degrees(angle) < 25
    nose = pose.apply(rotation.apply((NOSE_TIP_POSITION - face.mean(0))[None]) / size)[0]
    np.testing.assert_allclose(nose, NOSE_TIP_POSITION, atol=0.15)


def test_where_nothing_stands_out_is_no_placement(turned: np.ndarray, sphere: Mesh) -> None:
    few = np.random.default_rng(0).normal(size=(20, 3))
    assert len(likely_placements(few, turned, 5)) == 0
