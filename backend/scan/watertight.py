# SPDX-License-Identifier: GPL-3.0-or-later
"""What is seen of a face from the front; for training, closed into one pseudo-watertight sheet."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import Delaunay

from ..errors import ScanError
from ..mesh import Mesh, triangle_normals
from .align import Similarity
from .clean import without_spikes
from .drawing import DrawnPoints, draw_points, steady

#: Size of a z-buffer pixel [model units]: 0.5 mm.
PIXEL = 0.005
#: Slack of the visibility test on a surface that faces the viewer [model units].
DEPTH_SLACK = 0.003
#: Vertices are rounded to so much [model units]: 0.0001 mm.
_FINEST = 2.0**-20
#: Spacing of the sheet's vertices [model units].
SPACING = 0.012
#: A border triangle with a longer edge bridges a notch of the outline [model units].
BORDER_EDGE = 0.1
_MIN_VISIBLE = 300
#: More of a plane than this [model units] is never in the ball: a wall behind the head must not
#: take all of the head's points.
LARGEST = np.pi
_NOTHING_SEEN = (
    "Hardly any of the scan is visible from the front. Select one that shows eyes, nose and mouth."
)


def make_watertight(
    scan: Mesh,
    pose: Similarity,
    *,
    spacing: float = SPACING,
    samples: int = 150_000,
    seed: int = 0,
) -> Mesh:
    """Cut a scan to the model's ball and close what the front sees into a single sheet.

    Parameters
    ----------
    scan, pose, samples, seed
        As in ``visible_points``.
    spacing : float
        Distance of the sheet's vertices [model units].

    Returns
    -------
    Mesh
        Model space; normals have n_z >= 0; mouth, nostrils and holes are closed.

    Raises
    ------
    ScanError
        If hardly any surface lies in the ball.

    Notes
    -----
    ImFace section 3.5. Points are drawn on the surface rather than taken from its vertices, so
    coarse and dense scans give the same sheet; points outside the ball are dropped, which cuts
    triangles at the sphere without remeshing them.
    """
    drawn = visible_points(scan, pose, samples=samples, seed=seed)
    return joined_points(thin(drawn.points, spacing))


def visible_points(
    scan: Mesh, pose: Similarity, *, samples: int = 150_000, seed: int = 0
) -> DrawnPoints:
    """Draw points, evenly by area, on what the front sees of a scan inside the model's ball.

    Parameters
    ----------
    scan : Mesh
        Triangles in scan space, any unit.
    pose : Similarity
        Scan space -> model space.
    samples : int
        Points drawn before hidden ones are dropped.

    Returns
    -------
    DrawnPoints
        Model space; normals have n_z >= 0.

    Raises
    ------
    ScanError
        If hardly any surface lies in the ball.
    """
    # Where the scan lies shows in the digits beyond: in single precision they make a difference.
    vertices = np.round(pose.apply(scan.vertices) / _FINEST) * _FINEST
    triangles = without_spikes(vertices, scan.triangles[near_ball(vertices, scan.triangles)])
    if len(triangles) == 0:
        raise ScanError("No part of the scan lies where the face should be. Check its orientation.")
    depth = depth_map(vertices, triangles)
    drawn = _drawn(vertices, triangles, depth, samples, seed)
    _check_enough(thin(drawn.points, SPACING))
    return drawn


def visible_sheet(
    vertices: np.ndarray,
    triangles: np.ndarray,
    depth: np.ndarray,
    spacing: float,
    samples: int,
    seed: int,
) -> Mesh:
    """Close the visible part of a surface in model space; see ``make_watertight``.

    Parameters
    ----------
    vertices, triangles : ndarray (V, 3), (T, 3)
        The surface, model space.
    depth : ndarray (H, H)
        Its ``depth_map``.
    """
    drawn = _drawn(vertices, triangles, depth, samples, seed)
    return joined_points(thin(drawn.points, spacing))


def _drawn(
    vertices: np.ndarray, triangles: np.ndarray, depth: np.ndarray, samples: int, seed: int
) -> DrawnPoints:
    """Draw points; keep those in the ball that the front sees, with normals that face it."""
    area = np.minimum(triangle_normals(vertices, triangles)[1], LARGEST).sum()
    drawn = draw_points(vertices, triangles, steady(area / samples), seed, LARGEST)
    seen = visible_from_front(drawn.points, drawn.normals, depth)
    drawn = drawn[seen & ((drawn.points * drawn.points).sum(1) <= 1)]
    return replace(drawn, normals=drawn.normals * np.where(drawn.normals[:, 2:] < 0, -1.0, 1.0))


def near_ball(vertices: np.ndarray, polygons: np.ndarray) -> np.ndarray:
    """Tell which polygons' (F,) bounding boxes meet the ball's own."""
    corners = vertices[polygons]
    low, high = corners.min(1), corners.max(1)
    near: np.ndarray = (low < 1).all(1) & (high > -1).all(1)
    return near


def depth_map(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Return the z-buffer (H, H) of the square [-1, 1]^2, pixel centres; -inf where empty."""
    size = round(2 / PIXEL)
    depth = np.full(size * size, -np.inf)
    corners = ((vertices[:, :2] + 1) / PIXEL - 0.5)[triangles]
    for owner, x, y, barycentric in covered_pixels(corners, size, size):
        z = (barycentric * vertices[triangles[owner], 2]).sum(1)
        np.maximum.at(depth, y * size + x, z)
    return depth.reshape(size, size)


