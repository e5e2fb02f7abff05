# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures whose value is known: spheres and planes a known distance apart, faces in motion."""

from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from backend.errors import ScanError
from backend.learn.ict import SKIN_PARTS, IctFaceKit
from backend.learn.metrics import (
    HeatPanel,
    compare_as_paper,
    heat_map,
)
from backend.mesh import Mesh, triangulate
from backend.scan import compare
from backend.scan.align import IDENTITY, Similarity
from backend.scan.compare import front_surface

#: Any scan's space: another unit, turned and moved.
POSE = Similarity(0.02, Rotation.from_rotvec([0.3, 0.2, -0.4]).as_matrix(), np.array([0.3, 0, 0.1]))


def compare_strict(
    scan: Mesh, pose: Similarity, fitted: Mesh, mask: np.ndarray | None = None
) -> compare.SurfaceFigures:
    """Compare with so few points that it takes a tenth of the time."""
    return compare.compare_strict(front_surface(scan, pose, mask), fitted, samples=15_000)


def _plane(height: float, half: float = 0.7, tilt: float = 0.0) -> Mesh:
    """Return a square in front of the viewer, turned about y by a tilt [degrees]."""
    side = np.linspace(-half, half, 57)
    x, y = np.meshgrid(side, side)
    flat = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1)
    turn = Rotation.from_euler("y", tilt, degrees=True).as_matrix()
    first = (np.arange(56)[:, None] * 57 + np.arange(56)).ravel()
    quads = np.stack([first, first + 1, first + 58, first + 57], axis=1)
    return Mesh(flat @ turn.T + [0, 0, height], triangulate(quads))


def _grown(sphere: Mesh, factor: float) -> Mesh:
    return Mesh(sphere.vertices * factor, sphere.polygons)


def _as_scan(mesh: Mesh) -> Mesh:
    """Return a mesh in the space that ``POSE`` brings back."""
    return Mesh(POSE.inverse().apply(mesh.vertices), mesh.polygons)


def _centers(mesh: Mesh) -> np.ndarray:
    return mesh.vertices[mesh.polygons].mean(1)


def _without(mesh: Mesh, dropped: np.ndarray) -> Mesh:
    return Mesh(mesh.vertices, mesh.polygons[~dropped])


def _dented(mesh: Mesh, x: float, y: float, depth: float = 0.1) -> Mesh:
    """Push a spot of 60 mm across backwards."""
    away = np.linalg.norm(mesh.vertices[:, :2] - [x, y], axis=1)
    shift = np.where(away < 0.3, -depth, 0.0)
    return Mesh(mesh.vertices + shift[:, None] * [0, 0, 1], mesh.polygons)


@pytest.fixture(scope="module")
def face(ict: IctFaceKit) -> Mesh:
    """Return the mean face with its eyeballs, model space."""
    return Mesh(ict.mean, triangulate(ict.part_polygons(SKIN_PARTS)))


def test_two_spheres_are_the_difference_of_their_radii_apart(sphere: Mesh) -> None:
    near = compare_strict(_as_scan(sphere), POSE, _grown(sphere, 0.605 / 0.6))
    assert near.chamfer_mm == pytest.approx(0.5, abs=0.01)
    assert near.scan_to_fit_mean_mm == pytest.approx(0.5, abs=0.01)
    assert near.scan_to_fit_p95_mm == pytest.approx(0.5, abs=0.02)
    assert near.f_score_1mm == 100
    assert near.normal_consistency == pytest.approx(1, abs=1e-3)
    far = compare_strict(_as_scan(sphere), POSE, _grown(sphere, 0.62 / 0.6))
    assert far.chamfer_mm == pytest.approx(2, abs=0.02)
    assert far.f_score_1mm == 0


def test_the_f_score_is_the_harmonic_mean() -> None:
    """A fit that is right on one half and covers only that: precision 100 %, recall 50 %."""
    whole = _plane(0.2)
    half = _without(whole, _centers(whole)[:, 0] > 0)
    figures = compare_strict(whole, IDENTITY, half)
    recall = 0.5 + 0.1 / 14  # and 1 mm beyond the half's end
    assert figures.f_score_1mm == pytest.approx(200 * recall / (1 + recall), abs=1)


