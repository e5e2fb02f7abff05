# SPDX-License-Identifier: GPL-3.0-or-later
"""What was applied to a face's mesh.

Blender's Apply Location, Rotation and Scale move an object's transform into its mesh; what comes to
a face afterwards, such as expressions, has to be turned and scaled with it. A mesh remembers what
has been applied, and where some of its vertices, the anchors, were then. Of what has happened
since, a transform is what most anchors have made exactly; anything else was sculpted.
"""

from __future__ import annotations

import json
from typing import NamedTuple

import bpy
import numpy as np
from mathutils import Matrix

from .properties import of_mesh

ANCHORS = 300
ANCHOR_DECIMALS = 7  # of metres
SMALLEST_CHANGE = 0.1  # of a matrix element: 10% of size, or 6 degrees; of a face's size: a move
# Robust fit: weighted so, the sum of the distances' square roots becomes least.
ROUNDS = 30
WEIGHT_POWER = -1.5
NO_DISTANCE = 1e-4  # of a face's size


class Applied(NamedTuple):
    """An affine change of rows of coordinates: `points @ linear + shift`."""

    linear: np.ndarray  # (3, 3)
    shift: np.ndarray  # (3,) [m]

    def then(self, other: Applied) -> Applied:
        """Return this change and then another one."""
        return Applied(self.linear @ other.linear, other.put_on(self.shift))

    def pose(self) -> Applied:
        """Return how the mesh was turned, sized and moved: proportions are a face's own."""
        left, stretches, right = np.linalg.svd(self.linear)
        return Applied(_clean(np.median(stretches) * left @ right), self.shift)

    def put_on(self, points: np.ndarray) -> np.ndarray:
        """Return points (V, 3) of a face as it was made as its mesh has them."""
        return points @ self.linear + self.shift

    def take_off(self, points: np.ndarray) -> np.ndarray:
        """Return points (V, 3) of a mesh as the face that was made has them."""
        return (points - self.shift) @ np.linalg.pinv(self.linear)

    def matrix(self) -> Matrix:
        """Return the change as Blender writes it."""
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = self.linear.T, self.shift
        return Matrix(matrix.tolist())


NOTHING = Applied(np.eye(3), np.zeros(3))


def read(mesh: bpy.types.Mesh, points: np.ndarray) -> Applied:
    """Return what was applied to a face's mesh, whose points without shape keys are (V, 3) [m].

    Nothing is known of a mesh whose vertices have become more or fewer.
    """
    known = json.loads(of_mesh(mesh).applied or "{}")
    if known.get("count") != len(points):
        return NOTHING
    since = _find(np.array(known["anchors"]), points[_rows(len(points))].astype(np.float64))
    linear, shift = Applied(np.array(known["linear"]), np.array(known["shift"])).then(since)
    return Applied(_clean(linear), shift)


def remember(mesh: bpy.types.Mesh, points: np.ndarray, applied: Applied = NOTHING) -> None:
    """Remember what has been applied to a face's mesh whose points are now (V, 3) [m]."""
    anchors = points[_rows(len(points))].astype(np.float64)
    known = {"count": len(points), "anchors": anchors.round(ANCHOR_DECIMALS).tolist()}
    known |= {name: array.tolist() for name, array in applied._asdict().items()}
    of_mesh(mesh).applied = json.dumps(known)


def _rows(count: int) -> np.ndarray:
    return np.linspace(0, count - 1, min(count, ANCHORS)).astype(int)


def _find(before: np.ndarray, after: np.ndarray) -> Applied:
    """Return the transform that was applied to points (N, 3), some of which were sculpted too."""
    if np.abs(after - before).max() < NO_DISTANCE * _size(before):
        return NOTHING
    linear = _clean(_robust_fit(before, after))
    shift = np.median(after - before @ linear, axis=0)
    moved = np.linalg.norm(shift) >= SMALLEST_CHANGE * _size(before)
    return Applied(linear, shift if moved else np.zeros(3))


def _clean(linear: np.ndarray) -> np.ndarray:
    """Return a matrix, or no change where it is near to that."""
    return np.eye(3) if np.abs(linear - np.eye(3)).max() < SMALLEST_CHANGE else linear


def _size(points: np.ndarray) -> float:
    """Return the mean distance from their middle."""
    return float(np.linalg.norm(points - points.mean(axis=0), axis=1).mean())


def _robust_fit(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the linear part (3, 3) of the affine change that most points have made exactly."""
    homogeneous = np.column_stack([before, np.ones(len(before))])
    smallest = NO_DISTANCE * _size(after)
    weights = np.ones(len(before))
    for _ in range(ROUNDS):
        root = np.sqrt(weights)[:, None]
        change = np.linalg.lstsq(root * homogeneous, root * after, rcond=None)[0]
        distances = np.linalg.norm(homogeneous @ change - after, axis=1)
        weights = np.maximum(distances, smallest) ** WEIGHT_POWER
    return change[:3]
