# SPDX-License-Identifier: GPL-3.0-or-later
"""Detail that the model itself has made is found again; noise, outliers and gaps are not copied."""

from dataclasses import replace

import numpy as np
import pytest

from backend.checkpoint import FaceModel
from backend.codes import DETAIL_SIDE, DETAIL_STEPS, Codes
from backend.errors import BackendError
from backend.face.correspondence import template_mesh
from backend.face.extract import ExtractConfig, extract_mesh, face_sdf
from backend.face.generate import express, face_of, generate
from backend.face.refine import RefineConfig, fit_detail
from backend.face.shapes import build_mesh, shape_keys
from backend.mesh import Mesh, vertex_normals
from backend.model.imface import UNIT_MM
from backend.scan.compare import front_surface

LINE = np.linspace(-1, 1, DETAIL_SIDE)
X, Y = np.meshgrid(LINE, LINE)
STEPS_PER_MM = DETAIL_STEPS / 5
#: Middles (x, y) and heights [mm] of bumps on the forehead, the cheeks and the chin.
BUMPS = ((0.0, 0.5, 1.5), (0.35, -0.1, -1.0), (-0.35, -0.15, 2.0), (0.0, -0.6, 1.0))


def _bump(x: float, y: float, height_mm: float, width: float = 0.08) -> np.ndarray:
    bump = height_mm * np.exp(-((X - x) ** 2 + (Y - y) ** 2) / (2 * width**2))
    return np.asarray(np.round(STEPS_PER_MM * bump), np.int16)


def _heights_mm(detail: np.ndarray) -> np.ndarray:
    return detail / STEPS_PER_MM


def _near(x: float, y: float, radius: float) -> np.ndarray:
    return np.hypot(X - x, Y - y) < radius


@pytest.fixture(scope="module")
def codes(bundled: FaceModel) -> Codes:
    """Return a person with bumps."""
    detail = np.sum([_bump(*bump) for bump in BUMPS], axis=0).astype(np.int16)
    return replace(generate(bundled, 4), detail=detail)


@pytest.fixture(scope="module")
def smooth(codes: Codes) -> Codes:
    """Return the same person without."""
    return replace(codes, detail=None)


@pytest.fixture(scope="module")
def bumpy_mesh(bundled: FaceModel, codes: Codes) -> Mesh:
    """Return the face with bumps as a surface."""
    return build_mesh(bundled, codes, "surface", 96)


@pytest.fixture(scope="module")
def smooth_mesh(bundled: FaceModel, smooth: Codes) -> Mesh:
    """Return the face without bumps as a surface."""
    return build_mesh(bundled, smooth, "surface", 96)


#: The tests' scans are fine: what is told from noise costs time here.
QUICK = RefineConfig(points=15_000, smoothing=(1.0,), rounds=2)


def _fitted(
    bundled: FaceModel, smooth: Codes, scan: Mesh, config: RefineConfig = QUICK
) -> np.ndarray:
    return _heights_mm(fit_detail(bundled, smooth, front_surface(scan), config))


def test_known_bumps_are_recovered(
    bundled: FaceModel, codes: Codes, smooth: Codes, bumpy_mesh: Mesh
) -> None:
    assert codes.detail is not None
    truth, found = _heights_mm(codes.detail), _fitted(bundled, smooth, bumpy_mesh)
    for x, y, height in BUMPS:
        middle = _near(x, y, 0.04)
        assert found[middle].mean() == pytest.approx(truth[middle].mean(), rel=0.1)
        assert np.sign(found[middle].mean()) == np.sign(height)
    face = np.hypot(X / 0.6, Y / 0.75) < 1
    assert np.abs(found - truth)[face].mean() < 0.08


def test_a_smooth_scan_has_no_detail(bundled: FaceModel, smooth: Codes, smooth_mesh: Mesh) -> None:
    found = _fitted(bundled, smooth, smooth_mesh)
    assert np.abs(found).mean() < 0.02


