# SPDX-License-Identifier: GPL-3.0-or-later
"""Linear face models, and fitting them to a surface by closest points."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
import trimesh
from scipy.optimize import lsq_linear
from scipy.spatial.transform import Rotation
from torch.nn import functional

from ..mesh import Mesh
from ..model.imface import UNIT_MM
from ..scan.align import IDENTITY, Similarity
from ..scan.sampling import NearestTriangle

#: What linear models consist of; the eyeballs fill the face's eye openings.
PARTS = ("face", "eyeball_left", "eyeball_right")
#: Paired surfaces have normals whose cosine is larger than this.
_ALIKE = 0.5
#: Weight [model units^2] that holds the scale: it can do what the modes of size can, and a scan
#: that shrinks out of its pairs' reach pulls the face after it.
_SCALE_RIDGE = 0.05
#: Keeps rotation and translation solvable.
_MOTION_RIDGE = 1e-9


@dataclass(frozen=True)
class LinearBasis:
    """A linear face model: vertices = mean + sum of c_k modes_k.

    Attributes
    ----------
    mean : ndarray (V, 3)
        Model space.
    modes : ndarray (V, 3, K) float32
        Offsets [model units], those of a coordinate side by side: pairs take them together.
    triangles : ndarray (T, 3) int
    rows : ndarray (V,) int
        Where its vertices stand in the head's topology.
    low, high : float or ndarray (K,)
        What the coefficients may be.
    prior : float or ndarray (K,)
        How strongly each is held at 0, beside one whose mode is of one standard deviation.
    cost : float or ndarray (K,)
        What one of size 1 costs beside half the mean squared distance [mm^2]: few coefficients will
        do. Only where ``low`` is 0.
    stiffness : float or ndarray (K, K)
        A quadratic form in them that counts beside the mean squared distance [model units^2].
    """

    mean: np.ndarray
    modes: np.ndarray
    triangles: np.ndarray
    rows: np.ndarray
    low: float | np.ndarray = -np.inf
    high: float | np.ndarray = np.inf
    prior: float | np.ndarray = 1.0
    cost: float | np.ndarray = 0.0
    stiffness: float | np.ndarray = 0.0

    @property
    def count(self) -> int:
        """The number of modes."""
        return self.modes.shape[-1]

    @property
    def flat(self) -> np.ndarray:
        """The modes over all coordinates (3 V, K)."""
        return self.modes.reshape(-1, self.count)

    def face(self, coefficients: np.ndarray) -> Mesh:
        """Return the face (V, 3) that coefficients (K,) stand for."""
        offset = self.flat @ np.float32(coefficients)
        return Mesh(self.mean + offset.reshape(-1, 3), self.triangles)


@dataclass(frozen=True)
class ClosestPointsConfig:
    """How a linear model is fitted to a surface without correspondence."""

    rounds: int  #: of closest points and least squares
    first_mm: float  #: pairs farther apart do not count, in the first round
    last_mm: float  #: and in the last
    first_ridge: float  #: weight of the prior [mm^2], in the first round
    last_ridge: float  #: and in the last
    coarse_points: int | None = None  #: that count in the first half of the rounds; None: all


#: Closest points slide along a surface slowly: vertices come nearer for as long as it goes on. A
#: third of the points tells as much in the first half of it.
FROM_AFAR = ClosestPointsConfig(
    rounds=35, first_mm=10, last_mm=4, first_ridge=1, last_ridge=1e-4, coarse_points=2000
)
#: From a face that is nearly right. A vertex's place along the surface follows from small misfits
#: all around it: pairs that are no true ones, and a prior as strong as they are, would tell more.
FROM_NEAR = ClosestPointsConfig(
    rounds=5, first_mm=1, last_mm=0.5, first_ridge=1e-4, last_ridge=1e-5
)


def fit_closest_points(
    basis: LinearBasis,
    points: np.ndarray,
    normals: np.ndarray,
    config: ClosestPointsConfig,
    start: np.ndarray | None = None,
    held: Sequence[int] = (),
) -> tuple[np.ndarray, Similarity]:
    """Fit a linear model, and a correction of the pose, to a surface.

    Points are paired with the nearest points of the model, then coefficients and pose are solved
    for together (point-to-plane, Tukey's weights, Gaussian prior), and so on; the prior weakens
    from round to round.

    Parameters
    ----------
    points, normals : ndarray (N, 3)
        Drawn on the surface, in random order, model space but for a small motion.
    start : ndarray (K,), optional
        Coefficients that it begins with; default 0.
    held : sequence of int
        Coefficients that stay as they start for the first half of the rounds.

    Returns
    -------
    coefficients : ndarray (K,)
    pose : Similarity
        The points' space -> model space.
    """
    coefficients, pose = np.zeros(basis.count) if start is None else start, IDENTITY
    with_held = _holding(basis, held, coefficients[list(held)])
    for share in np.linspace(0, 1, config.rounds):
        limit = config.first_mm ** (1 - share) * config.last_mm**share
        ridge = config.first_ridge ** (1 - share) * config.last_ridge**share
        is_early = share < 0.5
        used = slice(config.coarse_points if is_early else None)
        face, at, along = basis.face(coefficients), points[used], normals[used]
        pairs = _pairs(face, at, along, limit)
        at, along = at[pairs.points], along[pairs.points]
        coefficients, motion = _solve(
            with_held if is_early else basis,
            pairs,
            _motions(at, along),
            (at * along).sum(1),
            ridge / UNIT_MM**2,
        )
        points, normals = motion.apply(points), normals @ motion.rotation.T
        pose = motion.after(pose)
    return coefficients, pose


def _holding(basis: LinearBasis, held: Sequence[int], values: np.ndarray) -> LinearBasis:
    """Return the model with some coefficients allowed at one value only."""
    rows = list(held)
    low, high = (np.array(np.broadcast_to(x, basis.count)) for x in (basis.low, basis.high))
    low[rows], high[rows] = values, values
    return replace(basis, low=low, high=high)


class _Pairs(NamedTuple):
    """Points and the nearest ones of a face.

    Attributes
    ----------
    points : ndarray (P,)
        Which points are paired.
    columns : ndarray (P, 9)
        Which of the face's coordinates (3 V) tell where the nearest point is.
    shares : ndarray (P, 9) float32
        By which these sum up to its height along the point's normal.
    weights : ndarray (P,)
        Tukey's.
    """

    points: np.ndarray
    columns: np.ndarray
    shares: np.ndarray
    weights: np.ndarray


def _pairs(face: Mesh, points: np.ndarray, normals: np.ndarray, limit_mm: float) -> _Pairs:
    """Pair points (N, 3) with the nearest ones of a face, where those are within the limit and the
    surfaces face the same way."""
    nearest = NearestTriangle(face, cover=0)
    triangle, closest, distance = nearest(points)
    alike = np.abs((normals * nearest.normals[triangle]).sum(1)) > _ALIKE
    weights = alike * np.maximum(1 - (distance * UNIT_MM / limit_mm) ** 2, 0) ** 2
    paired = np.flatnonzero(weights)
    corners = face.polygons[triangle[paired]]
    bary = trimesh.triangles.points_to_barycentric(face.vertices[corners], closest[paired])
    columns = 3 * corners[:, :, None] + np.arange(3)
    shares = (bary[:, :, None] * normals[paired, None]).astype(np.float32)
    return _Pairs(paired, columns.reshape(-1, 9), shares.reshape(-1, 9), weights[paired])


def _motions(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Return how fast points (N, 3) move along their normals as they are turned about each axis,
    moved along each, and scaled: (N, 7)."""
    growth = (points * normals).sum(1, keepdims=True)
    return np.concatenate([np.cross(points, normals), normals, growth], axis=1)


def _solve(
    basis: LinearBasis, pairs: _Pairs, motions: np.ndarray, heights: np.ndarray, ridge: float
) -> tuple[np.ndarray, Similarity]:
    """Return the coefficients (K,) and the small motion of the scan that bring both together.

    Minimises half the weighted mean of (heights + motions m - those of the face's points)^2, plus
    the priors, for the heights (P,) of the paired points and what motions (P, 7) do to them.
    """
    count = basis.count
    # Of each pair, the root of its share: the product of a matrix with itself takes half the time.
    roots = np.sqrt(pairs.weights / max(pairs.weights.sum(), 1e-12)).astype(np.float32)[:, None]
    modes = _gathered(basis.flat, pairs.columns, pairs.shares * roots)
    above = heights - (pairs.shares * basis.mean.ravel()[pairs.columns]).sum(1)
    design = np.concatenate([modes, -motions.astype(np.float32) * roots], axis=1)
    held = ridge * np.broadcast_to(basis.prior, count)
    prior = np.concatenate([held, [_MOTION_RIDGE] * 6, [_SCALE_RIDGE]])
    low, high = (
        np.append(np.broadcast_to(limit, count), np.full(7, sign * np.inf))
        for limit, sign in ((basis.low, -1), (basis.high, 1))
    )
    cost = np.append(np.broadcast_to(basis.cost, count), np.zeros(7)) / UNIT_MM**2
    slope = cost - design.T @ (roots[:, 0] * above.astype(np.float32))
    hessian = design.T @ design + np.diag(prior)
    hessian[:count, :count] += basis.stiffness
    solution = bounded_minimum(hessian, slope, low, high)
    coefficients, (turn, shift, growth) = solution[:count], np.split(solution[count:], [3, 6])
    scale = float(np.exp(growth[0]))
    return coefficients, Similarity(scale, Rotation.from_rotvec(turn).as_matrix(), shift)


def _gathered(rows: np.ndarray, columns: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return sums (P, K) of rows (R, K) float32, those in columns (P, C), each by its share (P, C);
    SciPy's product of a sparse matrix takes three times as long."""
    index, table, weights = map(torch.from_numpy, (columns, rows, shares))
    summed = functional.embedding_bag(index, table, mode="sum", per_sample_weights=weights)
    gathered: np.ndarray = summed.numpy()
    return gathered


def bounded_minimum(
    hessian: np.ndarray, slope: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Return the x (N,) between low and high that minimises x' hessian x / 2 + slope' x.

    What has no limits follows linearly from what has, and is eliminated first; what has only one
    value left is no unknown.
    """
    held = low == high
    if held.any():
        x, free = low.copy(), ~held
        known = slope[free] + hessian[np.ix_(free, held)] @ low[held]
        x[free] = bounded_minimum(hessian[np.ix_(free, free)], known, low[free], high[free])
        return x
    bounded = np.isfinite(low) | np.isfinite(high)
    free, x = ~bounded, np.empty(len(slope))
    cross = hessian[np.ix_(free, bounded)]
    # All by NumPy: threads of its BLAS and of SciPy's, in turn, wait for each other.
    followed = np.linalg.solve(hessian[np.ix_(free, free)], np.column_stack([cross, slope[free]]))
    by_bounded, alone = followed[:, :-1], followed[:, -1]
    if bounded.any():
        root = np.linalg.cholesky(hessian[np.ix_(bounded, bounded)] - cross.T @ by_bounded)
        wanted = -np.linalg.solve(root, slope[bounded] - cross.T @ alone)
        x[bounded] = lsq_linear(root.T, wanted, (low[bounded], high[bounded]), method="bvls").x
    x[free] = -alone - by_bounded @ x[bounded]
    return x
