# SPDX-License-Identifier: GPL-3.0-or-later
"""Faces whose sliders are not ready, or whose mesh is a preview, catch up by themselves."""

import sys
from types import SimpleNamespace

import bpy
import numpy as np
import pytest

from imface_blender import catch_up, faces, jobs, sliders
from imface_blender.operators.edit_shape import IMFACE_OT_edit_shape, IMFACE_OT_refine_shape
from tests.blender.known_sliders import exact, set_slider


@pytest.fixture
def face(make_face):
    face = make_face()
    assert bpy.ops.imface.edit_shape() == {"FINISHED"}
    return face


@pytest.mark.parametrize("change", ["none", "hidden", "gone"])
def test_what_the_sliders_ask_for_by_themselves_leaves_errors_as_they_are(
    face, monkeypatch, capsys, change
):
    set_slider(face, noseLength=1)
    jobs.status.error, jobs.status.details = "Another job's error", "and its details"
    recall = IMFACE_OT_refine_shape._recall

    def after_the_change(operator):
        face.hide_set(change == "hidden")
        return faces.find(-1) if change == "gone" else recall(operator)

    monkeypatch.setattr(IMFACE_OT_refine_shape, "_recall", after_the_change)
    waits = catch_up.SECONDS_UNTIL_EXACT if change == "hidden" else None
    assert catch_up.bring_up_to_date() == waits
    assert (jobs.status.error, jobs.status.details) == ("Another job's error", "and its details")
    assert sliders.is_exact(face.data) == (change == "none")
    told = {"none": "", "hidden": "'Face' is hidden. Show it first.", "gone": "was deleted"}
    assert told[change] in capsys.readouterr().out
    monkeypatch.setattr(IMFACE_OT_refine_shape, "_recall", recall)
    face.hide_set(False)
    assert catch_up.bring_up_to_date() is None
    assert sliders.is_exact(face.data) == (change != "gone")


def test_the_face_that_moved_becomes_exact_whichever_is_active(face, make_mesh):
    set_slider(face, noseLength=1)
    other = make_mesh("Other")
    assert bpy.context.object == other
    assert catch_up.bring_up_to_date() is None
    assert sliders.is_exact(face.data)


@pytest.fixture
def two_faces(make_face, select_only):
    """Return two faces whose sliders have been moved, the second one active."""
    both = [make_face(seed=1), make_face(seed=2)]
    for face in both:
        select_only(face)
        bpy.ops.imface.edit_shape()
        set_slider(face, noseLength=1)
    return both


def test_no_face_that_moved_is_forgotten(two_faces):
    assert catch_up.bring_up_to_date() is None
    assert [sliders.is_exact(face.data) for face in two_faces] == [True, True]


def test_what_cannot_be_refined_now_waits(two_faces):
    hidden = two_faces[0]
    hidden.hide_set(True)
    assert catch_up.bring_up_to_date() == catch_up.SECONDS_UNTIL_EXACT
    assert [sliders.is_exact(face.data) for face in two_faces] == [False, True]
    hidden.hide_set(False)
    assert catch_up.bring_up_to_date() is None
    assert sliders.is_exact(hidden.data)


def test_a_face_in_another_scene_waits_for_a_window_that_shows_it(face):
    set_slider(face, noseLength=1)
    window, scene = bpy.context.window_manager.windows[0], bpy.context.scene
    window.scene = bpy.data.scenes.new("Other")
    assert catch_up.bring_up_to_date() == catch_up.SECONDS_UNTIL_EXACT
    assert not sliders.is_exact(face.data)
    window.scene = scene
    assert catch_up.bring_up_to_date() is None
    assert sliders.is_exact(face.data)


