# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the face is: the similarity that takes a scan into model space."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

#: Where every face's nose tip (landmark 30) sits in model space.
NOSE_TIP_POSITION = np.array([0.0, 0.0, 0.4])


@dataclass(frozen=True)
class Similarity:
    """x -> scale * R x + t.

    Attributes
    ----------
    scale : float
        Model units per unit of the source space.
    rotation : ndarray (3, 3)
    translation : ndarray (3,)
        Model units.
    """

    scale: float
    rotation: np.ndarray
    translation: np.ndarray

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Map points (N, 3)."""
        return self.scale * points @ self.rotation.T + self.translation

    def inverse(self) -> "Similarity":
        """Return the map back."""
        rotation = self.rotation.T
        return Similarity(1 / self.scale, rotation, -(rotation @ self.translation) / self.scale)

    def after(self, first: "Similarity") -> "Similarity":
        """Return the map that applies ``first`` and then this one."""
        return Similarity(
            self.scale * first.scale,
            self.rotation @ first.rotation,
            self.scale * self.rotation @ first.translation + self.translation,
        )

    def matrix(self) -> np.ndarray:
        """Return the homogeneous (4, 4) matrix."""
        out = np.eye(4)
        out[:3, :3] = self.scale * self.rotation
        out[:3, 3] = self.translation
        return out


IDENTITY = Similarity(1.0, np.eye(3), np.zeros(3))


def best_similarity(source: np.ndarray, target: np.ndarray) -> Similarity:
    """Return the similarity that takes source points (N, 3) to target points, least squares
    (Umeyama 1991)."""
    source_mean, target_mean = source.mean(0), target.mean(0)
    a, b = source - source_mean, target - target_mean
    u, values, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * sign) @ vt
    scale = float((values * sign).sum() / (a * a).sum())
    return Similarity(scale, rotation, target_mean - scale * rotation @ source_mean)


#: Heights [model units] that the whole scan might have: a face mask to a bust.
_HEIGHTS = 1.5 * 1.22 ** np.arange(9)
#: A nose tip is the foremost point within this radius [model units].
_NOSE_RADIUS = 0.3
#: Share of the reference that has to be found: hair and holes may hide the rest.
_TRIM = 0.8
_STARTS = 8
_ROUNDS = 40


def find_pose(front: np.ndarray, reference: np.ndarray) -> tuple[Similarity, float]:
    """Find the face in an upright scan that looks along +z, in any unit.

    Every possible height of the scan is tried with every point that could be a nose tip; the
    best placements of the reference face are refined by trimmed ICP, and the best of those wins.

    Parameters
    ----------
    front : ndarray (N, 3)
        Points of the scan that a viewer at +z sees, any unit.
    reference : ndarray (M, 3)
        Points of the mean face, model space.

    Returns
    -------
    pose : Similarity
        Scan space -> model space.
    error : float
        Trimmed mean distance [model units] between reference and scan.
    """
    starts = [
        (_trimmed_error(pose, front, reference), pose)
        for scale in _HEIGHTS / np.ptp(front[:, 1])
        for pose in _nose_poses(front, scale)
    ]
    starts.sort(key=lambda start: start[0])
    refined = [_icp(pose, front, reference) for _, pose in starts[:_STARTS]]
    return min(refined, key=lambda pair: pair[1])


def _nose_poses(front: np.ndarray, scale: float) -> list[Similarity]:
    """Return a placement for every point of the scan that is the foremost around it."""
    points = front * scale
    tree = cKDTree(points[:, :2])
    order = np.argsort(-points[:, 2])
    taken = np.zeros(len(points), bool)
    poses = []
    for index in order:
        if taken[index]:
            continue
        around = tree.query_ball_point(points[index, :2], _NOSE_RADIUS)
        if points[index, 2] >= points[around, 2].max():
            poses.append(Similarity(scale, np.eye(3), NOSE_TIP_POSITION - points[index]))
        taken[around] = True
    return poses


def _trimmed_error(pose: Similarity, front: np.ndarray, reference: np.ndarray) -> float:
    distance, _ = cKDTree(pose.apply(front)).query(reference)
    return float(np.sort(distance)[: int(_TRIM * len(distance))].mean())


def _icp(pose: Similarity, front: np.ndarray, reference: np.ndarray) -> tuple[Similarity, float]:
    tree = cKDTree(front)
    for _ in range(_ROUNDS):
        back = pose.inverse().apply(reference)
        distance, nearest = tree.query(back)
        keep = np.argsort(distance)[: int(_TRIM * len(distance))]
        pose = best_similarity(front[nearest[keep]], reference[keep])
    return pose, _trimmed_error(pose, front, reference)
