# SPDX-License-Identifier: GPL-3.0-or-later
"""Similarities, and the one that takes points to points."""

from dataclasses import dataclass

import numpy as np

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


def middle_of(points: np.ndarray) -> np.ndarray:
    """Return the mean of points (N, 3) without those that are far from it."""
    distance = np.linalg.norm(points - points.mean(0), axis=1)
    middle: np.ndarray = points[distance <= 2 * np.median(distance)].mean(0)
    return middle


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


def best_rigid(source: np.ndarray, target: np.ndarray) -> Similarity:
    """Return the motion without scale that takes source points (N, 3) to target points, least
    squares."""
    rotation = best_similarity(source, target).rotation
    return Similarity(1.0, rotation, target.mean(0) - rotation @ source.mean(0))
