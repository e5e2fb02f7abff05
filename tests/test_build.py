# SPDX-License-Identifier: GPL-3.0-or-later
"""build.py: what goes into the zip, what is used again, and what is said when it fails."""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
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
    archive = tmp_path / "dist" / build.archive_name(tmp_path / "stage")
    build.pack(tmp_path / "stage", archive, HERE)
    version = tomllib.loads((ROOT / "blender_manifest.toml").read_text())["version"]
    assert archive.name == f"imface_blender-{version}.zip"
    with zipfile.ZipFile(archive) as packed:
        names = {PurePosixPath(name) for name in packed.namelist() if not name.endswith("/")}
    tops = {name.parts[0] for name in names if len(name.parts) > 1}
    assert tops == {"backend", "operators", "panels", "translations", "weights"}
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
        build.pack(tmp_path / "stage", tmp_path / "dist" / "a.zip", HERE)


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
    (tmp_path / "pins.txt").write_text("-r more.txt\na==2")
    (tmp_path / "more.txt").write_text("b==1")
    build.prepare(environment)
    (tmp_path / "more.txt").write_text("b==2")
    build.prepare(environment)
    assert len(made) == 4 * commands_to_make_one


@pytest.mark.parametrize("driver", [None, "/usr/bin/nvidia-smi"])
def test_pytorch_comes_without_cuda_where_there_is_no_driver(
    driver: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[object]] = []

    def run(command: list[object], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(build.sys, "platform", "linux")
    monkeypatch.setattr(build.shutil, "which", lambda name: driver)
    (tmp_path / ".venv").mkdir()
    main = build.Environment(tmp_path / ".venv", build.MAIN.requirements)
    monkeypatch.setattr(build, "MAIN", main)
    build.prepare(main)
    torch = next(i for i, words in enumerate(asked) if "install" in words)
    assert str(asked[torch][-1]).endswith("+cpu") == (driver is None)
    assert [words[-1] for words in asked if "-r" in words] == [main.requirements]


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


def test_a_linked_environment_is_never_emptied(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "python").write_text("in use")
    (tmp_path / ".venv").symlink_to(tmp_path / "theirs", target_is_directory=True)
    (tmp_path / "pins.txt").write_text("a==1")
    with pytest.raises(build.BuildError, match="is a link .* Delete the link"):
        build.prepare(build.Environment(tmp_path / ".venv", tmp_path / "pins.txt"))
    assert (tmp_path / "theirs" / "python").read_text() == "in use"


MAIN = "All tests, in Blender 5.0"
WINDOW = "Tests in a window of Blender"


class Checks(dict[str, tuple[int, str]]):
    """Stands in for all checks: a status and a closing line by title; and what has run."""

    def __init__(self) -> None:
        self.ran: dict[str, list[str]] = {}

    def __call__(self, check: build.Check, live: bool = False) -> build.Outcome:
        assert live == (check.title == MAIN)
        self.ran[check.title] = [str(word) for word in check.words]
        return build.Outcome(*self.get(check.title, (0, f"=== {check.title}: passed ===")))


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Checks:
    """Let every check end as it is told."""
    checks = Checks()
    monkeypatch.setattr(build, "prepare", lambda environment: None)
    monkeypatch.setattr(build, "run_check", checks)
    return checks


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ({}, 0),
        ({"Lint": 1}, 1),
        ({"Tests in Blender 4.2": 2}, 1),
        ({MAIN: 3}, 3),
        ({WINDOW: 1}, 1),
        ({WINDOW: build.NO_TESTS_COLLECTED}, 1),
    ],
)
def test_every_check_runs_whatever_the_others_said(
    statuses: dict[str, int], expected: int, checks: Checks
) -> None:
    checks.update({title: (status, "") for title, status in statuses.items()})
    assert build.test([], "a Blender") == expected
    assert sorted(words[0] for words in checks.ran.values()) == [
        "mypy",
        "pytest",
        "pytest",
        "pytest",
        "ruff",
        "ruff",
    ]


def test_how_all_checks_ended_is_said_last(
    checks: Checks, capsys: pytest.CaptureFixture[str]
) -> None:
    checks["Types"] = (1, "Found 1 error")
    checks[WINDOW] = (0, "===== 52 skipped in 45.61s =====")
    assert build.test([], "a Blender") == 1
    assert capsys.readouterr().out.splitlines()[-5:] == [
        "== Types: Found 1 error",
        "== Tests in Blender 4.2: Tests in Blender 4.2: passed",
        "== Tests in a window of Blender: NOT RUN, see above: 52 skipped in 45.61s",
        "== All tests, in Blender 5.0. Failed besides: Types",
        "=== All tests, in Blender 5.0: passed ===",
    ]
    assert build.test([], "") == 1
    assert f"== {WINDOW}: NOT RUN, for want of --gui\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("closing", "ran"),
    [
        ("=== 52 skipped in 1s ===", False),
        ("=== 52 deselected in 1s ===", False),
        ("=== no tests ran in 1s ===", False),
        ("=== 570 passed, 6 skipped in 1s ===", True),
        ("=== 1 failed, 51 skipped in 1s ===", True),
        ("271 files already formatted", True),
    ],
)
def test_nothing_that_ran_is_called_so(closing: str, ran: bool) -> None:
    assert build.Outcome(0, closing).summary.startswith("NOT RUN") != ran


