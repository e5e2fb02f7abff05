# SPDX-License-Identifier: GPL-3.0-or-later
"""What a scan holds that was never on the surface."""

import numpy as np

#: A stray vertex's smallest triangle is this many times as large as those of its neighbours,
#: geometric mean, and as those of all vertices, median.
_NEIGHBORS = 1.7
_ALL = 2.0
#: Without the worst ones, those beside them show.
_PASSES = 2
_EDGES = ((0, 1), (1, 2), (2, 0))


def without_spikes(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Drop the triangles that run to a vertex far off its neighbours.

    Parameters
    ----------
    vertices : ndarray (V, 3)
        Any unit.
    triangles : ndarray (T, 3)

    Returns
    -------
    ndarray (T', 3)
        The triangles that stay, in order.

    Notes
    -----
    All triangles of a stray vertex are large, while every other vertex has a small one. Being
    larger than the neighbours' and than most spares both a mesh that is fine here and coarse
    there and the slivers of marching cubes.
    """
    for _ in range(_PASSES):
        stray = _stray(vertices, triangles)
        if not stray.any():
            break
        triangles = triangles[~stray[triangles].any(axis=1)]
    return triangles


def _stray(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Tell which vertices (V,) are far off their neighbours."""
    edges = [vertices[triangles[:, i]] - vertices[triangles[:, j]] for i, j in _EDGES]
    size = np.max([np.linalg.norm(edge, axis=1) for edge in edges], axis=0)
    smallest = np.full(len(vertices), np.inf)
    for i in range(3):
        np.minimum.at(smallest, triangles[:, i], size)
    used = np.isfinite(smallest) & (smallest > 0)
    if not used.any():
        return used
    log = np.log(np.where(used, smallest, 1))
    total, count = np.zeros(len(vertices)), np.zeros(len(vertices))
    for i, j in _EDGES + tuple((j, i) for i, j in _EDGES):
        total += np.bincount(triangles[:, i], log[triangles[:, j]], len(vertices))
        count += np.bincount(triangles[:, i], minlength=len(vertices))
    far = log > np.log(_NEIGHBORS) + total / np.maximum(count, 1)
    return used & far & (smallest > _ALL * np.median(smallest[used]))
