# SPDX-License-Identifier: GPL-3.0-or-later
"""Bits of a scan that float in the air around a face."""

from dataclasses import replace

import numpy as np
import trimesh
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ..mesh import Mesh, triangle_normals
from .align import Similarity
from .watertight import LARGEST, near_ball

#: A bit floats that is about so far from everything else [model units], and about so many edges:
#: points and coarse scans lie apart.
_GAP = 0.05
_GAP_EDGES = 2.0
#: A piece with a larger share of the largest one's area near the face is no bit.
_SHARE = 0.03
#: Cells in that distance: what is in one cell is one piece.
_CELLS = 3.0


def without_floating_bits(scan: Mesh, pose: Similarity) -> Mesh:
    """Drop small pieces of a scan that float before or beside its face, which they would hide.

    Parameters
    ----------
    scan : Mesh
        Scan space: triangles, or quads alone.
    pose : Similarity
        Scan space -> model space.

    Returns
    -------
    Mesh
        The scan itself if nothing floats.
    """
    vertices, polygons = pose.apply(scan.vertices), scan.polygons
    piece = _pieces(vertices, polygons)
    areas = np.minimum(triangle_normals(vertices, polygons[:, :3])[1], LARGEST)
    area = np.bincount(piece, areas * near_ball(vertices, polygons))
    floating = (area > 0) & (area < _SHARE * area.max())
    return replace(scan, polygons=polygons[~floating[piece]]) if floating.any() else scan


def _pieces(vertices: np.ndarray, polygons: np.ndarray) -> np.ndarray:
    """Return the piece (F,) of each polygon; no gap of a piece is wider than the limits."""
    used, corners = np.unique(polygons, return_inverse=True)
    points, corners = vertices[used], corners.reshape(polygons.shape)
    edges = np.linalg.norm(points[corners[:, 0]] - points[corners[:, 1]], axis=1)
    cell = max(_GAP, _GAP_EDGES * float(np.median(edges))) / _CELLS
    cells = np.floor(points / cell)
    first, place = trimesh.grouping.unique_rows(cells, digits=0)
    near = cKDTree(cells[first]).query_pairs(_CELLS, output_type="ndarray")
    # Cells are joined that are near, and those of a polygon's corners.
    at = place[corners]
    joined = np.concatenate([near, *(at[:, [0, i]] for i in range(1, at.shape[1]))])
    graph = coo_matrix((np.ones(len(joined), bool), joined.T), (len(first),) * 2)
    _, piece = connected_components(graph, directed=False)
    of_polygons: np.ndarray = piece[at[:, 0]]
    return of_polygons
