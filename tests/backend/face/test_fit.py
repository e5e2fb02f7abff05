# SPDX-License-Identifier: GPL-3.0-or-later
"""Fitting recovers a face that the model itself has made, and measures what it did."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from backend.checkpoint import FaceModel
from backend.codes import Codes
from backend.errors import NoFaceError, ScanError
from backend.face.correspondence import propose, require_head, template_mesh
from backend.face.fit import FitResult, fit_scan, mean_face, report_fit
from backend.face.fit_codes import FitConfig, fit_points
from backend.face.fit_forward_map import ForwardFit, fit_forward_map, forward_basis
from backend.face.generate import generate
from backend.face.linear_fit import PARTS
from backend.face.shapes import build_mesh
from backend.face.skin import skin as template_skin
from backend.mesh import (
    Mesh,
    load_scan,
    sample_surface,
    triangle_normals,
    triangulate,
    vertex_normals,
)
from backend.model.imface import UNIT_MM
from backend.scan.align import IDENTITY, Similarity
from backend.scan.compare import front_surface
from backend.scan.drawing import DrawnPoints, draw_points
from backend.scan.landmark_files import read_scan_landmarks
from backend.scan.sampling import NearestTriangle
from backend.scan.watertight import visible_points

#: How far the samples stand off the model's pose.
OFF = Similarity(1.01, Rotation.from_rotvec([0.02, -0.03, 0.01]).as_matrix(), np.full(3, 0.01))

#: A vertex in the middle of the left cheek.
CHEEK = 2271


@pytest.fixture(scope="module")
def known(bundled: FaceModel) -> tuple[Codes, Mesh]:
    """Return a person with an expression, and the zero level set."""
    codes = generate(bundled, 11, 0.8, {"jawOpen": 0.4})
    return codes, build_mesh(bundled, codes, "surface", 96)


def _points(mesh: Mesh, pose: Similarity) -> DrawnPoints:
    """Draw points of the inner face, moved by a pose."""
    area = triangle_normals(mesh.vertices, mesh.polygons)[1].sum()
    drawn = draw_points(mesh.vertices, mesh.polygons, area / 20_000)
    drawn = drawn[(np.linalg.norm(drawn.points, axis=1) < 0.9) & (drawn.normals[:, 2] > 0.1)]
    return replace(drawn, points=pose.apply(drawn.points), normals=drawn.normals @ pose.rotation.T)


def test_a_known_code_is_recovered(bundled: FaceModel, known: tuple[Codes, Mesh]) -> None:
    truth = known[1]
    told: list[float] = []
    shown: list[tuple[Codes, Similarity]] = []
    codes, pose = fit_points(
        bundled,
        _points(truth, OFF),
        FitConfig(points=2000, prior=1e-5, expression_prior=1e-3),
        lambda share, _: told.append(share),
        lambda *found: shown.append(found),
    )
    fitted = pose.inverse().apply(build_mesh(bundled, codes, "surface", 64).vertices)
    fitted = OFF.inverse().apply(fitted)
    fitted = fitted[np.linalg.norm(fitted, axis=1) < 0.85]
    _, _, distance = NearestTriangle(truth)(fitted)
    assert distance.mean() * UNIT_MM < 0.3
    mean = build_mesh(bundled, generate(bundled, 0, 0.0), "surface", 64).vertices
    _, _, before = NearestTriangle(truth)(mean[np.linalg.norm(mean, axis=1) < 0.85])
    assert before.mean() * UNIT_MM > 1  # the search had something to find
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1)
    assert codes.surface is not None
    off = [np.linalg.norm(found.surface - codes.surface) for found, _ in shown]
    assert len(off) == 4
    assert off[-1] < 0.5 * off[0]
    np.testing.assert_allclose(shown[-1][1].matrix(), pose.matrix(), atol=0.01)


def test_fitting_is_repeatable(bundled: FaceModel, known: tuple[Codes, Mesh]) -> None:
    drawn = _points(known[1], IDENTITY)
    quick = FitConfig(rounds=3, points=500)
    (first, pose), (second, _) = (fit_points(bundled, drawn, quick) for _ in range(2))
    np.testing.assert_allclose(first.identity, second.identity, rtol=1e-4, atol=1e-6)
    assert first.weights == bundled.hash_prefix
    assert np.linalg.det(pose.rotation) == pytest.approx(1)


def test_a_shrunken_pose_is_no_better_fit(bundled: FaceModel, known: tuple[Codes, Mesh]) -> None:
    """Residuals are in the scan's own millimetres: noise is as large whatever the scale."""
    exact = _points(known[1], IDENTITY)
    noise = np.random.default_rng(0).normal(0, 0.01, len(exact))
    noisy = replace(exact, points=exact.points + noise[:, None] * exact.normals)
    config = FitConfig(points=1500, prior=1e-5)
    scales = [fit_points(bundled, some, config)[1].scale for some in (exact, noisy)]
    # By residuals in the model's units, it shrinks by a seventh at least.
    assert scales[1] == pytest.approx(scales[0], abs=0.07)


