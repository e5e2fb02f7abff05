# SPDX-License-Identifier: GPL-3.0-or-later
"""Linear models give back the faces they span, with and without known correspondence."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from backend.errors import ScanError
from backend.face.linear_fit import LinearBasis
from backend.learn.baselines import (
    fit_known_correspondence,
    fit_scan_linearly,
    ict_basis,
    training_basis,
)
from backend.learn.cache import DatasetConfig
from backend.learn.ict import SKIN_PARTS, IctFaceKit
from backend.learn.ict_scans import draw_recipes
from backend.mesh import Mesh, triangulate
from backend.model.imface import UNIT_MM
from backend.scan.align import Similarity
from backend.scan.compare import compare_strict, front_surface

PEOPLE = DatasetConfig(identities=12, expressions=4)
#: Where a scan in mm truly stands, and a first pose as a search might find it.
TRUE_POSE = Similarity(1 / UNIT_MM, np.eye(3), np.zeros(3))
FIRST_POSE = Similarity(
    0.99 / UNIT_MM,
    Rotation.from_rotvec([0.02, -0.02, 0.01]).as_matrix(),
    np.array([0.02, -0.01, 0]),
)


@pytest.fixture(scope="module")
def basis(ict: IctFaceKit) -> LinearBasis:
    """Return the small ICT model as a basis."""
    return ict_basis(ict)


@pytest.fixture(scope="module")
def components(ict: IctFaceKit) -> LinearBasis:
    """Return the principal components of a small training set."""
    return training_basis(ict, PEOPLE, 256)


@pytest.fixture(scope="module")
def head(ict: IctFaceKit) -> np.ndarray:
    """Return a smiling head, model space."""
    smile = np.array([name.startswith("mouthSmile") for name in ict.expression_names])
    return ict.neutral(np.array([1.5, -1, 0.5, 1, -1, 0.5])) + ict.expression(0.7 * smile)


def _scan(ict: IctFaceKit, head: np.ndarray) -> Mesh:
    """Return the skin of a head as a scan in mm."""
    return Mesh(head * UNIT_MM, triangulate(ict.part_polygons(SKIN_PARTS)))


def _error_mm(fitted: Mesh, basis: LinearBasis, head: np.ndarray) -> float:
    return float(np.linalg.norm(fitted.vertices - head[basis.rows], axis=1).mean() * UNIT_MM)


def test_the_ict_basis_makes_ict_faces(ict: IctFaceKit, basis: LinearBasis) -> None:
    identity, weights = np.arange(6) / 5 - 0.5, np.arange(8) / 8
    wanted = ict.neutral(identity) + ict.expression(weights)
    made = basis.face(np.concatenate([identity, 2 * weights]))  # half a weight is one sigma
    np.testing.assert_allclose(made.vertices, wanted[basis.rows], atol=1e-6)
    assert made.triangles.max() == len(basis.rows) - 1
    face = triangulate(ict.part_polygons(("face",)))
    kept = {tuple(triangle) for triangle in basis.rows[basis.triangles]}
    nose = face[(face == ict.landmarks[30]).any(1)]
    assert {tuple(triangle) for triangle in nose} <= kept


def test_the_components_are_those_of_all_faces_written_down(
    ict: IctFaceKit, components: LinearBasis
) -> None:
    recipes = draw_recipes(PEOPLE, ict.expression_names, 6)
    faces = np.stack(
        [recipes.head(ict, p, e)[components.rows].ravel() for p in range(12) for e in range(4)]
    )
    np.testing.assert_allclose(components.mean.ravel(), faces.mean(0), atol=1e-6)
    _, values, axes = np.linalg.svd(faces - faces.mean(0), full_matrices=False)
    rank = 8
    modes = components.flat.T[:rank]
    wanted = axes[:rank] * values[:rank, None] / np.sqrt(len(faces))
    signs = np.sign((modes * wanted).sum(1, keepdims=True))
    np.testing.assert_allclose(modes * signs, wanted, atol=1e-5)


def test_no_more_components_than_asked_for(ict: IctFaceKit, components: LinearBasis) -> None:
    few = training_basis(ict, PEOPLE, components=3)
    np.testing.assert_allclose(few.modes, components.modes[..., :3], atol=1e-6)  # float32 products


@pytest.mark.parametrize("name", ["basis", "components"])
def test_known_vertices_give_a_linear_face_back(
    name: str, ict: IctFaceKit, head: np.ndarray, request: pytest.FixtureRequest
) -> None:
    model: LinearBasis = request.getfixturevalue(name)
    truth = head
    if name == "components":  # one of the faces that it is made of
        truth = draw_recipes(PEOPLE, ict.expression_names, 6).head(ict, 3, 2)
    assert _error_mm(fit_known_correspondence(model, truth), model, truth) < 0.05
    mean = Mesh(model.mean, model.triangles)
    assert _error_mm(mean, model, truth) > 1  # there was something to find
    assert _error_mm(fit_known_correspondence(model, truth, ridge=1e6), model, truth) == (
        pytest.approx(_error_mm(mean, model, truth), rel=1e-2)
    )


def test_closest_points_give_a_linear_face_back(
    ict: IctFaceKit, basis: LinearBasis, head: np.ndarray
) -> None:
    scan = _scan(ict, head)
    before = compare_strict(front_surface(scan, FIRST_POSE), Mesh(basis.mean, basis.triangles))
    fitted, pose = fit_scan_linearly(basis, scan, FIRST_POSE)
    figures = compare_strict(front_surface(scan, pose), fitted)
    assert before.chamfer_mm > 1
    assert figures.chamfer_mm < 0.04
    assert figures.f_score_1mm > 99
    there = pose.inverse().apply(fitted.vertices) / UNIT_MM
    assert _error_mm(Mesh(there, fitted.polygons), basis, head) < 0.18
    assert pose.scale * UNIT_MM == pytest.approx(1, abs=0.015)  # the modes give the size


def test_what_is_no_face_does_not_count(
    ict: IctFaceKit, basis: LinearBasis, head: np.ndarray
) -> None:
    """A collar in front of the chin."""
    scan = _scan(ict, head)
    collar = np.array([[-60.0, -70, 35], [60, -70, 35], [60, -50, 35], [-60, -50, 35]])
    first = len(scan.vertices)
    scan = Mesh(
        np.concatenate([scan.vertices, collar]),
        np.concatenate([scan.polygons, first + np.array([[0, 1, 2], [0, 2, 3]])]),
    )
    fitted, pose = fit_scan_linearly(basis, scan, FIRST_POSE)
    there = pose.inverse().apply(fitted.vertices) / UNIT_MM
    assert _error_mm(Mesh(there, fitted.polygons), basis, head) < 0.18


def test_the_true_pose_stays(ict: IctFaceKit, basis: LinearBasis) -> None:
    fitted, pose = fit_scan_linearly(basis, _scan(ict, ict.mean), TRUE_POSE)
    assert _error_mm(fitted, basis, ict.mean) < 0.1
    np.testing.assert_allclose(pose.matrix(), TRUE_POSE.matrix(), atol=1e-3)


def test_a_scan_elsewhere_is_refused(ict: IctFaceKit, basis: LinearBasis) -> None:
    away = Similarity(1 / UNIT_MM, np.eye(3), np.array([5.0, 0, 0]))
    with pytest.raises(ScanError, match="No surface lies where the face should be"):
        fit_scan_linearly(basis, _scan(ict, ict.mean), away)