def test_detail_in_the_codes_is_left_aside(
    bundled: FaceModel, codes: Codes, smooth: Codes, bumpy_mesh: Mesh
) -> None:
    hasty = replace(QUICK, points=3000, rounds=1)
    again = _fitted(bundled, codes, bumpy_mesh, hasty)
    np.testing.assert_array_equal(again, _fitted(bundled, smooth, bumpy_mesh, hasty))


def test_a_scan_inside_out_has_the_same_detail(
    bundled: FaceModel, smooth: Codes, bumpy_mesh: Mesh
) -> None:
    hasty = replace(QUICK, points=3000, rounds=1)
    inside_out = Mesh(bumpy_mesh.vertices, bumpy_mesh.polygons[:, ::-1])
    found, other = (_fitted(bundled, smooth, m, hasty) for m in (bumpy_mesh, inside_out))
    assert np.abs(found).max() > 1.5
    assert np.abs(found - other).mean() < 0.02  # other points are drawn in each triangle


def test_outliers_are_not_copied(bundled: FaceModel, smooth: Codes, smooth_mesh: Mesh) -> None:
    """A patch 8 mm in front of the forehead, as hair is, and a few single spikes."""
    vertices = smooth_mesh.vertices.copy()
    patch = np.hypot(vertices[:, 0], vertices[:, 1] - 0.5) < 0.12
    vertices[patch, 2] += 0.08
    spikes = np.random.default_rng(0).integers(0, len(vertices), 10)
    vertices[spikes, 2] += 0.03
    found = _fitted(bundled, smooth, Mesh(vertices, smooth_mesh.polygons))
    assert np.abs(found).max() <= 5
    assert np.abs(found[_near(0, 0.5, 0.08)]).mean() < 0.1  # of 8
    assert np.abs(found).mean() < 0.05


def test_no_more_than_5_mm_is_taken(bundled: FaceModel, smooth: Codes, smooth_mesh: Mesh) -> None:
    moved = Mesh(smooth_mesh.vertices + np.array([0, 0, 0.047]), smooth_mesh.polygons)
    found = _fitted(bundled, smooth, moved)
    assert 4 < np.abs(found).max() <= 5


def test_noise_does_not_become_bumps(bundled: FaceModel, smooth: Codes, smooth_mesh: Mesh) -> None:
    rng = np.random.default_rng(0)
    normals = vertex_normals(smooth_mesh.vertices, smooth_mesh.polygons)
    noise = rng.normal(0, 0.5 / UNIT_MM, (len(normals), 1))
    noisy = Mesh(smooth_mesh.vertices + noise * normals, smooth_mesh.polygons)
    config = replace(QUICK, smoothing=(1.0, 3.0), rounds=2)
    found = _fitted(bundled, smooth, noisy, config)
    steepest = np.hypot(*np.gradient(found, UNIT_MM * (LINE[1] - LINE[0])))
    assert np.abs(found).mean() < 0.1
    assert np.percentile(steepest, 99) < 0.1  # less than 6 degrees
    copied = _fitted(bundled, smooth, noisy, replace(config, smoothing=(0.5,)))
    assert np.abs(found).mean() < 0.6 * np.abs(copied).mean()  # there was something to tell


def test_nothing_where_the_scan_shows_nothing(
    bundled: FaceModel, smooth: Codes, bumpy_mesh: Mesh
) -> None:
    left = bumpy_mesh.vertices[bumpy_mesh.polygons].mean(1)[:, 0] < 0
    half = Mesh(bumpy_mesh.vertices, bumpy_mesh.polygons[left])
    found = _fitted(bundled, smooth, half)
    assert found[_near(-0.35, -0.15, 0.04)].mean() > 1.5
    assert np.abs(found[X > 0.25]).max() < 0.05
    assert np.abs(found[np.hypot(X, Y) > 1.02]).max() < 0.05  # beyond the ball


