# SPDX-License-Identifier: GPL-3.0-or-later
"""Linear face models beside ours: the ICT model itself, and a PCA of our training set."""

from dataclasses import dataclass, replace

import numpy as np
import trimesh
from scipy.sparse import csr_matrix
from scipy.spatial.transform import Rotation

from ..mesh import Mesh, triangulate
from ..model.imface import UNIT_MM
from ..scan.align import Similarity
from ..scan.sampling import NearestTriangle
from .cache import DatasetConfig
from .ict import NOSE_TIP, IctFaceKit
from .ict_scans import Recipes, draw_recipes
from .metrics import front_surface

#: What the linear models consist of; the eyeballs fill the face's eye openings.
PARTS = ("face", "eyeball_left", "eyeball_right")
#: As many numbers as our identity and expression codes have together.
COMPONENTS = 256
#: Vertices of the mean face beyond this radius [model units] are left out.
_REACH = 1.2
#: Samples of the model by which its nearest triangles are found.
_COVER = 20_000
#: Paired surfaces have normals whose cosine is larger than this.
_ALIKE = 0.5
#: Weight [model units^2] that holds the scale: it can do what the modes of size can, and a scan
#: that shrinks out of its pairs' reach pulls the face after it.
_SCALE_RIDGE = 0.05
#: Keeps rotation and translation solvable.
_MOTION_RIDGE = 1e-9
#: An expression weight lies in [0, 1]; as a Gaussian it has about this standard deviation.
_EXPRESSION_SIGMA = 0.5


@dataclass(frozen=True)
class LinearBasis:
    """A linear face model: vertices = mean + sum of c_k modes_k, each c_k about N(0, 1).

    Attributes
    ----------
    mean : ndarray (V, 3)
        Model space.
    modes : ndarray (K, V, 3) float32
        Offsets [model units] of one standard deviation.
    triangles : ndarray (T, 3) int
    rows : ndarray (V,) int
        Where its vertices stand in the ICT topology.
    """

    mean: np.ndarray
    modes: np.ndarray
    triangles: np.ndarray
    rows: np.ndarray

    def face(self, coefficients: np.ndarray) -> Mesh:
        """Return the face (V, 3) that coefficients (K,) stand for."""
        offset = np.tensordot(np.float32(coefficients), self.modes, 1)
        return Mesh(self.mean + offset, self.triangles)


@dataclass(frozen=True)
class ClosestPointsConfig:
    """How a linear model is fitted to a scan without correspondence."""

    rounds: int = 15  #: of closest points and least squares
    points: int = 10_000  #: drawn on the scan's visible face
    first_mm: float = 10.0  #: pairs farther apart do not count, in the first round
    last_mm: float = 5.0  #: and in the last
    first_ridge: float = 1.0  #: weight of the prior [mm^2], in the first round
    last_ridge: float = 1e-4  #: and in the last


def ict_basis(ict: IctFaceKit) -> LinearBasis:
    """Return the ICT model itself: every identity and expression mode.

    Identity modes leave the nose tip in its place, as in ``IctFaceKit.neutral``.
    """
    part, rows = _only_face(ict)
    tip = part.landmarks[NOSE_TIP]
    identity = part.identity_modes - part.identity_modes[:, tip, None]
    modes = np.concatenate([identity, _EXPRESSION_SIGMA * part.expression_modes])
    return LinearBasis(part.mean, modes, part.polygons, rows)


