# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input on the command line: an exit status and one sentence."""

import errno
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from backend import commands
from backend.__main__ import main
from backend.checkpoint import BUNDLED
from backend.codes import Codes
from backend.mesh import load_scan
from tests.backend.command_line.ask import (
    LAYOUTS,
    assert_one_sentence,
    in_a_process,
    strip_of_triangles,
    text_file,
)


def _fit_with(folder: Path, landmarks: str) -> list[object]:
    (folder / "a.csv").write_text(landmarks)
    scan = strip_of_triangles(folder / "a.obj", 600)
    return ["fit", scan, "--landmarks", folder / "a.csv", "--out", folder]


def _truncated(folder: Path) -> Path:
    path = folder / "half.safetensors"
    path.write_bytes(BUNDLED.read_bytes()[:1_000_000])
    return path


Words = Callable[[Path], list[object]]
BAD_SCANS: dict[str, tuple[Words, str]] = {
    "text": (lambda d: ["fit", text_file(d / "a.obj"), "--out", d], "The scan has no faces."),
    "5 triangles": (
        lambda d: ["fit", strip_of_triangles(d / "a.obj", 5), "--out", d],
        "The scan has only 5 triangles.",
    ),
    "NaN": (
        lambda d: ["fit", strip_of_triangles(d / "a.obj", 600, "v nan 0 0"), "--out", d],
        "1 vertices of the scan have no valid position",
    ),
    "no scan": (lambda d: ["fit", d / "a.obj", "--out", d], "There is no file"),
    "no landmarks": (
        lambda d: [
            "fit",
            strip_of_triangles(d / "a.obj", 600),
            "--landmarks",
            d / "a.txt",
            "--out",
            d,
        ],
        "There is no file",
    ),
    "four landmarks": (
        lambda d: _fit_with(d, "0 0 0\n1 0 0\n2 1 0\n3 1 0\n"),
        "There are 4 landmarks. Give five",
    ),
    "landmarks elsewhere": (
        lambda d: _fit_with(d, "0 0 9000\n2 0 9000\n1 1 9001\n0 2 9000\n2 2 9000\n"),
        "The landmarks do not lie on the scan.",
    ),
}
BAD: dict[str, tuple[Words, str]] = {
    "landmarks of two": (
        lambda d: ["fit", d / "a.obj", d / "b.obj", "--landmarks", d / "a.txt", "--out", d],
        "Landmarks are of one scan. Fit each scan in a call of its own.",
    ),
    "folder without scans": (
        lambda d: ["fit", d, "--out", d / "out"],
        "No OBJ, PLY, STL or GLB file lies in the folder",
    ),
    "missing weights": (
        lambda d: ["generate", "--weights", d / "none.safetensors", "--out", d / "a.ply"],
        "none.safetensors is missing. Check its path, or install the add-on's zip again.",
    ),
    "truncated weights": (
        lambda d: ["generate", "--weights", _truncated(d), "--out", d / "a.ply"],
        "is damaged or incomplete.",
    ),
    "a run's checkpoint as weights": (
        lambda d: ["generate", "--weights", d / "checkpoint.pt", "--out", d / "a.ply"],
        "checkpoint.pt is a checkpoint of a training. Make a weights file of it first: by",
    ),
    "a folder as weights": (
        lambda d: ["generate", "--weights", d, "--out", d / "a.ply"],
        "is a folder. Give the file in it:",
    ),
    "expression": (
        lambda d: ["generate", "--expression", "smirk=1", "--out", d / "a.ply"],
        "There is no expression 'smirk'.",
    ),
    "value": (
        lambda d: ["generate", "--expression", "jawOpen=2", "--out", d / "a.ply"],
        "The value in 'jawOpen=2' is out of range.",
    ),
    "no value": (
        lambda d: ["generate", "--expression", "jawOpen", "--out", d / "a.ply"],
        "Write NAME=VALUE.",
    ),
    "resolution": (
        lambda d: ["generate", "--resolution", 8, "--out", d / "a.ply"],
        "The resolution 8 is out of range.",
    ),
    "resolution of fits": (
        lambda d: ["fit", text_file(d / "a.obj"), "--resolution", 5, "--out", d / "out"],
        "The resolution 5 is out of range.",
    ),
    "topology of fits": (
        lambda d: [
            *("fit", text_file(d / "a.obj"), "--topology", "narrow", "--out", d / "out"),
            *("--weights", _imported(d)),
        ],
        "These weights have no common topology",
    ),
    "seed": (lambda d: ["generate", "--seed", -1, "--out", d / "a.ply"], "The seed -1"),
    "extension": (
        lambda d: ["generate", "--out", d / "a.docx"],
        "a.docx has no known extension.",
    ),
    "codes": (
        lambda d: ["blend", text_file(d / "a.json"), d / "b.json", "--out", d / "a.ply"],
        "a.json is not a JSON file.",
    ),
    "names": (
        lambda d: ["shape-keys", text_file(d / "a.json"), "--out", d / "a.npy"],
        "a.npy has no known extension.",
    ),
    "points": (
        lambda d: _query(d, text_file(d / "p.npy")),
        "is no .npy array of points.",
    ),
    "empty points": (
        lambda d: _query(d, _written(d / "p.npy", b"")),
        "is no .npy array of points.",
    ),
    "zipped points": (
        lambda d: _query(d, _written(d / "p.npy", b"PK and no more")),
        "is no .npy array of points.",
    ),
    "points of words": (
        lambda d: _query(d, _saved(d / "p.npy", np.full((4, 3), "x"))),
        "p.npy does not hold points (N, 3).",
    ),
    "tables": (
        lambda d: _query(d, d / "p.npy"),
        "The tables hold 0 identities",
    ),
    "checkpoint": (
        lambda d: ["import-checkpoint", d, "--out", d / "a.safetensors"],
        "envs_last.pth is missing.",
    ),
    "data": (
        lambda d: ["prepare", "--data", text_file(d / "x.npz"), "--cache", d / "cache"],
        "is not ICT-FaceKit data",
    ),
    "two of a name": (
        lambda d: ["fit", d / "a" / "x.obj", d / "b" / "x.obj", "--out", d],
        "Two scans are called 'x'. Rename one",
    ),
    "two of a name where case does not count": (
        lambda d: ["fit", d / "a" / "Ax.obj", d / "b" / "aX.obj", "--out", d],
        "Two scans are called 'Ax'. Rename one",
    ),
    "two of a name to measure": (
        lambda d: ["evaluate", "--data", d, "--scans", d / "a/x.obj", d / "b/x.obj", "--out", d],
        "Two scans are called 'x'. Rename one",
    ),
    "cache": (
        lambda d: ["train", "--cache", d, "--out", d / "run"],
        "is not a prepared cache. Run 'prepare' first.",
    ),
}


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _saved(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


def _imported(folder: Path) -> Path:
    """Write weights that have no fixed topology."""
    path = folder / "w.safetensors"
    assert main(["import-checkpoint", str(LAYOUTS / "se3_small"), "--out", str(path)]) == 0
    return path


def _query(folder: Path, points: Path) -> list[object]:
    weights = ["--weights", _imported(folder)] if points.exists() else []
    face = ["--identity", 0, "--expression", 0, "--points", points, "--out", folder / "q.npz"]
    return ["query", *weights, *face]


@pytest.mark.parametrize("name", BAD_SCANS)
def test_a_bad_scan_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    words, said = BAD_SCANS[name]
    assert main([str(word) for word in words(tmp_path)]) == 1
    errors = capsys.readouterr().err
    assert_one_sentence(errors, said)
    assert errors.startswith("a.obj: ")


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    words, said = BAD[name]
    assert main([str(word) for word in words(tmp_path)]) == 2
    assert_one_sentence(capsys.readouterr().err, said)
    assert not (tmp_path / "a.ply").exists()


@pytest.mark.parametrize("name", ["data", "missing weights"])
def test_bad_input_is_one_sentence_in_a_process_of_its_own(tmp_path: Path, name: str) -> None:
    words, said = BAD[name]
    done = in_a_process(*words(tmp_path))
    assert done.returncode == 2
    assert_one_sentence(done.stderr, said)
    assert done.stdout == ""


def test_a_bad_scan_among_others_fails_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scans = [str(text_file(tmp_path / "a.obj")), str(strip_of_triangles(tmp_path / "b.obj", 5))]
    assert main(["fit", *scans, "--out", str(tmp_path), "--json"]) == 1
    captured = capsys.readouterr()
    assert len(captured.err.splitlines()) == 2
    assert captured.err.startswith("a.obj: The scan has no faces.")
    assert set(json.loads(captured.out)["failed"]) == set(scans)


@pytest.mark.parametrize(
    "words",
    [
        ["generate", "--resolution", "16", "--out", "a.ply"],
        ["fit", "b.obj", "c.obj", "--out", "file"],
        ["fit", "b.obj", "c.obj", "--out", "file/below"],
        ["fit", "b.obj", "c.obj", "--out", "closed"],
    ],
)
def test_what_cannot_be_written_fails_at_once(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.ply").mkdir()
    Path("file").touch()
    monkeypatch.setattr(os, "access", lambda path, _: path != Path("closed"))  # root may do all
    assert main([*words, "--json"]) == 1
    said = capsys.readouterr()
    assert_one_sentence(said.err, "Check path and free space.")
    assert said.err.startswith(words[-1])
    assert json.loads(said.out) == {"failed": {words[0]: said.err.rstrip()}}


def test_a_scan_whose_face_cannot_be_written_fails_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scans = [str(strip_of_triangles(tmp_path / f"{name}.obj", 600)) for name in "ab"]
    (tmp_path / "a").touch()
    assert main(["fit", *scans, "--out", str(tmp_path), "--json"]) == 1
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert lines[0] == f"a.obj: {tmp_path / 'a'}: File exists. Check path and free space."
    assert len(lines) == 2
    assert set(json.loads(said.out)["failed"]) == set(scans)


def test_a_full_disk_is_one_sentence_and_the_next_call_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as a write does: it names no file

    out = tmp_path / "Köpfe für später" / "a b.ply"
    words = ["generate", "--topology", "surface", "--resolution", "16", "--out", str(out)]
    monkeypatch.setattr(Codes, "save", fill)
    assert main(words) == 1
    assert capsys.readouterr().err == (
        "The output cannot be written: No space left on device. Check path and free space.\n"
    )
    monkeypatch.undo()
    assert main(words) == 0
    assert len(load_scan(out).vertices) > 100


class _Closed(io.StringIO):
    """What stands for stdout once its reader is gone."""

    def flush(self) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def test_an_answer_that_nobody_reads_is_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(commands.COMMANDS, "sliders", lambda options: {})
    monkeypatch.setattr(sys, "stdout", _Closed())
    assert main(["sliders", "--json"]) == 1
    assert_one_sentence(capsys.readouterr().err, "The output cannot be written: Broken pipe.")


def test_a_program_without_stdout_and_stderr_does_its_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "a.ply"
    monkeypatch.setattr(sys, "stdout", None)  # as pythonw has them
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["generate", "--resolution", "16", "--out", str(out), "--json"]) == 0
    assert out.is_file()
    assert main(["generate", "--seed", "-1", "--out", str(out)]) == 2


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "--data", "x", "--out", "y", "--people", "-1"],
        ["ablate", "--data", "x", "--cache", "z", "--out", "y", "--people", "0"],
        ["train", "--cache", "x", "--out", "y", "--minutes", "-3"],
        ["train", "--cache", "x", "--out", "y", "--minutes", "nan"],
    ],
)
def test_a_number_out_of_range_is_told_before_anything_begins(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert f"argument {words[-2]}: {words[-1]} is out of range. Give " in capsys.readouterr().err
