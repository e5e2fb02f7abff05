# SPDX-License-Identifier: GPL-3.0-or-later
"""Similarities by hand, and the pose of a known head in any unit."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from backend.learn.ict import SKIN_PARTS, IctFaceKit
from backend.mesh import Mesh, triangulate
from backend.scan.align import IDENTITY, Similarity, best_similarity, find_pose
from backend.scan.watertight import front_points

SOMEWHERE = np.array([3.0, -2.0, 5.0])
QUARTER_TURN = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # x to y, y to -x


@pytest.fixture
def similarity() -> Similarity:
    """Return a similarity with nothing special about it."""
    rotation = Rotation.from_rotvec([0.3, -1.1, 2.0]).as_matrix()
    return Similarity(0.37, rotation, np.array([1.0, -2, 30]))


def test_scale_then_turn_then_shift() -> None:
    similarity = Similarity(2.0, QUARTER_TURN, np.array([10.0, 0, 0]))
    points = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    np.testing.assert_allclose(similarity.apply(points), [[10, 2, 0], [8, 0, 0], [10, 0, 2]])
    wanted = [[0, -2, 0, 10], [2, 0, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(similarity.matrix(), wanted)


def test_inverse_and_composition(similarity: Similarity) -> None:
    points = np.random.default_rng(0).normal(size=(10, 3))
    other = Similarity(2.0, QUARTER_TURN, np.array([10.0, 0, 0]))
    there = similarity.apply(points)
    np.testing.assert_allclose(similarity.inverse().apply(there), points, atol=1e-12)
    both = other.after(similarity)
    np.testing.assert_allclose(both.apply(points), other.apply(there), atol=1e-12)
    np.testing.assert_allclose(both.matrix(), other.matrix() @ similarity.matrix(), atol=1e-12)
    back = similarity.after(similarity.inverse())
    np.testing.assert_allclose(back.matrix(), IDENTITY.matrix(), atol=1e-12)


def test_best_similarity_recovers_one(similarity: Similarity) -> None:
    points = np.random.default_rng(0).normal(size=(50, 3))
    found = best_similarity(points, similarity.apply(points))
    np.testing.assert_allclose(found.matrix(), similarity.matrix(), atol=1e-10)


def test_best_similarity_never_mirrors() -> None:
    points = np.random.default_rng(0).normal(size=(50, 3)) * [1, 2, 3]
    found = best_similarity(points, points * [-1, 1, 1])
    assert np.linalg.det(found.rotation) == pytest.approx(1)
    # The thinnest axis is given up; by hand: scale = (-1 + 4 + 9) / (1 + 4 + 9) for such a cloud.
    values = ((points - points.mean(0)) ** 2).sum(0)
    assert found.scale == pytest.approx((values @ [-1, 1, 1]) / values.sum(), rel=0.05)


def test_best_similarity_averages_noise(similarity: Similarity) -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(5000, 3))
    found = best_similarity(points, similarity.apply(points) + rng.normal(0, 0.01, (5000, 3)))
    np.testing.assert_allclose(found.matrix(), similarity.matrix(), atol=2e-3)


@pytest.fixture(scope="module")
def poses(ict: IctFaceKit) -> dict[float, Similarity]:
    """Return the poses found for the mean head in three units, somewhere in space."""
    triangles = triangulate(ict.part_polygons(SKIN_PARTS))
    reference = ict.mean[:6706:5][np.linalg.norm(ict.mean[:6706:5], axis=1) < 1]
    found = {}
    for unit in (0.001, 1.0, 1000.0):
        scan = Mesh(unit * (ict.mean + SOMEWHERE), triangles)
        found[unit], error = find_pose(front_points(scan, 6000), reference)
        assert error < 0.02
    return found


def test_a_head_is_found_in_any_unit(ict: IctFaceKit, poses: dict[float, Similarity]) -> None:
    for unit, pose in poses.items():
        at = pose.apply(unit * (ict.mean + SOMEWHERE))
        off_mm = 100 * np.linalg.norm(at - ict.mean, axis=1)[:6706]
        assert off_mm.mean() < 1.5


def test_the_unit_does_not_change_the_pose(poses: dict[float, Similarity]) -> None:
    for unit, pose in poses.items():
        assert pose.scale * unit == pytest.approx(poses[1.0].scale, rel=1e-6)
        np.testing.assert_allclose(pose.rotation, poses[1.0].rotation, atol=1e-6)
        np.testing.assert_allclose(pose.translation, poses[1.0].translation, atol=1e-5)