@pytest.mark.parametrize(
    ("seed", "left", "right"),
    [(5, 0.0, 0.0), (5, 1.0, 1.0), (9, 0.0, 0.0), (10, 1.0, 0.0), (5, 0.5, 0.5), (9, 0.5, 0.25)],
    ids=["open", "shut", "small and open", "wink", "half shut", "each its own way"],
)
def test_lids_are_found_as_far_shut_as_they_are(
    bundled: FaceModel, seed: int, left: float, right: float
) -> None:
    """As a scanner sees them: an eyeball where they are open, only skin where they are shut."""
    head = propose(
        bundled, generate(bundled, seed, 0.7, {"eyeBlinkLeft": left, "eyeBlinkRight": right})
    )
    polygons = require_head(bundled).template.part_polygons(
        ("face", "eyeball_left", "eyeball_right")
    )
    drawn = visible_points(Mesh(head, triangulate(polygons)), IDENTITY, samples=60_000)
    codes, pose = fit_points(bundled, drawn, FitConfig(rounds=8, points=2000))
    found = pose.inverse().apply(propose(bundled, codes))
    np.testing.assert_allclose(_lid_gaps_mm(bundled, found), _lid_gaps_mm(bundled, head), atol=1.5)


def test_sockets_without_an_eyeball_do_not_pull_the_face_in(bundled: FaceModel) -> None:
    """Heads whose eyes are objects of their own have deep holes there."""
    head, template = propose(bundled, generate(bundled, 7, 0.7)), require_head(bundled).template
    hollow = template.part_polygons(("face", "eye_socket_left", "eye_socket_right"))
    drawn = visible_points(Mesh(head, triangulate(hollow)), IDENTITY, samples=60_000)
    codes, pose = fit_points(bundled, drawn, FitConfig(points=2000))
    found = pose.inverse().apply(propose(bundled, codes))
    skin = slice(*template.parts["face"][:2])
    eyes = head[template.landmarks.cpu()][36:48]
    around = found[skin][cKDTree(eyes).query(head[skin])[0] < 0.25]
    _, _, distance = NearestTriangle(Mesh(head, triangulate(hollow)))(around)
    assert distance.mean() * UNIT_MM < 0.25
    np.testing.assert_allclose(_lid_gaps_mm(bundled, found), _lid_gaps_mm(bundled, head), atol=1)


