# SPDX-License-Identifier: GPL-3.0-or-later
"""PyTorch for an NVIDIA GPU: its CUDA build, downloaded where the user wants it. No bpy.

pip, which Blender's Python brings, downloads the wheels into a folder of the add-on's own; all of
them are unpacked into one folder, because PyTorch looks for CUDA's libraries beside itself. It
stands before the wheels that came with the add-on, which have all else that the worker needs. What
is unpacked here is used only after the worker has computed a known face with it: see
`worker_setup.accept_gpu`.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from math import inf
from pathlib import Path
from typing import NamedTuple

from . import runtime
from .errors import UserError
from .runtime import Bundle
from .translations import label, say
from .work import ThreadJob
from .worker_client import worker_environment

INDEX = "https://download.pytorch.org/whl/{build}"
DOWNLOAD_BYTES = 3e9  # about; what is shown as progress ends with it
DISK_BYTES = 10e9  # while the download and what is unpacked of it are both there
SECONDS_FOR_THE_DRIVER = 30.0
SECONDS_BETWEEN_LOOKS = 0.2
SHARE_OF_DOWNLOAD = 0.9  # of the time, as the panel shows it
NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # exists on Windows only


class Build(NamedTuple):
    """A CUDA build of PyTorch, and what it runs on."""

    name: str
    driver: int  # NVIDIA's first release that will do
    oldest: float  # compute capability of a GPU
    newest: float


class Card(NamedTuple):
    """A GPU and its driver, as `nvidia-smi` tells them."""

    name: str
    driver: int
    capability: float


#: Of PyTorch 2.13, the best first; each release of PyTorch has others, see its RELEASE.md.
BUILDS = (Build("cu130", 580, 7.5, inf), Build("cu126", 528, 5.0, 9.0))


def find_card() -> Card:
    """Return the first NVIDIA GPU; UserError without one. Takes up to some seconds."""
    program = shutil.which("nvidia-smi")
    if program is None:
        raise UserError(
            "There is no NVIDIA GPU here, or its driver is not installed (nvidia-smi is missing). "
            "Install NVIDIA's driver, or stay with the processor."
        )
    query = [program, "--query-gpu=name,driver_version,compute_cap", "--format=csv,noheader"]
    try:
        done = subprocess.run(
            query,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=SECONDS_FOR_THE_DRIVER,
            creationflags=NO_WINDOW,
        )
        name, driver, capability = done.stdout.partition("\n")[0].rsplit(", ", 2)
        return Card(name, int(driver.partition(".")[0]), float(capability))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise UserError(
            "NVIDIA's driver does not tell which GPU there is. Update the driver, restart the "
            "computer and try again."
        ) from error


def fitting_build(card: Card) -> Build:
    """Return the best build that a GPU and its driver can run; UserError if there is none."""
    builds = [build for build in BUILDS if build.oldest <= card.capability <= build.newest]
    if not builds:
        raise UserError(
            "PyTorch no longer supports a GPU as old as {name}. Stay with the processor.",
            name=card.name,
        )
    for build in builds:
        if card.driver >= build.driver:
            return build
    raise UserError(
        "The driver of {name} is too old: it is {driver}, and PyTorch needs {needed} or later. "
        "Update NVIDIA's driver, restart the computer and try again.",
        name=card.name,
        driver=card.driver,
        needed=builds[-1].driver,
    )


def folder_of(bundle: Bundle, home: Path) -> Path:
    """Return the folder from which a worker imports PyTorch for the GPU; it need not exist."""
    return home / bundle.gpu


class Installing(ThreadJob):
    """Downloads and unpacks, unless that has been done; a broken-off download is gone on with."""

    def __init__(self, bundle: Bundle, home: Path, python: str) -> None:
        super().__init__(label("Looking for an NVIDIA GPU"))
        self._downloading = label("Downloading PyTorch for the GPU, about 3 GB")
        self._unpacking = label("Unpacking PyTorch for the GPU")
        self._folder = folder_of(bundle, home)
        self._part = home / f"{bundle.gpu}.part"
        self._requirement = f"torch=={bundle.gpu.split('-')[1]}"
        self._python = python
        self._log = ""
        self._thread.start()

    def explain(self, error: Exception) -> str:
        """Return what is said of a full disk, and the like."""
        if runtime.is_path_too_long(error):
            return say(runtime.TOO_LONG)
        return say(
            "PyTorch for the GPU could not be installed ({reason}). Check the disk and try again.",
            reason=error,
        )

    def poll(self) -> None:
        """Take in how far it is, and what pip said last."""
        super().poll()
        if self.state == "failed" and self._log:
            self.details = self._log

    def work(self) -> None:
        """Do it step by step."""
        build = fitting_build(find_card())
        if self._folder.is_dir() or self._stop.is_set():
            return
        self._check_disk()
        wheels = self._part / build.name
        if self._download(build, wheels):
            self._unpack(sorted(wheels.glob("*.whl")))

    def _check_disk(self) -> None:
        self._part.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self._part).free + runtime.bytes_in(self._part)
        if free < DISK_BYTES:
            raise UserError(
                "PyTorch for the GPU needs {needed:.0f} GB of disk while it is installed, and "
                "{free:.1f} GB are free in {folder}. Free some and try again.",
                needed=DISK_BYTES / 1e9,
                free=free / 1e9,
                folder=self._part.parent,
            )

    def _download(self, build: Build, wheels: Path) -> bool:
        """Have pip download the wheels into a folder; return whether they are all there."""
        pip = [self._python, "-s", "-P", "-m", "pip", "--disable-pip-version-check", "download"]
        choice = ["--only-binary=:all:", f"--index-url={INDEX.format(build=build.name)}"]
        places = [f"--dest={wheels}", f"--cache-dir={self._part / 'cache'}"]
        temporary, log = self._part / "tmp", self._part / "pip.log"
        shutil.rmtree(temporary, ignore_errors=True)  # of a Blender that has crashed
        temporary.mkdir()
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [*pip, *choice, *places, f"{self._requirement}+{build.name}"],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=_environment_of_pip(temporary),
                creationflags=NO_WINDOW,
            )
            self._wait_for(process, temporary)
        shutil.rmtree(temporary, ignore_errors=True)
        if self._stop.is_set():
            return False
        if process.returncode:
            self._log = log.read_text(encoding="utf-8", errors="replace")
            raise _what_pip_says(self._log)
        return True

    def _wait_for(self, process: subprocess.Popen[bytes], temporary: Path) -> None:
        while process.poll() is None:
            arrived = sum(runtime.bytes_in(folder) for folder in temporary.glob("pip-unpack-*"))
            share = SHARE_OF_DOWNLOAD * min(arrived / DOWNLOAD_BYTES, 1.0)
            self._news = (share, self._downloading)
            if self._stop.wait(SECONDS_BETWEEN_LOOKS):
                process.kill()
                process.wait()

    def _unpack(self, wheels: list[Path]) -> None:
        shutil.rmtree(self._part / "cache", ignore_errors=True)  # for the disk's sake
        target = self._part / f"unpacked.{os.getpid()}"
        shutil.rmtree(target, ignore_errors=True)
        try:
            self._unpack_into(target, wheels)
        finally:
            shutil.rmtree(target, ignore_errors=True)

    def _unpack_into(self, target: Path, wheels: list[Path]) -> None:
        total = sum(wheel.stat().st_size for wheel in wheels)
        before = 0
        for wheel in wheels:
            for done in runtime.extract(wheel, target):
                if self._stop.is_set():
                    return
                share = (before + done) / total
                self._news = (share + SHARE_OF_DOWNLOAD * (1 - share), self._unpacking)
            before += wheel.stat().st_size
        runtime.name_finished(target, self._folder)
        shutil.rmtree(self._part, ignore_errors=True)


def _environment_of_pip(temporary: Path) -> dict[str, str]:
    """Return pip's variables: it stays within our folder, however small the system's own is.

    Blender's Python need not have pip installed, but has a wheel of it, which runs as it is.
    """
    own = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary))
    own |= {"PIP_REQUIRE_VIRTUALENV": "0", "PIP_PROGRESS_BAR": "off"}
    return worker_environment(_bundled_pip() or temporary, own)


def _bundled_pip() -> Path | None:
    """Return the wheel of pip that Python brings for new environments; some Linuxes drop it."""
    spec = importlib.util.find_spec("ensurepip")
    if spec is None or spec.origin is None:
        return None
    return next((Path(spec.origin).parent / "_bundled").glob("pip-*.whl"), None)


def _what_pip_says(log: str) -> UserError:
    """Return the sentence on a pip that failed."""
    if "No module named pip" in log:
        return UserError(
            "This Blender's Python has no pip. Set a Python that has PyTorch with CUDA in the "
            "add-on's preferences instead."
        )
    lines = log.rstrip().split("\n")
    errors = [line for line in lines if line.startswith("ERROR: ") and "Exception:" not in line]
    return UserError(
        "PyTorch for the GPU could not be downloaded ({reason}). Check the connection and the "
        "disk and try again.",
        reason=(errors or lines[-1:])[0].removeprefix("ERROR: "),
    )
