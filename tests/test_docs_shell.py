# SPDX-License-Identifier: GPL-3.0-or-later
"""The command lines on the pages run as they stand there, in a shell."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from backend.mesh import load_scan
from tests.pages import DOCS, ROOT, fenced

DATA = ROOT / "tests" / "data"
_, FACES, FITS = fenced(DOCS / "scripting.md", "sh")
RELEASED, *_ = fenced(DOCS / "research.md")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with what the pages' commands read."""
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "anna.obj").symlink_to(DATA / "scans" / "lee_perry_smith.obj")
    (tmp_path / "released").mkdir()
    layouts = DATA / "official_checkpoint_layout"
    (tmp_path / "released" / "se3").symlink_to(layouts / "se3_small")
    np.save(tmp_path / "points.npy", np.zeros((3, 3)))
    return tmp_path


def _run(lines: str, folder: Path) -> None:
    """Run lines in a shell that has this Python's programs and knows the backend."""
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-e", "-c", lines],
        cwd=folder,
        env={**os.environ, "PATH": programs, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr


def test_faces_in_loops(folder: Path) -> None:
    _run(FACES, folder)
    out = folder / "out"
    for name in ("heads/1", "heads/2", "blend", "smile"):
        assert len(load_scan(out / f"{name}.obj").vertices) > 9000
        assert (out / f"{name}.codes.json").is_file()
    with np.load(out / "keys.npz") as keys:
        assert keys["names"].tolist() == ["jawOpen"]


def test_many_scans_among_processes(folder: Path) -> None:
    _run(FITS, folder)
    answer = json.loads((folder / "out" / "fits.json").read_text())
    assert answer["failed"] == {}
    assert answer["reports"]["scans/anna.obj"]["scan_to_fit_mean_mm"] < 1


def test_the_paper_s_checkpoint(folder: Path) -> None:
    _run(RELEASED, folder)
    with np.load(folder / "out" / "fields.npz") as fields:
        assert fields["sdf"].shape == (3,)