def test_a_hole_is_filled_by_what_faces_have_there(bundled: FaceModel) -> None:
    """And not by the straight way across it, as a sheet over all that is seen would."""
    head = propose(bundled, generate(bundled, 12, 0.7))
    skin = triangulate(require_head(bundled).template.part_polygons(("face",)))
    away = np.linalg.norm(head[skin].mean(1)[:, :2] - head[CHEEK, :2], axis=1) * UNIT_MM
    drawn = visible_points(Mesh(head, skin[away > 20]), IDENTITY, samples=60_000)
    codes, pose = fit_points(bundled, drawn, FitConfig(rounds=10, points=2000))
    made = pose.inverse().apply(propose(bundled, codes))
    inside = np.unique(skin[away < 15])
    _, _, distance = NearestTriangle(Mesh(made, skin))(head[inside])
    assert distance.mean() * UNIT_MM < 0.45


@pytest.mark.parametrize("seed", [5, 9])
def test_shut_lips_stay_shut(bundled: FaceModel, seed: int) -> None:
    """Though the scan is noisy, and its lips thinner than the model's: closest points alone part
    them by 2 to 3 mm."""
    head, template = propose(bundled, generate(bundled, seed, 0.7)), require_head(bundled).template
    skin = triangulate(template.part_polygons(PARTS))
    line = head[template.landmarks.cpu()][60:68]
    away_mm = cKDTree(line).query(head)[0] * UNIT_MM
    thinner = 1.5 / UNIT_MM * np.exp(-(((away_mm - 5) / 4) ** 2))
    other = head - thinner[:, None] * vertex_normals(head, skin)
    points, normals = _noisy(Mesh(other, skin), 0.5)
    found = fit_forward_map(bundled, points, normals)
    assert _lip_gap_mm(bundled, head) < 1
    assert _lip_gap_mm(bundled, _fitted_head(bundled, found)) < 2


@pytest.mark.parametrize(
    ("seed", "weights"),
    [
        (12, {"jawOpen": 0.15}),
        (12, {"mouthUpperUpLeft": 0.5, "mouthUpperUpRight": 0.5}),
        (9, {"mouthUpperUpLeft": 0.5, "mouthUpperUpRight": 0.5}),
        (12, {"mouthFunnel": 0.5}),
    ],
    ids=lambda value: value if isinstance(value, int) else " and ".join(value),
)
def test_lips_that_are_a_little_apart_stay_so(
    bundled: FaceModel, seed: int, weights: dict[str, float]
) -> None:
    head = propose(bundled, generate(bundled, seed, 0.7, weights))
    skin = triangulate(require_head(bundled).template.part_polygons(PARTS))
    found = fit_forward_map(bundled, *_noisy(Mesh(head, skin), 0.5))
    gap_mm = _lip_gap_mm(bundled, head)
    assert gap_mm > 3
    assert _lip_gap_mm(bundled, _fitted_head(bundled, found)) == pytest.approx(gap_mm, abs=1)


@pytest.mark.parametrize("hidden", [slice(48, 68), slice(36, 42)], ids=["mouth", "eye"])
def test_what_nothing_shows_is_as_faces_have_it(bundled: FaceModel, hidden: slice) -> None:
    head, template = propose(bundled, generate(bundled, 12, 0.7)), require_head(bundled).template
    points, normals = _noisy(Mesh(head, triangulate(template.part_polygons(PARTS))), 0.1)
    seen = cKDTree(head[template.landmarks][hidden]).query(points)[0] * UNIT_MM > 30
    found = fit_forward_map(bundled, points[seen], normals[seen])
    fitted = _fitted_head(bundled, found)
    assert _lip_gap_mm(bundled, fitted) < 2
    np.testing.assert_allclose(_lid_gaps_mm(bundled, fitted), _lid_gaps_mm(bundled, head), atol=3)


