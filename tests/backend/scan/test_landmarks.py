# SPDX-License-Identifier: GPL-3.0-or-later
"""The pose that landmarks give: exact for the mean face, and hardly moved by wrong ones."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from backend.errors import LandmarkError
from backend.learn.ict import SKIN_PARTS, IctFaceKit
from backend.mesh import Mesh, triangulate
from backend.scan.align import Similarity
from backend.scan.landmarks import LAYOUTS, landmark_pose

#: Where the scan lies.
PLACE = Similarity(30.0, Rotation.from_rotvec([-1.9, 0.4, 0.8]).as_matrix(), np.array([9.0, -5, 2]))
OUTER, INNER = (list(rows) for rows in LAYOUTS[5])


@pytest.fixture(scope="module")
def mean(ict: IctFaceKit) -> np.ndarray:
    """Return the mean face's landmarks."""
    return ict.mean[ict.landmarks]


@pytest.fixture(scope="module")
def scan(ict: IctFaceKit) -> Mesh:
    """Return the mean head, away from model space."""
    return Mesh(PLACE.apply(ict.mean), triangulate(ict.part_polygons(SKIN_PARTS)))


def _off(pose: Similarity, scan: Mesh) -> float:
    """Return how far [model units] a pose takes the face, on average, from where it goes."""
    face = scan.vertices[:6706]
    return float(np.linalg.norm(pose.apply(face) - PLACE.inverse().apply(face), axis=1).mean())


@pytest.mark.parametrize("rows", [OUTER, INNER, *map(list, LAYOUTS[7]), list(range(68))])
@pytest.mark.parametrize("side", [1, -1], ids=["as it is", "left for right"])
def test_landmarks_give_the_exact_pose(
    mean: np.ndarray, scan: Mesh, rows: list[int], side: int
) -> None:
    """The mean face is its own mirror image, within a hair: so are its landmarks."""
    landmarks = PLACE.apply(mean[rows] * [side, 1, 1])
    pose, is_face = landmark_pose(landmarks, mean, scan)
    assert is_face
    assert _off(pose, scan) < 1e-3


@pytest.mark.parametrize("wrong", range(5))
@pytest.mark.parametrize("rows", [OUTER, INNER], ids=["outer", "inner"])
def test_one_wrong_landmark_of_five_does_no_harm(
    mean: np.ndarray, scan: Mesh, rows: list[int], wrong: int
) -> None:
    landmarks = PLACE.apply(mean[rows])
    landmarks[wrong] = scan.vertices[3000]
    assert np.linalg.norm(PLACE.inverse().apply(landmarks[wrong]) - mean[rows[wrong]]) > 0.3
    pose, is_face = landmark_pose(landmarks, mean, scan)
    assert is_face
    assert _off(pose, scan) < 0.01


def test_fifteen_wrong_landmarks_of_68_do_no_harm(mean: np.ndarray, scan: Mesh) -> None:
    rng = np.random.default_rng(0)
    landmarks = PLACE.apply(mean + rng.normal(0, 0.02, mean.shape))
    wrong = rng.choice(68, 15, replace=False)
    landmarks[wrong] = scan.vertices[rng.integers(0, 6706, 15)]
    pose, is_face = landmark_pose(landmarks, mean, scan)
    assert is_face
    assert _off(pose, scan) < 0.02


def test_inaccurate_landmarks_give_about_the_pose(mean: np.ndarray, scan: Mesh) -> None:
    for seed in range(5):
        off = np.random.default_rng(seed).normal(0, 0.04, (5, 3))
        pose, _ = landmark_pose(PLACE.apply(mean[OUTER] + off), mean, scan)
        assert _off(pose, scan) < 0.15


def test_landmarks_in_another_order_are_no_face(mean: np.ndarray, scan: Mesh) -> None:
    _, is_face = landmark_pose(PLACE.apply(mean[OUTER][[2, 0, 3, 1, 4]]), mean, scan)
    assert not is_face
    _, is_face = landmark_pose(PLACE.apply(mean[::-1]), mean, scan)
    assert not is_face


@pytest.mark.parametrize("away", [1.0, 1000.0])
def test_landmarks_of_another_scan_are_refused(mean: np.ndarray, scan: Mesh, away: float) -> None:
    moved = PLACE.apply(mean[OUTER] + [0, 0, away])
    with pytest.raises(LandmarkError, match=r"^The landmarks do not lie on the scan. Give"):
        landmark_pose(moved, mean, scan)
    with pytest.raises(LandmarkError, match="do not lie on the scan"):
        landmark_pose(1000 * PLACE.apply(mean[OUTER]), mean, scan)


@pytest.mark.parametrize(
    ("landmarks", "said"),
    [
        (np.ones((4, 3)), "There are 4 landmarks. Give five"),
        (np.ones((0, 3)), "There are 0 landmarks."),
        (np.ones((5, 2)), "There are 5 landmarks without three coordinates each."),
        (np.ones(15), "without three coordinates each."),
        (np.full((5, 3), np.nan), "A landmark has no position. Give all of them, or none."),
        (np.ones((5, 3)), "The landmarks lie in one point or on one line. Place them anew."),
        (np.arange(5.0)[:, None] * [1, 2, 3], "on one line."),
    ],
)
def test_what_shows_no_pose_is_one_sentence(
    mean: np.ndarray, scan: Mesh, landmarks: np.ndarray, said: str
) -> None:
    with pytest.raises(LandmarkError, match=said):
        landmark_pose(landmarks, mean, scan)
