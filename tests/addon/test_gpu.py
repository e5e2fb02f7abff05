# SPDX-License-Identifier: GPL-3.0-or-later
"""PyTorch for a GPU: which build, and what becomes of it, with the true pip and small wheels.

The driver is a script that says what nvidia-smi would, the index a folder on the disk.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import build
from tests.addon.without_bpy import import_without_bpy

gpu = import_without_bpy("gpu")
runtime = import_without_bpy("runtime")
UserError = import_without_bpy("errors").UserError

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the driver is a shell script")
CARD = "NVIDIA GeForce RTX 3060, 580.95.05, 8.6"
VERSION = "2.13.0+cu130"
Install = Callable[..., Any]
Say = Callable[[str], None]


def write_program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Return a function that sets what nvidia-smi says."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return lambda text: write_program(tmp_path / "bin" / "nvidia-smi", f"echo '{text}'")


@pytest.fixture
def index(
    tmp_path: Path, make_wheel: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Return a function that puts a wheel into the index of one build."""
    monkeypatch.setattr(gpu, "INDEX", f"file://{tmp_path}/index/{{build}}")

    def add(name: str, version: str, files: Mapping[str, str], needs: str = "") -> None:
        folder = tmp_path / "index" / "cu130" / name
        wheel = make_wheel(folder, name, version, files, needs)
        (folder / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')

    return add


@pytest.fixture
def bundle(tmp_path: Path, make_bundle: Callable[..., Any]) -> Any:
    """Return what the zip brought: a PyTorch that the GPU's one stands before."""
    make_bundle(tmp_path / "wheels", {"torch": "CUDA = False", "numpy": ""}, version="2.13.0+cpu")
    return runtime.read_bundle(tmp_path / "wheels")


@pytest.fixture
def install(bundle: Any, tmp_path: Path, index: Callable[..., None], say: Say) -> Install:
    """Return a function that installs to the end, from an index with two wheels."""
    say(CARD)
    index("torch", VERSION, {"torch/__init__.py": "CUDA = True"}, needs="nvidia-blas==13.1")
    index("nvidia-blas", "13.1", {"nvidia/blas/lib/libblas.so": "numbers"})

    def to_the_end(python: str | Path = sys.executable) -> Any:
        job = gpu.Installing(bundle, tmp_path / "home", str(python))
        job.wait()
        return job

    return to_the_end


@pytest.mark.parametrize(
    ("card", "name"),
    [
        (CARD, "cu130"),
        ("NVIDIA GeForce RTX 5090, 581.15, 12.0", "cu130"),
        ("NVIDIA GeForce RTX 3060, 535.183.01, 8.6", "cu126"),
        ("NVIDIA GeForce GTX 1080 Ti, 580.95.05, 6.1", "cu126"),
        ("NVIDIA A100, 40 GB, 580.95.05, 8.0\nNVIDIA T4, 580.95.05, 7.5", "cu130"),
    ],
)
def test_the_build_is_the_best_that_fits(say: Say, card: str, name: str) -> None:
    say(card)
    assert gpu.fitting_build(gpu.find_card()).name == name


@pytest.mark.parametrize(
    ("card", "sentence"),
    [
        (
            "RTX 5090, 570.1, 12.0",
            "driver of RTX 5090 is too old: it is 570, .* needs 580",
        ),
        ("RTX 3060, 470.19, 8.6", "it is 470, .* needs 528 or later. Update NVIDIA's driver"),
        ("GT 730, 470.199, 3.5", "no longer supports a GPU as old as GT 730. Stay with"),
        ("Field compute_cap is not a valid field to query.", "does not tell which GPU there is"),
        ("", "does not tell which GPU there is. Update the driver"),
    ],
)
def test_a_gpu_that_will_not_do_is_one_sentence(say: Say, card: str, sentence: str) -> None:
    say(card)
    with pytest.raises(UserError, match=sentence):
        gpu.fitting_build(gpu.find_card())


def test_no_driver_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="no NVIDIA GPU here, .* stay with the processor"):
        gpu.find_card()


def test_the_builds_are_those_of_the_pinned_pytorch() -> None:
    """Another release has other builds: look them up in its RELEASE.md."""
    pinned = build.requirements_of(build.Target("windows-x64", "3.11"))["torch"]
    assert pinned == "2.13.0"


