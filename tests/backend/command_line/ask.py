# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m backend`` asked, and files to ask it about."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backend.__main__ import main

ROOT = Path(__file__).resolve().parents[3]
LAYOUTS = ROOT / "tests" / "data" / "official_checkpoint_layout"

Done = subprocess.CompletedProcess[str]


def in_a_process(*words: object) -> Done:
    """Run a command in a process of its own, its output in pipes."""
    return subprocess.run(
        [sys.executable, "-m", "backend", *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


def answer_of(*words: object) -> dict[str, Any]:
    """Run a command in a process of its own; its --json line is all it says."""
    done = in_a_process(*words, "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def partly(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[dict[str, Any], str]:
    """Run a command, some of whose scans fail, in this process; return its --json line and what
    it says beside it."""
    assert main([*map(str, words), "--json"]) == 1
    said = capsys.readouterr()
    answer: dict[str, Any] = json.loads(said.out)
    return answer, said.err


def assert_one_sentence(errors: str, said: str) -> None:
    assert said in errors
    assert len(errors.splitlines()) == 1
    assert errors.rstrip().endswith(".")
    assert "Traceback" not in errors


def text_file(path: Path) -> Path:
    """Write what is neither a scan nor any other file that a command reads."""
    path.write_text("Dear diary,\ntoday I met a vertex.\n")
    return path


def strip_of_triangles(path: Path, triangles: int, bad: str = "") -> Path:
    """Write a flat OBJ of so many triangles; ``bad`` replaces its fourth line."""
    rows = [f"v {i / 2} {i % 2} 0" for i in range(triangles + 2)]
    rows[3] = bad or rows[3]
    faces = [f"f {i + 1} {i + 2} {i + 3}" for i in range(triangles)]
    path.write_text("\n".join(rows + faces) + "\n")
    return path
