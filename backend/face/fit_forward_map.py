# SPDX-License-Identifier: GPL-3.0-or-later
"""The forward map fitted to a surface: where the search on the field starts from."""

from collections.abc import Sequence
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
from .linear_fit import (
    FROM_AFAR,
    FROM_NEAR,
    PARTS,
    ClosestPointsConfig,
    LinearBasis,
    fit_closest_points,
)

#: What an expression weight costs [mm^2]: without, neutral faces get many faint expressions.
_WEIGHT_COST = 5e-4
#: How strongly the weights of lids are held at 0, beside the others: for such a small place a
#: larger prior would never pay.
_LID_PRIOR = 0.03
#: Weights at which lids are tried.
_LID_WEIGHTS = np.linspace(0, 1, 11)
#: Shut lids must fit better than open ones by such a share: over a socket without an eyeball, the
#: points hardly tell.
_LID_GAIN = 0.13
#: The inner lips, upper and lower, that a shut mouth holds together (rows of landmarks).
_UPPER_LIP, _LOWER_LIP = [61, 62, 63], [67, 66, 65]
#: How strongly, beside the mean squared distance.
_LIP_STIFFNESS = 0.1
#: A shut mouth may fit worse than an open one by such a share: the points that tell are few.
_LIP_LOSS = 0.05
#: Points so near to the middle of lids judge them, and triangles so near are judged.
_NEIGHBOURHOOD_MM, _JUDGED_MM = 22.0, 30.0
#: Points so near to where lips meet judge them: the others would drown what these tell in noise.
_LINE_MM = 6.0
#: A point farther from the face than this counts as one this far.
_FAR_MM = 1.5
#: A vertex is covered if a point is this near.
_COVERED_MM = 5.0


class ForwardFit(NamedTuple):
    """The forward map fitted to a surface.

    Attributes
    ----------
    codes : ndarray (K,)
        Whitened identity, expression weights, residual.
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
        Drawn on the surface, in random order, model space but for a small motion.
    """
    basis, lids = forward_basis(model), _weights_called(model, "eyeBlink")
    prior, codes = np.ones(basis.count), np.zeros(basis.count)
    cost = np.where(np.isfinite(basis.low), _WEIGHT_COST, 0)
    prior[lids], cost[lids], codes[lids] = _LID_PRIOR, 0, 1
    basis = replace(basis, prior=prior, cost=cost)
    search = _Search(points, normals, {lid: _Place.of_motion(basis, lid) for lid in lids})
    # Else expressions stand for a person's thick lips, and the person never takes their place. But
    # no person is like a wide open mouth, nor is the way there short.
    weights = np.flatnonzero(np.isfinite(basis.low))
    held = np.setdiff1d(weights, _weights_called(model, "jawOpen")).tolist()
    found = search.with_lids(search.refit(basis, _Found(codes, IDENTITY), FROM_AFAR, held))
    template = require_head(model).template
    basis, found = _with_lips(search, basis, template.landmarks.cpu().numpy(), found)
    codes, pose = search.with_lids(search.refit(basis, found, FROM_NEAR, lids))
    skin = basis.rows < template.parts["face"][1]
    return ForwardFit(codes, pose, _coverage(basis.face(codes), skin, pose.apply(points)))


class _Found(NamedTuple):
    """Codes (K,) and the pose from the points' space to model space, so far."""

    codes: np.ndarray
    pose: Similarity


@dataclass(frozen=True)
class _Place:
    """A place on the face where small things are judged, as a linear model of its own."""

    basis: LinearBasis
    middle: np.ndarray

    @classmethod
    def of_motion(cls, basis: LinearBasis, mode: int) -> "_Place":
        """Cut out the surroundings of what a mode moves."""
        moved = np.linalg.norm(basis.modes[..., mode], axis=1)
        middle = np.average(basis.mean, axis=0, weights=moved)
        away = np.linalg.norm(basis.mean[basis.triangles].mean(1) - middle, axis=1)
        rows, triangles = np.unique(
            basis.triangles[away * UNIT_MM < _JUDGED_MM], return_inverse=True
        )
        cut = replace(
            basis,
            mean=basis.mean[rows],
            modes=basis.modes[rows],
            triangles=triangles.reshape(-1, 3),
            rows=basis.rows[rows],
        )
        return cls(cut, middle)

    def misfit(self, codes: np.ndarray, points: np.ndarray) -> float:
        """Return the mean distance [mm] of those of points (N, 3) that are here, each ``_FAR_MM``
        at most; 0 if none are."""
        here = np.linalg.norm(points - self.middle, axis=1) * UNIT_MM < _NEIGHBOURHOOD_MM
        return _mean_distance_mm(self.basis.face(codes), points[here])


