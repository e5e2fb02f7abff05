# SPDX-License-Identifier: GPL-3.0-or-later
"""The skin that the field leads, and what is joined to it: how offsets spread from there."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix, diags
from scipy.sparse.linalg import SuperLU, splu
from scipy.spatial import cKDTree

from ..mesh import triangulate, vertex_normals
from ..model.forward_map import HeadTemplate
from ..scan.watertight import depth_map, visible_from_front

#: Parts that the field's surface shows.
_SURFACE_PARTS = ("face", "head_and_neck", "eyeball_left", "eyeball_right")
#: Parts that share vertices with the face; the others are loose.
JOINED_PARTS = ("face", "head_and_neck", "mouth_socket", "eye_socket_left", "eye_socket_right")
#: Around lips and lids [model units] the forward map leads.
_FREE_LIPS = 0.08
_FREE_LIDS = 0.09
#: So many scouts lead each of the skin's other vertices.
_SCOUTS = 4
#: How strongly an offset fades with distance, beside one edge's pull.
_SCREENING = 0.02


@cache
def skin(template: HeadTemplate) -> np.ndarray:
    """Return the face vertices (N,) where the field leads: seen from the front on the mean face,
    inside the ball, and not of the lips or lids."""
    vertices = template.vertices.cpu().numpy().astype(np.float64)
    triangles = triangulate(template.part_polygons(_SURFACE_PARTS))
    normals = vertex_normals(vertices, triangles)
    seen = visible_from_front(vertices, normals, depth_map(vertices, triangles))
    seen &= (normals[:, 2] > 0.1) & (np.linalg.norm(vertices, axis=1) < 1)
    seen[template.parts["face"][1] :] = False
    landmarks = vertices[template.landmarks.cpu().numpy()]
    for free, distance in ((landmarks[48:68], _FREE_LIPS), (landmarks[36:48], _FREE_LIDS)):
        seen &= cKDTree(free).query(vertices)[0] > distance
    return np.flatnonzero(seen)


@cache
def skin_triangles(template: HeadTemplate) -> np.ndarray:
    """Return the face's triangles (T, 3) that have a vertex of the skin."""
    triangles = triangulate(template.part_polygons(("face",)))
    return triangles[np.isin(triangles, skin(template)).any(1)]


@cache
def skin_scouts(template: HeadTemplate) -> csr_matrix:
    """Return how the skin's vertices follow scouts, a quarter of them with no two side by side, as
    a matrix (N, N): a scout's row is its own, another's the mean of the nearest scouts by inverse
    square distance. What goes through it is smooth along the skin."""
    rows = skin(template)
    vertices = template.vertices.cpu().numpy().astype(np.float64)[rows]
    scouts = _apart(adjacency(template)[rows][:, rows])
    distance, nearest = cKDTree(vertices[scouts]).query(vertices, _SCOUTS)
    weights = 1 / np.maximum(distance, 1e-9) ** 2
    weights /= weights.sum(1, keepdims=True)
    entries = weights.ravel(), scouts[nearest].ravel(), _SCOUTS * np.arange(len(rows) + 1)
    return csr_matrix(entries, (len(rows), len(rows)))


def _apart(adjacent: csr_matrix) -> np.ndarray:
    """Return vertices of which no two are adjacent, and every other one is to one of them."""
    is_free, found = np.ones(adjacent.shape[0], bool), []
    for row in range(len(is_free)):
        if is_free[row]:
            found.append(row)
            is_free[adjacent[row].indices] = False
    return np.array(found)


def spread(template: HeadTemplate, rows: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Extend offsets (N, 3) of some of the skin's vertices, in its order, smoothly: first to the
    rest of the skin, then to all that is joined to it, fading with distance. Those (V, 3) of loose
    parts are zero."""
    surroundings = _surroundings(template)
    skin_rows = skin(template)
    known = np.isin(skin_rows, rows, assume_unique=True)
    on_skin = np.zeros((len(skin_rows), 3))
    on_skin[known] = offsets
    if not known.all():
        gaps = surroundings.skin[~known]
        on_skin[~known] = splu(gaps[:, ~known].tocsc()).solve(-gaps[:, known] @ offsets)
    full = np.zeros((len(template.vertices), 3))
    full[skin_rows] = on_skin
    full[surroundings.rows] = surroundings.factored.solve(surroundings.pull @ on_skin)
    return full


@dataclass(frozen=True)
class _Surroundings:
    """What is joined to the skin, and how it follows.

    Attributes
    ----------
    skin : csr_matrix (S, S)
        The skin's own graph Laplacian, screened.
    rows : ndarray (N,)
        The vertices around it.
    pull : csr_matrix (N, S)
        By how much each of the skin's vertices pulls at those.
    factored : SuperLU (N, N)
        Of their Laplacian, screened.
    """

    skin: csr_matrix
    rows: np.ndarray
    pull: csr_matrix
    factored: SuperLU


@cache
def _surroundings(template: HeadTemplate) -> _Surroundings:
    adjacent, skin_rows = adjacency(template), skin(template)
    rows = np.setdiff1d(template.part_rows(JOINED_PARTS), skin_rows)
    everything = screened(adjacent[rows][:, rows], adjacent[rows].sum(1), _SCREENING)
    among_skin = adjacent[skin_rows][:, skin_rows]
    return _Surroundings(
        skin=screened(among_skin, among_skin.sum(1), _SCREENING),
        rows=rows,
        pull=adjacent[rows][:, skin_rows],
        factored=splu(everything.tocsc(), "MMD_AT_PLUS_A", options={"SymmetricMode": True}),
    )


def screened(adjacent: csr_matrix, degrees: np.ndarray, screening: float) -> csr_matrix:
    """Return the matrix (N, N) that takes values at vertices to how far each is from its
    neighbours' mean, and, as strongly as given, from zero."""
    return (diags(np.asarray(degrees).ravel() + screening) - adjacent).tocsr()


def adjacency(template: HeadTemplate) -> csr_matrix:
    """Return which vertices (V, V) edges of the triangulated topology join, as 1."""
    triangles = triangulate(template.polygons.cpu().numpy())
    pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    a, b = np.concatenate([pairs, pairs[:, ::-1]]).T
    count = len(template.vertices)
    adjacent = coo_matrix((np.ones(len(a)), (a, b)), shape=(count, count)).tocsr()
    adjacent.data[:] = 1.0
    return adjacent
