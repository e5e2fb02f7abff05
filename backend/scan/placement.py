# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a face might be: every point that stands out as a nose tip, at every size.

What lies around a nose tip is seen from several directions as depths on rings, its signature.
Comparing signatures takes no more than products of matrices, for all turns in the image plane.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from .align import NOSE_TIP_POSITION, Similarity
from .watertight import thin

#: Spacing of the points that are looked at [model units].
SPACING = 0.06
#: Radius of a neighbourhood [model units].
NEAR = 0.35
#: Points with less than this share of the usual number of neighbours float in the air.
FLOATING = 0.3
#: Median distances of a scan's points from its middle that are tried [model units]: from a mask
#: to a body down to the waist.
_SIZES = 0.5 * 1.2 ** np.arange(12)
#: A nose tip lies this far from the middle of its neighbours at least [model units].
_NOSE_HEIGHT = 0.08
_MIN_NEIGHBORS = 10
_NOSES = 40
#: What is looked at around a nose tip, and what tells its direction [model units].
_FACE_RADIUS = 0.95
_MIDDLE_RADIUS = 0.7
#: Rings around the nose tip [model units] and their sectors: the cells of a signature.
_RINGS = 0.06 + 0.1 * np.arange(8)
_SECTORS = 24
_CELLS = (len(_RINGS) - 1) * _SECTORS
#: Depths against the nose tip that a signature holds [model units].
_DEPTHS = (-0.75, 0.3)
#: Directions within this angle of the first guess are tried.
_CONE = np.radians(60)
_DIRECTIONS = 24
#: Cost of a signature's tilt and of its empty cells beside its relief.
_TILT = 0.03
_EMPTY = 0.01
_PER_NOSE = 3


@dataclass(frozen=True)
class Poses:
    """K similarities x -> linear x + shift.

    Attributes
    ----------
    linear : ndarray (K, 3, 3)
        Rotation times scale.
    shift : ndarray (K, 3)
    """

    linear: np.ndarray
    shift: np.ndarray

    def __len__(self) -> int:
        return len(self.shift)

    def __getitem__(self, rows: np.ndarray | slice) -> "Poses":
        return Poses(self.linear[rows], self.shift[rows])

    def scale(self) -> np.ndarray:
        """Return the scales (K,)."""
        return np.cbrt(np.linalg.det(self.linear))

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Map points (N, 3), or (K, N, 3) each by its own, to (K, N, 3)."""
        return points @ self.linear.transpose(0, 2, 1) + self.shift[:, None]

    def apply_inverse(self, points: np.ndarray) -> np.ndarray:
        """Map points (N, 3) back to (K, N, 3)."""
        return (points - self.shift[:, None]) @ (self.linear / self.scale()[:, None, None] ** 2)

    def similarity(self, k: int) -> Similarity:
        """Return one of them."""
        scale = float(self.scale()[k])
        return Similarity(scale, self.linear[k] / scale, self.shift[k])


def turned_signatures(points: np.ndarray) -> np.ndarray:
    """Return what a face looks like around its nose tip under every turn in the image plane.

    Parameters
    ----------
    points : ndarray (N, 3)
        Densely drawn on the face, model space.

    Returns
    -------
    ndarray (S, C)
        A signature per turn, averaged over ways to thin the points as those of a scan are.
    """
    rng = np.random.default_rng(0)
    views = []
    for _ in range(8):
        offset = rng.random(3) * SPACING
        thinned = thin(rng.permutation(points) + offset, SPACING) - offset
        views.append(_signatures(thinned[None] - NOSE_TIP_POSITION)[0])
    seen = np.isfinite(views)
    mean = np.where(seen, views, 0).sum(0) / np.maximum(seen.sum(0), 1)
    mean = np.clip(np.where(seen.any(0), mean, _DEPTHS[0]), *_DEPTHS).reshape(-1, _SECTORS)
    return np.stack([np.roll(mean, k, axis=1).ravel() for k in range(_SECTORS)])


def likely_placements(cloud: np.ndarray, turned: np.ndarray, count: int) -> Poses:
    """Search a cloud of points for faces.

    Parameters
    ----------
    cloud : ndarray (N, 3)
        Its middle at 0 and half of it within distance 1.
    turned : ndarray (S, C)
        The face's ``turned_signatures``.
    count : int
        How many placements are wanted.

    Returns
    -------
    Poses
        Space of the cloud -> model space, the best first; there may be none.
    """
    costs, found = [], []
    for size in _SIZES:
        points, noses = _noses(thin(size * cloud, SPACING))
        if len(noses):
            cost, poses = _placements(points, noses, turned)
            costs.append(cost)
            found.append(Poses(size * poses.linear, poses.shift))
    if not found:
        return Poses(np.zeros((0, 3, 3)), np.zeros((0, 3)))
    best = np.argsort(np.concatenate(costs))[:count]
    linear, shift = (np.concatenate([getattr(p, n) for p in found]) for n in ("linear", "shift"))
    return Poses(linear[best], shift[best])


def _noses(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return points (N', 3) without those that float, and those (K, 3) that stand out most."""
    pairs = cKDTree(points).query_pairs(NEAR, output_type="ndarray")
    here, there = np.concatenate([pairs, pairs[:, ::-1]]).T
    count = np.bincount(here, minlength=len(points))
    solid = count > FLOATING * np.median(count)
    here, there = here[solid[there]], there[solid[there]]
    count = np.bincount(here, minlength=len(points))
    total = [np.bincount(here, points[there, i], len(points)) for i in range(3)]
    middle = np.stack(total, axis=1) / np.maximum(count, 1)[:, None]
    height = np.linalg.norm(points - middle, axis=1) * (solid & (count > _MIN_NEIGHBORS))
    highest = np.zeros(len(points))
    np.maximum.at(highest, here, height[there])
    noses = np.flatnonzero((height >= highest) & (height > _NOSE_HEIGHT))
    noses = noses[np.argsort(-height[noses])[:_NOSES]]
    return points[solid], points[noses]


