# SPDX-License-Identifier: GPL-3.0-or-later
"""Linear face models beside ours: the ICT model itself, and a PCA of our training set."""

from dataclasses import replace

import numpy as np

from ..face.linear_fit import FROM_AFAR, FROM_NEAR, PARTS, LinearBasis, fit_closest_points
from ..mesh import Mesh, triangulate
from ..model.imface import UNIT_MM
from ..scan.align import Similarity
from ..scan.compare import front_surface
from .cache import DatasetConfig
from .ict import NOSE_TIP, IctFaceKit
from .ict_scans import Recipes, draw_recipes

#: Vertices of the mean face beyond this radius [model units] are left out.
_REACH = 1.2
#: Points drawn on a scan's visible face.
_POINTS = 10_000
#: An expression weight lies in [0, 1]; as a Gaussian it has about this standard deviation.
_EXPRESSION_SIGMA = 0.5


def ict_basis(ict: IctFaceKit) -> LinearBasis:
    """Return the ICT model itself: every identity and expression mode.

    Identity modes leave the nose tip in its place, as in ``IctFaceKit.neutral``.
    """
    part, rows = _only_face(ict)
    tip = part.landmarks[NOSE_TIP]
    identity = part.identity_modes - part.identity_modes[:, tip, None]
    modes = np.concatenate([identity, _EXPRESSION_SIGMA * part.expression_modes])
    return LinearBasis(part.mean, _side_by_side(modes), part.polygons, rows)


def training_basis(ict: IctFaceKit, people: DatasetConfig, components: int) -> LinearBasis:
    """Return the principal components of all faces of a training set, neutral and expressed.

    Parameters
    ----------
    people : DatasetConfig
        The training set, drawn as for training.
    components : int
        At most so many.

    Notes
    -----
    X, a row per face, need not be written down. A face is its person's neutral one plus
    expression modes: X = S B, with few rows in B. With the covariance of S as F F', that of X is
    A'A, A = F'B; and with U the eigenvectors of the small AA', the modes, scaled to one standard
    deviation, are the rows of U'A. This is exact.
    """
    part, rows = _only_face(ict)
    recipes = draw_recipes(people, part.expression_names, len(part.identity_modes))
    count = len(recipes.identity)
    neutral = [np.float32(recipes.neutral(part, person) - part.mean) for person in range(count)]
    span = np.concatenate([np.stack(neutral), part.expression_modes]).reshape(-1, part.mean.size)
    shares = _shares(recipes)
    values, axes = np.linalg.eigh(np.cov(shares.T, bias=True))
    factor = axes * np.sqrt(np.maximum(values, 0))
    spread = np.float32(factor.T) @ span
    _, axes = np.linalg.eigh(np.float64(spread @ spread.T))
    modes = np.float32(axes[:, ::-1][:, :components].T) @ spread
    mean = part.mean + (np.float32(shares.mean(0)) @ span).reshape(-1, 3)
    modes = _side_by_side(modes.reshape(-1, *part.mean.shape))
    return LinearBasis(mean, modes, part.polygons, rows)


def _side_by_side(modes: np.ndarray) -> np.ndarray:
    """Return modes (K, V, 3) as a linear basis has them, (V, 3, K)."""
    return np.ascontiguousarray(np.moveaxis(modes, 0, -1))


def _shares(recipes: Recipes) -> np.ndarray:
    """Return how faces (S, I + 53) are made of neutral ones (first I) and expression modes."""
    people, states, shapes = recipes.expression.shape
    person = np.repeat(np.eye(people), states, axis=0)
    return np.concatenate([person, recipes.expression.reshape(-1, shapes)], axis=1)


def _only_face(ict: IctFaceKit) -> tuple[IctFaceKit, np.ndarray]:
    """Return the model without what is no part of the face, its polygons triangles, and which
    vertices are left."""
    triangles = triangulate(ict.part_polygons(PARTS))
    near = np.linalg.norm(ict.mean, axis=1) < _REACH
    triangles = triangles[near[triangles].all(1)]
    rows = np.unique(triangles)
    place = np.full(len(ict.mean), -1)
    place[rows] = np.arange(len(rows))
    left = replace(
        ict,
        mean=ict.mean[rows],
        identity_modes=ict.identity_modes[:, rows],
        expression_modes=ict.expression_modes[:, rows],
        polygons=place[triangles],
        landmarks=place[ict.landmarks],
    )
    return left, rows


def fit_known_correspondence(basis: LinearBasis, head: np.ndarray, ridge: float = 1e-6) -> Mesh:
    """Fit a linear model to a face whose every vertex is known, which no scan gives.

    It bounds the vertices' error. The surface's can be smaller where vertices may slide on it, as
    they may in ``fit_closest_points``.

    Parameters
    ----------
    head : ndarray (26719, 3)
        On the ICT topology, model space.
    ridge : float
        Weight of the prior [mm^2] beside the mean squared distance.
    """
    offset = (head[basis.rows] - basis.mean).ravel() * UNIT_MM
    modes = basis.flat.astype(np.float64) * UNIT_MM
    normal = modes.T @ modes / len(basis.rows) + ridge * np.eye(basis.count)
    return basis.face(np.linalg.solve(normal, modes.T @ offset / len(basis.rows)))


def fit_scan_linearly(basis: LinearBasis, scan: Mesh, pose: Similarity) -> tuple[Mesh, Similarity]:
    """Fit a linear model, and a correction of the pose, to a scan's visible face, as long and as
    finely as our own linear map is fitted.

    Parameters
    ----------
    scan : Mesh
        Scan space.
    pose : Similarity
        Scan space -> model space, from ``find_pose``.

    Returns
    -------
    fitted : Mesh
        Model space.
    pose : Similarity
        Scan space -> model space.

    Raises
    ------
    ScanError
        If the scan has no surface in the face region.
    """
    points, normals = front_surface(scan, pose).sample(_POINTS)
    order = np.random.default_rng(0).permutation(len(points))
    points, normals = points[order], normals[order]
    found, motion = fit_closest_points(basis, points, normals, FROM_AFAR)
    points, normals = motion.apply(points), normals @ motion.rotation.T
    found, again = fit_closest_points(basis, points, normals, FROM_NEAR, found)
    return basis.face(found), again.after(motion.after(pose))
