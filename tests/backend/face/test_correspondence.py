# SPDX-License-Identifier: GPL-3.0-or-later
"""The fixed topology: on the zero level set, confirmed by the inverse warp; lips and lids move."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from backend.checkpoint import FaceModel
from backend.codes import Codes
from backend.errors import BackendError
from backend.face import correspondence
from backend.face.correspondence import (
    InverseWarp,
    TemplateMesh,
    check_against_warp,
    invert_warp,
    propose,
    require_head,
    template_mesh,
)
from backend.face.generate import face_of, generate
from backend.face.skin import adjacency, skin, skin_scouts
from backend.mesh import triangle_normals, triangulate, vertex_normals
from backend.model.imface import UNIT_MM, Face, query_sdf

SEED = 1
UPPER_LIP, LOWER_LIP = [61, 62, 63], [67, 66, 65]
UPPER_LIDS, LOWER_LIDS = [37, 38, 43, 44], [41, 40, 47, 46]

FaceAndMesh = tuple[Face, TemplateMesh]


def _made(bundled: FaceModel, **expressions: float) -> FaceAndMesh:
    codes = generate(bundled, SEED, expressions=expressions)
    return face_of(bundled, codes), template_mesh(bundled, codes)


@pytest.fixture(scope="module")
def neutral(bundled: FaceModel) -> FaceAndMesh:
    """Return a random person's neutral face."""
    return _made(bundled)


@pytest.fixture(scope="module")
def open_mouth(bundled: FaceModel) -> FaceAndMesh:
    """Return the same person with the jaw open."""
    return _made(bundled, jawOpen=1.0)


def _gap_mm(bundled: FaceModel, mesh: TemplateMesh, upper: list[int], lower: list[int]) -> float:
    """Return the mean distance [mm] between two rows of landmarks."""
    marks = mesh.vertices[require_head(bundled).template.landmarks.numpy()]
    return float(np.linalg.norm(marks[upper] - marks[lower], axis=1).mean() * UNIT_MM)


def _sdf_mm(face: Face, mesh: TemplateMesh) -> np.ndarray:
    """Return the field at the vertices that the field leads."""
    sdf = query_sdf(face, torch.from_numpy(mesh.vertices[mesh.snapped]).float())
    return np.asarray(sdf) * UNIT_MM


@pytest.mark.parametrize("which", ["neutral", "open_mouth"])
def test_snapped_vertices_lie_on_the_zero_level_set(
    request: pytest.FixtureRequest, bundled: FaceModel, which: str
) -> None:
    face, mesh = request.getfixturevalue(which)
    assert np.abs(_sdf_mm(face, mesh)).max() < 0.05
    assert mesh.snapped[:6706].mean() > 0.35  # all but lips, lids, nostrils and the rim
    assert not mesh.snapped[require_head(bundled).template.parts["face"][1] :].any()


def test_the_head_has_the_templates_shape(bundled: FaceModel, neutral: FaceAndMesh) -> None:
    template = require_head(bundled).template
    vertices = neutral[1].vertices
    assert vertices.shape == tuple(template.vertices.shape) == (26719, 3)
    assert np.isfinite(vertices).all()
    off_mm = np.linalg.norm(vertices - template.vertices.numpy(), axis=1) * UNIT_MM
    assert 0.5 < off_mm.mean() < 15  # another person, but a person
    assert off_mm.max() < 60


def test_scouts_lead_the_skin(bundled: FaceModel, monkeypatch: pytest.MonkeyPatch) -> None:
    template = require_head(bundled).template
    lead, rows = skin_scouts(template), skin(template)
    np.testing.assert_allclose(lead.sum(axis=1), 1)
    scouts = np.flatnonzero(lead.diagonal())
    np.testing.assert_allclose(lead[scouts].toarray(), np.eye(len(rows))[scouts], atol=1e-6)
    assert lead[:, scouts].nnz == lead.nnz
    assert adjacency(template)[rows[scouts]][:, rows[scouts]].nnz == 0
    asked = []

    def counted(face: Face, points: torch.Tensor) -> torch.Tensor:
        asked.append(len(points))
        return query_sdf(face, points)

    monkeypatch.setattr(correspondence, "query_sdf", counted)
    _made(bundled)
    assert asked[0] <= len(scouts) < 0.3 * len(rows)
    assert sum(asked) < 1.2 * len(rows)  # 1.35 if all are asked at once


