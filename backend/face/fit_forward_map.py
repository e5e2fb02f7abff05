# SPDX-License-Identifier: GPL-3.0-or-later
"""The forward map fitted to a surface: where the search on the field starts from."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial import cKDTree

from ..checkpoint import FaceModel
from ..mesh import Mesh, triangulate, vertex_normals
from ..model.imface import UNIT_MM
from ..scan.align import IDENTITY, Similarity
from ..scan.compare import inside
from ..scan.sampling import NearestTriangle
from ..scan.watertight import depth_map, visible_from_front
from .correspondence import require_head
from .linear_fit import PARTS, ClosestPointsConfig, LinearBasis, fit_closest_points

_FIRST = ClosestPointsConfig(rounds=10, last_mm=3, last_ridge=3e-4)
#: From a face that is nearly right. A vertex's place along the surface follows from small misfits
#: all around it: pairs that are no true ones, and a prior as strong as they are, would tell more.
_AGAIN = ClosestPointsConfig(rounds=5, first_mm=1.5, last_mm=0.5, first_ridge=3e-4, last_ridge=3e-5)
#: What an expression weight costs [mm^2]. Less tells expressive faces better, but neutral ones get
#: many faint expressions, and closed mouths open: closest points do not see that lips touch.
_WEIGHT_COST = 1.5e-3
#: How often lids and the rest are searched in turn.
_TURNS = 2
#: How strongly the weights of lids are held at 0, beside the others: for such a small place a
#: larger prior would never pay.
_LID_PRIOR = 0.03
#: Weights at which lids are tried.
_LID_WEIGHTS = np.linspace(0, 1, 11)
#: Shut lids must fit better than open ones by such a share: over a socket without an eyeball, the
#: points hardly tell.
_GAIN = 0.13
#: Points so near to the middle of lids judge them, and triangles so near are judged.
_NEIGHBOURHOOD_MM, _JUDGED_MM = 22.0, 30.0
#: A point farther from the face than this counts as one this far.
_FAR_MM = 1.5
#: Samples of an eye's surroundings by which nearest triangles are found.
_COVER = 6000
#: A vertex is covered if a point is this near.
_COVERED_MM = 5.0


class ForwardFit(NamedTuple):
    """The forward map fitted to a surface.

    Attributes
    ----------
    codes : ndarray (K,)
        Whitened identity, expression weights.
    pose : Similarity
        The points' space -> model space.
    coverage : float
        Share of the face, as the front sees it, near which there are points.
    """

    codes: np.ndarray
    pose: Similarity
    coverage: float


def fit_forward_map(model: FaceModel, points: np.ndarray, normals: np.ndarray) -> ForwardFit:
    """Fit the forward map, and a correction of the pose, to a surface.

    Parameters
    ----------
    model : FaceModel
        With a head.
    points, normals : ndarray (N, 3)
        Drawn on the surface, model space but for a small motion.
    """
    basis, lids = forward_basis(model), _lid_weights(model)
    codes, pose = _fit_with_lids(basis, lids, points, normals)
    skin = basis.rows < require_head(model).template.parts["face"][1]
    return ForwardFit(codes, pose, _coverage(basis.face(codes), skin, pose.apply(points)))


def _fit_with_lids(
    basis: LinearBasis, lids: list[int], points: np.ndarray, normals: np.ndarray
) -> tuple[np.ndarray, Similarity]:
    """Return codes and pose, each eye's lids as far shut as its points have it.

    Closest points do not find that: from open lids, the eyeballs take the points of shut ones. So
    it starts from shut lids, and all their weights are tried in turn with fits of the rest.
    """
    prior, codes = np.ones(len(basis.modes)), np.zeros(len(basis.modes))
    cost = np.where(np.isfinite(basis.low), _WEIGHT_COST, 0)
    prior[lids], cost[lids], codes[lids] = _LID_PRIOR, 0, 1
    basis, pose = replace(basis, prior=prior, cost=cost), IDENTITY
    eyes = [_Lids.of(basis, lid) for lid in lids]
    for config in (_FIRST, *[_AGAIN] * _TURNS):
        placed = pose.apply(points), normals @ pose.rotation.T
        codes, motion = fit_closest_points(basis, *placed, config, codes, lids)
        pose = motion.after(pose)
        codes[lids] = [eye.weight(codes, pose.apply(points)) for eye in eyes]
    return codes, pose


@dataclass(frozen=True)
class _Lids:
    """The surroundings of one eye's lids, as a linear model of their own."""

    basis: LinearBasis
    lid: int
    middle: np.ndarray

    @classmethod
    def of(cls, basis: LinearBasis, lid: int) -> "_Lids":
        """Cut out the surroundings of what a weight moves."""
        moved = np.linalg.norm(basis.modes[lid], axis=1)
        middle = np.average(basis.mean, axis=0, weights=moved)
        away = np.linalg.norm(basis.mean[basis.triangles].mean(1) - middle, axis=1)
        rows, triangles = np.unique(
            basis.triangles[away * UNIT_MM < _JUDGED_MM], return_inverse=True
        )
        cut = replace(
            basis,
            mean=basis.mean[rows],
            modes=basis.modes[:, rows],
            triangles=triangles.reshape(-1, 3),
            rows=basis.rows[rows],
        )
        return cls(cut, lid, middle)

    def weight(self, codes: np.ndarray, points: np.ndarray) -> float:
        """Return the weight with which points (N, 3) fit best, the other codes (K,) as they are."""
        near = points[np.linalg.norm(points - self.middle, axis=1) * UNIT_MM < _NEIGHBOURHOOD_MM]
        if not len(near):
            return 0.0
        misfits = self._misfits(codes, near)
        best = int(misfits.argmin())
        if not 0 < best < len(misfits) - 1:
            return float(_LID_WEIGHTS[best])
        before, least, after = misfits[best - 1 : best + 2]
        step, curvature = _LID_WEIGHTS[1] - _LID_WEIGHTS[0], before - 2 * least + after
        return float(_LID_WEIGHTS[best] + step * (before - after) / (2 * max(curvature, 1e-9)))

    def _misfits(self, codes: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Return for each of ``_LID_WEIGHTS`` the mean distance of points (N, 3) from the face,
        each ``_FAR_MM`` at most and dearer for shut lids."""
        face, mode = self.basis.face(codes), self.basis.modes[self.lid]
        misfits = []
        for weight in _LID_WEIGHTS:
            vertices = face.vertices + (weight - codes[self.lid]) * mode
            nearest = NearestTriangle(Mesh(vertices, face.polygons), cover=_COVER)
            misfits.append(np.minimum(nearest(points)[2] * UNIT_MM, _FAR_MM).mean())
        return np.array(misfits) * (1 + _GAIN * _LID_WEIGHTS)


def forward_basis(model: FaceModel) -> LinearBasis:
    """Return the forward map of the face over (whitened identity, expression weights)."""
    head = require_head(model)
    forward = head.forward_map
    triangles = triangulate(head.template.part_polygons(PARTS))
    rows, compact = np.unique(triangles, return_inverse=True)
    by_identity = model.identity_prior.factor.T @ forward.identity_linear
    by_weight = model.expression_directions @ forward.expression_linear
    modes = [
        torch.tensordot(linear, basis[:, rows].float(), 1)
        for linear, basis in (
            (by_identity, forward.identity_basis),
            (by_weight, forward.expression_basis),
        )
    ]
    low, high = np.full(sum(map(len, modes)), -np.inf), np.full(sum(map(len, modes)), np.inf)
    low[len(by_identity) :], high[len(by_identity) :] = 0, 1
    return LinearBasis(
        mean=forward(model.identity_prior.mean, None)[rows].cpu().double().numpy(),
        modes=torch.cat(modes).cpu().numpy(),
        triangles=compact.reshape(-1, 3),
        rows=rows,
        low=low,
        high=high,
    )


def _lid_weights(model: FaceModel) -> list[int]:
    """Return which of the codes are the weights that shut the lids."""
    names = enumerate(model.expression_names, len(model.identity_prior.mean))
    return [row for row, name in names if name.startswith("eyeBlink")]


def _coverage(face: Mesh, skin: np.ndarray, points: np.ndarray) -> float:
    """Return the share of a face's skin (V,), as the front sees it, near which there are points."""
    normals = vertex_normals(face.vertices, face.polygons)
    seen = visible_from_front(face.vertices, normals, depth_map(face.vertices, face.polygons))
    vertices = face.vertices[seen & skin & inside(face.vertices)]
    distance, _ = cKDTree(points).query(vertices)
    return float((distance * UNIT_MM < _COVERED_MM).mean())