def test_what_is_installed_is_one_folder_that_goes_before_the_zip_s(
    install: Install, bundle: Any, tmp_path: Path
) -> None:
    job = install()
    assert (job.state, job.error, job.details) == ("done", "", "")
    home = tmp_path / "home"
    folder = gpu.folder_of(bundle, home)
    assert list(home.iterdir()) == [folder]
    assert folder.name == f"gpu-2.13.0-py{sys.version_info.major}.{sys.version_info.minor}"
    assert (folder / "nvidia" / "blas" / "lib" / "libblas.so").read_text() == "numbers"
    assert runtime.size_when_complete(folder) == 0  # no worker has tried it yet
    runtime.Unpacking(bundle, home).wait()
    path = os.pathsep.join(map(str, (folder, *bundle.packages(home))))
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import numpy, torch; print(torch.CUDA)"],
        env={"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "True\n"


def test_what_is_installed_is_not_downloaded_again(install: Install, tmp_path: Path) -> None:
    install()
    for page in (tmp_path / "index").rglob("index.html"):
        page.unlink()
    assert install().state == "done"


def test_it_stays_when_the_zip_s_wheels_change_and_goes_with_its_pytorch(
    install: Install, bundle: Any, tmp_path: Path, make_bundle: Callable[..., Any]
) -> None:
    install()
    home = tmp_path / "home"
    for version, kept in (("2.13.0+cpu", True), ("2.14.0+cpu", False)):
        make_bundle(tmp_path / "wheels", {"torch": f"NEW = {kept}"}, version=version)
        runtime.Unpacking(runtime.read_bundle(tmp_path / "wheels"), home).wait()
        assert gpu.folder_of(bundle, home).is_dir() == kept


def test_an_index_without_the_build_is_one_sentence_with_pip_s_words(
    install: Install, tmp_path: Path
) -> None:
    (tmp_path / "index" / "cu130" / "torch" / "index.html").write_text("")
    job = install()
    assert job.state == "failed"
    assert job.error.startswith("PyTorch for the GPU could not be downloaded (")
    assert job.error.endswith("). Check the connection and the disk and try again.")
    assert VERSION in job.error
    assert "ERROR: " in job.details
    assert not list((tmp_path / "home").rglob("pip-unpack-*"))


def test_a_download_that_breaks_off_can_be_gone_on_with(install: Install, tmp_path: Path) -> None:
    (wheel,) = (tmp_path / "index").rglob("nvidia*.whl")
    wheel.rename(tmp_path / "lost")
    assert install().state == "failed"
    (tmp_path / "lost").rename(wheel)
    assert install().state == "done"


def test_a_wheel_that_was_cut_off_is_one_sentence(install: Install, tmp_path: Path) -> None:
    (wheel,) = (tmp_path / "index").rglob("nvidia*.whl")
    wheel.write_bytes(wheel.read_bytes()[:200])
    job = install()
    assert job.state == "failed"
    assert "could not be downloaded (" in job.error


def test_no_room_is_one_sentence_before_the_download(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(free=9.94e9)
    monkeypatch.setattr(gpu.shutil, "disk_usage", lambda path: usage)
    assert install().error == (
        "PyTorch for the GPU needs 10 GB of disk while it is installed, and 9.9 GB are free in "
        f"{tmp_path / 'home'}. Free some and try again."
    )


def test_a_disk_that_fills_while_it_is_unpacked_is_one_sentence(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(_: Path, folder: Path) -> Any:
        folder.mkdir()
        yield 0.0
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runtime, "extract", fill)
    job = install()
    assert job.error.startswith("PyTorch for the GPU could not be installed ([Errno 28] No space")
    assert "Traceback" in job.details
    assert not [path for path in (tmp_path / "home").iterdir() if path.suffix != ".part"]
    assert not list((tmp_path / "home").rglob("unpacked.*"))


def test_another_driver_s_wheels_are_not_mixed_in(
    install: Install, tmp_path: Path, bundle: Any
) -> None:
    part = tmp_path / "home" / f"{bundle.gpu}.part"
    (part / "cu126").mkdir(parents=True)
    (part / "cu126" / "nvidia_blas-12.6-py3-none-any.whl").write_text("of a download before")
    assert install().state == "done"


def without_packages(folder: Path) -> Path:
    """Return a Python in which nothing is installed, pip neither."""
    return write_program(folder / "python", f'exec {sys.executable} -S "$@"')


def test_a_python_without_pip_is_one_sentence(
    install: Install, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(gpu, "_bundled_pip", lambda: None)
    job = install(without_packages(tmp_path))
    assert job.error.startswith("This Blender's Python has no pip. Set a Python that has PyTorch")


def test_the_wheel_of_pip_that_python_brings_is_enough(install: Install, tmp_path: Path) -> None:
    if gpu._bundled_pip() is None:
        pytest.skip("this Python does not bring it")
    assert install(without_packages(tmp_path)).state == "done"


def test_a_cancel_ends_pip_and_leaves_nothing_in_use(
    install: Install, bundle: Any, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    slow = write_program(tmp_path / "slow", f"echo $$ > {pid}\nexec /bin/sleep 60")
    job = gpu.Installing(bundle, tmp_path / "home", str(slow))
    while not (pid.is_file() and pid.read_text()):
        job.poll()
        assert job.state == "running"
        time.sleep(0.02)
    job.close()
    assert (job.state, job.error) == ("cancelled", "")
    assert job.message == "Downloading PyTorch for the GPU, about 3 GB"
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    assert not gpu.folder_of(bundle, tmp_path / "home").exists()
    assert install().state == "done"


def test_progress_counts_what_has_arrived(
    bundle: Any, tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(CARD)
    monkeypatch.setattr(gpu, "DOWNLOAD_BYTES", 2000.0)
    folder = "$TMPDIR/pip-unpack-x"
    slow = write_program(
        tmp_path / "slow",
        f"/bin/mkdir {folder}\n/usr/bin/head -c 1000 /dev/zero > {folder}/torch.whl\n"
        "exec /bin/sleep 60",
    )
    job = gpu.Installing(bundle, tmp_path / "home", str(slow))
    while job.fraction < 0.45:
        job.poll()
        assert job.state == "running"
        time.sleep(0.02)
    assert job.fraction == pytest.approx(0.45)
    job.close()


def test_a_path_too_long_for_windows_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = FileNotFoundError(2, "No such file or directory", "C:/" + 300 * "a")
    monkeypatch.setattr("sys.platform", "linux")
    assert "Check the disk" in gpu.Installing.explain(None, refusal)
    monkeypatch.setattr("sys.platform", "win32")
    assert "BLENDER_USER_EXTENSIONS" in gpu.Installing.explain(None, refusal)
