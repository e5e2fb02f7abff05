# SPDX-License-Identifier: GPL-3.0-or-later
"""Scans fitted on the command line: one, many, some of which fail, some of which are done."""

import io
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import pytest
import trimesh

from backend import commands, fit_command
from backend.__main__ import main
from backend.codes import Codes
from backend.errors import BackendError, ScanError
from backend.face import measured_fit
from backend.face.fit import FitResult, fit_scan
from backend.face.fit_codes import FitConfig, Report
from backend.learn.evaluate_codes import is_folded, is_torn
from backend.mesh import load_scan
from tests.backend.command_line.ask import ROOT, answer_of, partly, strip_of_triangles, text_file


def test_fit_puts_the_face_where_the_scan_is(tmp_path: Path, lee_perry_smith: Path) -> None:
    # At coarser ones the mesh itself is off: with detail 0.082 mm are left at 160, 0.075 at 256.
    answer = answer_of("fit", lee_perry_smith, "--refine", "--resolution", 256, "--out", tmp_path)
    report = json.loads((tmp_path / "lee_perry_smith" / "report.json").read_text())
    assert answer == {"reports": {str(lee_perry_smith): report}, "failed": {}}
    assert report["chamfer_mm"] < 0.2
    assert report["scan_to_fit_mean_mm"] < 0.2
    assert report["coverage"] > 0.9
    seconds = dict(report["seconds"])
    assert seconds.pop("total") == pytest.approx(sum(seconds.values()))
    assert set(seconds) == {
        *("loading", "pose", "visible", "codes", "meshing", "measuring", "refinement", "writing")
    }
    assert (report["settled"], report["poor"], report["advice"]) == (False, False, "")
    refined = report["refined"]
    assert refined["scan_to_fit_mean_mm"] < min(0.6 * report["scan_to_fit_mean_mm"], 0.084)
    assert refined["scan_to_fit_p95_mm"] < 0.7 * report["scan_to_fit_p95_mm"]
    assert refined["normal_consistency"] > report["normal_consistency"]
    scan = load_scan(lee_perry_smith)
    fitted = load_scan(tmp_path / "lee_perry_smith" / "fit.ply")
    surface = trimesh.Trimesh(scan.vertices, scan.polygons, process=False)
    near = fitted.vertices[:: len(fitted.vertices) // 1000]
    _, distance, _ = trimesh.proximity.closest_point(surface, near)
    millimetre = 0.01 / report["scale"]  # in the scan's unit
    assert np.median(distance) < 2 * millimetre
    assert not is_torn(fitted)
    assert not is_folded(fitted)
    made = Codes.load(tmp_path / "lee_perry_smith" / "codes.json")
    assert made.expression is not None
    assert made.detail is not None


@pytest.fixture
def quick_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Search the pose alone with care."""
    quick = FitConfig(rounds=1, points=500)
    monkeypatch.setattr(measured_fit, "fit_scan", partial(fit_scan, config=quick))


@pytest.mark.usefixtures("quick_fits")
def test_fit_takes_landmarks(
    tmp_path: Path,
    lee_perry_smith: Path,
    lee_perry_smith_landmarks: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [str(word) for word in ("fit", lee_perry_smith, "--resolution", 64, "--out", tmp_path)]
    helped = [*words, "--landmarks", str(lee_perry_smith_landmarks)]
    assert main([*helped, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)["reports"][str(lee_perry_smith)]
    assert report["landmarks"] == str(lee_perry_smith_landmarks)
    assert report["landmarks_used"] is True
    assert report["scan_to_fit_mean_mm"] < 3

    def unlike(*_: object, landmarks: object, **__: object) -> None:
        raise ScanError(f"Landmarks: {landmarks}.")

    monkeypatch.setattr(measured_fit, "fit_scan", unlike)
    assert main([*helped, "--resume"]) == 0
    marks = tmp_path / lee_perry_smith_landmarks.name
    elsewhere = [*words, "--landmarks", str(copyfile(lee_perry_smith_landmarks, marks))]
    assert main([*elsewhere, "--resume"]) == 0
    assert main([*words, "--resume"]) == 1
    assert capsys.readouterr().err == "lee_perry_smith.obj: Landmarks: None.\n"
    marks.write_text(marks.read_text() + "\n")
    assert main([*elsewhere, "--resume"]) == 1


@pytest.mark.usefixtures("quick_fits")
def test_fit_says_that_landmarks_were_left_out_and_the_fit_is_poor(
    tmp_path: Path,
    lee_perry_smith: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scan = load_scan(lee_perry_smith)
    monkeypatch.setattr(measured_fit, "POOR_ABOVE_MM", 0.0)
    monkeypatch.setattr(measured_fit, "GOOD_MIDDLE", 2.0)
    wrong = tmp_path / "wrong.txt"
    np.savetxt(wrong, scan.vertices[:: len(scan.vertices) // 4][:5])
    words = ["fit", lee_perry_smith, "--landmarks", wrong, "--resolution", 32, "--out", tmp_path]
    assert main([*map(str, words), "--json"]) == 0
    said = capsys.readouterr()
    report = json.loads(said.out)["reports"][str(lee_perry_smith)]
    assert said.err.splitlines() == [
        "lee_perry_smith.obj: The landmarks were left out: without them the face matches plainly "
        "better.",
        "lee_perry_smith.obj: poor fit: check that nothing hides eyes, nose and mouth "
        f"({report['scan_to_fit_mean_mm']:.2f} mm mean distance, "
        f"{100 - 100 * report['coverage']:.0f} % of the face not seen).",
    ]
    assert report["landmarks_used"] is False
    assert report["poor"] is True


@pytest.mark.usefixtures("quick_fits")
def test_fit_goes_on_after_failures_and_keeps_what_is_done(
    tmp_path: Path,
    lee_perry_smith: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ball, broken = tmp_path / "ball.ply", tmp_path / "broken.obj"
    trimesh.creation.icosphere(4).export(ball)
    broken.write_text("f 1 2")
    words = ["fit", ball, broken, lee_perry_smith, "--resolution", 64, "--out", tmp_path / "out"]
    first, said = partly(capsys, *words)
    assert set(first["failed"]) == {str(ball), str(broken)}
    assert "No face was found" in first["failed"][str(ball)]
    assert "broken.obj" in said
    report = json.loads((tmp_path / "out" / "ball" / "report.json").read_text())
    assert report["face_found"] is False
    assert report["reason"] == first["failed"][str(ball)]

    def fitted_again(*more: str) -> bool:
        with monkeypatch.context() as patch:
            patch.setattr(measured_fit, "fit_scan", unwanted)
            answer, _ = partly(capsys, *words, "--resume", *more)
        return "fitted again" in str(answer["failed"])

    def unwanted(*_: object, **__: object) -> None:
        raise BackendError("fitted again")

    stale = tmp_path / "out" / "lee_perry_smith" / "report.json"
    other_scan = {"sha256": ["0" * 64]}
    for changed in ({"weights": "others"}, other_scan, {"refined": {}}, {"settled": True}):
        stale.write_text(json.dumps(json.loads(stale.read_text()) | changed))
        assert fitted_again()
        stale.write_text(json.dumps(first["reports"][str(lee_perry_smith)]))
    assert not fitted_again()
    elsewhere = tmp_path / "elsewhere" / lee_perry_smith.name
    elsewhere.parent.mkdir()
    words[words.index(lee_perry_smith)] = Path(copyfile(lee_perry_smith, elsewhere))
    assert not fitted_again()
    words[words.index(elsewhere)] = lee_perry_smith
    for name in ("fit.ply", "codes.json"):
        kept = stale.with_name(name).rename(tmp_path / name)
        assert fitted_again()
        kept.rename(stale.with_name(name))
    assert partly(capsys, *words, "--resume")[0] == first
    assert fitted_again("--topology", "head")
    assert fitted_again("--resolution", "65")
    trimesh.creation.icosphere(4, radius=2.0).export(ball)
    assert fitted_again()


def test_an_unexpected_error_does_not_end_the_other_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def singular(*_: object, **__: object) -> None:
        raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setattr(measured_fit, "fit_scan", singular)
    scans = [strip_of_triangles(tmp_path / "a.obj", 600), text_file(tmp_path / "b.obj")]
    answer, said = partly(capsys, "fit", *scans, "--out", tmp_path)
    assert list(answer["failed"]) == [str(scan) for scan in scans]
    assert answer["failed"][str(scans[0])] == "LinAlgError: Singular matrix"
    assert "a.obj: Traceback" in said
    assert "in singular" in said


def test_a_single_scan_that_fails_is_in_the_answer_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = text_file(tmp_path / "a.obj")
    answer, said = partly(capsys, "fit", scan, "--out", tmp_path)
    assert said == f"a.obj: {answer['failed'][str(scan)]}\n"
    assert answer["reports"] == {}


def test_wildcards_that_no_shell_has_replaced_stand_for_what_matches(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scans = [text_file(tmp_path / f"{name}.obj") for name in ("b", "a", "[1]")]
    words = [tmp_path / "[ab].obj", scans[2], tmp_path / "none*.obj", "--out", tmp_path / "out"]
    answer, _ = partly(capsys, "fit", *words)
    named = [scans[1], scans[0], scans[2], tmp_path / "none*.obj"]
    assert list(answer["failed"]) == list(map(str, named))
    assert "There is no file" in answer["failed"][str(tmp_path / "none*.obj")]


def test_a_folder_stands_for_the_scans_that_lie_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "scans"
    (folder / "earlier" / "a").mkdir(parents=True)
    scans = [text_file(folder / name) for name in ("a.PLY", "b.obj")]
    for other in ("a.mtl", ".c.obj", "earlier/a/fit.ply"):
        text_file(folder / other)
    answer, _ = partly(capsys, "fit", folder, "--out", tmp_path)
    assert list(answer["failed"]) == list(map(str, scans))


def test_torchruns_processes_share_the_scans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scans = [tmp_path / f"{i}.ply" for i in range(5)]
    monkeypatch.setenv("WORLD_SIZE", "2")
    shares = []
    for rank in (0, 1):
        monkeypatch.setenv("RANK", str(rank))
        answer, _ = partly(capsys, "fit", *scans, "--out", tmp_path)
        shares.append(set(answer["failed"]))
    assert [len(share) for share in shares] == [3, 2]
    assert shares[0] | shares[1] == {str(scan) for scan in scans}


def test_a_failure_does_not_end_torchruns_other_processes(tmp_path: Path) -> None:
    ball = tmp_path / "ball.ply"
    trimesh.creation.icosphere(4).export(ball)  # takes seconds to have no face
    words = ["fit", text_file(tmp_path / "a.obj"), ball, "--out", tmp_path / "out", "--json"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*torchrun, "--nproc-per-node", "2", "-m", "backend", *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1
    shares = [json.loads(line)["failed"] for line in done.stdout.splitlines()]
    assert [len(share) for share in shares] == [1, 1]
    assert "No face was found" in (tmp_path / "out" / "ball" / "report.json").read_text()


@pytest.fixture
def ctrl_c() -> Iterator[Callable[[], None]]:
    """Return what Ctrl-C does, in a process that heeds it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_keeps_the_best_so_far(
    tmp_path: Path,
    lee_perry_smith: Path,
    ctrl_c: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    steps = []

    def interrupted(*args: Any, report: Report, **choices: Any) -> FitResult:
        def heard(share: float, text: str) -> bool | None:
            if text.startswith("Fitting: ") and text.endswith(" mm"):
                steps.append(text)
                ctrl_c()
            return report(share, text)

        return fit_scan(*args, report=heard, **choices)

    monkeypatch.setattr(measured_fit, "fit_scan", interrupted)
    scans = [text_file(tmp_path / "a.obj"), lee_perry_smith, text_file(tmp_path / "b.obj")]
    words = ["fit", *scans, "--refine", "--resolution", 64, "--out", tmp_path, "--json"]
    assert main([*map(str, words)]) == 130
    said = capsys.readouterr()
    assert said.err.splitlines()[1:] == ["Interrupted: 2 of 3 scans are left for --resume."]
    answer = json.loads(said.out)
    assert answer["interrupted"] is True
    assert set(answer["failed"]) == {str(scans[0])}
    report = answer["reports"][str(lee_perry_smith)]
    assert report["settled"] is True
    assert "refined" not in report
    assert report["scan_to_fit_mean_mm"] < 0.6
    assert len(steps) == 1
    assert {path.name for path in (tmp_path / "lee_perry_smith").iterdir()} == {
        *("fit.ply", "codes.json", "report.json")
    }
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_ends_at_once(
    tmp_path: Path,
    ctrl_c: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def twice(*_: object, **__: object) -> None:
        ctrl_c()
        ctrl_c()

    monkeypatch.setattr(measured_fit, "fit_scan", twice)
    scan = strip_of_triangles(tmp_path / "a.obj", 600)
    assert main(["fit", str(scan), "--out", str(tmp_path)]) == 130
    said = "Interrupted: what was finished is kept. Go on with --resume.\n"
    assert capsys.readouterr() == ("", said)
    assert list((tmp_path / "a").iterdir()) == []


def test_ctrl_c_is_one_sentence_whatever_runs(
    tmp_path: Path,
    ctrl_c: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(commands.COMMANDS, "generate", lambda options: ctrl_c())
    assert main(["generate", "--out", str(tmp_path / "a.ply")]) == 130
    assert capsys.readouterr() == ("", "Interrupted: what was finished is kept.\n")


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_scan_stage_and_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half_way(*_: object, report: Report, **__: object) -> None:
        report(0.5, "Fitting: 0.12 mm")
        raise ScanError("That is all.")

    monkeypatch.setattr(fit_command, "fit_and_measure", half_way)
    words = ["fit", str(strip_of_triangles(tmp_path / "a.obj", 600)), "--out", str(tmp_path)]
    shown = {}
    for more in ((), ("--json",)):
        monkeypatch.setattr(sys, "stderr", _Terminal())
        assert main([*words, *more]) == 1
        shown[more] = sys.stderr.getvalue()
    assert re.search(r"a\.obj \(1/1\)  50%\|.*, Fitting: 0\.12 mm", shown[()])
    assert shown["--json",] == "a.obj: That is all.\n"
