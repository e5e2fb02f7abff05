# SPDX-License-Identifier: GPL-3.0-or-later
"""The wheels that come with the add-on: unpacked, gone on with, refused and removed. No bpy."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import build
from tests.addon.without_bpy import ROOT, import_without_bpy
from tests.conftest import HERE

runtime = import_without_bpy("runtime")
work = import_without_bpy("work")
worker_client = import_without_bpy("worker_client")
UserError = import_without_bpy("errors").UserError

LONG = "x = '" + "ab" * 10**6 + "'"  # more than one piece
MODULES = {"alpha": "NAME = 'alpha'", "beta": "NAME = 'beta'", "gamma": LONG}
MakeBundle = Callable[..., list[build.Wheel]]


@pytest.fixture
def wheels(tmp_path: Path, make_bundle: MakeBundle) -> Path:
    """Return a folder with three wheels."""
    make_bundle(tmp_path / "wheels", MODULES)
    return tmp_path / "wheels"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "user" / "runtime"


def run(wheels: Path, home: Path) -> Any:
    """Unpack to the end and return what came of it."""
    job = runtime.Unpacking(runtime.read_bundle(wheels), home)
    job.wait()
    return job


def unpacked_files(home: Path) -> set[str]:
    return {path.relative_to(home).as_posix() for path in home.rglob("*.py")}


def test_what_is_unpacked_can_be_imported_and_has_a_size(wheels: Path, home: Path) -> None:
    bundle = runtime.read_bundle(wheels)
    assert runtime.size_of(bundle, home) == 0
    job = run(wheels, home)
    assert (job.state, job.error) == ("done", "")
    texts = [(folder / folder.name / "__init__.py").read_text() for folder in bundle.packages(home)]
    assert texts == list(MODULES.values())
    size = sum(map(len, texts))
    assert size < runtime.size_of(bundle, home) < size + 1000  # and three small METADATA
    assert not list(home.rglob("LICENSE"))  # Windows' paths are short


def test_progress_rises_to_the_end_and_names_the_wheels(wheels: Path, home: Path) -> None:
    bundle = runtime.read_bundle(wheels)
    shares = list(runtime.unpack(bundle.wheels[2], wheels, home))
    assert shares == sorted(shares)
    assert len(shares) > 2
    assert 0.5 < shares[-1] <= 1
    job = run(wheels, home)
    assert job.message == "Unpacking gamma (3 of 3), once"


def test_one_that_was_interrupted_is_unpacked_again_and_the_others_are_not(
    wheels: Path, home: Path
) -> None:
    bundle = runtime.read_bundle(wheels)
    target = bundle.unpacked(home)
    list(runtime.unpack(bundle.wheels[0], wheels, target))
    before = (target / "alpha").stat().st_mtime_ns
    unfinished = runtime.unpack(bundle.wheels[2], wheels, target)
    next(unfinished), next(unfinished)
    unfinished.close()
    assert not (target / "gamma").exists()
    assert not list(target.glob("gamma.*.part"))  # on a full disk what it takes would be missed
    (target / "gamma.1.part").mkdir()  # of a Blender that has crashed
    assert runtime.size_of(bundle, home) == 0
    assert run(wheels, home).state == "done"
    assert (target / "alpha").stat().st_mtime_ns == before
    assert sorted(path.name for path in target.iterdir()) == ["alpha", "beta", "complete", "gamma"]


def test_a_cancelled_one_stops_and_can_be_gone_on_with(
    wheels: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_unpack = runtime.unpack

    def slowly(*arguments: Any) -> Any:
        for share in true_unpack(*arguments):
            time.sleep(0.02)
            yield share

    monkeypatch.setattr(runtime, "unpack", slowly)
    job = runtime.Unpacking(runtime.read_bundle(wheels), home)
    job.cancel()
    job.wait()
    assert (job.state, job.error) == ("cancelled", "")
    assert runtime.size_of(runtime.read_bundle(wheels), home) == 0
    assert run(wheels, home).state == "done"


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_damaged_wheel_is_one_sentence(wheels: Path, home: Path, damage: str) -> None:
    wheel = wheels / "beta-1.0-py3-none-any.whl"
    if damage == "changed":
        content = bytearray(wheel.read_bytes())
        content[100] ^= 1
        wheel.write_bytes(content)
    else:
        wheel.unlink()
    job = run(wheels, home)
    assert job.state == "failed"
    assert job.error == (
        "beta-1.0-py3-none-any.whl is missing or damaged. Install the add-on's zip again."
    )
    assert runtime.size_of(runtime.read_bundle(wheels), home) == 0


def test_a_folder_that_cannot_be_written_is_one_sentence(wheels: Path, home: Path) -> None:
    home.parent.mkdir(parents=True)
    home.write_text("a file")
    job = run(wheels, home)
    assert job.state == "failed"
    assert job.error.startswith("The runtime could not be unpacked (")
    assert "Traceback" in job.details


def test_a_full_disk_is_one_sentence_and_the_next_time_goes_on(wheels: Path, home: Path) -> None:
    resource = pytest.importorskip("resource")
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, unlimited[1]))  # the third wheel has more
    try:
        job = run(wheels, home)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert job.state == "failed"
    assert job.error.endswith("Free some disk and try again.")
    bundle = runtime.read_bundle(wheels)
    assert runtime.size_of(bundle, home) == 0
    assert not list(home.rglob("*.part"))
    assert run(wheels, home).state == "done"


@pytest.mark.parametrize(("system", "letters"), [("win32", 300), ("win32", 30), ("linux", 300)])
def test_a_path_too_long_for_windows_is_one_sentence(
    wheels: Path, home: Path, monkeypatch: pytest.MonkeyPatch, system: str, letters: int
) -> None:
    def refuse(*_: Any) -> Any:
        yield 0.0
        raise FileNotFoundError(2, "No such file or directory", "C:/" + letters * "a")

    monkeypatch.setattr(runtime, "unpack", refuse)
    monkeypatch.setattr(sys, "platform", system)
    job = run(wheels, home)
    assert job.state == "failed"
    assert ("BLENDER_USER_EXTENSIONS" in job.error) == (system == "win32" and letters == 300)


@pytest.fixture
def antivirus(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return a list of folders in which, as on Windows, a program holds a file: they cannot be
    renamed. Each entry is one refusal."""
    held: list[Path] = []
    true_rename = Path.rename

    def rename(path: Path, target: Path) -> Path:
        if path in held or target in held:
            held.remove(path if path in held else target)
            raise PermissionError(13, "Access is denied")
        return true_rename(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    return held


def test_an_antivirus_that_looks_through_new_files_is_waited_for(
    wheels: Path, home: Path, antivirus: list[Path]
) -> None:
    bundle = runtime.read_bundle(wheels)
    antivirus += 3 * [bundle.unpacked(home) / "beta"]
    assert run(wheels, home).state == "done"
    assert antivirus == []
    assert runtime.size_of(bundle, home)


def test_an_antivirus_that_does_not_let_go_is_one_sentence(
    wheels: Path, home: Path, antivirus: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "SECONDS_FOR_AN_ANTIVIRUS", 0.0)
    antivirus += 3 * [runtime.read_bundle(wheels).unpacked(home) / "beta"]
    job = run(wheels, home)
    assert job.state == "failed"
    assert job.error.startswith("The runtime could not be unpacked ([Errno 13] Access is denied).")
    assert job.error.endswith("that no antivirus holds the files, and try again.")


def test_another_blender_that_was_faster_may_sweep_this_one_s_files_away(
    wheels: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def be_overtaken(*_: Any) -> Any:
        monkeypatch.undo()
        yield 0.0
        assert run(wheels, home).state == "done"
        raise FileNotFoundError("a folder that has just been made")

    monkeypatch.setattr(runtime, "unpack", be_overtaken)
    job = run(wheels, home)
    assert (job.state, job.error) == ("done", "")
    assert runtime.size_of(runtime.read_bundle(wheels), home)


UNPACK = """
import importlib, sys, types
from pathlib import Path
package = types.ModuleType("p"); package.__path__ = [sys.argv[1]]
sys.modules["p"] = package
runtime = importlib.import_module("p.runtime")
sys.stdin.readline()
job = runtime.Unpacking(runtime.read_bundle(Path(sys.argv[2])), Path(sys.argv[3]))
job.wait()
print(job.state, job.error)
"""


def test_two_blenders_unpack_at_once(home: Path, tmp_path: Path, make_bundle: MakeBundle) -> None:
    make_bundle(tmp_path / "wheels", {f"m{i}": LONG for i in range(40)})
    words = [str(ROOT / "imface_blender"), str(tmp_path / "wheels"), str(home)]
    blenders = [
        subprocess.Popen(
            [sys.executable, "-c", UNPACK, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for blender in blenders:
        assert blender.stdin is not None
        blender.stdin.write("go\n")
        blender.stdin.flush()
    assert [blender.communicate()[0] for blender in blenders] == ["done \n"] * 2
    target = runtime.read_bundle(tmp_path / "wheels").unpacked(home)
    assert len(list(target.iterdir())) == 41
    assert len(unpacked_files(home)) == 40


def test_other_wheels_are_unpacked_anew_and_the_old_ones_deleted(
    wheels: Path, home: Path, make_bundle: MakeBundle
) -> None:
    run(wheels, home)
    old = runtime.read_bundle(wheels)
    make_bundle(wheels, {"alpha": "NAME = 'new'"})
    new = runtime.read_bundle(wheels)
    assert runtime.size_of(new, home) == 0
    assert run(wheels, home).state == "done"
    assert unpacked_files(home) == {f"{new.key}/alpha/alpha/__init__.py"}
    assert runtime.size_of(old, home) == 0


def test_removing_leaves_nothing_and_may_be_repeated(wheels: Path, home: Path) -> None:
    run(wheels, home)
    for _ in range(2):
        runtime.remove(home)
        assert not home.exists()
    assert home.parent.exists()


def test_what_another_blender_uses_is_removed_whole_or_not_at_all(
    wheels: Path, home: Path, antivirus: list[Path]
) -> None:
    bundle = runtime.read_bundle(wheels)
    run(wheels, home)
    before = unpacked_files(home)
    antivirus.append(bundle.unpacked(home))
    with pytest.raises(UserError, match="could not be removed .* Close other Blenders"):
        runtime.remove(home)
    assert unpacked_files(home) == before
    assert runtime.size_of(bundle, home)


def test_what_a_removal_that_broke_off_has_left_is_not_used(
    wheels: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(wheels, home)
    before = unpacked_files(home)
    with monkeypatch.context() as patch:
        patch.setattr(runtime.shutil, "rmtree", lose_one_file)
        with pytest.raises(UserError, match="could not be removed"):
            runtime.remove(home)
    assert run(wheels, home).state == "done"
    assert unpacked_files(home) == before


def lose_one_file(folder: Path) -> None:
    """Delete as a disk does that fails in the middle."""
    next(folder.rglob("alpha/__init__.py")).unlink()
    raise PermissionError(13, "Access is denied")


def test_a_zip_without_wheels_has_no_bundle(tmp_path: Path) -> None:
    assert runtime.read_bundle(tmp_path / "wheels") is None


@pytest.mark.parametrize("text", ["{", "[]", '{"wheels": [{}]}'])
def test_a_damaged_list_is_one_sentence(wheels: Path, text: str) -> None:
    (wheels / runtime.LIST).write_text(text)
    with pytest.raises(UserError, match="list of wheels is damaged. Install the add-on again."):
        runtime.read_bundle(wheels)


def test_so_is_one_that_cannot_be_read(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, encoding: str) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(UserError, match="list of wheels is damaged. Install the add-on again."):
        runtime.read_bundle(wheels)


@pytest.mark.parametrize("other", [("3.9", HERE.platform), (HERE.python, "plan9-x64")])
def test_wheels_for_another_blender_are_one_sentence(
    tmp_path: Path, make_bundle: MakeBundle, other: tuple[str, str]
) -> None:
    system, python = other[1], other[0]
    make_bundle(tmp_path, MODULES, build.Target(system, python))
    with pytest.raises(UserError) as refusal:
        runtime.check_fits(runtime.read_bundle(tmp_path))
    assert str(refusal.value) == (
        f"The add-on's runtime is for Python {python} on {system} and this Blender has Python "
        f"{HERE.python} on {HERE.platform}. Install the zip that is made for it, "
        "or set a Python that has PyTorch in the preferences."
    )


def test_wheels_for_this_blender_are_welcome(wheels: Path) -> None:
    runtime.check_fits(runtime.read_bundle(wheels))


def test_the_worker_sees_these_packages_and_no_others(wheels: Path, home: Path) -> None:
    """numpy is installed in the Python that runs this: the worker must not find it."""
    run(wheels, home)
    backend = home.parent / "addon" / "backend"
    backend.mkdir(parents=True)
    (backend / "__main__.py").write_text(
        "import alpha, importlib.util, json, sys\n"
        "found = [name for name in ('beta', 'numpy') if importlib.util.find_spec(name)]\n"
        "print(json.dumps([alpha.NAME, found, sys.dont_write_bytecode]))\n"
    )
    folders = [backend.parent, *runtime.read_bundle(wheels).packages(home)]
    done = subprocess.run(
        worker_client.runtime_command(sys.executable),
        env={**os.environ, **worker_client.runtime_environment(folders)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == ["alpha", ["beta"], False]


class Step(work.Job):  # type: ignore[misc, name-defined]
    """A job that ends in the state given at its first poll."""

    def __init__(self, name: str, end: str = "done", error: str = "") -> None:
        super().__init__(name)
        self.end, self.end_error, self.cancelled = end, error, False
        self.settled = False

    def poll(self) -> None:
        self.fraction, self.state, self.error = 1.0, self.end, self.end_error
        self.values = {"from": self.message}

    def settle(self) -> None:
        self.settled = True

    def cancel(self) -> None:
        self.cancelled = True
        self.end = "cancelled"


def test_a_chain_ends_with_the_second_result() -> None:
    job = work.Chain(Step("first"), lambda: Step("second"))
    news: list[str] = []
    job.wait(lambda fraction, message: news.append(message))
    assert (job.state, job.values, news) == ("done", {"from": "second"}, ["second", "second"])


@pytest.mark.parametrize(("end", "error"), [("failed", "No room."), ("cancelled", "")])
def test_a_chain_whose_first_job_does_not_end_well_has_no_second(end: str, error: str) -> None:
    job = work.Chain(Step("first", end, error), lambda: pytest.fail("a second"))
    job.wait()
    assert (job.state, job.error) == (end, error)


def test_a_chain_settles_what_runs() -> None:
    second = Step("second")
    job = work.Chain(Step("first"), lambda: second)
    job.settle()
    job.poll()
    assert not second.settled
    job.settle()
    assert second.settled


def test_a_chain_cancels_what_runs() -> None:
    second = Step("second")
    job = work.Chain(Step("first"), lambda: second)
    job.poll()
    job.cancel()
    job.wait()
    assert (job.state, second.cancelled) == ("cancelled", True)


def test_a_second_job_that_cannot_start_is_a_sentence() -> None:
    def refuse() -> Any:
        raise UserError("It cannot.")

    job = work.Chain(Step("first"), refuse)
    job.wait()
    assert (job.state, job.error) == ("failed", "It cannot.")
