# SPDX-License-Identifier: GPL-3.0-or-later
"""The pose that a scan's landmarks give, though some of them may be wrong."""

from itertools import combinations

import numpy as np
from scipy.spatial import cKDTree

from ..errors import LandmarkError
from ..mesh import Mesh
from .align import Similarity, best_similarity

#: Which of the 68 Multi-PIE landmarks a set holds, in order, by their number. Of five, the
#: corners of the eyes are the outer or the inner ones: how far apart they are tells.
LAYOUTS: dict[int, tuple[tuple[int, ...], ...]] = {
    5: ((36, 45, 30, 48, 54), (39, 42, 30, 48, 54)),
    7: ((36, 39, 42, 45, 30, 48, 54),),
    68: (tuple(range(68)),),
}
#: What left for right costs: without the tip of the nose, the others fit a mirrored face as well.
_EXCHANGED = 2
#: A landmark farther than this from the mean face's is wrong [model units].
_WRONG = 0.12
#: Landmarks are those of a face if this share of them is not wrong.
_RIGHT_SHARE = 0.75
#: Half of a scan's landmarks lie this near to it at least [model units].
_NEAR = 0.15
#: Of so few landmarks all subsets are tried, of more this many triples; then come rounds with
#: those that are right.
_FEW = 7
_TRIPLES = 200
_ROUNDS = 3


def landmark_pose(landmarks: np.ndarray, mean: np.ndarray, scan: Mesh) -> tuple[Similarity, bool]:
    """Find the pose that most landmarks agree on.

    Parameters
    ----------
    landmarks : ndarray (K, 3)
        Scan space; K and their order as in ``LAYOUTS``, left and right may be exchanged.
    mean : ndarray (68, 3)
        The mean face's, model space.
    scan : Mesh
        Scan space.

    Returns
    -------
    pose : Similarity
        Scan space -> model space.
    is_face : bool
        Whether nearly all landmarks lie as those of a face do.

    Raises
    ------
    LandmarkError
        If nobody can tell which ones they are, or they are no places, or none on this scan.
    """
    _check(landmarks)
    readings = mean[np.array(LAYOUTS[len(landmarks)])]
    mirrored = readings * [-1, 1, 1]
    found = [(_agreed(landmarks, reading), 1) for reading in readings]
    found += [(_agreed(landmarks, reading), _EXCHANGED) for reading in mirrored]
    (pose, off), _ = min(found, key=lambda one: one[1] * _cost(one[0][1]))
    distance, _ = cKDTree(scan.vertices).query(landmarks)
    if np.median(distance) * pose.scale > _NEAR:
        raise LandmarkError(
            "The landmarks do not lie on the scan. Give its own ones, in its coordinates."
        )
    return pose, bool((off <= _WRONG).mean() >= _RIGHT_SHARE)


def _check(landmarks: np.ndarray) -> None:
    """Raise LandmarkError if landmarks (K, 3) cannot show a pose."""
    if landmarks.ndim != 2 or landmarks.shape[1] != 3:
        raise LandmarkError(
            "There are {count} landmarks without three coordinates each. Give x, y and z.",
            count=len(landmarks),
        )
    if len(landmarks) not in LAYOUTS:
        raise LandmarkError(
            "There are {count} landmarks. Give five (corners of the eyes, tip of the nose, corners "
            "of the mouth) or the 68 of Multi-PIE, in order.",
            count=len(landmarks),
        )
    if not np.isfinite(landmarks).all():
        raise LandmarkError("A landmark has no position. Give all of them, or none.")
    sizes = np.linalg.svd(landmarks - landmarks.mean(0), compute_uv=False)
    if sizes[1] <= 1e-3 * sizes[0]:
        raise LandmarkError("The landmarks lie in one point or on one line. Place them anew.")


def _agreed(source: np.ndarray, target: np.ndarray) -> tuple[Similarity, np.ndarray]:
    """Return the similarity that takes most of the source points (K, 3) near to target points,
    and how far (K,) they are off then."""

    def off(pose: Similarity) -> np.ndarray:
        distance: np.ndarray = np.linalg.norm(pose.apply(source) - target, axis=1)
        return distance

    tried = [best_similarity(source[rows], target[rows]) for rows in _subsets(source)]
    pose = min(tried, key=lambda one: _cost(off(one)))
    for _ in range(_ROUNDS):
        right = off(pose) <= _WRONG
        if right.sum() >= 3:
            pose = best_similarity(source[right], target[right])
    return pose, off(pose)


def _cost(off: np.ndarray) -> float:
    return float((np.minimum(off, _WRONG) ** 2).sum())


def _subsets(points: np.ndarray) -> list[np.ndarray]:
    """Return rows of three points or more that are not all the same; of many points, some."""
    count = len(points)
    if count <= _FEW:
        sizes = range(3, count + 1)
        rows = [np.array(some) for size in sizes for some in combinations(range(count), size)]
    else:
        rng = np.random.default_rng(0)
        rows = [rng.choice(count, 3, replace=False) for _ in range(_TRIPLES)]
    return [some for some in rows if np.ptp(points[some], axis=0).any()]