@pytest.mark.parametrize("tilt", [10, 25])
def test_a_tilted_plane_has_the_cosine_of_its_tilt(tilt: float) -> None:
    figures = compare_strict(_plane(0.2), IDENTITY, _plane(0.2, tilt=tilt))
    assert figures.normal_consistency == pytest.approx(np.cos(np.radians(tilt)), abs=1e-6)


def test_quads_count_as_their_triangles() -> None:
    """Template meshes are quads, -1 padding a triangle."""
    plane = _plane(0.2)
    padded = Mesh(plane.vertices, np.pad(plane.polygons, ((0, 0), (0, 1)), constant_values=-1))
    for measure in (compare_strict, compare_as_paper):
        first, second = measure(plane, IDENTITY, plane), measure(plane, IDENTITY, padded)
        assert astuple(first) == pytest.approx(astuple(second))


def test_what_lies_over_a_hole_of_the_scan_does_not_count() -> None:
    """A mouth that the fit closes; elsewhere the same dent counts."""
    whole = _plane(0.2)
    hole = np.linalg.norm(_centers(whole)[:, :2] - [0.3, 0], axis=1) < 0.33
    scan = _without(whole, hole)
    over_hole = compare_strict(scan, IDENTITY, _dented(whole, 0.3, 0))
    assert over_hole.chamfer_mm < 0.05
    assert over_hole.f_score_1mm > 99.5
    beside = compare_strict(scan, IDENTITY, _dented(whole, -0.35, 0))
    assert beside.chamfer_mm > 1
    assert beside.f_score_1mm < 90


def test_what_lies_beyond_the_scan_does_not_count() -> None:
    figures = compare_strict(_plane(0.2, half=0.3), IDENTITY, _plane(0.23))
    assert figures.chamfer_mm == pytest.approx(3, abs=1e-3)


def test_a_scan_of_separate_triangles_has_no_more_border() -> None:
    """As an STL file gives it: every triangle has its own vertices."""
    plane = _plane(0.2)
    apart = Mesh(
        plane.vertices[plane.polygons.ravel()], np.arange(plane.polygons.size).reshape(-1, 3)
    )
    fitted = _dented(plane, 0.2, 0.1, 0.03)
    joined = compare_strict(plane, IDENTITY, fitted)
    assert astuple(compare_strict(apart, IDENTITY, fitted)) == pytest.approx(astuple(joined))


def test_the_inside_of_a_head_is_no_truth(sphere: Mesh) -> None:
    """Through a socket the viewer sees the back of the head from within."""
    centers = _centers(sphere)
    socket = (np.linalg.norm(centers[:, :2] - [0.2, 0.2], axis=1) < 0.15) & (centers[:, 2] > 0)
    figures = compare_strict(
        _without(sphere, socket), IDENTITY, _without(sphere, centers[:, 2] < -0.1)
    )
    assert figures.scan_to_fit_mean_mm < 0.02
    assert figures.chamfer_mm < 0.02


def test_a_scan_turned_inside_out_is_seen_too(sphere: Mesh) -> None:
    inside_out = Mesh(sphere.vertices, sphere.polygons[:, ::-1])
    right, wrong = front_surface(sphere), front_surface(inside_out)
    assert len(right.mesh.polygons) == len(wrong.mesh.polygons) > len(sphere.polygons) / 2.2
    assert _centers(wrong.mesh)[:, 2].min() > -0.01


def test_masked_triangles_only_hide() -> None:
    """A patch in front of the plane, 50 mm nearer, that is no face."""
    plane, patch = _plane(0.2), _plane(0.7, half=0.1)
    both = Mesh(
        np.concatenate([plane.vertices, patch.vertices]),
        np.concatenate([plane.polygons, patch.polygons + len(plane.vertices)]),
    )
    mask = np.arange(len(both.polygons)) < len(plane.polygons)
    assert compare_strict(both, IDENTITY, plane).scan_to_fit_mean_mm > 0.5
    assert compare_strict(both, IDENTITY, plane, mask).scan_to_fit_mean_mm < 0.03
    seen, _ = front_surface(both, IDENTITY, mask).sample(20_000)
    assert not (np.abs(seen[:, :2]).max(1) < 0.09).any()


