# SPDX-License-Identifier: GPL-3.0-or-later
"""The evaluation: held-out faces, rows that survive a stop, tables that say what was measured."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import trimesh

from backend import commands
from backend.__main__ import main
from backend.checkpoint import FaceModel
from backend.codes import Codes
from backend.errors import DataError, ScanError
from backend.face.fit import FitResult
from backend.learn import evaluate as evaluation
from backend.learn import evaluate_codes, rows
from backend.learn.cache import DatasetConfig
from backend.learn.evaluate import (
    IN_PLACE,
    Fitted,
    evaluate_set,
    markdown,
    measure,
    summarise,
)
from backend.learn.evaluate_codes import is_folded, is_torn, random_faces
from backend.learn.evaluation_sets import (
    EvaluationScan,
    damaged_ict,
    held_out_ict,
    held_out_recipes,
    makehuman,
    real_scans,
)
from backend.learn.ict import IctFaceKit
from backend.learn.ict_scans import draw_recipes
from backend.mesh import Mesh
from backend.scan.align import Similarity


def test_held_out_people_are_not_trained_on(ict: IctFaceKit) -> None:
    trained = draw_recipes(DatasetConfig(), ict.expression_names, 6)
    held_out = held_out_recipes(ict, 40)
    apart = np.abs(held_out.identity[:, None, 0] - trained.identity[None, :, 0]).max(2)
    assert apart.min() > 1e-3
    np.testing.assert_array_equal(held_out.identity, held_out_recipes(ict, 40).identity)


def test_each_held_out_person_has_three_scans_in_mm(ict: IctFaceKit) -> None:
    scans = list(held_out_ict(ict, 2))
    assert [scan.name for scan in scans] == [f"ict-0{p}-{s}" for p in (0, 1) for s in (0, 1, 4)]
    tip = scans[0].mesh.vertices[ict.landmarks[30]]
    np.testing.assert_allclose(tip, [0, 0, 40], atol=1e-4)
    assert scans[0].truth is not None
    moved = np.abs(scans[1].mesh.vertices - scans[0].mesh.vertices).max()
    assert moved > 1  # a strong shape, in mm


def _makehuman_file(folder: Path) -> Path:
    """Write a head of a flat mask, a nose, and one socket vertex behind each eye."""
    mask = np.array([[x, y, 0] for x in (-60, 0, 60) for y in (-80, 0, 80)], float)
    special = np.array([[0, -20, 40], [-30, 15, -5], [30, 15, -5]], float)
    vertices = np.concatenate([mask, special])
    triangles = np.array([[0, 1, 3], [1, 4, 3], [9, 1, 4], [10, 1, 4], [11, 4, 7]])
    np.savez(
        folder / "heads.npz",
        vertices_mm=np.tile(np.float32(vertices), (2, 3, 1, 1)),
        triangles=triangles,
    )
    return folder / "heads.npz"


def test_makehumans_empty_sockets_are_no_surface(tmp_path: Path) -> None:
    scans = list(makehuman(_makehuman_file(tmp_path), 4))
    assert [scan.name for scan in scans] == [
        f"makehuman-{n}" for n in ("00-0", "00-2", "01-0", "01-2")
    ]
    assert scans[0].mask is not None
    assert scans[0].mask.tolist() == [True, True, True, False, False]


def test_what_is_no_data_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_text("hello")
    with pytest.raises(DataError, match=r"is not makehuman_heads\.npz .* Check the path."):
        list(makehuman(tmp_path / "x.npz", 4))
    with pytest.raises(ScanError, match="There is no file"):
        list(real_scans([tmp_path / "none.obj"]))


def _cap(radius: float = 80.0) -> Mesh:
    ball = trimesh.creation.icosphere(4, radius)
    return Mesh(np.asarray(ball.vertices), np.asarray(ball.faces))


def _off_by_1mm(model: FaceModel, scan: EvaluationScan) -> Fitted:
    if scan.name == "bad":
        raise ScanError("There is no face.")
    vertices = scan.mesh.vertices * (81 / 80) / 100
    return Fitted(IN_PLACE, Mesh(vertices, scan.mesh.polygons), 2.5)


def test_rows_say_what_was_measured_and_survive_a_stop(
    tiny_model: FaceModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "fit_ours", _off_by_1mm)
    scans = [EvaluationScan("a", _cap()), EvaluationScan("bad", _cap())]
    rows = evaluate_set("balls", scans, tiny_model, {}, tmp_path)
    assert [row["scan"] for row in rows] == ["a", "bad"]
    assert rows[0]["strict_chamfer_mm"] == pytest.approx(1, abs=0.02)
    assert rows[0]["strict_normal_consistency"] == pytest.approx(1, abs=1e-3)
    assert rows[0]["seconds"] == 2.5
    assert rows[1]["error"] == "There is no face."
    assert (tmp_path / "balls.jpg").stat().st_size > 1000
    monkeypatch.setattr(evaluation, "fit_ours", None)  # would fail: nothing is fitted again
    assert evaluate_set("balls", scans, tiny_model, {}, tmp_path) == rows
    assert evaluate_set("balls", scans[1:], tiny_model, {}, tmp_path) == rows[1:]
    assert not list(tmp_path.glob("*.partial"))
    table = summarise(rows)["ImFace"]
    assert table["scans"] == {"fitted": 1, "failed": 1}
    text = markdown({"sets": {"balls": {"ImFace": table}}})
    assert "### balls: 1 scans, 1 not fitted" in text
    assert "| 2.5 / 2.5 / 2.5 |" in text


@pytest.fixture
def radii(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure no more of a fit than its radius, and draw nothing."""
    monkeypatch.setattr(evaluation, "fit_ours", _off_by_1mm)
    monkeypatch.setattr(evaluation, "measure", _radius)
    monkeypatch.setattr(evaluation, "heat_map", lambda *_: None)


