# SPDX-License-Identifier: GPL-3.0-or-later
"""The scripting page: its pieces run, and its tables name all operators."""

import runpy
import shlex
import sys

import bpy
import pytest

from tests import live_link_writer, pages
from tests.blender.operator_tables import FOR_SCRIPTS, PAGE, tables

SCRIPT, *PIECES = pages.fenced(PAGE, "python")
#: They look after a window, its clipboard, or what comes from a zip or a download.
NOT_FOR_SCRIPTS = {
    "show_fit_error",
    "copy_codes",
    "paste_codes",
    "cancel_job",
    "settle_job",
    "copy_details",
    "remove_runtime",
    "use_gpu",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the current folder, in which the page's files are."""
    (tmp_path / "scans").mkdir()
    corners = [(i / 50, 0.1 * (i % 7), 0.1 * (i % 5)) for i in range(2000)]
    rows = [f"v {x} {y} {z}\n" for x, y, z in corners]
    rows += [f"f {i} {i + 1} {i + 2}\n" for i in range(1, 600)]
    (tmp_path / "scans" / "anna.obj").write_text("".join(rows))
    live_link_writer.write(tmp_path / "take.csv", {"JawOpen": [0, 1, 0], "HeadYaw": [0, 0.1, 0]})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_script_runs_as_its_command_line_says(folder, monkeypatch):
    (line,) = (x for x in pages.fenced(PAGE, "sh")[0].splitlines() if x.startswith("blender"))
    words = shlex.split(line)
    name = words[words.index("--python") + 1]
    assert SCRIPT.startswith(f"# {name}: ")
    (folder / name).write_text(SCRIPT)
    monkeypatch.setattr(sys, "argv", words)
    runpy.run_path(name)
    bpy.ops.wm.open_mainfile(filepath=str(folder / "heads.blend"))
    assert [obj.name for obj in bpy.data.objects] == ["Head 1", "Head 2", "Head 3"]
    assert all(len(obj.data.shape_keys.key_blocks) == 4 for obj in bpy.data.objects)


def test_the_pieces_run_one_after_the_other(folder, capsys):
    names = {}
    for piece in PIECES:
        exec(piece, names)
    said = capsys.readouterr().out
    assert "There is no file scans/lost.obj. Check the path." in said
    assert "0.60 mm off, 90% of the face seen" in said
    assert "Removed 2 in-between shapes" in said
    assert names["error_mm"].max() == 9
    assert (folder / "child.codes.json").is_file()
    assert (folder / "child.fbx").is_file()


def test_the_pieces_use_every_operator_that_a_script_can_use():
    known = {cls.bl_idname.split(".")[1] for cls in FOR_SCRIPTS}
    assert pages.operators_in(SCRIPT + "".join(PIECES)) == known - NOT_FOR_SCRIPTS


def test_the_tables_are_what_blender_knows():
    assert tables() in pages.text_of(PAGE), "run python -m tests.blender.operator_tables"
