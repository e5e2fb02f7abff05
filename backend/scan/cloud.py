# SPDX-License-Identifier: GPL-3.0-or-later
"""Scans that are points without faces: a little square stands for each point."""

import numpy as np
from scipy.spatial import cKDTree

from ..mesh import Mesh

#: More points than this make a scan slower, not better.
_POINTS = 100_000
#: Neighbours that tell a point's normal, and the one that tells the size of its square.
_NEIGHBORS, _SIZING = 12, 6
#: A square's side in that distance: smaller ones leave holes, larger ones blur.
_SIDE = 1.5
#: A point whose neighbours are this many times as far away as usual floats in the air.
_FLOATING = 4.0


def squares_of_points(points: np.ndarray, seed: int = 0) -> Mesh:
    """Return a scan's points as a surface of squares.

    Parameters
    ----------
    points : ndarray (N, 3)
        Any unit.
    seed : int
        Of the choice among more points than are needed.

    Returns
    -------
    Mesh
        Quads in tangent planes, which overlap but share no vertices; they face away from the
        points' middle.
    """
    if len(points) > _POINTS:
        points = points[np.random.default_rng(seed).permutation(len(points))[:_POINTS]]
    distance, near = cKDTree(points).query(points, _NEIGHBORS, workers=-1)
    size = distance[:, _SIZING]
    kept = (size > 0) & (size < _FLOATING * np.median(size))
    points, near, size = points[kept], points[near[kept]], size[kept]
    offsets = near - near.mean(1, keepdims=True)
    _, axes = np.linalg.eigh(np.einsum("nki,nkj->nij", offsets, offsets))
    first, second = axes[:, :, 2], axes[:, :, 1]
    inwards = (np.cross(first, second) * (points - np.median(points, axis=0))).sum(1) < 0
    second = np.where(inwards[:, None], -second, second)
    corners = [a * first + b * second for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    vertices = points[:, None] + _SIDE / 2 * size[:, None, None] * np.stack(corners, axis=1)
    return Mesh(vertices.reshape(-1, 3), np.arange(4 * len(points)).reshape(-1, 4))
