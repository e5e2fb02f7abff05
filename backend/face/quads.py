# SPDX-License-Identifier: GPL-3.0-or-later
"""The zero level set as even quads, for sculpting: dual marching cubes over the same grid."""

from functools import cache

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix, diags
from scipy.sparse.csgraph import connected_components

from ..mesh import Mesh, triangulate, vertex_normals
from .extract import (
    CORNERS,
    ExtractConfig,
    GridValues,
    SdfFunction,
    largest_component,
    no_surface,
    surface_cells,
)

#: Of a cell: its corners, numbered 4 x + 2 y + z, and its edges, by their lower and upper corners.
_AXES = (4, 2, 1)
_EDGES = [(a, a | axis) for a in range(8) for axis in _AXES if not a & axis]
#: The edges of each of its faces.
_FACES = [
    [edge for edge, (a, b) in enumerate(_EDGES) if a & axis == b & axis == side]
    for axis in _AXES
    for side in (0, axis)
]
#: How often vertices are moved half of the way to the mean of their neighbours. On the rim, which
#: begins as stairs, twice half as far: quads fold whose corners come to lie on a straight line.
_ROUNDS, _RIM_ROUNDS = 10, 2


def extract_quads(sdf: SdfFunction, config: ExtractConfig = ExtractConfig()) -> Mesh:
    """Mesh the zero level set inside the unit ball by quads.

    Dual marching cubes (Nielson 2004): a vertex for each patch of the surface in a cell of the
    grid, a quad around each edge of the grid that it crosses. Then the vertices are spread evenly.
    Where the surface nearly touches itself within a cell's face, an edge may belong to four quads:
    one or two of a face's at resolution 64, none at 128.

    Returns
    -------
    Mesh
        Quads in model space, normals towards + (out of the face); their rim is wavy, just
        inside the ball.

    Raises
    ------
    BackendError
        If there is no surface in the ball.
    """
    known = GridValues(sdf, config.resolution)
    vertices, quads = _dual(known, surface_cells(known, config), config.resolution)
    vertices = vertices * (2 / (config.resolution - 1)) - 1
    quads = quads[(np.linalg.norm(vertices, axis=1) <= 1)[quads].all(1)]
    if len(quads) == 0:
        raise no_surface()
    return _even(sdf, largest_component(Mesh(vertices, quads)))


def _dual(known: GridValues, cells: np.ndarray, resolution: int) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices (V, 3), in cells of the grid, and quads (Q, 4)."""
    shape = (resolution,) * 3
    keys = np.sort(np.ravel_multi_index(tuple(cells.T), shape))
    cells = np.stack(np.unravel_index(keys, shape), axis=1)
    values = known((cells[:, None] + CORNERS).reshape(-1, 3)).reshape(-1, 8)
    inside = values < 0
    patch = _patches()[inside @ (1 << np.arange(8))]
    counts = patch.max(1) + 1
    vertex = (counts.cumsum() - counts)[:, None] + patch  # of each edge of each cell
    crossed = patch >= 0
    middles = _middles(values, crossed, vertex, counts.sum())
    quads = []
    for along, u, v in ((4, 2, 1), (2, 1, 4), (1, 4, 2)):
        ring = [0, u, u | v, v]  # where the edge lies in each of the four cells around it
        edges = [_EDGES.index((corner, corner | along)) for corner in ring]
        first = np.flatnonzero(crossed[:, edges[0]])
        strides = CORNERS[ring] @ resolution ** np.arange(3)[::-1]
        around = keys[first, None] - strides
        rows = np.searchsorted(keys, around)
        corners = vertex[rows, edges]
        corners = np.where(inside[first, :1], corners, corners[:, ::-1])
        quads.append(corners[(keys[rows] == around).all(1)])
    return cells.repeat(counts, axis=0) + middles, np.concatenate(quads)


@cache
def _patches() -> np.ndarray:
    """Return which of a cell's patches crosses each of its edges (256, 12), -1 for none, for each
    set of corners inside."""
    table = np.full((256, len(_EDGES)), -1)
    for corners, patch in enumerate(table):
        crossed = np.array([(corners >> a ^ corners >> b) & 1 for a, b in _EDGES], bool)
        joined = np.zeros((len(_EDGES),) * 2, bool)
        for face in _FACES:
            cut = [edge for edge in face if crossed[edge]]
            for a in cut:
                # Where all four are cut, the patches part the corners inside from each other.
                ends = [corner for corner in _EDGES[a] if corners >> corner & 1]
                joined[a, [b for b in cut if len(cut) == 2 or ends[0] in _EDGES[b]]] = True
        _, label = connected_components(joined, directed=False)
        patch[crossed] = np.unique(label[crossed], return_inverse=True)[1]
    return table


def _middles(values: np.ndarray, crossed: np.ndarray, vertex: np.ndarray, count: int) -> np.ndarray:
    """Return the means (V, 3) of where the surface crosses the edges (N, 12) that belong to each
    vertex, for the values (N, 8) at the cells' corners."""
    cell, edge = np.nonzero(crossed)
    begin, end = np.array(_EDGES)[edge].T
    lower, upper = values[cell, begin], values[cell, end]
    share = (lower / (lower - upper))[:, None]
    points = CORNERS[begin] * (1 - share) + CORNERS[end] * share
    at = vertex[cell, edge]
    total = np.stack([np.bincount(at, along, count) for along in points.T], axis=1)
    middles: np.ndarray = total / np.bincount(at, minlength=count)[:, None]
    return middles


def _even(sdf: SdfFunction, mesh: Mesh) -> Mesh:
    """Spread a quad mesh's vertices evenly over the surface."""
    (means, on_rim), vertices = _neighbour_means(mesh), mesh.vertices
    triangles = triangulate(mesh.polygons)
    for done in range(_ROUNDS):
        normals = vertex_normals(vertices, triangles)
        share = np.where(on_rim, 0.25 if done < _RIM_ROUNDS else 0, 0.5)[:, None]
        move = share * (means @ vertices - vertices)
        vertices = vertices + move - (move * normals).sum(1, keepdims=True) * normals
    normals = vertex_normals(vertices, triangles)
    return Mesh(vertices - sdf(vertices)[:, None] * normals, mesh.polygons)


def _neighbour_means(mesh: Mesh) -> tuple[csr_matrix, np.ndarray]:
    """Return the matrix (V, V) that takes values at vertices to the means of their neighbours', and
    which vertices (V,) are on the rim: of these, only neighbours on the rim count."""
    sides = np.stack([mesh.polygons, np.roll(mesh.polygons, -1, axis=1)], axis=-1).reshape(-1, 2)
    edges, uses = np.unique(np.sort(sides, axis=1), axis=0, return_counts=True)
    on_rim = np.zeros(len(mesh.vertices), bool)
    on_rim[edges[uses == 1]] = True
    ends = np.concatenate([edges, edges[:, ::-1]])
    ends = ends[np.tile(uses == 1, 2) | ~on_rim[ends[:, 0]]]
    shape = (len(mesh.vertices),) * 2
    adjacent = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape).tocsr()
    return (diags(1 / np.asarray(adjacent.sum(1)).ravel()) @ adjacent).tocsr(), on_rim
