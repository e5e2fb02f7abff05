# SPDX-License-Identifier: GPL-3.0-or-later
"""From data to weights, and other people's weights, on the command line."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from backend import commands
from backend.__main__ import main
from backend.checkpoint import load_face_model
from backend.errors import ScanError
from backend.learn.cache import ScanSamples
from backend.learn.ict_scans import IctScans
from backend.learn.rows import program
from backend.mesh import load_scan
from tests.backend.command_line.ask import LAYOUTS, answer_of


@pytest.mark.parametrize("warp", ["se3", "translation"])
def test_an_imported_checkpoint_answers_as_the_released_code(tmp_path: Path, warp: str) -> None:
    weights, points = tmp_path / "released.safetensors", tmp_path / "points.npy"
    answer = answer_of("import-checkpoint", LAYOUTS / f"{warp}_small", "--out", weights)
    assert answer["warp"] == warp
    with np.load(LAYOUTS / f"{warp}_small" / "expected.npz") as data:
        expected = dict(data)
    np.save(points, expected["points"])
    for expression in (0, 2):
        out = tmp_path / "fields.npz"
        face = ["--identity", 1, "--expression", expression, "--points", points, "--out", out]
        words = [str(word) for word in ("query", "--weights", weights, *face)]
        assert main(words) == 0
        with np.load(out) as fields:
            assert len(fields.files) == 6
            for name in fields.files:
                wanted = expected[f"index_id1_exp{expression}_{name}"]
                near = 1e-3 * np.abs(wanted).max() if name == "gradient" else 1e-5
                np.testing.assert_allclose(fields[name], wanted, rtol=0, atol=near)


def test_a_model_without_a_head_is_evaluated(
    tmp_path: Path,
    ict_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(commands, "linear_bases", lambda *_: {})
    weights = tmp_path / "released.safetensors"
    assert main(["import-checkpoint", str(LAYOUTS / "se3_small"), "--out", str(weights)]) == 0
    words = ["--data", ict_file, "--weights", weights, "--out", tmp_path]
    none = ["--people", "0", "--damaged", "0", "--expressed", "0"]
    assert main(["evaluate", *map(str, words), *none, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert "heads" not in figures
    assert json.loads((tmp_path / "evaluation.json").read_text()) == figures
    asked_of_a_head = [*map(str, words), *none[:-1], "2"]
    assert main(["evaluate", *asked_of_a_head]) == 2
    assert "no named expressions and no common topology. Give --exp" in capsys.readouterr().err


def test_a_model_too_weak_for_people_with_expressions_is_measured_all_the_same(
    tmp_path: Path,
    ict_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def no_face(*_: object) -> None:
        raise ScanError("No face was found in the scan.")

    model = SimpleNamespace(head=SimpleNamespace(sha256="def"), sha256="abc")
    monkeypatch.setattr(commands, "_model", lambda _: model)
    monkeypatch.setattr(commands, "linear_bases", lambda *_: {})
    monkeypatch.setattr(commands, "evaluate_set", lambda *_: [{"method": "ImFace"}])
    monkeypatch.setattr(commands, "code_figures", no_face)
    words = ["evaluate", "--data", ict_file, "--out", tmp_path, "--heads", 0, "--damaged", 0]
    assert main([str(word) for word in words]) == 0
    assert "a held-out person cannot be fitted: No face was found" in capsys.readouterr().err
    figures = json.loads((tmp_path / "evaluation.json").read_text())
    assert figures["sets"]["held-out ICT"]
    assert figures["program"] == program()
    assert "codes" not in figures


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--expressed", "1"], "of whom one is too few. Give --expressed 2 or more, or 0."),
        (["--expressed", "0", "--card"], "There is no card"),
    ],
)
def test_what_cannot_be_measured_is_told_at_once(
    asked: list[str],
    said: str,
    tmp_path: Path,
    ict_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(commands, "linear_bases", None)
    monkeypatch.setattr(commands, "_model", lambda _: SimpleNamespace(head=True))
    words = ["--data", ict_file, "--weights", tmp_path / "x.safetensors", "--out", tmp_path]
    assert main(["evaluate", *map(str, words), *asked]) == 2
    assert said in capsys.readouterr().err


def test_a_card_keeps_what_is_not_measured_anew(
    tmp_path: Path, ict_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = {"ImFace": {"scans": {"fitted": 1, "failed": 0}}}
    old: dict[str, Any] = {"weights": "abc", "head": "def", "sets": {"MakeHuman": table}}
    old |= {"heads": {"ImFace": {"lips": 1.0}}, "codes": {"random": {"faces": 9.0}}}
    card = tmp_path / "model_card.json"
    card.write_text(json.dumps({"format": 1, "figures": old}))
    model = SimpleNamespace(head=SimpleNamespace(sha256="def"), sha256="abc")
    monkeypatch.setattr(commands, "_model", lambda _: model)
    monkeypatch.setattr(commands, "linear_bases", lambda *_: {})
    monkeypatch.setattr(
        commands, "evaluate_set", lambda name, *_: [{"method": "ImFace"}] if "ICT" in name else []
    )
    words = ["--data", ict_file, "--weights", tmp_path / "x.safetensors", "--out", tmp_path]
    monkeypatch.setattr(commands, "code_figures", lambda *_: {"codes": {"swapped": {"mm": 1.0}}})
    none = ["--damaged", "0", "--heads", "0", "--card"]
    assert main(["evaluate", *map(str, words), *none]) == 0
    figures = json.loads(card.read_text())["figures"]
    assert list(figures["sets"])[:2] == ["MakeHuman", "held-out ICT"]
    assert figures["heads"] == old["heads"]
    assert figures["codes"] == {"random": {"faces": 9.0}, "swapped": {"mm": 1.0}}
    model.head.sha256 = "another head of the same weights"
    assert main(["evaluate", *map(str, words), *none]) == 0
    figures = json.loads(card.read_text())["figures"]
    assert figures["head"] == model.head.sha256
    assert "heads" not in figures
    model.sha256 = "other"
    assert main(["evaluate", *map(str, words), *none]) == 0
    assert json.loads(card.read_text())["figures"]["weights"] == "other"


TINY = """
steps = 2
scans = 2
points = 32
[data]
identities = 2
expressions = 2
corresponding = 100
sheet = 30
near = 30
uniform = 30
[model]
identity_dim = 8
expression_dim = 8
identity_hidden = 8
expression_hidden = 8
hidden_layers = 1
identity_hyper_hidden = 8
expression_hyper_hidden = 8
"""


def test_from_data_to_weights(
    tmp_path: Path, ict_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tiny.toml").write_text(TINY)
    config, data = ["--config", tmp_path / "tiny.toml"], ["--data", ict_file]
    cache, run, weights = (tmp_path / name for name in ("cache", "run", "weights"))

    def done(*words: object) -> dict[str, Any]:
        assert main([str(word) for word in (*words, "--json")]) == 0
        answer: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
        return answer

    prepared = done("prepare", "--cache", cache, "--workers", 1, *config, *data)
    assert prepared == {"cache": str(cache), "broken": {}}
    assert done("train", "--cache", cache, "--out", run, *config)["step"] == 2
    checkpoint = (run / "checkpoint.pt").read_bytes()
    assert main([str(word) for word in ("train", "--cache", cache, "--out", run, *config)]) == 2
    assert "holds a training run. Go on with it by --resume, or" in capsys.readouterr().err
    assert (run / "checkpoint.pt").read_bytes() == checkpoint
    assert done("train", "--cache", cache, "--out", run, "--resume", *config)["step"] == 2
    files = done("publish", run / "checkpoint.pt", "--out", weights, *data)["files"]
    assert set(files) == {"head.safetensors", "imface.safetensors"}
    card = json.loads((weights / "model_card.json").read_text())
    assert card["files"] == files
    assert card["training"]["steps"] == 2
    anew = ("publish", weights / "imface.safetensors", "--out")
    again = done(*anew, tmp_path / "again", *data)["files"]
    assert again["imface.safetensors"] == files["imface.safetensors"]
    again = done(*anew, weights, *data)["files"]
    assert json.loads((weights / "model_card.json").read_text()) == card | {"files": again}
    assert main([str(word) for word in (*anew, weights)]) == 2
    assert "A published model's head is made of its data. Give them" in capsys.readouterr().err
    without_head = done("publish", run / "checkpoint.pt", "--out", weights)["files"]
    assert set(without_head) == {"imface.safetensors"}  # the head there is of another model
    assert load_face_model(weights / "imface.safetensors").head is None
    assert done("publish", run / "checkpoint.pt", "--out", weights, *data)["files"] == files
    out = tmp_path / "head.glb"
    published = ["--weights", weights / "imface.safetensors", "--topology", "head"]
    assert main([str(w) for w in ("generate", *published, "--out", out)]) == 0
    assert len(load_scan(out).vertices) == 26719


def test_prepare_names_the_scans_it_leaves_out(
    tmp_path: Path,
    ict_file: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(self: IctScans, scan: int) -> ScanSamples:
        if scan == 1:
            raise ScanError("The scan has a hole. Mend it.")
        return sample(self, scan)

    sample = IctScans.sample
    monkeypatch.setattr(IctScans, "sample", broken)
    (tmp_path / "tiny.toml").write_text(TINY.replace("identities = 2", "identities = 1"))
    words = ["--data", ict_file, "--config", tmp_path / "tiny.toml", "--cache", tmp_path / "cache"]
    assert main(["prepare", "--workers", "1", *map(str, words), "--json"]) == 0
    captured = capsys.readouterr()
    answer = json.loads(captured.out)
    assert answer["broken"] == {"person 0, state 1": "The scan has a hole. Mend it."}
    assert captured.err == "Left out: person 0, state 1: The scan has a hole. Mend it.\n"


@pytest.mark.parametrize("command", ["train", "evaluate", "ablate"])
def test_without_matplotlib_nothing_begins(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    data = [] if command == "train" else ["--data", str(tmp_path)]
    cache = [] if command == "evaluate" else ["--cache", str(tmp_path)]
    assert main([command, *data, *cache, "--out", str(tmp_path / "out")]) == 2
    assert "matplotlib, which this Python does not have" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
