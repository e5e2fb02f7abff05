# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a scan: spikes that were never on the surface, triangles that are turned
over."""

import numpy as np
import trimesh
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from ..mesh import triangle_normals

#: A stray vertex's smallest triangle is this many times as large as those of its neighbours,
#: geometric mean, and as those of all vertices, median.
_NEIGHBORS = 1.7
_ALL = 2.0
#: Without the worst ones, those beside them show.
_PASSES = 2
#: Where no larger share of the vertices repeats others, these are seams of a UV map.
_SEAMS = 0.1
#: A scan is about so many of its edges wide; stray vertices make it seem wider.
_EXTENT = 1000.0
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
    edges = [vertices[triangles[:, i]] - vertices[triangles[:, j]] for i, j in _EDGES]
    size = np.max([np.linalg.norm(edge, axis=1) for edge in edges], axis=0)
    corners = _joined(vertices, triangles, size)
    kept = np.arange(len(triangles))
    for _ in range(_PASSES):
        stray = _stray(corners[kept], size[kept])
        if not stray.any():
            break
        kept = kept[~stray[corners[kept]].any(axis=1)]
    return triangles[kept]


def _joined(vertices: np.ndarray, triangles: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return the triangles (T, 3) of given sizes so that they share their corners even in a file
    that gives each its own, as STL does."""
    if not size.any():
        return triangles
    places = welded((vertices - vertices[0]) / (_EXTENT * np.median(size[size > 0])))
    joined: np.ndarray = places[triangles]
    return joined if places.max() + 1 < (1 - _SEAMS) * len(vertices) else triangles


def _stray(triangles: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Tell which vertices (V,) of triangles (T, 3) of given sizes are far off their neighbours."""
    vertices = triangles.max(initial=-1) + 1
    smallest = np.full(vertices, np.inf)
    for i in range(3):
        np.minimum.at(smallest, triangles[:, i], np.where(size > 0, size, np.inf))
    used = np.isfinite(smallest)
    if not used.any():
        return used
    log = np.log(np.where(used, smallest, 1))
    total, count = np.zeros(vertices), np.zeros(vertices)
    for i, j in _EDGES + tuple((j, i) for i, j in _EDGES):
        total += np.bincount(triangles[:, i], log[triangles[:, j]], vertices)
        count += np.bincount(triangles[:, i], minlength=vertices)
    far = log > np.log(_NEIGHBORS) + total / np.maximum(count, 1)
    return used & far & (smallest > _ALL * np.median(smallest[used]))


def welded(vertices: np.ndarray) -> np.ndarray:
    """Return a number (V,) for each vertex (V, 3) that all vertices in its place share: files
    repeat a vertex at every seam of their UV map."""
    numbers: np.ndarray = trimesh.grouping.unique_rows(vertices, digits=6)[1]
    return numbers


def wound_alike(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Turn over triangles (T, 3) so that neighbours agree on which side is out: in each piece, what
    most of its area says."""
    extent = np.ptp(vertices, axis=0).max()
    places = welded((vertices - vertices[0]) / extent)
    start, end = places[triangles[:, _EDGES]].reshape(-1, 2).T
    if (np.diff(np.sort(start * len(vertices) + end)) > 0).all():  # no edge is run along twice
        return triangles
    first, second, turned = _neighbors(start, end)
    # Each triangle is two nodes, as it is and turned over; what goes with what is one piece.
    count = len(triangles)
    there = second + count * turned
    mirrored = (first + count, (there + count) % (2 * count))
    pairs = np.concatenate([first, mirrored[0]]), np.concatenate([there, mirrored[1]])
    graph = coo_matrix((np.ones(len(pairs[0]), bool), pairs), (2 * count, 2 * count))
    pieces, piece = connected_components(graph, directed=False)
    as_it_is, over = piece[:count], piece[count:]
    area = np.bincount(as_it_is, triangle_normals(vertices, triangles)[1], pieces)
    wrong = area[as_it_is] < area[over]
    return np.where(wrong[:, None], triangles[:, ::-1], triangles)


def faced_out(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Turn all triangles (T, 3) over if most of them face the middle of the surface: a scan that is
    wound the other way is drawn the same points of."""
    normals, areas = triangle_normals(vertices, triangles)
    middles = vertices[triangles].mean(1)
    out = middles - (areas @ middles) / max(areas.sum(), 1e-300)
    inward = areas @ (normals * out).sum(1) < 0
    return triangles[:, ::-1] if inward else triangles


def _neighbors(start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which triangles share an edge, (N,) and (N,), and whether both run along it in the
    same direction, (N,): of two that are wound alike, each runs against the other. An edge of three
    triangles and more joins none.

    Parameters
    ----------
    start, end : ndarray (3 T,)
        Of each triangle's edges.
    """
    low, high = np.minimum(start, end), np.maximum(start, end)
    edge = low * (high.max() + 1) + high
    order = np.argsort(edge, kind="stable")
    starts = np.flatnonzero(np.diff(edge[order], prepend=-1))
    twice = starts[np.diff(starts, append=len(edge)) == 2]
    a, b = order[twice], order[twice + 1]
    forward = start == low
    return a // 3, b // 3, forward[a] == forward[b]