def test_progress_reaches_the_end_and_can_cancel(
    bundled: FaceModel, smooth: Codes, smooth_mesh: Mesh
) -> None:
    told: list[float] = []
    fit_detail(
        bundled,
        smooth,
        front_surface(smooth_mesh),
        replace(QUICK, points=3000, smoothing=(1.0, 1.1)),
        lambda share, _: told.append(share),
    )
    assert told == sorted(told)
    assert len(told) == 6
    assert 0.8 < told[-1] < 1

    def cancel(share: float, text: str) -> None:
        raise BackendError("Cancelled.")

    with pytest.raises(BackendError, match="Cancelled"):
        fit_detail(bundled, smooth, front_surface(smooth_mesh), QUICK, cancel)


def test_coarse_to_fine_finds_all_of_a_refined_surface(bundled: FaceModel, codes: Codes) -> None:
    sdf = face_sdf(face_of(bundled, codes), bundled.device)
    sparse = extract_mesh(sdf, ExtractConfig(resolution=64))
    careful = extract_mesh(sdf, ExtractConfig(resolution=64, slope=2.0))
    np.testing.assert_array_equal(sparse.polygons, careful.polygons)
    np.testing.assert_allclose(sparse.vertices, careful.vertices, atol=1e-6)


@pytest.mark.parametrize("expression", [{}, {"mouthSmileLeft": 1.0, "browInnerUp": 1.0}])
def test_detail_follows_the_skin_on_the_fixed_topology(
    bundled: FaceModel, codes: Codes, expression: dict[str, float]
) -> None:
    """A vertex moves along the normal by the height at its place in template space."""
    assert bundled.head is not None
    expressed = express(bundled, codes, expression)
    assert expressed.detail is codes.detail
    refined = template_mesh(bundled, expressed)
    plain = template_mesh(bundled, replace(expressed, detail=None))
    template = bundled.head.template
    normals = vertex_normals(plain.vertices, level_triangles(bundled))
    moved = (refined.vertices - plain.vertices) * UNIT_MM
    places = template.vertices.numpy()
    for x, y, height in BUMPS:
        middle = np.hypot(places[:, 0] - x, places[:, 1] - y) < 0.04
        middle &= refined.snapped & plain.snapped
        assert middle.sum() >= 3
        along = (moved * normals)[middle].sum(1)
        assert along.mean() == pytest.approx(height * 0.9, rel=0.15)
        assert np.abs(moved[middle] - along[:, None] * normals[middle]).max() < 0.35 * abs(height)
    far = np.min([np.hypot(places[:, 0] - x, places[:, 1] - y) for x, y, _ in BUMPS], axis=0) > 0.4
    assert np.abs(moved[far & refined.snapped]).max() < 0.05


def level_triangles(bundled: FaceModel) -> np.ndarray:
    """Return the head's triangles."""
    assert bundled.head is not None
    return Mesh(np.zeros((0, 3)), bundled.head.template.polygons.numpy()).triangles


def test_eyes_and_teeth_keep_their_shape(bundled: FaceModel, codes: Codes) -> None:
    assert bundled.head is not None
    refined = template_mesh(bundled, codes).vertices
    plain = template_mesh(bundled, replace(codes, detail=None)).vertices
    for name in ("eyeball_left", "eyeball_right", "teeth"):
        first, end, _, _ = bundled.head.template.parts[name]
        moved = (refined - plain)[first:end]
        np.testing.assert_allclose(moved, np.tile(moved[0], (len(moved), 1)), atol=1e-9)
        assert np.linalg.norm(moved[0]) * UNIT_MM < 0.5


def test_shape_keys_carry_the_detail(bundled: FaceModel, codes: Codes, smooth: Codes) -> None:
    assert bundled.head is not None
    refined, plain = (
        shape_keys(bundled, face, ["jawOpen"], "face", lambda *_: None) for face in (codes, smooth)
    )
    x, y, height = BUMPS[0]  # on the forehead
    places = bundled.head.template.vertices.numpy()[: len(plain.basis_mm)]
    middle = np.hypot(places[:, 0] - x, places[:, 1] - y) < 0.04
    for moved in (
        refined.basis_mm - plain.basis_mm,
        refined.vertices_mm[0] - plain.vertices_mm[0],
    ):
        lengths = np.linalg.norm(moved[middle], axis=1)
        assert lengths.mean() == pytest.approx(0.9 * height, rel=0.15)
