# SPDX-License-Identifier: GPL-3.0-or-later
"""build.py: what goes into the zip, what is used again, and what is said when it fails."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path, PurePosixPath

import pytest

import build

ROOT = Path(build.__file__).parent
HERE = build.Environment(Path(sys.prefix), ROOT / "requirements.txt")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a small project tree with caches and tools' files that must not be shipped."""
    files = {
        "blender_manifest.toml": (ROOT / "blender_manifest.toml").read_text(),
        "LICENSE": "a licence",
        "imface_blender/__init__.py": "",
        "imface_blender/panels/main.py": "",
        "imface_blender/ruff.toml": "",
        "imface_blender/__pycache__/main.cpython-311.pyc": "",
        "backend/__init__.py": "",
        "backend/.ruff_cache/x.py": "",
        "weights/model.safetensors": "numbers",
    }
    for name, text in files.items():
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "source"


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder, by relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_stage_is_fresh_and_leaves_the_source_alone(source: Path, tmp_path: Path) -> None:
    stage = tmp_path / "stage"
    stage.mkdir()
    (stage / "left_from_last_time.py").write_text("")
    before = contents(source)
    build.stage(source, stage)
    assert sorted(contents(stage)) == [
        "LICENSE",
        "__init__.py",
        "backend/__init__.py",
        "blender_manifest.toml",
        "panels/main.py",
        "weights/model.safetensors",
    ]
    assert contents(source) == before


def test_stage_refuses_a_file_of_another_kind(source: Path, tmp_path: Path) -> None:
    (source / "weights" / "last.pt").write_text("")
    with pytest.raises(build.BuildError, match=r"weights/last\.pt has no place"):
        build.stage(source, tmp_path / "stage")


def test_zip_of_the_project(tmp_path: Path) -> None:
    build.stage(ROOT, tmp_path / "stage")
    archive = build.pack(tmp_path / "stage", tmp_path / "dist", HERE)
    version = tomllib.loads((ROOT / "blender_manifest.toml").read_text())["version"]
    assert archive == tmp_path / "dist" / f"imface_blender-{version}.zip"
    with zipfile.ZipFile(archive) as packed:
        names = {PurePosixPath(name) for name in packed.namelist() if not name.endswith("/")}
    tops = {name.parts[0] for name in names if len(name.parts) > 1}
    assert tops == {"backend", "operators", "panels", "weights"}
    for needed in ("__init__.py", "blender_manifest.toml", "LICENSE", "backend/__main__.py"):
        assert PurePosixPath(needed) in names
    assert any(name.match("weights/*.safetensors") for name in names)
    strangers = [
        name
        for name in names
        if not (name.suffix in build.SHIPPED_TYPES or name.name in build.SHIPPED_NAMES)
        or any(part.startswith((".", "__pycache__")) for part in name.parts)
    ]
    assert strangers == []


def test_a_manifest_that_blender_refuses_is_no_zip(source: Path, tmp_path: Path) -> None:
    manifest = source / "blender_manifest.toml"
    manifest.write_text(manifest.read_text().replace("blender_version_min", "blender_min"))
    build.stage(source, tmp_path / "stage")
    with pytest.raises(build.BuildError, match="blender_version_min"):
        build.pack(tmp_path / "stage", tmp_path / "dist", HERE)


def test_environment_is_used_again_until_its_requirements_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    monkeypatch.setattr(build, "run_quietly", lambda command, failure: made.append(command))
    (tmp_path / ".venv").mkdir()
    (tmp_path / "pins.txt").write_text("a==1")
    environment = build.Environment(tmp_path / ".venv", tmp_path / "pins.txt")
    build.prepare(environment)
    commands_to_make_one = len(made)
    assert commands_to_make_one > 0
    build.prepare(environment)
    assert len(made) == commands_to_make_one
    (tmp_path / "pins.txt").write_text("a==2")
    build.prepare(environment)
    assert len(made) == 2 * commands_to_make_one


def test_an_environment_that_failed_half_way_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(command: object, failure: str) -> None:
        raise build.BuildError(failure)

    monkeypatch.setattr(build, "run_quietly", fail)
    (tmp_path / "pins.txt").write_text("a==1")
    environment = build.Environment(tmp_path / ".venv", tmp_path / "pins.txt")
    with pytest.raises(build.BuildError):
        build.prepare(environment)
    assert not environment.is_ready()


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [((0, 0, 0, 0, 0), 0), ((1, 0, 0, 0, 0), 1), ((0, 0, 0, 2, 0), 1), ((0, 0, 0, 0, 3), 3)],
)
def test_every_check_runs_whatever_the_ones_before_said(
    statuses: tuple[int, ...], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def run_module(environment: build.Environment, words: list[str]) -> int:
        ran.append(words[0])
        return statuses[len(ran) - 1]

    monkeypatch.setattr(build, "prepare", lambda environment: None)
    monkeypatch.setattr(build, "run_module", run_module)
    assert build.test([]) == expected
    assert ran == ["ruff", "ruff", "mypy", "pytest", "pytest"]


def test_help_needs_nothing_but_the_standard_library() -> None:
    command = [sys.executable, "-I", "-S", ROOT / "build.py", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for word in ("demo", "test", "zip", "bench"):
        assert f"\n    {word} " in done.stdout


def test_another_python_gets_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 13, 1))
    assert build.main(["zip"]) == 1
    assert "needs Python 3.11" in capsys.readouterr().err


def test_arguments_are_passed_on_only_where_they_mean_something() -> None:
    assert build.parse(["test", "--", "-k", "wire"]) == ("test", ["-k", "wire"])
    assert build.parse(["bench", "--json"]) == ("bench", ["--json"])
    with pytest.raises(SystemExit, match="2"):
        build.parse(["zip", "--fast"])
