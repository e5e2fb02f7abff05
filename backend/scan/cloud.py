# SPDX-License-Identifier: GPL-3.0-or-later
"""Scans that are points without faces: a little square stands for each point."""

import numpy as np
from scipy.spatial import cKDTree

from ..errors import ScanError
from ..mesh import Mesh, triangle_normals
from .align import Similarity, middle_of
from .watertight import SPACING, depth_map, joined_points, thin, visible_from_front

#: More points than this make a scan slower, not better.
_POINTS = 100_000
#: Neighbours that tell a point's normal, and the one that tells the size of its square.
_NEIGHBORS, _SIZING = 12, 6
#: A square's side in that distance: smaller ones leave holes, larger ones blur.
_SIDE = 1.5
#: A point floats in the air whose neighbours are this many times as far away as is usual in the
#: whole scan, or as theirs are.
_FLOATING, _ALONE = 4.0, 1.7
#: Share of its side that a square counts as farther in front: its neighbours stand out where the
#: surface bends.
_LIFT = 0.2
#: Neighbours farther apart [model units], and so many times farther than most, have a gap between.
_GAP, _GAPS = 0.05, 3.0
#: Without the worst ones, those beside them show.
_PASSES = 2


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

    Raises
    ------
    ScanError
        If the points lie in a few places only.
    """
    if len(points) > _POINTS:
        points = points[np.random.default_rng(seed).permutation(len(points))[:_POINTS]]
    size, near = _neighbors(points)
    for _ in range(_PASSES):
        points = points[~_floating(size, near)]
        size, near = _neighbors(points)
    near = points[near]
    offsets = near - near.mean(1, keepdims=True)
    _, axes = np.linalg.eigh(np.einsum("nki,nkj->nij", offsets, offsets))
    first, second = axes[:, :, 2], axes[:, :, 1]
    # Either way along an axis is an eigenvector: towards a neighbour does not depend on the lie.
    away = (first * (near[:, 1] - points)).sum(1) < 0
    first = np.where(away[:, None], -first, first)
    inwards = (np.cross(first, second) * (points - middle_of(points))).sum(1) < 0
    second = np.where(inwards[:, None], -second, second)
    corners = [a * first + b * second for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    vertices = points[:, None] + _SIDE / 2 * size[:, None, None] * np.stack(corners, axis=1)
    return Mesh(vertices.reshape(-1, 3), np.arange(4 * len(points)).reshape(-1, 4))


def visible_surface(squares: Mesh, pose: Similarity) -> Mesh:
    """Join the points that the front sees to triangles; where there are none, gaps stay.

    Parameters
    ----------
    squares : Mesh
        From ``squares_of_points``; they tell which points are hidden.
    pose : Similarity
        Their space -> model space.

    Returns
    -------
    Mesh
        In the points' space; its vertices are points, as dense as the model needs.

    Raises
    ------
    ScanError
        If hardly any point is seen.
    """
    vertices = pose.apply(squares.vertices)
    points = vertices[squares.polygons].mean(1)
    normals, _ = triangle_normals(vertices, squares.polygons[:, :3])
    depth = depth_map(vertices, squares.triangles)
    side = np.linalg.norm(np.diff(vertices[squares.polygons[:, :2]], axis=1)[:, 0], axis=1)
    lifted = points + _LIFT * side[:, None] * [0, 0, 1]
    seen = visible_from_front(lifted, normals, depth) & ((points * points).sum(1) <= 1)
    sheet = joined_points(thin(points[seen], SPACING))
    corners = sheet.vertices[sheet.polygons]
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(1)
    kept = longest < max(_GAP, _GAPS * float(np.median(longest)))
    return Mesh(pose.inverse().apply(sheet.vertices), sheet.polygons[kept])


def _neighbors(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distance (N,) that tells a square's size, and each point's neighbours (N, K),
    the point among them."""
    if len(points) < _NEIGHBORS:
        raise ScanError("The points of the scan lie in a few places only. Select a face scan.")
    distance, near = cKDTree(points).query(points, _NEIGHBORS, workers=-1)
    return distance[:, _SIZING], near


def _floating(size: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Tell which points (N,) float in the air, or lie upon others."""
    log = np.log(np.maximum(size, 1e-30))
    alone = log > np.log(_ALONE) + log[near[:, 1:]].mean(1)
    return (size == 0) | (size > _FLOATING * np.median(size)) | alone