def test_a_scans_surface_moves_vertices_off_their_places_only_as_far_as_it_must(
    bundled: FaceModel,
) -> None:
    """The identity says where each vertex is along the surface, the field where the surface is."""
    person, other = generate(bundled, SEED), generate(bundled, SEED + 1)
    codes = replace(person, surface=0.15 * (other.identity - person.identity))
    mesh, plain = template_mesh(bundled, codes), template_mesh(bundled, person)
    assert np.abs(_sdf_mm(face_of(bundled, codes), mesh)).max() < 0.05
    rows = np.flatnonzero(mesh.snapped & plain.snapped)
    moved = (mesh.vertices - plain.vertices)[rows]
    apart_mm = np.abs(_sdf_mm(face_of(bundled, codes), plain))
    assert apart_mm.mean() > 0.3
    assert np.linalg.norm(moved, axis=1).mean() * UNIT_MM < 1.25 * apart_mm.mean()


def test_a_residual_moves_vertices_along_the_surface_alone(bundled: FaceModel) -> None:
    person, forward = generate(bundled, SEED), require_head(bundled).forward_map
    residual = np.random.default_rng(0).normal(size=len(forward.residual_scale)).astype(np.float32)
    codes = replace(person, residual=residual)
    added = torch.tensordot(
        torch.from_numpy(residual) * forward.residual_scale, forward.residual_basis.float(), 1
    ).numpy()
    face_rows = slice(*require_head(bundled).template.parts["face"][:2])  # eyes give way to lids
    moved = propose(bundled, codes) - propose(bundled, person)
    np.testing.assert_allclose(moved[face_rows], added[face_rows], atol=1e-5)
    mesh, plain = template_mesh(bundled, codes), template_mesh(bundled, person)
    rows = np.flatnonzero(mesh.snapped & plain.snapped)
    assert 0.1 < np.linalg.norm(mesh.vertices - plain.vertices, axis=1)[rows].mean() * UNIT_MM < 0.5
    assert np.abs(_sdf_mm(face_of(bundled, person), mesh)).max() < 0.05
    with pytest.raises(BackendError, match="wrong length for this model"):
        template_mesh(bundled, replace(person, residual=residual[1:]))


def test_lips_part_when_the_jaw_opens(
    bundled: FaceModel, neutral: FaceAndMesh, open_mouth: FaceAndMesh
) -> None:
    closed = _gap_mm(bundled, neutral[1], UPPER_LIP, LOWER_LIP)
    opened = _gap_mm(bundled, open_mouth[1], UPPER_LIP, LOWER_LIP)
    assert closed < 5
    assert opened > closed + 10


def test_lids_close_at_a_blink(bundled: FaceModel, neutral: FaceAndMesh) -> None:
    _, shut = _made(bundled, eyeBlinkLeft=1.0, eyeBlinkRight=1.0)
    opened = _gap_mm(bundled, neutral[1], UPPER_LIDS, LOWER_LIDS)
    closed = _gap_mm(bundled, shut, UPPER_LIDS, LOWER_LIDS)
    assert opened > 4
    assert closed < 0.4 * opened


def test_a_wink_closes_one_eye(bundled: FaceModel, neutral: FaceAndMesh) -> None:
    """The person's left eye is on the image's right: landmarks 42 to 47."""
    _, wink = _made(bundled, eyeBlinkLeft=1.0)
    for upper, lower, closes in (([37, 38], [41, 40], False), ([43, 44], [47, 46], True)):
        share = _gap_mm(bundled, wink, upper, lower) / _gap_mm(bundled, neutral[1], upper, lower)
        assert (share < 0.5) == closes


def test_warp_of_the_inverse_returns_the_point(bundled: FaceModel, neutral: FaceAndMesh) -> None:
    face, mesh = neutral
    rows = np.flatnonzero(mesh.snapped)
    wanted = require_head(bundled).template.vertices.numpy()[rows]
    inverse = invert_warp(face.through_warps, wanted, mesh.vertices[rows], bundled.device)
    with torch.no_grad():
        back = face.query(torch.from_numpy(inverse.points).float()[None]).template_points[0]
    off_mm = np.linalg.norm(back.numpy() - wanted, axis=1) * UNIT_MM
    assert (off_mm < 0.01).mean() >= 0.999
    np.testing.assert_allclose(inverse.residual_mm, off_mm, atol=1e-3)
    np.testing.assert_array_equal(inverse.unresolved(), np.flatnonzero(inverse.residual_mm > 0.01))