@dataclass(frozen=True)
class _Search:
    """Fits a linear model to a surface's points and normals (N, 3), lids (by weight) included."""

    points: np.ndarray
    normals: np.ndarray
    lids: dict[int, _Place]

    def refit(
        self,
        basis: LinearBasis,
        found: _Found,
        config: ClosestPointsConfig,
        held: Sequence[int],
    ) -> _Found:
        """Return the codes and the pose of closest points, some held as they are at first."""
        placed = self._placed(found)
        codes, motion = fit_closest_points(basis, *placed, config, found.codes, held)
        return _Found(codes, motion.after(found.pose))

    def with_lids(self, found: _Found) -> _Found:
        """Return the same with each eye's lids as far shut as its points have it.

        Closest points do not find that: from open lids, the eyeballs take the points of shut ones.
        So they start from shut lids, and when the rest is fitted all their weights are tried.
        """
        codes, (points, _) = found.codes.copy(), self._placed(found)
        codes[list(self.lids)] = [
            _lid_weight(eye, lid, found.codes, points) for lid, eye in self.lids.items()
        ]
        return found._replace(codes=codes)

    def misfits(self, basis: LinearBasis, line: np.ndarray, tried: list[_Found]) -> list[float]:
        """Return the mean distance [mm] from each of what was tried, of the points that are near
        a line of vertices (L,) by any of it; 0 if none are."""
        shown = [(basis.face(found.codes), self._placed(found)[0]) for found in tried]
        away = [cKDTree(face.vertices[line]).query(points)[0] for face, points in shown]
        near = np.min(away, axis=0) * UNIT_MM < _LINE_MM
        return [_mean_distance_mm(face, points[near]) for face, points in shown]

    def _placed(self, found: _Found) -> tuple[np.ndarray, np.ndarray]:
        return found.pose.apply(self.points), self.normals @ found.pose.rotation.T


def _mean_distance_mm(face: Mesh, points: np.ndarray) -> float:
    """Return the mean distance [mm] of points (N, 3) from a face, each ``_FAR_MM`` at most; 0 if
    there are none."""
    if len(points) == 0:
        return 0.0
    nearest = NearestTriangle(face, cover=0)
    return float(np.minimum(nearest(points)[2] * UNIT_MM, _FAR_MM).mean())


def _lid_weight(eye: _Place, lid: int, codes: np.ndarray, points: np.ndarray) -> float:
    """Return the weight with which points (N, 3) fit best, the other codes (K,) as they are; 0,
    the first, if none of them show the eye."""
    unit = np.arange(len(codes)) == lid
    misfits = np.array([eye.misfit(np.where(unit, w, codes), points) for w in _LID_WEIGHTS])
    misfits *= 1 + _LID_GAIN * _LID_WEIGHTS
    best = int(misfits.argmin())
    if not 0 < best < len(misfits) - 1:
        return float(_LID_WEIGHTS[best])
    before, least, after = misfits[best - 1 : best + 2]
    step, curvature = _LID_WEIGHTS[1] - _LID_WEIGHTS[0], before - 2 * least + after
    return float(_LID_WEIGHTS[best] + step * (before - after) / (2 * max(curvature, 1e-9)))


def _with_lips(
    search: _Search, basis: LinearBasis, landmarks: np.ndarray, found: _Found
) -> tuple[LinearBasis, _Found]:
    """Refit with the mouth as it comes, and with lips that no expression parts; return what fits
    better, and the model that it was fitted with.

    Closest points do not see that lips touch: rather than that they meet, an upper lip takes
    points of the lower one.
    """
    upper, lower = (np.searchsorted(basis.rows, landmarks[x]) for x in (_UPPER_LIP, _LOWER_LIP))
    apart = (basis.modes[upper] - basis.modes[lower]).reshape(-1, basis.count)
    apart = np.where(np.isfinite(basis.low), apart, 0)
    shut = replace(basis, stiffness=_LIP_STIFFNESS * apart.T @ apart / len(upper))
    lids, line = list(search.lids), np.append(upper, lower)
    tried = [(model, search.refit(model, found, FROM_NEAR, lids)) for model in (basis, shut)]
    as_it_comes, as_shut = search.misfits(basis, line, [found for _, found in tried])
    return tried[as_shut < (1 + _LIP_LOSS) * as_it_comes]


def forward_basis(model: FaceModel) -> LinearBasis:
    """Return the forward map of the face over (whitened identity, expression weights, residual)."""
    head = require_head(model)
    forward = head.forward_map
    triangles = triangulate(head.template.part_polygons(PARTS))
    rows, compact = np.unique(triangles, return_inverse=True)
    by_identity = model.identity_prior.factor.T @ forward.identity_linear
    by_weight = model.expression_directions @ forward.expression_linear
    modes = [
        torch.tensordot(basis[:, rows].float(), linear, dims=([0], [1]))
        for linear, basis in (
            (by_identity, forward.identity_basis),
            (by_weight, forward.expression_basis),
            (forward.residual_scale.diag(), forward.residual_basis),
        )
    ]
    people, count = len(by_identity), sum(part.shape[-1] for part in modes)
    low, high = np.full(count, -np.inf), np.full(count, np.inf)
    weights = slice(people, people + len(by_weight))
    low[weights], high[weights] = 0, 1
    return LinearBasis(
        mean=forward.neutral(model.identity_prior.mean)[rows].cpu().double().numpy(),
        modes=torch.cat(modes, dim=-1).cpu().numpy(),
        triangles=compact.reshape(-1, 3),
        rows=rows,
        low=low,
        high=high,
    )


def _weights_called(model: FaceModel, start: str) -> list[int]:
    """Return which of the codes are the weights of expressions whose names start so."""
    names = enumerate(model.expression_names, len(model.identity_prior.mean))
    return [row for row, name in names if name.startswith(start)]


def _coverage(face: Mesh, skin: np.ndarray, points: np.ndarray) -> float:
    """Return the share of a face's skin (V,), as the front sees it, near which there are points."""
    normals = vertex_normals(face.vertices, face.polygons)
    seen = visible_from_front(face.vertices, normals, depth_map(face.vertices, face.polygons))
    vertices = face.vertices[seen & skin & inside(face.vertices)]
    distance, _ = cKDTree(points).query(vertices)
    return float((distance * UNIT_MM < _COVERED_MM).mean())
