# SPDX-License-Identifier: GPL-3.0-or-later
"""What a scan holds that was never on the surface."""

import numpy as np

#: A spike's shortest edge is this many times as long as the shortest one at a neighbour.
_SPIKE = 4.0


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
    A stray vertex is far from all it is joined to, while those have something near. This looks
    at neighbours only, so neither the unit nor a mesh that is fine here and coarse there matters.
    """
    shortest = np.full(len(vertices), np.inf)
    edges = ((0, 1), (1, 2), (2, 0))
    for i, j in edges:
        here, there = triangles[:, i], triangles[:, j]
        length = np.linalg.norm(vertices[here] - vertices[there], axis=1)
        np.minimum.at(shortest, here, length)
        np.minimum.at(shortest, there, length)
    around = shortest.copy()
    for i, j in edges:
        here, there = triangles[:, i], triangles[:, j]
        np.minimum.at(around, here, shortest[there])
        np.minimum.at(around, there, shortest[here])
    stray = shortest > _SPIKE * around
    return triangles[~stray[triangles].any(axis=1)]
