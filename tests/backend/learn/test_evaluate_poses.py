# SPDX-License-Identifier: GPL-3.0-or-later
"""The measure of poses: ways to lie, and fits that are the same or not, with known answers."""

import json
from pathlib import Path

import numpy as np
import pytest

from backend.checkpoint import FaceModel
from backend.errors import NoFaceError
from backend.learn import evaluate_poses
from backend.learn.evaluate_poses import placements, pose_figures
from backend.learn.evaluation_sets import EvaluationScan
from backend.mesh import Mesh
from backend.scan.align import Similarity


def test_scans_lie_along_all_axes_and_other_ways_in_all_units() -> None:
    ways = placements(0)
    rotations = np.stack([way.rotation for way in ways])
    along = np.isclose(np.abs(rotations).max(2), 1).all(1)
    assert len(ways) == 34
    assert along.sum() == 24
    assert len(np.unique(rotations.round(6), axis=0)) == 34
    np.testing.assert_allclose(np.linalg.det(rotations), 1)
    scales = [way.scale for way in ways]
    assert 1e-3 < min(scales) < 0.1
    assert 10 < max(scales) < 1e3


def test_distances_are_of_the_scan_as_it_was(
    bundled: FaceModel, sphere: Mesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fits that follow the scan, but are 0.2 mm off where it is wound the other way, and do not
    find it at all where it is tiny."""
    winding = _winding(sphere)
    radius = np.linalg.norm(sphere.vertices, axis=1).mean()

    def fit(model: FaceModel, scan: Mesh) -> tuple[Similarity, Mesh]:
        middle = scan.vertices.mean(0)
        size = np.linalg.norm(scan.vertices - middle, axis=1).mean() / radius
        if size < 0.1:
            raise NoFaceError("No face.")
        grown = 1 + 0.2 / radius * (_winding(scan) != winding)
        face = Mesh(middle + grown * (scan.vertices - middle), sphere.polygons)
        return Similarity(0.01 / size, np.eye(3), np.zeros(3)), face

    monkeypatch.setattr(evaluate_poses, "_fit", fit)
    count = 20
    tiny = [way.scale < 0.1 for way in placements(0)[:count]]
    mirrored = [i % 2 == 1 and not tiny[i] for i in range(count)]
    scans = [EvaluationScan("ball", sphere)]
    figures = pose_figures(bundled, scans, count, tmp_path)["moved scans"]
    assert figures["not_found"] == sum(tiny) > 0
    assert figures["same"] == pytest.approx((count - sum(tiny) - sum(mirrored)) / count)
    assert figures["max_mm"] == pytest.approx(0.2, rel=0.05)
    stored = json.loads(next(tmp_path.glob("poses-*.json")).read_text())
    assert len(stored[scans[0].key]) == count
    monkeypatch.setattr(evaluate_poses, "_fit", lambda model, scan: pytest.fail("fitted again"))
    assert pose_figures(bundled, scans, count, tmp_path)["moved scans"] == figures


def _winding(mesh: Mesh) -> bool:
    a, b, c = mesh.vertices[mesh.polygons[0]] - mesh.vertices.mean(0)
    return bool(np.cross(b - a, c - a) @ a > 0)


def test_a_scan_that_is_not_found_as_it_lies_counts(
    bundled: FaceModel, sphere: Mesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(model: FaceModel, scan: Mesh) -> tuple[Similarity, Mesh]:
        if scan is lost.mesh:
            raise NoFaceError("No face.")
        return Similarity(0.01, np.eye(3), np.zeros(3)), scan

    lost = EvaluationScan("lost", Mesh(2 * sphere.vertices, sphere.polygons))
    monkeypatch.setattr(evaluate_poses, "_fit", fit)
    scans = [lost, EvaluationScan("ball", sphere)]
    figures = pose_figures(bundled, scans, 3, tmp_path)["moved scans"]
    assert figures["fits"] == 6
    assert figures["not_found"] == 3
    assert figures["same"] == pytest.approx(0.5)


def test_a_scan_without_a_face_is_left_out(
    bundled: FaceModel, sphere: Mesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(model: FaceModel, scan: Mesh) -> tuple[Similarity, Mesh]:
        raise NoFaceError("No face.")

    monkeypatch.setattr(evaluate_poses, "_fit", fit)
    assert pose_figures(bundled, [EvaluationScan("ball", sphere)], 99, tmp_path) == {}