@pytest.mark.parametrize(
    "weights",
    [{}, {"jawOpen": 0.6}, {"jawOpen": 1.0, "mouthFunnel": 0.4}],
    ids=["neutral", "jawOpen", "wide open"],
)
def test_vertices_find_their_places_along_the_surface(
    bundled: FaceModel, weights: dict[str, float]
) -> None:
    """A surface does not show where on it a vertex is; what faces have in common does."""
    codes = generate(bundled, 12, 0.7, weights)
    head, template = propose(bundled, codes), require_head(bundled).template
    skin = triangulate(template.part_polygons(PARTS))
    drawn = visible_points(Mesh(head, skin), IDENTITY, samples=60_000)
    fitted, pose = fit_points(bundled, drawn, FitConfig(points=2000))
    rows = template_skin(template)
    found = pose.inverse().apply(template_mesh(bundled, fitted).vertices)
    off_mm = np.linalg.norm(found - head, axis=1)[rows] * UNIT_MM
    assert np.median(off_mm) < 0.3
    person = pose.inverse().apply(propose(bundled, replace(fitted, expression=None)))
    true = propose(bundled, replace(codes, expression=None))
    off_mm = np.linalg.norm(person - true, axis=1)[rows] * UNIT_MM
    assert np.median(off_mm) < 0.3  # the expression is not taken for the person


@pytest.mark.parametrize(("right", "share"), [(True, 1.0), (False, 0.5)], ids=["whole", "half"])
def test_how_much_of_the_face_is_seen(bundled: FaceModel, right: bool, share: float) -> None:
    head = propose(bundled, generate(bundled, 5, 0.7))
    skin = require_head(bundled).template.part_polygons(("face",))
    drawn = visible_points(Mesh(head, triangulate(skin)), IDENTITY, samples=60_000)
    seen = drawn[(drawn.points[:, 0] > 0) | right]
    found = fit_forward_map(bundled, seen.points, seen.normals)
    assert found.coverage == pytest.approx(share, abs=0.05)


