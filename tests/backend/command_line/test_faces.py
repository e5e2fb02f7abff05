# SPDX-License-Identifier: GPL-3.0-or-later
"""Faces on the command line: made, blended, expressed, slid, written as shape keys."""

import subprocess
import sys
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest

from backend.__main__ import LEVELS_OF_DETAIL, SURFACES, main
from backend.codes import Codes
from backend.face.correspondence import LEVELS
from backend.face.correspondence import SURFACES as MESHED_SURFACES
from backend.mesh import load_scan
from tests.backend.command_line.ask import ROOT, answer_of, assert_one_sentence


@pytest.fixture(scope="module")
def codes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return the codes of two random people, made on the command line."""
    folder = tmp_path_factory.mktemp("codes")
    for seed in (1, 2):
        out = folder / f"{seed}.ply"
        assert main(["generate", "--seed", str(seed), "--resolution", "24", "--out", str(out)]) == 0
    return [folder / f"{seed}.codes.json" for seed in (1, 2)]


def test_generate_writes_mesh_and_codes(tmp_path: Path, codes: list[Path]) -> None:
    out = tmp_path / "new" / "face.ply"
    expressions = ["--expression", "jawOpen=0.5", "mouthSmileLeft=1"]
    answer = answer_of("generate", "--seed", 1, *expressions, "--resolution", 48, "--out", out)
    mesh = load_scan(out)
    assert len(mesh.vertices) == answer["vertices"]
    assert 120 < np.ptp(mesh.vertices[:, 1]) < 201  # millimetres, cut by the ball
    made = Codes.load(out.with_name("face.codes.json"))
    assert answer["codes"] == str(out.with_name("face.codes.json"))
    plain = Codes.load(codes[0])
    np.testing.assert_array_equal(made.identity, plain.identity)
    assert made.expression is not None
    assert plain.expression is None


@pytest.mark.parametrize("spelling", ["1", "../new/1", "link"])
@pytest.mark.parametrize("words", [("express",), ("blend", "2.codes.json")])
def test_a_face_that_is_read_is_not_written_over(
    tmp_path: Path,
    codes: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    spelling: str,
) -> None:
    folder = tmp_path / "new"
    copytree(codes[0].parent, folder)
    (folder / "link.codes.json").symlink_to(folder / "1.codes.json")
    monkeypatch.chdir(folder)
    before = Path("1.codes.json").read_bytes()
    assert main([*words, "1.codes.json", "--topology", "narrow", "--out", f"{spelling}.obj"]) == 2
    said = f"{Path(spelling).name}.codes.json, to be written beside --out, is a face that is read."
    assert_one_sentence(capsys.readouterr().err, f"{said} Choose another name for --out.")
    assert Path("1.codes.json").read_bytes() == before
    assert not list(folder.glob("*.obj"))


def test_the_topologies_are_the_model_s() -> None:
    assert tuple(LEVELS) == LEVELS_OF_DETAIL
    assert MESHED_SURFACES == SURFACES


def test_blend_on_the_face_topology_keeps_quads(tmp_path: Path, codes: list[Path]) -> None:
    out = tmp_path / "blend.obj"
    words = ["--weight", 0.25, "--topology", "face", "--out", out]
    answer = answer_of("blend", *codes, *words)
    assert answer["vertices"] == 9409
    lines = out.read_text().splitlines()
    assert sum(line.startswith("v ") for line in lines) == 9409
    faces = [line.split() for line in lines if line.startswith("f ")]
    assert len(faces) == 9230
    assert sum(len(face) == 5 for face in faces) > 9000
    a, b = (Codes.load(path).identity for path in codes)
    blended = Codes.load(tmp_path / "blend.codes.json")
    np.testing.assert_allclose(blended.identity, 0.75 * a + 0.25 * b, rtol=1e-5, atol=1e-6)


def test_blend_in_a_region(tmp_path: Path, codes: list[Path]) -> None:
    out = tmp_path / "nose.ply"
    words = ["--weight", 1, "--regions", "nose", "--topology", "face", "--out", out]
    answer_of("blend", *codes, *words)
    a, b = (Codes.load(path).identity for path in codes)
    mixed = Codes.load(tmp_path / "nose.codes.json").identity
    assert 0 < np.linalg.norm(mixed - a) < np.linalg.norm(b - a)


def test_express_keeps_the_person(tmp_path: Path, codes: list[Path]) -> None:
    before = Codes.load(codes[0])
    smile = tmp_path / "smile.ply"
    answer = answer_of(
        "express", codes[0], "--expression", "mouthSmileLeft=1", "--resolution", 32, "--out", smile
    )
    smiling = Codes.load(Path(answer["codes"]))
    np.testing.assert_array_equal(smiling.identity, before.identity)
    assert smiling.expression is not None
    neutral = answer_of(
        "express", answer["codes"], "--resolution", 32, "--out", tmp_path / "neutral.ply"
    )
    assert Codes.load(Path(neutral["codes"])).expression is None
    assert smile.read_bytes() != (tmp_path / "neutral.ply").read_bytes()


def test_sliders_list_what_they_do_and_move_a_face(tmp_path: Path, codes: list[Path]) -> None:
    answer = answer_of("sliders")
    names = [slider["name"] for slider in answer["sliders"]]
    nose = names.index("noseLength")
    assert answer["measurements"][nose] == "noseLength"
    assert answer["matrix_mm"][nose][nose] == pytest.approx(answer["sliders"][nose]["unit_mm"])
    words = ["--slider", "noseLength=1.5", "--resolution", 24, "--out", tmp_path / "long.ply"]
    longer = Codes.load(Path(answer_of("generate", "--seed", 1, *words)["codes"]))
    expressed = Codes.load(Path(answer_of("express", codes[0], *words)["codes"]))
    np.testing.assert_array_equal(longer.identity, expressed.identity)
    assert (longer.identity != Codes.load(codes[0]).identity).any()


def test_the_sliders_table_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sliders"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "mm  root to base of the nose" in next(x for x in lines if x.startswith("noseLength"))
    assert lines[-1].startswith("axis10")


def test_shape_keys_writes_an_array_per_name(tmp_path: Path, codes: list[Path]) -> None:
    out = tmp_path / "keys.npz"
    answer = answer_of("shape-keys", codes[0], "--names", "jawOpen", "cheekPuff", "--out", out)
    assert answer["names"] == ["jawOpen", "cheekPuff"]
    assert answer["residual"]["resolved"] >= 0.999
    with np.load(out, allow_pickle=False) as data:
        assert data["names"].tolist() == ["jawOpen", "cheekPuff"]
        assert data["basis"].shape == (9409, 3)
        assert data["vertices"].shape == (2, 9409, 3)
        assert data["polygons"].shape == (9230, 4)
        moved = np.linalg.norm(data["vertices"] - data["basis"], axis=2).max(1)
    assert (moved > 3).all()  # millimetres


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    for command in ("generate", "fit", "blend", "shape-keys", "query", "import-checkpoint"):
        assert command in text
    for command in ("prepare", "train", "publish", "evaluate", "serve"):
        assert command in text


def test_it_ends_with_the_program_that_started_it() -> None:
    forever = ["sliders", "--people", "1000000"]
    words = [sys.executable, "-m", "backend", "--end-with-stdin", *forever]
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE) as done:
        assert done.stdin is not None
        done.stdin.close()
        assert done.wait(300) == 130
