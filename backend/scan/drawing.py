# SPDX-License-Identifier: GPL-3.0-or-later
"""Points drawn on a surface so that a small change of it changes few of them.

What each point draws by chance follows from a key of its own and not from how many were drawn
before it: a scan that lies a little otherwise, or misses a triangle, is drawn the same points of.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from ..mesh import triangle_normals

#: Points that compete for each place of an even cover: with more it is little evener.
_RIVALS = 6
#: Discs of an even cover, as a share of the surface over their squared distance.
_COVER = 0.51
#: No surface at all counts as so much.
_NONE = 1e-300


@dataclass(frozen=True)
class DrawnPoints:
    """Points drawn on a surface, uniformly by area.

    Attributes
    ----------
    points, normals : ndarray (N, 3)
    keys : ndarray (N,) uint64
        What each point's chances follow from.
    area : float
        The surface that each point stands for.
    """

    points: np.ndarray
    normals: np.ndarray
    keys: np.ndarray
    area: float

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, rows: np.ndarray) -> "DrawnPoints":
        return DrawnPoints(self.points[rows], self.normals[rows], self.keys[rows], self.area)

    def chance(self, use: int) -> np.ndarray:
        """Return a number in (0, 1) for each point (N,), another one for each use."""
        return _chance(self.keys + np.uint64(use))


def draw_points(
    vertices: np.ndarray,
    triangles: np.ndarray,
    area: float,
    seed: int = 0,
    largest: float = np.inf,
) -> DrawnPoints:
    """Draw points uniformly by area; a triangle's follow from its vertices' numbers alone.

    Parameters
    ----------
    vertices, triangles : ndarray (V, 3), (T, 3)
    area : float
        A point stands for so much of the surface.
    largest : float
        A triangle with a larger area gets no more points than one with this area.
    """
    normals, areas = triangle_normals(vertices, triangles)
    keys = _keys(triangles, seed)
    numbers = np.floor(np.minimum(areas, largest) / max(area, _NONE) + _chance(keys)).astype(
        np.int64
    )
    face = np.repeat(np.arange(len(triangles)), numbers)
    nth = np.arange(len(face)) - np.repeat(np.cumsum(numbers) - numbers, numbers)
    keys = _mixed(keys[face] + nth.astype(np.uint64) + np.uint64(1))
    u, v = np.sqrt(_chance(keys)), _chance(keys + np.uint64(1))
    barycentric = np.stack([1 - u, u * (1 - v), u * v], axis=1)
    points = np.einsum("nk,nkc->nc", barycentric, vertices[triangles[face]])
    return DrawnPoints(points, normals[face], _mixed(keys), area)


def steady(size: float) -> float:
    """Return one of few sizes, 9 % off at most: what is a little larger has the same one."""
    return float(2 ** (np.round(4 * np.log2(max(size, _NONE))) / 4))


def some_triangles(triangles: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Return about so many of the triangles (T, 3), in order; all if there are no more."""
    if len(triangles) <= count:
        return triangles
    # By another chance than that of points on them: those that are kept would get none.
    return triangles[_chance(~_keys(triangles, seed)) < count / len(triangles)]


def evenly_drawn(drawn: DrawnPoints, count: int, use: int) -> DrawnPoints:
    """Draw about so many of the points, as many here as there, in random order.

    Chance alone leaves holes, and a fit of hundreds of numbers strays there: to be as near to a
    scan's whole surface, it takes twice as many points. So each keeps others at a distance: of
    those too near to each other, the first by chance stays.
    """
    rivals = drawn[np.argsort(drawn.chance(use))[: _RIVALS * count]]
    if len(rivals) <= count:
        return rivals
    spacing = np.sqrt(_COVER * drawn.area * len(drawn) / count)
    return rivals[_apart(rivals.points, spacing)]


def _apart(points: np.ndarray, spacing: float) -> np.ndarray:
    """Return the rows, in order, of those points (N, 3) to which none that stays and comes before
    them is nearer than the spacing."""
    first, second = cKDTree(points).query_pairs(spacing, output_type="ndarray").T  # first < second
    stays, open_ = np.ones(len(points), bool), np.ones(len(points), bool)
    while len(first):
        open_[:] = False
        open_[second] = True
        # Who has none before it any more stays; those after it go.
        chosen = stays & ~open_
        stays[second[chosen[first]]] = False
        left = stays[first] & stays[second] & ~chosen[first]
        first, second = first[left], second[left]
    return np.flatnonzero(stays)


def _keys(triangles: np.ndarray, seed: int) -> np.ndarray:
    """Return a key for each of the triangles (T, 3)."""
    keys = np.full(len(triangles), seed, np.uint64)
    for corner in triangles.T:
        keys = _mixed(keys + corner.astype(np.uint64))
    return keys


def _chance(keys: np.ndarray) -> np.ndarray:
    """Return a number in (0, 1) that follows from each key."""
    chance: np.ndarray = ((_mixed(keys) >> np.uint64(11)) + 0.5) / float(1 << 53)
    return chance


def _mixed(keys: np.ndarray) -> np.ndarray:
    """Return 64 bits that look random for each key (N,) uint64 (Steele et al. 2014, SplitMix)."""
    keys = keys + np.uint64(0x9E3779B97F4A7C15)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))