def _noisy(mesh: Mesh, noise_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw points and normals that the front sees of a mesh, as a noisy scanner would."""
    rng = np.random.default_rng(0)
    drawn = visible_points(mesh, IDENTITY, samples=60_000)
    drawn = drawn[rng.integers(0, len(drawn), 6000)]
    noise = rng.normal(0, noise_mm / UNIT_MM, (len(drawn), 1))
    return drawn.points + noise * drawn.normals, drawn.normals


def _fitted_head(model: FaceModel, found: ForwardFit) -> np.ndarray:
    """Return the forward map's head (V, 3) in the points' own space."""
    basis = forward_basis(model)
    head = np.full(require_head(model).template.vertices.shape, np.nan)
    head[basis.rows] = found.pose.inverse().apply(basis.face(found.codes).vertices)
    return head


def _lip_gap_mm(model: FaceModel, head: np.ndarray) -> float:
    """Return how far apart the inner lips are."""
    landmarks = head[require_head(model).template.landmarks]
    return (
        float(np.linalg.norm(landmarks[[61, 62, 63]] - landmarks[[67, 66, 65]], axis=1).mean())
        * UNIT_MM
    )


def _lid_gaps_mm(model: FaceModel, head: np.ndarray) -> np.ndarray:
    """Return how far each eye is open, the person's right one first."""
    landmarks = head[require_head(model).template.landmarks]
    gaps = landmarks[[37, 38, 43, 44]] - landmarks[[41, 40, 47, 46]]
    return np.linalg.norm(gaps, axis=1).reshape(2, 2).mean(1) * UNIT_MM


def test_the_mean_face_lies_in_the_ball(bundled: FaceModel) -> None:
    points = mean_face(bundled).vertices
    assert np.linalg.norm(points, axis=1).max() <= 1 + 1e-6
    nose = points[np.argmax(points[:, 2])]
    np.testing.assert_allclose(nose, [0, 0, 0.4], atol=0.1)


def test_points_without_faces_are_fitted(bundled: FaceModel, lee_perry_smith: Path) -> None:
    scan = load_scan(lee_perry_smith)
    points, _, _ = sample_surface(scan.vertices, scan.polygons, 30_000, np.random.default_rng(0))
    result = fit_scan(bundled, Mesh(points, np.zeros((0, 3), int)), FitConfig(rounds=4))
    fitted = build_mesh(bundled, result.codes, "surface", 64)
    report = report_fit(result, fitted)
    assert report["coverage"] > 0.9
    true = report_fit(replace(result, surface=scan), fitted)
    # Of four draws of the points, each 0.19 to 0.21.
    assert true["scan_to_fit_mean_mm"] < 0.25
    # The surface that joins the points has less relief than their scan: by 0.015 to 0.05.
    assert report["scan_to_fit_mean_mm"] == pytest.approx(true["scan_to_fit_mean_mm"], abs=0.06)


def test_triangles_that_are_turned_over_hide_nothing(
    bundled: FaceModel, lee_perry_smith: Path
) -> None:
    scan = load_scan(lee_perry_smith)
    right = scan.vertices[scan.polygons].mean(1)[:, 0] < scan.vertices[:, 0].mean()
    turned = np.where(right[:, None], scan.polygons[:, ::-1], scan.polygons)
    result = fit_scan(bundled, Mesh(scan.vertices, turned), FitConfig(rounds=1, points=500))
    seen = front_surface(scan, result.pose)
    assert len(result.visible.mesh.polygons) == len(seen.mesh.polygons)


def test_a_bit_that_floats_before_the_face_hides_nothing_and_counts_nothing(
    bundled: FaceModel,
    lee_perry_smith: Path,
    lee_perry_smith_landmarks: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A ball of 20 mm, 40 mm before the tip of the nose."""
    scan = load_scan(lee_perry_smith)
    landmarks = read_scan_landmarks(lee_perry_smith_landmarks, scan)
    mm = np.linalg.norm(landmarks[0] - landmarks[3]) / 90  # between the eyes' outer corners
    ball = trimesh.creation.icosphere(subdivisions=3, radius=10 * mm)
    before = np.asarray(ball.vertices) + landmarks[4] + np.array([0, 0, 50 * mm])
    with_ball = Mesh(
        np.concatenate([scan.vertices, before]),
        np.concatenate([scan.polygons, len(scan.vertices) + np.asarray(ball.faces)]),
    )
    fitted = []

    def no_search(model: FaceModel, drawn: DrawnPoints, *_: Any) -> tuple[Codes, Similarity]:
        fitted.append(drawn.points)
        return generate(model, seed=1), IDENTITY

    monkeypatch.setattr("backend.face.fit.fit_points", no_search)
    result = fit_scan(bundled, with_ball, landmarks=landmarks)
    seen = front_surface(scan, result.pose)
    assert len(result.visible.mesh.polygons) == len(seen.mesh.polygons)
    assert len(front_surface(with_ball, result.pose).mesh.polygons) != len(seen.mesh.polygons)
    np.testing.assert_allclose(fitted[0], visible_points(scan, result.pose).points)


def test_a_part_of_a_face_is_fitted_where_landmarks_show_it(
    bundled: FaceModel, lee_perry_smith: Path, lee_perry_smith_landmarks: Path
) -> None:
    """Of three eighths of a face alone nobody could tell where it is."""
    scan = load_scan(lee_perry_smith)
    landmarks = read_scan_landmarks(lee_perry_smith_landmarks, scan)
    nose, corner = landmarks[4, 0], landmarks[3, 0]
    beside = scan.vertices[scan.polygons].mean(axis=1)[:, 0] > nose + 0.2 * (corner - nose)
    part = Mesh(scan.vertices, scan.polygons[beside])
    with pytest.raises(NoFaceError):
        fit_scan(bundled, part)
    result = fit_scan(bundled, part, FitConfig(rounds=10), landmarks=landmarks)
    report = report_fit(result, build_mesh(bundled, result.codes, "surface", 64))
    assert report["landmarks_used"] is True
    assert report["scan_to_fit_mean_mm"] < 1.5
    away = np.linalg.norm(result.pose.apply(landmarks[4:5]) - [0, 0, 0.4])
    assert away < 0.15  # the tip of the nose


def test_landmarks_that_are_none_do_not_help(bundled: FaceModel, lee_perry_smith: Path) -> None:
    scan = load_scan(lee_perry_smith)
    top = scan.vertices[:, 1] > np.quantile(scan.vertices[:, 1], 0.9)
    skull = Mesh(scan.vertices, scan.polygons[top[scan.polygons].all(axis=1)])
    wrong = scan.vertices[top][:: top.sum() // 4][:5]
    with pytest.raises(NoFaceError, match="The landmarks do not lie as those of a face"):
        fit_scan(bundled, skull, landmarks=wrong)


def _plane(z: float) -> Mesh:
    side = np.linspace(-0.7, 0.7, 41)
    x, y = np.meshgrid(side, side)
    vertices = np.stack([x.ravel(), y.ravel(), np.full(x.size, z)], axis=1)
    first = (np.arange(40)[:, None] * 41 + np.arange(40)).ravel()
    a, b, c, d = first, first + 1, first + 42, first + 41
    return Mesh(vertices, np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]))


def _reported(scan: Mesh, pose: Similarity, surface: Mesh) -> dict[str, Any]:
    result = FitResult(Codes(np.zeros(128), None, ""), pose, scan, {"pose": 1.0})
    return report_fit(result, surface)


def test_a_report_measures_both_ways_in_millimetres() -> None:
    pose = Similarity(0.02, np.eye(3), np.array([0.0, 0, 0.1]))
    scan = Mesh(pose.inverse().apply(_plane(0.2).vertices), _plane(0.2).polygons)
    for height, distance in ((0.2, 0), (0.23, 3), (0.3, 10)):
        report = _reported(scan, pose, _plane(height))
        for name in ("scan_to_fit_mean_mm", "scan_to_fit_p95_mm", "chamfer_mm"):
            assert report[name] == pytest.approx(distance, abs=0.1)
        assert report["within_2mm"] == (distance < 2)
        assert report["f_score_1mm"] == pytest.approx(100 * (distance < 1))
        assert report["coverage"] == pytest.approx(float(distance < 5), abs=0.02)
    assert report["face_found"] is True
    assert report["landmarks_used"] is None
    np.testing.assert_array_equal(report["pose"], pose.matrix())
    assert report["seconds"] == {"pose": 1.0}
    json.dumps(report)


def test_half_a_scan_covers_half_the_fit() -> None:
    whole = _plane(0.2)
    left = whole.vertices[whole.polygons].mean(1)[:, 0] < 0
    report = _reported(Mesh(whole.vertices, whole.polygons[left]), IDENTITY, whole)
    assert report["coverage"] == pytest.approx(0.5, abs=0.03)
    assert report["chamfer_mm"] == pytest.approx(0, abs=0.05)  # nothing is known of the rest


@pytest.mark.parametrize(
    ("scan", "sentence"),
    [
        (Mesh(np.zeros((3, 3)), np.zeros((0, 3), int)), "The scan has no faces. Select a mesh"),
        (Mesh(_plane(0).vertices, _plane(0).polygons[:5]), "The scan has only 5 triangles"),
        (Mesh(_plane(np.nan).vertices, _plane(0).polygons), "vertices of the scan have no valid"),
    ],
    ids=["no faces", "5 triangles", "NaN"],
)
def test_a_bad_scan_is_one_sentence(bundled: FaceModel, scan: Mesh, sentence: str) -> None:
    with pytest.raises(ScanError, match=sentence):
        fit_scan(bundled, scan)


@pytest.mark.parametrize("axes", [[0, 1, 2], [2, 0, 1], [1, 2, 0]], ids=["wall", "side", "floor"])
def test_a_flat_mesh_holds_no_face(bundled: FaceModel, axes: list[int]) -> None:
    flat = _plane(0.0)
    with pytest.raises(ScanError):
        fit_scan(bundled, Mesh(flat.vertices[:, axes], flat.polygons))