def test_the_window_is_asked_for(checks: Checks) -> None:
    assert build.main(["test", "--gui", "--blender", sys.executable, "--", "-v"]) == 0
    assert {"tests/gui", "--blender", "-v"} <= set(checks.ran[WINDOW])
    assert "tests/gui" not in checks.ran[MAIN]
    assert checks.ran[MAIN][-1] == "-v"
    checks.ran.clear()
    assert build.main(["test", "--gui", "--blender", "no-such-blender"]) == 1
    assert checks.ran == {}  # it had not begun


@pytest.mark.parametrize("closing", ["== 2 passed in 1.00s ==", "1 skipped in 0.10s"])
@pytest.mark.parametrize("live", [True, False])
def test_a_check_s_lines_are_kept_together(
    live: bool,
    closing: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    written = f"one\n=== rules ===\n{closing}\n\nError: memory\n"
    program = tmp_path / "says_lines.py"
    program.write_text(f"import sys\nprint({written!r}, end='', file=sys.stderr)\nsys.exit(3)")
    monkeypatch.setattr(build, "ROOT", tmp_path)
    outcome = build.run_check(build.Check("Title", HERE, ["says_lines"]), live)
    assert outcome == build.Outcome(3, closing)
    assert ("NOT RUN" in outcome.summary) == ("skipped" in closing)
    assert capfd.readouterr().out.startswith(f"== Title\n{written}")


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
    assert build.parse(["test", "--", "-k", "wire"]).rest == ["-k", "wire"]
    assert build.parse(["bench", "--json"]).rest == ["--json"]
    for command in ("demo", "zip", "docs"):
        with pytest.raises(SystemExit, match="2"):
            build.parse([command, "--fast"])


LINUX = build.Target("linux-x64", "3.11")
WINDOWS = build.Target("windows-x64", "3.13")


def test_pins_are_those_of_the_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pins = tmp_path / "pins.txt"
    monkeypatch.setattr(build, "WORKER_REQUIREMENTS", pins)
    pins.write_text(
        "# a comment\ntorch==2.0\n\n"
        'numpy==1.0; python_version < "3.12"  # why\nnumpy==2.0; python_version >= "3.12"\n'
        'colors==3.0; sys_platform == "win32"\n'
    )
    assert build.requirements_of(LINUX) == {"torch": "2.0+cpu", "numpy": "1.0"}
    windows = {"torch": "2.0", "numpy": "2.0", "colors": "3.0"}
    assert build.requirements_of(WINDOWS) == windows
    pins.write_text("torch>=2\n")
    with pytest.raises(build.BuildError, match="torch>=2. Write name==version"):
        build.requirements_of(LINUX)
    pins.write_text('torch==2; os_name == "nt"\n')
    with pytest.raises(build.BuildError, match="os_name"):
        build.requirements_of(LINUX)


def test_the_pins_hold_all_that_they_need_themselves() -> None:
    """As the installed packages tell it: the wheels are downloaded without their dependencies."""
    pinned = build.requirements_of(LINUX)
    for name, version in pinned.items():
        found = importlib.metadata.distribution(name)
        assert found.version.partition("+")[0] == version.partition("+")[0]
        needed = [line for line in found.requires or [] if "extra ==" not in line]
        for line in (line for line in needed if "Windows" not in line):
            dependency = re.match(r"[\w.-]+", line)
            assert dependency is not None
            assert re.sub(r"[-_.]+", "-", dependency[0]).lower() in pinned


class Index:
    """Stands in for pip: answers with small wheels, and writes down what it was asked for."""

    def __init__(self, make_wheel: Callable[..., Path]) -> None:
        self.make_wheel = make_wheel
        self.asked: list[str] = []
        self.commands: list[list[str | Path]] = []
        self.fails_at = ""

    def __call__(self, command: list[str | Path], failure: str) -> None:
        name, _, version = str(command[-1]).partition("==")
        if name == self.fails_at:
            raise build.BuildError(failure)
        self.asked.append(name)
        self.commands.append(command)
        self.make_wheel(Path(command[-2]), name, version, {f"{name}.py": version})


@pytest.fixture
def index(
    make_wheel: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Index:
    """Replace pip and the pins."""
    index = Index(make_wheel)
    monkeypatch.setattr(build, "run_quietly", index)
    monkeypatch.setattr(build, "WORKER_REQUIREMENTS", tmp_path / "pins.txt")
    (tmp_path / "pins.txt").write_text("torch==2.0\nb==1.0\nc==1.0\n")
    return index


def test_wheels_are_listed_with_their_hashes(index: Index, tmp_path: Path) -> None:
    wheels = build.collect_wheels(WINDOWS, tmp_path / "w", HERE)
    assert [(wheel.name, wheel.version) for wheel in wheels] == [
        ("torch", "2.0"),
        ("b", "1.0"),
        ("c", "1.0"),
    ]
    for wheel in wheels:
        content = (tmp_path / "w" / wheel.file).read_bytes()
        assert wheel.sha256 == hashlib.sha256(content).hexdigest()
        assert (wheel.size, wheel.licence) == (len(content), "MIT")
    assert build.read_wheel_list(tmp_path / "w") == wheels


def test_the_cpu_build_comes_from_pytorch_s_own_index(index: Index, tmp_path: Path) -> None:
    index_url = "--extra-index-url=https://download.pytorch.org/whl/cpu"
    build.collect_wheels(build.Target("linux-x64", "3.13"), tmp_path / "linux", HERE)
    assert [index_url in command for command in index.commands] == [True, False, False]
    build.collect_wheels(WINDOWS, tmp_path / "windows", HERE)
    assert not any(index_url in command for command in index.commands[3:])


def test_a_collection_that_was_stopped_goes_on(index: Index, tmp_path: Path) -> None:
    index.fails_at = "b"
    with pytest.raises(build.BuildError, match="b 1.0 could not be had for windows-x64-py313"):
        build.collect_wheels(WINDOWS, tmp_path / "w", HERE)
    index.fails_at = ""
    build.collect_wheels(WINDOWS, tmp_path / "w", HERE)
    assert index.asked == ["torch", "b", "c"]
    build.collect_wheels(WINDOWS, tmp_path / "w", HERE)
    assert index.asked == ["torch", "b", "c"]


def test_a_damaged_or_outdated_wheel_is_downloaded_again(index: Index, tmp_path: Path) -> None:
    wheels = build.collect_wheels(WINDOWS, tmp_path / "w", HERE)
    (tmp_path / "w" / wheels[1].file).write_bytes(b"damaged")
    (tmp_path / "pins.txt").write_text("torch==2.1\nb==1.0\nc==1.0\n")
    again = build.collect_wheels(WINDOWS, tmp_path / "w", HERE)
    assert index.asked == ["torch", "b", "c", "torch", "b"]
    assert [again[1], again[2]] == wheels[1:]
    assert {path.name for path in (tmp_path / "w").glob("*.whl")} == {w.file for w in again}


def test_staged_wheels_come_with_licences_and_a_platform(
    source: Path, tmp_path: Path, make_bundle: Callable[..., list[build.Wheel]]
) -> None:
    wheels = make_bundle(tmp_path / "w", {"alpha": "", "beta": ""}, LINUX)
    (tmp_path / "w" / "old-1.0-py3-none-any.whl").write_text("of another list")
    build.stage(source, tmp_path / "stage")
    build.stage_wheels(wheels, tmp_path / "w", LINUX, tmp_path / "stage")
    assert sorted(contents(tmp_path / "stage" / "wheels")) == [
        "LICENSES.txt",
        *(wheel.file for wheel in wheels),
        "wheels.json",
    ]
    licences = (tmp_path / "stage" / "wheels" / "LICENSES.txt").read_text()
    assert "alpha 1.0: MIT" in licences
    assert "Terms of beta" in licences
    manifest = tomllib.loads((tmp_path / "stage" / "blender_manifest.toml").read_text())
    assert manifest["platforms"] == ["linux-x64"]
    assert "wheels" not in manifest
    assert manifest["permissions"]
    assert "platforms" not in (source / "blender_manifest.toml").read_text()
    archive = tmp_path / "dist" / "a.zip"
    build.pack(tmp_path / "stage", archive, HERE)
    with zipfile.ZipFile(archive) as packed:
        assert {f"wheels/{wheel.file}" for wheel in wheels} < set(packed.namelist())


def test_a_wheel_among_the_sources_has_no_place(source: Path, tmp_path: Path) -> None:
    (source / "weights" / "stray-1.0-py3-none-any.whl").write_text("")
    with pytest.raises(build.BuildError, match="stray.* has no place"):
        build.stage(source, tmp_path / "stage")


def test_zip_is_the_artist_s_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    monkeypatch.setattr(build, "make_zip", lambda: made.append("without"))
    monkeypatch.setattr(build, "make_zip_with_runtime", made.append)
    for words in ([], ["--no-runtime"], ["--platform", "macos-arm64", "--python", "3.13"]):
        assert build.main(["zip", *words]) == 0
    here = build.Target(build.this_platform(), "3.11")
    assert made == [here, "without", build.Target("macos-arm64", "3.13")]