def covered_pixels(
    corners: np.ndarray, width: int, height: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Find the pixels whose centres lie in triangles (T, 3, 2), given in pixels, in several parts.

    Yields
    ------
    triangle, x, y : ndarray (N,) int
    barycentric : ndarray (N, 3)
    """
    size = (width, height)
    low = np.clip(np.ceil(corners.min(1)), 0, size).astype(np.int64)
    high = np.clip(np.floor(corners.max(1)) + 1, 0, size).astype(np.int64)
    extent = np.maximum(high - low, 0)
    pixels = extent.prod(1)
    for part in _equal_parts(pixels):
        count = pixels[part]
        owner = np.repeat(part, count)
        offset = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
        x = low[owner, 0] + offset % extent[owner, 0]
        y = low[owner, 1] + offset // extent[owner, 0]
        bary = _barycentric(corners[owner], np.stack([x, y], axis=1))
        hit = (bary >= -1e-9).all(1)
        yield owner[hit], x[hit], y[hit], bary[hit]


def _equal_parts(pixels: np.ndarray, limit: int = 2_000_000) -> list[np.ndarray]:
    """Split triangle indices so that each part covers about ``limit`` pixels at most."""
    covered = np.flatnonzero(pixels)
    bins = np.cumsum(pixels[covered]) // limit
    return np.split(covered, np.flatnonzero(np.diff(bins)) + 1)


def _barycentric(corners: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return barycentric coordinates (N, 3) of points (N, 2) in triangles (N, 3, 2)."""
    a = corners[:, 0]
    u, v, p = corners[:, 1] - a, corners[:, 2] - a, points - a
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    safe = np.where(area == 0, 1.0, area)
    s = (p[:, 0] * v[:, 1] - p[:, 1] * v[:, 0]) / safe
    t = (u[:, 0] * p[:, 1] - u[:, 1] * p[:, 0]) / safe
    inside = np.stack([1 - s - t, s, t], axis=1)
    return np.where((area == 0)[:, None], -1.0, inside)


def visible_from_front(points: np.ndarray, normals: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Tell which surface points (N, 3) nothing hides from a viewer at +z."""
    size = len(depth)
    pixel = np.clip(np.round((points[:, :2] + 1) / PIXEL - 0.5).astype(int), 0, size - 1)
    front = depth[pixel[:, 1], pixel[:, 0]]
    # Half a pixel off the centre, a tilted surface lies this much behind its own depth.
    facing = np.maximum(np.abs(normals[:, 2]), 0.08)
    slack = DEPTH_SLACK + 0.7 * PIXEL * np.sqrt(1 - np.minimum(facing, 1) ** 2) / facing
    return points[:, 2] >= front - slack


def _check_enough(points: np.ndarray) -> None:
    if len(points) < _MIN_VISIBLE:
        raise ScanError(_NOTHING_SEEN)


def thin(points: np.ndarray, spacing: float) -> np.ndarray:
    """Keep one of the points (N, 3) per voxel of the given size: an even cover of a surface."""
    voxel = np.floor(points / spacing).astype(np.int64) + 1024
    key = (voxel[:, 0] * 4096 + voxel[:, 1]) * 4096 + voxel[:, 2]
    _, first = np.unique(key, return_index=True)
    return points[first]


def joined_points(points: np.ndarray) -> Mesh:
    """Triangulate points (N, 3) over xy; every hole inside the outline is closed."""
    _check_enough(points)
    delaunay = Delaunay(points[:, :2])
    triangles = _peel_border(points, delaunay.simplices, delaunay.neighbors)
    a, b, c = (points[triangles[:, i], :2] for i in range(3))
    clockwise = np.linalg.det(np.stack([b - a, c - a], axis=1)) < 0
    triangles[clockwise] = triangles[clockwise][:, ::-1]
    used, inverse = np.unique(triangles, return_inverse=True)
    return Mesh(points[used], inverse.reshape(-1, 3))


def _peel_border(points: np.ndarray, simplices: np.ndarray, neighbors: np.ndarray) -> np.ndarray:
    """Drop the long triangles that hang together with the outside; holes inside stay closed."""
    corners = points[simplices]
    edges = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)
    outside = len(simplices)  # a node for what lies beyond the convex hull: neighbour index -1
    long = np.append(edges.max(1) > BORDER_EDGE, True)
    here, there = np.repeat(np.arange(outside), 3), neighbors.ravel()
    there = np.where(there < 0, outside, there)
    joined = long[here] & long[there]
    graph = coo_matrix((joined[joined], (here[joined], there[joined])), (outside + 1,) * 2)
    _, piece = connected_components(graph, directed=False)
    return simplices[piece[:-1] != piece[-1]]
