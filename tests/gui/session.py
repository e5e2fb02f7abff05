# SPDX-License-Identifier: GPL-3.0-or-later
"""One session in a Blender's window: an empty user folder, the zip, a screen, and what came of it.

The window is driven from within, by drive.py or guide.py.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import build

DRIVE = Path(__file__).with_name("drive.py")
OUT = build.OUT / "gui"
LOG = OUT / "log.txt"
REPORT = OUT / "report.json"
SCREEN = (1280, 800)
STANDSTILL_S = 60  # to start and to quit: after that a window is frozen


@dataclass
class Window:
    """What became of the session."""

    report: Mapping[str, Any]
    log: str
    status: int

    def step(self, name: str) -> Mapping[str, Any]:
        """Return what is known of a step; the test is skipped if one before it has failed."""
        for step in self.report["steps"]:
            if step["name"] == name:
                return step
        pytest.skip("an earlier step failed")


def drive(blender: str, limit_s: float, folder: Path, script: Path = DRIVE) -> Window:
    """Go through all steps of a script, from the zip's installation to the last step.

    Skips the test when no window comes up: that is no fault of the add-on.
    """
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    command = [blender, "--window-geometry", "0", "0", *map(str, SCREEN)]
    command += ["--enable-event-simulate", "--python", script, "--"]
    command += [make_zip(folder), build.SCAN, OUT, str(limit_s)]
    home = folder / "user"
    home.mkdir()
    variables = {
        "BLENDER_USER_RESOURCES": str(home),
        "XDG_CACHE_HOME": str(home),
        "IMFACE_PYTHON": sys.executable,  # has what the worker needs
    }
    with screen() as display:
        status = run(command, variables | display, limit_s + STANDSTILL_S)
    log = LOG.read_text(encoding="utf-8", errors="replace")
    if not REPORT.is_file():
        pytest.skip(f"no session in a window: {(log.strip() or 'not a word').splitlines()[-1]}")
    return Window(read_report(), log, status)


def make_zip(folder: Path) -> Path:
    """Build the zip without a runtime, as build.py does."""
    build.stage(build.ROOT, folder / "stage")
    archive = folder / build.archive_name(build.ROOT)
    build.pack(folder / "stage", archive, build.MAIN)
    return archive


def read_report() -> dict[str, Any]:
    """Return what drive.py has written down."""
    report: dict[str, Any] = json.loads(REPORT.read_text(encoding="utf-8"))
    return report


@contextmanager
def screen() -> Iterator[dict[str, str]]:
    """Show a virtual screen where there is none, if this machine can; yield its variables."""
    if "DISPLAY" in os.environ or not shutil.which("Xvfb"):
        yield {}
        return
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "{}x{}x24".format(*SCREEN)]
    server = subprocess.Popen([*command, "-nolisten", "tcp"], pass_fds=[write])
    os.close(write)
    with os.fdopen(read) as stream:
        number = stream.readline().strip()
    try:
        yield {"DISPLAY": f":{number}", "LIBGL_ALWAYS_SOFTWARE": "1"}
    finally:
        server.terminate()
        server.wait()


def run(command: list[str | Path], variables: Mapping[str, str], limit_s: float) -> int:
    """Run Blender with a log and return its exit status; negative when it had to be ended."""
    with LOG.open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=build.ROOT,
            env={**os.environ, **variables},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.wait(limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return process.wait()