def test_only_what_the_front_sees_is_sampled(sphere: Mesh) -> None:
    points, normals = front_surface(sphere).sample(20_000)
    assert points[:, 2].min() > -0.02
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 0.6, atol=2e-4)
    assert (points * normals).sum(1).min() > 0.59
    inner, _ = front_surface(_plane(0.2)).sample(20_000, radius=0.5)
    assert np.linalg.norm(inner, axis=1).max() == pytest.approx(0.5, abs=0.01)


def test_icp_takes_a_motion_away_and_strict_does_not(face: Mesh) -> None:
    turn = Rotation.from_rotvec(np.radians([1.5, -1, 1])).as_matrix()
    moved = Mesh(face.vertices @ turn.T + [0.02, 0.01, -0.02], face.polygons)
    still = compare_as_paper(face, IDENTITY, face)
    paper = compare_as_paper(face, IDENTITY, moved)
    assert still.chamfer_mm == pytest.approx(0.28, abs=0.04)  # how far samples are apart
    assert paper.chamfer_mm == pytest.approx(still.chamfer_mm, abs=0.05)
    assert paper.f_score_1mm > 99
    assert compare_strict(face, IDENTITY, face).chamfer_mm < 0.03
    strict = compare_strict(face, IDENTITY, moved)
    assert strict.chamfer_mm > 1
    assert strict.f_score_1mm < 60


def test_the_papers_truth_is_closed() -> None:
    """A hole counts there, as if the scan had been flat over it."""
    whole = _plane(0.2)
    hole = np.linalg.norm(_centers(whole)[:, :2], axis=1) < 0.33
    scan, fitted = _without(whole, hole), _dented(whole, 0, 0)
    assert compare_strict(scan, IDENTITY, fitted).scan_to_fit_mean_mm < 0.05
    assert compare_as_paper(scan, IDENTITY, fitted).scan_to_fit_mean_mm > 0.5


def test_vertices_know_how_far_the_scan_is() -> None:
    scan = _without(_plane(0.2), _centers(_plane(0.2))[:, 0] > 0)
    vertices = np.array([[-0.2, 0, 0.22], [-0.2, 0.1, 0.19], [-0.2, 0, 0.3], [0.3, 0, 0.2]])
    for mesh, pose in ((scan, IDENTITY), (_as_scan(scan), POSE)):
        errors = compare.vertex_errors(front_surface(mesh, pose), vertices)
        np.testing.assert_allclose(errors, [2, 1, -1, -1], atol=1e-6)


@pytest.mark.parametrize("compare", [compare_strict, compare_as_paper])
def test_a_surface_elsewhere_is_one_sentence(compare: object, sphere: Mesh) -> None:
    assert callable(compare)
    away = Mesh(sphere.vertices + 5, sphere.polygons)
    with pytest.raises(ScanError, match="No surface lies where|No part of the scan lies where"):
        compare(away, IDENTITY, sphere)
    with pytest.raises(ScanError, match="No surface lies where the face should be"):
        compare(sphere, IDENTITY, away)


def test_a_heat_map_shows_the_error_in_its_colour(tmp_path: Path) -> None:
    scan = _as_scan(_plane(0.2))
    fits = {"right": (POSE, _plane(0.2)), "far": (POSE, _plane(0.25))}
    far = {"far": fits["far"]}
    heat_map(tmp_path / "heat.png", [HeatPanel("two", scan, fits), HeatPanel("one", scan, far)])
    pixels = np.asarray(Image.open(tmp_path / "heat.png").convert("RGB")).astype(int)
    blue, red = ((np.abs(pixels - end) < 4).all(2) for end in ((48, 18, 59), (122, 4, 3)))
    assert blue.sum() > 5000
    assert red.sum() > 5000
    half = pixels.shape[0] // 2
    assert blue[:half].sum() > 0.9 * blue.sum()
    assert np.argwhere(blue)[:, 1].mean() < np.argwhere(red)[:, 1].mean()
