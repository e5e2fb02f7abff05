# SPDX-License-Identifier: GPL-3.0-or-later
"""A face goes through a small file and comes back."""

import json
from types import SimpleNamespace

import bpy
import pytest

from imface_blender import jobs
from imface_blender.operators.codes import (
    IMFACE_OT_copy_codes,
    IMFACE_OT_export_codes,
    IMFACE_OT_paste_codes,
)


@pytest.fixture
def path(tmp_path):
    """Return where a face is written, a name with a space and an umlaut."""
    return tmp_path / "Frau Müller.codes.json"


def test_a_face_comes_back_from_its_file(make_face, path):
    face = make_face(seed=4)
    assert bpy.ops.imface.export_codes(filepath=str(path)) == {"FINISHED"}
    assert json.loads(path.read_text()) == json.loads(face.imface.codes)
    bpy.context.scene.cursor.location = (1, 2, 3)
    assert bpy.ops.imface.import_codes(filepath=str(path), topology="FACE") == {"FINISHED"}
    made = bpy.context.object
    assert made != face
    assert made.name == "Frau Müller"
    assert json.loads(made.imface.codes) == json.loads(face.imface.codes)
    assert made.imface.topology == "FACE"
    assert tuple(made.location) == pytest.approx((1, 2, 3))


def test_the_file_browser_asks_before_it_replaces_and_keeps_the_ending(path):
    browser = SimpleNamespace(filepath=str(path.parent / "Anna"))
    assert IMFACE_OT_export_codes.check(browser, bpy.context)
    assert browser.filepath == str(path.parent / "Anna.codes.json")
    assert not IMFACE_OT_export_codes.check(browser, bpy.context)
    asks = bpy.ops.imface.export_codes.get_rna_type().properties["check_existing"]
    assert asks.default is True


def test_a_face_is_copied_and_pasted(make_face, monkeypatch):
    """Without a window Blender has no clipboard; tests/gui goes through the real one."""
    face = make_face(seed=4)
    manager, reported = SimpleNamespace(), []
    copy = SimpleNamespace(report=lambda *words: reported.append(words))
    copied = SimpleNamespace(window_manager=manager, object=face)
    assert IMFACE_OT_copy_codes.work(copy, copied) == {"FINISHED"}
    assert reported == [({"INFO"}, "Copied 'Face'")]
    read = IMFACE_OT_paste_codes.codes
    monkeypatch.setattr(IMFACE_OT_paste_codes, "codes", lambda self, context: read(self, copied))
    assert bpy.ops.imface.paste_codes(topology="FACE") == {"FINISHED"}
    made = bpy.context.object
    assert (made.name, made.imface.topology) == ("Face.001", "FACE")
    assert json.loads(made.imface.codes) == json.loads(face.imface.codes)


def test_what_is_no_face_is_neither_copied_nor_pasted(make_mesh, assert_refused):
    assert_refused(bpy.ops.imface.paste_codes, "There is no face on the clipboard")
    make_mesh()
    assert_refused(bpy.ops.imface.copy_codes, "'Scan' is no ImFace face")


def test_without_a_clipboard_nothing_is_copied(make_face, assert_refused):
    make_face()
    assert_refused(bpy.ops.imface.copy_codes, "no clipboard without a window. Use imface.export_c")


def test_writing_changes_nothing(make_face, path, census):
    make_face()
    before = census()
    bpy.ops.imface.export_codes(filepath=str(path))
    assert census() == before


def test_the_file_browser_makes_no_undo_step_of_its_own():
    assert "UNDO" not in bpy.ops.imface.import_codes.bl_options
    assert "UNDO" in bpy.ops.imface.load_codes.bl_options


def test_what_is_no_face_is_not_written(make_mesh, path, assert_refused):
    make_mesh()
    assert_refused(bpy.ops.imface.export_codes, "'Scan' is no ImFace face", filepath=str(path))
    assert not path.exists()


def test_a_folder_that_is_missing(make_face, path, assert_refused):
    make_face()
    there = str(path.parent / "none" / "face.codes.json")
    assert_refused(bpy.ops.imface.export_codes, "cannot be written: No such", filepath=there)
    assert_refused(bpy.ops.imface.import_codes, "cannot be read: No such", filepath=there)


def test_no_file_to_write_or_to_read(make_face, assert_refused):
    make_face()
    assert_refused(bpy.ops.imface.export_codes, "No file is named. Choose one.")
    assert_refused(bpy.ops.imface.import_codes, "cannot be read")


def test_a_full_disk_leaves_the_old_file_as_it_was(make_face, path, assert_refused):
    resource = pytest.importorskip("resource")
    make_face(seed=1)
    bpy.ops.imface.export_codes(filepath=str(path))
    before = path.read_text()
    make_face(seed=2)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, unlimited[1]))  # as a disk with 10 bytes left
    try:
        assert_refused(bpy.ops.imface.export_codes, "cannot be written", filepath=str(path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert path.read_text() == before
    assert list(path.parent.iterdir()) == [path]
    assert jobs.status.error.endswith(" Choose another.")
    assert bpy.ops.imface.export_codes(filepath=str(path)) == {"FINISHED"}
    assert path.read_text() != before


def test_a_file_that_is_no_json(path, assert_refused):
    path.write_text("v 0 0 0\n")
    assert_refused(bpy.ops.imface.import_codes, "is no file of codes", filepath=str(path))


@pytest.mark.parametrize("way", ["EXEC_DEFAULT", "INVOKE_DEFAULT"])
def test_one_undo_step(make_face, path, way):
    make_face()
    bpy.ops.imface.export_codes(filepath=str(path))
    bpy.ops.ed.undo_push(message="Before")
    bpy.ops.imface.import_codes(way, True, filepath=str(path))
    assert "Frau Müller" in bpy.data.objects
    bpy.ops.ed.undo()
    assert set(bpy.data.objects.keys()) == {"Face"}