@pytest.mark.usefixtures("radii")
def test_another_scan_of_the_same_name_is_measured_anew(
    tiny_model: FaceModel, tmp_path: Path
) -> None:
    ball = _cap()
    wound_over = Mesh(ball.vertices, ball.polygons[:, ::-1])
    damaged = EvaluationScan("a", ball, damaged=wound_over)
    for scan in (EvaluationScan("a", ball), EvaluationScan("a", _cap(79)), damaged):
        assert scan.key not in "".join(path.read_text() for path in tmp_path.glob("*.json"))
        (row,) = evaluate_set("balls", [scan], tiny_model, {}, tmp_path)
        assert row["mm"] == pytest.approx(scan.mesh.vertices.max() * 81 / 80)
    assert EvaluationScan("a", ball).key == EvaluationScan("a", _cap()).key


@pytest.mark.usefixtures("radii")
def test_what_another_program_measured_is_measured_anew(
    tiny_model: FaceModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans = [EvaluationScan("a", _cap())]
    before = evaluate_set("balls", scans, tiny_model, {}, tmp_path)
    monkeypatch.setattr(evaluation, "measure", lambda *_: {"mm": 1.0})
    assert evaluate_set("balls", scans, tiny_model, {}, tmp_path) == before
    old = rows.program()
    with monkeypatch.context() as updated:
        updated.setattr(rows, "program", lambda: "0.2.0-01234567")
        (row,) = evaluate_set("balls", scans, tiny_model, {}, tmp_path)
    assert row["mm"] == 1
    assert evaluate_set("balls", scans, tiny_model, {}, tmp_path) == before
    names = "".join(path.name for path in tmp_path.glob("*.json"))
    assert all(program in names for program in (old, "0.2.0-01234567"))


def test_a_program_is_another_one_after_any_change_of_its_sources(tmp_path: Path) -> None:
    source = tmp_path / "inner" / "a.py"
    source.parent.mkdir()
    source.write_text("a = 1")
    before = rows.hash_of_sources(tmp_path)
    (tmp_path / "a.txt").write_text("no source")
    assert rows.hash_of_sources(tmp_path) == before
    source.write_text("a = 2")
    assert rows.hash_of_sources(tmp_path) != before


def _radius(scan: EvaluationScan, fitted: Fitted) -> dict[str, float]:
    return {"mm": 100 * float(fitted.surface.vertices.max()), "seconds": fitted.seconds}


def test_a_scan_that_cannot_be_measured_has_a_row_with_its_error(
    tiny_model: FaceModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = evaluation.measure

    def measure(scan: EvaluationScan, fitted: Fitted) -> dict[str, float]:
        if scan.name == "odd":
            raise ScanError("No surface lies there.")
        return measured(scan, fitted)

    monkeypatch.setattr(evaluation, "fit_ours", _off_by_1mm)
    monkeypatch.setattr(evaluation, "measure", measure)
    scans = [EvaluationScan("odd", _cap()), EvaluationScan("a", _cap())]
    rows = evaluate_set("balls", scans, tiny_model, {}, tmp_path)
    assert rows[0] == {"scan": "odd", "method": "ImFace", "error": "No surface lies there."}
    assert rows[1]["strict_chamfer_mm"] == pytest.approx(1, abs=0.02)


def test_what_a_linear_model_cannot_fit_is_no_failure_of_ours(
    tiny_model: FaceModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def linearly(basis: object, scan: Mesh, pose: Similarity) -> tuple[Mesh, Similarity]:
        raise ScanError("No surface lies there.")

    monkeypatch.setattr(evaluation, "fit_ours", _off_by_1mm)
    monkeypatch.setattr(evaluation, "fit_scan_linearly", linearly)
    monkeypatch.setattr(evaluation, "measure", _radius)
    monkeypatch.setattr(evaluation, "heat_map", lambda *_: None)
    bases = {"linear": SimpleNamespace(rows=None)}
    scans = [EvaluationScan("a", _cap())]
    rows = evaluate_set("balls", scans, tiny_model, bases, tmp_path)  # type: ignore[arg-type]
    assert rows[0]["mm"] == pytest.approx(81)
    assert rows[1]["method"] == "linear, closest points"
    assert rows[1]["error"] == "No surface lies there."
    table = summarise(rows)
    assert table["ImFace"]["scans"] == {"fitted": 1, "failed": 0}
    assert table["linear, closest points"]["scans"] == {"fitted": 0, "failed": 1}
    assert "| linear, closest points, 0 scans |" in markdown({"sets": {"balls": table}})


def test_points_without_faces_are_measured_against_their_sheet(
    tiny_model: FaceModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheet = _cap()

    def ours(model: FaceModel, scan: EvaluationScan) -> Fitted:
        result = FitResult(Codes(np.zeros(8), None, ""), IN_PLACE, sheet, {})
        return Fitted(IN_PLACE, _in_model(_cap(81)), 2.5, result=result)

    monkeypatch.setattr(evaluation, "fit_ours", ours)
    points = EvaluationScan("points", Mesh(sheet.vertices, np.zeros((0, 3), int)), in_mm=False)
    (row,) = evaluate_set("balls", [points], tiny_model, {}, tmp_path)
    assert row["strict_scan_to_fit_mean_mm"] == pytest.approx(1, abs=0.02)
    assert "paper_chamfer_mm" not in row
    assert (tmp_path / "balls.jpg").stat().st_size > 1000


def test_all_scans_are_read_before_the_first_is_fitted(
    ict_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(commands, "evaluate_set", None)
    missing = tmp_path / "none.obj"
    words = ["evaluate", "--data", ict_file, "--out", tmp_path, "--people", 1, "--scans", missing]
    assert main([str(word) for word in words]) == 2
    assert "none.obj. Check the path." in capsys.readouterr().err


def test_a_damaged_scan_is_fitted_and_the_whole_one_measured(
    ict: IctFaceKit, tiny_model: FaceModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = {name: list(scans) for name, scans in damaged_ict(ict, 1).items()}
    noisy, thin, stray, hole, half = (sets[name][0] for name in list(sets)[1:])
    whole = noisy.mesh
    moved = noisy.given.vertices - whole.vertices
    assert moved.std() == pytest.approx(0.5, rel=0.02)
    assert len(thin.given.vertices) == pytest.approx(0.5 * len(whole.vertices), rel=0.05)
    assert len(thin.given.polygons) == len(stray.given.polygons) == 0
    assert len(whole.vertices) / len(stray.given.vertices) == pytest.approx(0.8, abs=0.01)
    gone = np.setdiff1d(whole.polygons, hole.given.polygons)
    assert len(gone) > 20
    assert 25 < np.ptp(whole.vertices[gone, 0]) < 40
    assert half.given.vertices[half.given.polygons].mean(1)[:, 0].max() < 0
    monkeypatch.setattr(
        evaluation, "fit_ours", lambda m, s: Fitted(IN_PLACE, _in_model(s.given), 1.0)
    )
    (row,) = evaluate_set("half", [half], tiny_model, {}, tmp_path)
    assert row["strict_scan_to_fit_mean_mm"] > 1  # to the half that is missing


def test_damage_may_be_graded(ict: IctFaceKit) -> None:
    usual, graded = damaged_ict(ict, 1), damaged_ict(ict, 1, graded=True)
    assert [name for name in graded if name in usual] == list(usual)
    given = {name: next(scans).given for name, scans in graded.items()}
    whole = given["held-out ICT, whole"].vertices

    def of(words: str) -> list[np.ndarray]:
        return [mesh.vertices for name, mesh in given.items() if words in name]

    noise = [(vertices - whole).std() for vertices in of("noise")]
    np.testing.assert_allclose(noise, [0.25, 0.5, 1.0], rtol=0.02)
    kept = [len(vertices) / len(whole) for vertices in of("of the vertices")]
    np.testing.assert_allclose(kept, [0.75, 0.5, 0.25], atol=0.02)
    stray = [1 - len(whole) / len(vertices) for vertices in of("stray")]
    np.testing.assert_allclose(stray, [0.1, 0.2, 0.4], atol=0.01)


def test_a_linear_model_gets_the_surface_that_ours_was_fitted_to(
    tiny_model: FaceModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ball, sheet = _cap(), _cap(79.0)
    no_faces = Mesh(ball.vertices, np.zeros((0, 3), int))
    points = EvaluationScan("a", ball, truth=ball.vertices, damaged=no_faces)

    def ours(model: FaceModel, scan: EvaluationScan) -> Fitted:
        result = FitResult(Codes(np.zeros(8), None, ""), IN_PLACE, sheet, {})
        return replace(_off_by_1mm(model, scan), result=result)

    def linearly(basis: object, scan: Mesh, pose: Similarity) -> tuple[Mesh, Similarity]:
        assert scan is sheet
        return _in_model(scan), pose

    monkeypatch.setattr(evaluation, "fit_ours", ours)

    monkeypatch.setattr(evaluation, "fit_scan_linearly", linearly)
    monkeypatch.setattr(evaluation, "measure", _radius)
    monkeypatch.setattr(evaluation, "heat_map", lambda *_: None)
    bases = {"linear": SimpleNamespace(rows=None)}
    rows = evaluate_set("points", [points], tiny_model, bases, tmp_path)  # type: ignore[arg-type]
    assert [row["method"] for row in rows] == ["ImFace", "linear, closest points"]
    assert [row["mm"] for row in rows] == [pytest.approx(81), pytest.approx(79)]

    # With detail there is a row more, also where there are rows without it already.
    monkeypatch.setattr(evaluation, "refine_fit", lambda model, result: result)
    monkeypatch.setattr(evaluation, "build_mesh", lambda *_: _in_model(_cap(80.5)))
    rows = evaluate_set("points", [points], tiny_model, {}, tmp_path, refine=True)
    assert [row["method"] for row in rows] == ["ImFace", "ImFace, with detail"]
    assert rows[1]["mm"] == pytest.approx(80.5)
    assert rows[1]["seconds"] > rows[0]["seconds"] == 2.5


def _in_model(mesh: Mesh) -> Mesh:
    return Mesh(mesh.vertices / 100, mesh.polygons)


def test_a_pose_that_shrinks_the_scan_earns_nothing() -> None:
    ball = _cap()
    half = Fitted(
        Similarity(0.005, np.eye(3), np.zeros(3)),
        Mesh(ball.vertices * (82 / 80) / 200, ball.polygons),
        0.0,
    )
    figures = measure(EvaluationScan("ball", ball), half)
    assert figures["strict_scan_to_fit_mean_mm"] == pytest.approx(2, abs=0.05)


def test_vertices_are_measured_where_a_method_has_them() -> None:
    ball = _cap()
    rows = np.arange(0, len(ball.vertices), 3)
    moved = ball.vertices[rows] / 100 + [0.03, 0, 0.04]
    fitted = Fitted(IN_PLACE, _in_model(ball), 0.0, moved, rows)
    figures = measure(EvaluationScan("ball", ball, truth=ball.vertices), fitted)
    assert figures["correspondence_median_mm"] == pytest.approx(5)
    assert figures["correspondence_mean_mm"] == pytest.approx(5)


def test_statistics_are_over_scans() -> None:
    rows = [{"scan": str(i), "method": "m", "strict_chamfer_mm": float(i)} for i in range(101)]
    figures = summarise(rows)["m"]["strict_chamfer_mm"]
    assert figures == {"mean": 50.0, "median": 50.0, "p95": 95.0}
    json.dumps(summarise(rows))


def test_broken_surfaces_are_told() -> None:
    sheet = trimesh.creation.box((1, 1, 0.2)).subdivide_loop(4)
    whole = Mesh(np.asarray(sheet.vertices), np.asarray(sheet.faces))
    assert not is_torn(whole)
    assert not is_folded(whole)
    two = np.concatenate([whole.vertices, whole.vertices + 5])
    both = np.concatenate([whole.polygons, whole.polygons + len(whole.vertices)])
    assert is_torn(Mesh(two, both))
    spiked = whole.vertices.copy()
    spiked[::7] += 0.5 * np.sign(spiked[::7])
    assert is_folded(Mesh(spiked, whole.polygons))


def test_hardly_anything_of_random_faces_is_loose(bundled: FaceModel) -> None:
    """Of so coarse a mesh, a handful of triangles is 0.1 % of it, which counts as torn."""
    counts = random_faces(bundled, 4, resolution=48)
    assert counts["faces"] == 4
    assert counts["folded"] == 0
    assert counts["loose_percent_most"] < 0.5


def test_a_torn_face_counts_though_its_mesh_is_one_piece(
    bundled: FaceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def two_balls(points: np.ndarray) -> np.ndarray:
        large, small = (np.linalg.norm(points - [x, 0, 0], axis=1) for x in (0.4, -0.4))
        return np.float32(np.minimum(large - 0.4, small - 0.2))

    monkeypatch.setattr(evaluate_codes, "face_sdf", lambda *_: two_balls)
    counts = random_faces(bundled, 2, resolution=64)
    assert counts["torn"] == counts["broken"] == counts["faces"] == 2
    assert counts["folded"] == 0
    assert counts["loose_percent"] == counts["loose_percent_most"] == pytest.approx(20, abs=1)
