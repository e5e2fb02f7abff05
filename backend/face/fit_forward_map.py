# SPDX-License-Identifier: GPL-3.0-or-later
"""The forward map fitted to a surface: where the search on the field starts from."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial import cKDTree

from ..checkpoint import FaceModel
from ..mesh import Mesh, triangulate, vertex_normals
from ..model.imface import UNIT_MM
from ..scan.align import Similarity
from ..scan.compare import inside
from ..scan.sampling import NearestTriangle
from ..scan.watertight import depth_map, visible_from_front
from .correspondence import require_head
from .linear_fit import PARTS, ClosestPointsConfig, LinearBasis, fit_closest_points

_OPEN = ClosestPointsConfig(rounds=10, last_ridge=1e-3)
#: From a face that is nearly right.
_SHUT = ClosestPointsConfig(rounds=6, first_mm=7, first_ridge=0.03, last_ridge=1e-3)
#: How strongly the weights of lids are held at 0, beside the others: of open ones, which would sag
#: into sockets without an eyeball; of shut ones, for which such a small place would not pay.
_OPEN_PRIOR, _SHUT_PRIOR = 10.0, 0.03
#: Lids are shut if points in their neighbourhood are by so much nearer to the face then.
_GAIN = 0.1
_NEIGHBOURHOOD_MM = 22.0
#: A point farther from the face than this counts as one this far.
_FAR_MM = 1.5
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
    basis, lids = forward_basis(model), lid_weights(model)
    codes, pose = _fit_either_lids(basis, lids, points, normals)
    skin = basis.rows < require_head(model).template.parts["face"][1]
    return ForwardFit(codes, pose, _coverage(basis.face(codes), skin, pose.apply(points)))


def _fit_either_lids(
    basis: LinearBasis, lids: list[int], points: np.ndarray, normals: np.ndarray
) -> tuple[np.ndarray, Similarity]:
    """Return codes and pose, each eye's lids open or shut as its points have it.

    From open lids shut ones are not found, since the eyeballs take their points, and from shut
    ones not always open ones. So both are tried.
    """
    open_prior = np.ones(len(basis.modes))
    open_prior[lids] = _OPEN_PRIOR
    codes, pose = fit_closest_points(replace(basis, prior=open_prior), points, normals, _OPEN)
    placed = pose.apply(points), normals @ pose.rotation.T

    def with_shut(some: list[int]) -> tuple[np.ndarray, Similarity]:
        start, prior = codes.copy(), open_prior.copy()
        start[some], prior[some] = 1, _SHUT_PRIOR
        return fit_closest_points(replace(basis, prior=prior), *placed, _SHUT, start, some)

    shut_codes, motion = with_shut(lids)
    open_face, shut_face = (NearestTriangle(basis.face(found)) for found in (codes, shut_codes))
    shut = []
    for lid in lids:
        near = placed[0][_near(basis, lid, placed[0])]
        if _misfit(shut_face, motion.apply(near)) < (1 - _GAIN) * _misfit(open_face, near):
            shut.append(lid)
    if not shut:
        return codes, pose
    if shut != lids:
        shut_codes, motion = with_shut(shut)
    return shut_codes, motion.after(pose)


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


def lid_weights(model: FaceModel) -> list[int]:
    """Return which of the codes are the weights that shut the lids."""
    names = enumerate(model.expression_names, len(model.identity_prior.mean))
    return [row for row, name in names if name.startswith("eyeBlink")]


def _near(basis: LinearBasis, lid: int, points: np.ndarray) -> np.ndarray:
    """Return which points (N, 3) are in a lid's neighbourhood: (N,) bool."""
    moved = np.linalg.norm(basis.modes[lid], axis=1)
    middle = np.average(basis.mean, axis=0, weights=moved)
    return np.linalg.norm(points - middle, axis=1) * UNIT_MM < _NEIGHBOURHOOD_MM


def _misfit(face: NearestTriangle, points: np.ndarray) -> float:
    """Return the sum of the distances of points (N, 3) from a face, each ``_FAR_MM`` at most."""
    _, _, distance = face(points)
    return float(np.minimum(distance * UNIT_MM, _FAR_MM).sum())


def _coverage(face: Mesh, skin: np.ndarray, points: np.ndarray) -> float:
    """Return the share of a face's skin (V,), as the front sees it, near which there are points."""
    normals = vertex_normals(face.vertices, face.polygons)
    seen = visible_from_front(face.vertices, normals, depth_map(face.vertices, face.polygons))
    vertices = face.vertices[seen & skin & inside(face.vertices)]
    distance, _ = cKDTree(points).query(vertices)
    return float((distance * UNIT_MM < _COVERED_MM).mean())