@pytest.mark.parametrize("loaded", [True, False])
def test_a_preview_in_a_file_becomes_exact(two_faces, points, tmp_path, loaded):
    path = str(tmp_path / "previews.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    if not loaded:  # as in another Blender
        sliders._previews.clear()
        sliders._surfaces.clear()
    bpy.ops.wm.open_mainfile(filepath=path)
    while catch_up.bring_up_to_date() is not None:
        pass
    for obj in bpy.data.objects:
        np.testing.assert_allclose(points(obj.data.vertices), exact({"noseLength": 1}), atol=1e-7)


def test_a_preview_that_undo_brings_back_becomes_exact_whichever_is_active(face, make_mesh):
    set_slider(face, noseLength=1)
    bpy.ops.ed.undo_push(message="Drag")
    bpy.ops.imface.refine_shape("EXEC_DEFAULT", True)
    set_slider(face, noseLength=2)
    make_mesh("Other")
    bpy.ops.ed.undo_push(message="Other")
    catch_up._waiting.clear()
    bpy.ops.ed.undo()
    bpy.ops.ed.redo()
    assert bpy.context.object.name == "Other"
    assert catch_up.bring_up_to_date() is None
    assert sliders.is_exact(bpy.data.objects["Face"].data)


def test_what_has_come_by_itself_comes_again_after_undo_and_redo(face):
    for value in (1, 2):
        set_slider(face, noseLength=value)
        bpy.ops.ed.undo_push(message="Drag")
        assert catch_up.bring_up_to_date() is None
        assert sliders.is_exact(face.data)
    for step, value in ((bpy.ops.ed.undo, 1), (bpy.ops.ed.redo, 2)):
        step()
        face = bpy.data.objects["Face"]
        assert sliders.values_of(face.data) == {"noseLength": value}
        assert not sliders.is_exact(face.data)
        assert catch_up.bring_up_to_date() is None
        assert sliders.is_exact(face.data)


def test_what_is_under_way_is_not_asked_for_again(make_face, monkeypatch):
    face, prepare, seen = make_face(), IMFACE_OT_edit_shape.prepare, []

    def look_and_prepare(operator, context):
        catch_up.get_ready(face)  # as the panel does whenever it is drawn
        seen.append((catch_up.news(face), catch_up.remedy(face)))
        return prepare(operator, context)

    monkeypatch.setattr(IMFACE_OT_edit_shape, "prepare", look_and_prepare)
    catch_up.get_ready(face)
    assert catch_up.bring_up_to_date() is None
    assert seen == [("The sliders are being made ready", "")]


def test_a_failure_is_told_until_an_undo_or_another_drag(face):
    bpy.ops.ed.undo_push(message="Before")
    set_slider(face, noseLength=1)
    bpy.ops.ed.undo_push(message="Drag")
    catch_up.give_up(face.session_uid, "An error")
    assert catch_up.news(face) == "The shape is a preview: An error"
    bpy.ops.ed.undo()
    assert catch_up.news(bpy.data.objects["Face"]) == ""
    bpy.ops.ed.redo()
    face = bpy.data.objects["Face"]
    assert catch_up.news(face) == "The shape is a preview: An error"
    set_slider(face, noseLength=2)
    assert catch_up.news(face) == ""


def test_a_slider_that_is_back_where_it_was_asks_for_nothing(face):
    set_slider(face, noseLength=1)
    set_slider(face, noseLength=0)
    assert catch_up.bring_up_to_date() is None
    assert catch_up.news(face) == ""


def test_a_face_that_was_deleted_is_waited_for_no_more(face):
    set_slider(face, noseLength=1)
    bpy.data.objects.remove(face)
    assert catch_up.bring_up_to_date() is None


def test_sliders_get_ready_by_themselves_once_they_are_looked_at(make_face):
    face = make_face()
    catch_up.get_ready(face)
    assert catch_up.news(face) == "The sliders are being made ready"
    assert catch_up.remedy(face) == ""
    assert catch_up.bring_up_to_date() is None
    assert sliders.why_not(face) == catch_up.news(face) == catch_up.remedy(face) == ""
    set_slider(face, noseLength=1)
    assert sliders.values_of(face.data) == {"noseLength": 1}


@pytest.mark.parametrize("remedy", ["imface.edit_shape", "imface.refine_shape"])
def test_what_failed_by_itself_is_told_and_not_tried_again(make_face, monkeypatch, remedy):
    face = make_face()
    if remedy == "imface.refine_shape":
        bpy.ops.imface.edit_shape()
        set_slider(face, noseLength=1)
    catch_up.get_ready(face)
    monkeypatch.setenv("IMFACE_PYTHON", "/nowhere/python")
    assert catch_up.bring_up_to_date() is None
    told = catch_up.news(face)
    assert "/nowhere/python cannot be started" in told
    assert told.startswith("The shape is a preview: ") == (remedy == "imface.refine_shape")
    assert catch_up.remedy(face) == remedy
    assert jobs.status.error == ""
    monkeypatch.setenv("IMFACE_PYTHON", sys.executable)
    catch_up.get_ready(face)
    assert catch_up.bring_up_to_date() is None
    assert catch_up.news(face) == told


def test_a_cancelled_job_is_told_and_the_button_does_it(face, monkeypatch):
    set_slider(face, noseLength=1)
    cancelled = SimpleNamespace(state="cancelled", wait=lambda on_progress: None)
    with monkeypatch.context() as patch:
        patch.setattr(IMFACE_OT_refine_shape, "submit", lambda *_: cancelled)
        assert catch_up.bring_up_to_date() is None
    bpy.ops.ed.undo_push(message="Something else")
    catch_up._look_for_previews()  # as after an undo of it
    assert catch_up.bring_up_to_date() is None
    assert catch_up.news(face) == "The shape is a preview: Cancelled: Refining the shape"
    assert bpy.ops.imface.refine_shape() == {"FINISHED"}
    assert catch_up.news(face) == catch_up.remedy(face) == ""


def test_after_free_memory_no_face_starts_the_worker_by_itself(make_face):
    face = make_face()
    assert bpy.ops.imface.free_memory() == {"FINISHED"}
    catch_up.get_ready(face)
    assert catch_up.bring_up_to_date() is None
    assert not jobs.has_worker()
    assert catch_up.news(face) == "Press Edit Face Shape first"
    assert catch_up.remedy(face) == "imface.edit_shape"
    other = make_face(seed=2)  # which starts the worker
    catch_up.get_ready(other)
    assert catch_up.bring_up_to_date() is None
    assert catch_up.news(other) == ""


def test_free_memory_ends_what_waits_and_a_slider_begins_anew(face):
    set_slider(face, noseLength=1)
    assert bpy.ops.imface.free_memory() == {"FINISHED"}
    assert catch_up.bring_up_to_date() is None
    assert not jobs.has_worker()
    assert catch_up.remedy(face) == "imface.refine_shape"
    set_slider(face, noseLength=2)
    assert catch_up.bring_up_to_date() is None
    assert sliders.is_exact(face.data)


def test_a_face_that_is_gone_when_its_sliders_are_ready_is_asked_for_again_if_it_returns(make_face):
    face = make_face()
    catch_up._asked[face.session_uid] = ""
    catch_up.give_up(-1, "The object was deleted")
    catch_up.give_up(face.session_uid, "An error")
    assert set(catch_up._asked) == {face.session_uid}


def test_a_copy_of_a_preview_becomes_exact_where_it_is_looked_at(face):
    set_slider(face, noseLength=1)
    copy = face.copy()
    copy.data = face.data.copy()
    bpy.context.collection.objects.link(copy)
    assert catch_up.bring_up_to_date() is None
    assert not sliders.is_exact(copy.data)
    catch_up.get_ready(copy)
    assert catch_up.bring_up_to_date() is None
    assert sliders.is_exact(copy.data)


@pytest.mark.parametrize("change", ["vertices", "codes"])
def test_what_can_never_become_exact_is_not_waited_for(face, change):
    set_slider(face, noseLength=1)
    if change == "codes":
        face.imface.codes = "no codes"
    else:
        face.data.vertices.add(1)
    assert catch_up.bring_up_to_date() is None
    assert not sliders.is_exact(face.data)


def test_a_local_face_with_the_name_of_a_linked_one_gets_ready(make_face, tmp_path):
    path = str(tmp_path / "library.blend")
    make_face()
    bpy.data.libraries.write(path, {bpy.data.objects["Face"]})
    bpy.data.objects.remove(bpy.data.objects["Face"])
    with bpy.data.libraries.load(path, link=True) as (_, into):
        into.objects = ["Face"]
    bpy.context.collection.objects.link(into.objects[0])
    face = make_face()
    assert face.name == into.objects[0].name
    catch_up.get_ready(face)
    assert catch_up.bring_up_to_date() is None
    assert sliders.why_not(face) == ""


@pytest.mark.parametrize(("running", "value"), [("job", SimpleNamespace()), ("line", [None])])
def test_it_waits_for_other_jobs(face, monkeypatch, running, value):
    set_slider(face, noseLength=1)
    with monkeypatch.context() as patch:
        patch.setattr(jobs.status, running, value)
        assert catch_up.bring_up_to_date() == catch_up.SECONDS_UNTIL_EXACT
    assert not sliders.is_exact(face.data)
    assert catch_up.bring_up_to_date() is None
    assert sliders.is_exact(face.data)


def test_it_waits_for_object_mode(face, make_mesh):
    set_slider(face, noseLength=1)
    make_mesh("Other")
    bpy.ops.object.mode_set(mode="SCULPT")
    assert catch_up.bring_up_to_date() == catch_up.SECONDS_UNTIL_EXACT
    assert not sliders.is_exact(face.data)
    bpy.ops.object.mode_set(mode="OBJECT")
    assert catch_up.bring_up_to_date() is None
    assert sliders.is_exact(face.data)
