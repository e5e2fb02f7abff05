# SPDX-License-Identifier: GPL-3.0-or-later
"""Files are whole or not there: a disk that fills up takes nothing away."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from backend import checkpoint, commands, files, fit_command
from backend.codes import Codes
from backend.files import replacing, write_arrays, write_text
from backend.mesh import Mesh, save_mesh

MESH = Mesh(np.eye(3), np.array([[0, 1, 2]]))
WRITERS: dict[str, Callable[[Path], None]] = {
    "codes.json": lambda path: Codes(np.ones(3), None, "w").save(path),
    "mesh.obj": lambda path: save_mesh(MESH, path),
    "mesh.ply": lambda path: save_mesh(MESH, path),
    "mesh.stl": lambda path: save_mesh(MESH, path),
    "report.json": lambda path: fit_command._write_report(path.parent, {"a": 1}),
    "model.safetensors": lambda path: checkpoint._save({"a": torch.ones(1)}, {}, path),
    "card.json": lambda path: commands._write_card(path, {"a": 1}),
    "keys.npz": lambda path: write_arrays(path, a=np.ones(3)),
}


def _full(path: Path, *_: object, **__: object) -> None:
    with open(path, "wb") as file:
        file.write(b"half a")
    raise OSError("No space left on device")


@pytest.mark.parametrize("name", WRITERS)
def test_a_stop_while_writing_keeps_the_previous_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    write_text(path, "before")
    with monkeypatch.context() as full:
        full.setattr(Path, "write_text", _full)
        full.setattr(Path, "write_bytes", _full)
        full.setattr(trimesh.Trimesh, "export", lambda _, path, **__: _full(path))
        with pytest.raises(OSError, match="No space"):
            WRITERS[name](path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
    WRITERS[name](path)
    assert path.read_bytes()[:6] != b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_takes_the_place_of_another_in_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "before")
    with replacing(path) as partial:
        partial.write_text("after")
        assert path.read_text() == "before"
    assert path.read_text() == "after"


def test_two_that_write_a_file_at_once_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with replacing(path) as first, replacing(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # it is the last to be finished
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_goes_when_the_file_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "a[1].txt"
    left, being_written, of_another = (
        tmp_path / name
        for name in ("a[1].txt.01ab.partial", "a[1].txt.23cd.partial", "a1.txt.45ef.partial")
    )
    for partial in (left, being_written, of_another):
        partial.write_text("half a")
    for partial in (left, of_another):
        os.utime(partial, (time.time() - 3700,) * 2)
    write_text(path, "whole")
    assert sorted(tmp_path.iterdir()) == sorted([path, being_written, of_another])


def _hold(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Refuse to replace a file so many times, as Windows does while an antivirus reads it."""
    refusals = iter(range(times))
    true_replace = Path.replace

    def replace(partial: Path, target: Path) -> Path:
        if next(refusals, None) is not None:
            raise PermissionError(13, "Access is denied")
        return true_replace(partial, target)

    monkeypatch.setattr(Path, "replace", replace)


def test_a_file_that_another_program_holds_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_text(tmp_path / "a.txt", "before")
    _hold(monkeypatch, times=3)
    write_text(tmp_path / "a.txt", "after")
    assert (tmp_path / "a.txt").read_text() == "after"


def test_a_file_that_another_program_does_not_let_go_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_text(tmp_path / "a.txt", "before")
    _hold(monkeypatch, times=1000)
    monkeypatch.setattr(files, "_SECONDS_TO_LET_GO", 0.0)
    with pytest.raises(PermissionError):
        write_text(tmp_path / "a.txt", "after")
    assert (tmp_path / "a.txt").read_text() == "before"
    assert list(tmp_path.iterdir()) == [tmp_path / "a.txt"]