@pytest.mark.parametrize("name", ["jawOpen", "mouthSmileLeft", "eyeBlinkLeft"])
def test_vertices_go_along_their_normals_alone(bundled: FaceModel, name: str) -> None:
    """Where along the surface they are, the forward map knows better than the field."""
    codes = generate(bundled, SEED, expressions={name: 1.0})
    mesh, proposal = template_mesh(bundled, codes), propose(bundled, codes)
    skin = triangulate(require_head(bundled).template.part_polygons(("face",)))
    normals = vertex_normals(proposal, skin)[mesh.snapped]
    moved_mm = (mesh.vertices - proposal)[mesh.snapped] * UNIT_MM
    height_mm = (moved_mm * normals).sum(axis=1)
    assert np.abs(height_mm).mean() > 0.02
    np.testing.assert_allclose(moved_mm, height_mm[:, None] * normals, atol=1e-4)


def test_a_warp_that_folds_makes_no_spikes(bundled: FaceModel) -> None:
    """Closed lips that close further lie one inside the other: the field knows the outer one."""
    codes = generate(bundled, SEED, expressions={"mouthClose": 1.0})
    off_mm = np.linalg.norm(
        template_mesh(bundled, codes).vertices - propose(bundled, codes), axis=1
    )
    assert off_mm.max() * UNIT_MM < 8


def test_a_far_surface_does_not_fold_the_skin(bundled: FaceModel) -> None:
    """As a scan's may be, with a beard: normals cross before they meet it."""
    prior = bundled.identity_prior
    code = 2 * torch.from_numpy(np.random.default_rng(0).normal(size=len(prior.mean))).float()
    surface = (prior.code(code) - prior.mean).numpy()
    codes = replace(generate(bundled, SEED), surface=surface)
    skin = triangulate(require_head(bundled).template.part_polygons(("face",)))
    mesh = template_mesh(bundled, codes)
    before, after = (
        triangle_normals(vertices, skin)[0] for vertices in (propose(bundled, codes), mesh.vertices)
    )
    assert (before * after).sum(1)[mesh.snapped[skin].any(1)].min() >= 0.5
    assert mesh.snapped.sum() > 2500
    assert np.abs(_sdf_mm(face_of(bundled, codes), mesh)).max() <= 0.05


def test_a_shear_is_inverted() -> None:
    """Its fixed point x <- x - (warp(x) - target) would run away."""
    shear = torch.tensor([[1.0, 1.5, 0.0], [-1.5, 1.0, 0.0], [0.0, 0.0, 2.5]])
    points = np.random.default_rng(0).normal(size=(100, 3))
    targets = points @ shear.numpy().T
    inverse = invert_warp(lambda p: p @ shear.T, targets, targets, torch.device("cpu"))
    np.testing.assert_allclose(inverse.points, points, atol=1e-4)
    assert len(inverse.unresolved()) == 0


def test_what_is_not_resolved_is_named(bundled: FaceModel, neutral: FaceAndMesh) -> None:
    result = InverseWarp(np.zeros((4, 3)), np.array([0.009, 0.011, np.nan, np.inf]))
    assert result.unresolved().tolist() == [1, 2, 3]
    assert result.unresolved(tolerance_mm=1.0).tolist() == [2, 3]
    wanted = require_head(bundled).template.vertices.numpy()[:100]
    hasty = invert_warp(neutral[0].through_warps, wanted, wanted, bundled.device, rounds=1)
    assert len(hasty.unresolved()) > 0  # one step does not get there, and it says so


def test_an_inverse_warp_leaves_its_first_guess_alone() -> None:
    """It was the template itself in a test, which bent it for all that came after."""
    guess = np.zeros((2, 3), np.float32)
    invert_warp(lambda p: 2 * p, np.ones((2, 3)), guess, torch.device("cpu"))
    np.testing.assert_array_equal(guess, 0)


def test_the_inverse_warp_confirms_the_template(bundled: FaceModel) -> None:
    figures = check_against_warp(bundled, generate(bundled, SEED))
    assert figures["resolved"] >= 0.999
    assert figures["unresolved"] < 10
    distances = [value for name, value in figures.items() if name.endswith("_mm")]
    assert len(distances) >= 2
    assert 0 < min(distances) <= max(distances) < 3


def test_a_model_without_topology_says_so(tiny_model: FaceModel) -> None:
    codes = Codes(np.zeros(8, np.float32), None, tiny_model.hash_prefix)
    with pytest.raises(BackendError, match="have no common topology .* Use the surface topology"):
        template_mesh(tiny_model, codes)