def _placements(
    points: np.ndarray, noses: np.ndarray, turned: np.ndarray
) -> tuple[np.ndarray, Poses]:
    """Return the best few poses at each nose tip (K, 3), and their costs."""
    frames, signatures = [], []
    rows = cKDTree(points).query_ball_point(noses, _FACE_RADIUS)
    for nose, near in zip(noses, rows, strict=True):
        around = points[near] - nose
        middle = around[np.linalg.norm(around, axis=1) < _MIDDLE_RADIUS].mean(0)
        frames.append(_directions() @ _frame(-middle))
        signatures.append(_signatures(around @ frames[-1].transpose(0, 2, 1)))
    cost = _mismatch(np.concatenate(signatures), turned).reshape(len(noses), -1)
    best = np.argpartition(cost, _PER_NOSE, axis=1)[:, :_PER_NOSE]
    nose = np.repeat(np.arange(len(noses)), _PER_NOSE)
    view, turn = np.divmod(best.ravel(), _SECTORS)
    rotation = _turns()[turn] @ np.stack(frames)[nose, view]
    shift = NOSE_TIP_POSITION - np.einsum("kij,kj->ki", rotation, noses[nose])
    return np.take_along_axis(cost, best, axis=1).ravel(), Poses(rotation, shift)


def _frame(z: np.ndarray) -> np.ndarray:
    """Return some rotation (3, 3) that takes a direction to +z."""
    z = z / np.linalg.norm(z)
    x = np.cross(np.eye(3)[np.argmin(np.abs(z))], z)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z])


@cache
def _directions() -> np.ndarray:
    """Return rotations (V, 3, 3) that take directions spread evenly around +z to +z."""
    i = np.arange(_DIRECTIONS) + 0.5
    z = 1 - i / _DIRECTIONS * (1 - np.cos(_CONE))
    angle, radius = i * np.pi * (3 - np.sqrt(5)), np.sqrt(1 - z * z)
    spread = np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1)
    return np.stack([_frame(direction) for direction in spread])


@cache
def _turns() -> np.ndarray:
    """Return the rotations (S, 3, 3) about z that take back a turn by as many sectors."""
    angle = np.arange(_SECTORS) * 2 * np.pi / _SECTORS
    return Rotation.from_euler("z", -angle[:, None]).as_matrix()


def _signatures(points: np.ndarray) -> np.ndarray:
    """Return the foremost depths (V, C) of views (V, N, 3) around a nose tip at 0; -inf: none."""
    ring = np.searchsorted(_RINGS, np.hypot(points[..., 0], points[..., 1])) - 1
    angle = np.arctan2(points[..., 1], points[..., 0]) / (2 * np.pi)
    sector = np.floor(angle * _SECTORS).astype(int) % _SECTORS
    cell = np.arange(len(points))[:, None] * _CELLS + ring * _SECTORS + sector
    inside = (ring >= 0) & (ring < len(_RINGS) - 1)
    out = np.full(len(points) * _CELLS, -np.inf)
    np.maximum.at(out, cell[inside], points[..., 2][inside])
    return out.reshape(len(points), _CELLS)


@cache
def _cells() -> tuple[np.ndarray, np.ndarray]:
    """Return a plane's basis 1, x, y (3, C) at a signature's cells, and their areas, sum 1."""
    radius = np.repeat((_RINGS[1:] + _RINGS[:-1]) / 2, _SECTORS)
    angle = np.tile((np.arange(_SECTORS) + 0.5) * 2 * np.pi / _SECTORS, len(_RINGS) - 1)
    basis = np.stack([np.ones(_CELLS), radius * np.cos(angle), radius * np.sin(angle)])
    return basis, radius / radius.sum()


def _inverses(matrices: np.ndarray) -> np.ndarray:
    """Invert many small matrices (N, 3, 3) at once; LAPACK takes them one by one, which is slow
    where it has several threads."""
    a, b, c = np.moveaxis(matrices, 1, 0)
    adjugates = np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)], axis=-1)
    inverses: np.ndarray = adjugates / (a * adjugates[..., 0]).sum(-1)[:, None, None]
    return inverses


def _mismatch(signatures: np.ndarray, turned: np.ndarray) -> np.ndarray:
    """Return the cost (V, S) of signatures (V, C) against each turn of the face's.

    It is the mean squared difference of the depths but for a plane, since the direction is a
    guess; what the plane takes away costs little, and so do empty cells.
    """
    basis, area = _cells()
    seen = np.isfinite(signatures)
    weight = seen * area
    depth = np.where(seen, np.clip(signatures, *_DEPTHS), 0)
    squares = (weight * depth**2).sum(1)[:, None]
    squares = squares - 2 * (weight * depth) @ turned.T + weight @ (turned**2).T
    slope = [((weight * depth) @ b)[:, None] - weight @ (turned * b).T for b in basis]
    projected = np.stack(slope, axis=-1)
    gram = np.einsum("vc,ac,bc->vab", weight, basis, basis, optimize=True) + 1e-3 * np.eye(3)
    plane = ((projected @ _inverses(gram)) * projected).sum(-1)
    share = weight.sum(1)[:, None]
    return (squares * (1 + _TILT) - plane) / np.maximum(share, 1e-9) + _EMPTY * (1 - share)