def training_basis(
    ict: IctFaceKit, people: DatasetConfig, components: int = COMPONENTS
) -> LinearBasis:
    """Return the principal components of all faces of a training set, neutral and expressed.

    Parameters
    ----------
    people : DatasetConfig
        The training set, drawn as for training.

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
    return LinearBasis(mean, modes.reshape(-1, *part.mean.shape), part.polygons, rows)


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
    modes = basis.modes.reshape(len(basis.modes), -1).astype(np.float64) * UNIT_MM
    normal = modes @ modes.T / len(basis.rows) + ridge * np.eye(len(modes))
    return basis.face(np.linalg.solve(normal, modes @ offset / len(basis.rows)))


def fit_closest_points(
    basis: LinearBasis,
    scan: Mesh,
    pose: Similarity,
    config: ClosestPointsConfig = ClosestPointsConfig(),
) -> tuple[Mesh, Similarity]:
    """Fit a linear model, and a correction of the pose, to a scan's visible face.

    Points of the scan are paired with the nearest points of the model, then coefficients and
    pose are solved for together (point-to-plane, Tukey's weights, Gaussian prior), and so on;
    the prior weakens from round to round.

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
    points, normals = front_surface(scan, pose).sample(config.points)
    flat = np.ascontiguousarray(basis.modes.reshape(len(basis.modes), -1).T)
    face = basis.face(np.zeros(len(basis.modes)))
    for share in np.linspace(0, 1, config.rounds):
        limit = config.first_mm ** (1 - share) * config.last_mm**share
        ridge = config.first_ridge ** (1 - share) * config.last_ridge**share
        pick, weights = _pairs(face, points, normals, limit)
        coefficients, motion = _solve(
            pick @ flat,
            _motions(points, normals),
            (points * normals).sum(1) - pick @ basis.mean.ravel(),
            weights,
            ridge / UNIT_MM**2,
        )
        face = basis.face(coefficients)
        points, normals = motion.apply(points), normals @ motion.rotation.T
        pose = motion.after(pose)
    return face, pose


def _pairs(
    face: Mesh, points: np.ndarray, normals: np.ndarray, limit_mm: float
) -> tuple[csr_matrix, np.ndarray]:
    """Pair points (N, 3) with the nearest ones of a face.

    Returns
    -------
    pick : csr_matrix (N, 3 V)
        Takes flattened vertices to the nearest points' heights along the normals.
    weights : ndarray (N,)
        Tukey's; 0 beyond the limit, and where the surfaces do not face the same way.
    """
    nearest = NearestTriangle(face, cover=_COVER)
    triangle, closest, distance = nearest(points)
    corners = face.polygons[triangle]
    bary = trimesh.triangles.points_to_barycentric(face.vertices[corners], closest)
    alike = np.abs((normals * nearest.normals[triangle]).sum(1)) > _ALIKE
    weights = alike * np.maximum(1 - (distance * UNIT_MM / limit_mm) ** 2, 0) ** 2
    columns = (3 * corners[:, :, None] + np.arange(3)).reshape(len(points), 9)
    values = (bary[:, :, None] * normals[:, None]).reshape(len(points), 9)
    starts = np.arange(len(points) + 1) * 9
    shape = (len(points), face.vertices.size)
    return csr_matrix((values.ravel(), columns.ravel(), starts), shape), weights


def _motions(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Return how fast points (N, 3) move along their normals as they are turned about each axis,
    moved along each, and scaled: (N, 7)."""
    growth = (points * normals).sum(1, keepdims=True)
    return np.concatenate([np.cross(points, normals), normals, growth], axis=1)


def _solve(
    modes: np.ndarray, motions: np.ndarray, heights: np.ndarray, weights: np.ndarray, ridge: float
) -> tuple[np.ndarray, Similarity]:
    """Return the coefficients (K,) and the small motion of the scan that bring both together.

    Minimises the weighted mean of (heights + motions m - modes c)^2, plus the priors.
    """
    count = modes.shape[1]
    design = np.concatenate([modes, -motions], axis=1)
    weighted = design * (weights / weights.sum())[:, None]
    prior = np.array([ridge] * count + [_MOTION_RIDGE] * 6 + [_SCALE_RIDGE])
    solution = np.linalg.solve(weighted.T @ design + np.diag(prior), weighted.T @ heights)
    coefficients, (turn, shift, growth) = solution[:count], np.split(solution[count:], [3, 6])
    scale = float(np.exp(growth[0]))
    return coefficients, Similarity(scale, Rotation.from_rotvec(turn).as_matrix(), shift)
