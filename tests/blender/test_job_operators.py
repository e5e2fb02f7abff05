# SPDX-License-Identifier: GPL-3.0-or-later
"""The pattern of a long job: errors, cancelling, and the modal's steps without a window."""

import json
import time
from types import SimpleNamespace

import bpy
import pytest

from imface_blender import faces, job_operators, jobs, overlay, shape_keys
from imface_blender.job_operators import UNEXPECTED, JobOperator
from imface_blender.operators import CLASSES
from tests.blender.fake_worker.seeds import (
    BAD_INDEX,
    BAD_VERTEX,
    CTRL_C,
    DEATH,
    ENDLESS,
    INTERNAL_ERROR,
    USER_ERROR,
)
from tests.blender.window import Window, ended


def test_progress_is_printed(capfd):
    bpy.ops.imface.generate()
    assert "ImFace:  50% Half way" in capfd.readouterr().out


def test_invoked_without_a_window_it_runs_to_the_end():
    assert bpy.ops.imface.generate("INVOKE_DEFAULT") == {"FINISHED"}
    assert bpy.context.object.name == "Face"


def test_the_worker_refuses(refusal):
    assert refusal(USER_ERROR) == "The weights are missing. Install the add-on again."
    assert jobs.status.details == ""


def test_the_worker_fails(refusal):
    assert refusal(INTERNAL_ERROR) == "The worker failed."
    assert jobs.status.details == "Traceback: a line of it"


def test_the_worker_dies_and_the_next_job_gets_a_new_one(refusal):
    assert "ended unexpectedly" in refusal(DEATH)
    assert "last words" in jobs.status.details
    assert bpy.ops.imface.generate() == {"FINISHED"}
    assert jobs.status.error == jobs.status.details == ""


@pytest.mark.parametrize("seed", [BAD_INDEX, BAD_VERTEX])
def test_an_answer_that_is_no_mesh(refusal, seed):
    assert refusal(seed).startswith("The worker's answer is not a mesh")


def interrupt(fraction, message):
    raise KeyboardInterrupt


@pytest.mark.parametrize("way", ["the worker's", "Python's"])
def test_ctrl_c_ends_a_script(census, monkeypatch, capfd, way):
    before = census()
    with monkeypatch.context() as patch:
        if way == "Python's":
            patch.setattr(job_operators, "_print_progress", interrupt)
        with pytest.raises(RuntimeError, match=r"^Error: Cancelled: Generating a face\s*$"):
            bpy.ops.imface.generate(seed=CTRL_C if way == "the worker's" else ENDLESS)
    assert census() == before
    assert "Traceback" not in capfd.readouterr().err
    assert bpy.ops.imface.generate() == {"FINISHED"}


def test_an_unexpected_error_keeps_its_traceback(refusal, monkeypatch):
    monkeypatch.setattr(faces.FaceMesh, "from_answer", lambda *_: 1 / 0)
    assert refusal() == UNEXPECTED
    assert "ZeroDivisionError" in jobs.status.details


def test_a_modal_ends_with_the_result():
    window = Window(seed=1)
    assert window.event("MOUSEMOVE") == {"PASS_THROUGH"}
    assert window.tick_until(ended) == {"FINISHED"}
    assert window.finished == 1
    assert window.reports == [("INFO", "Done")]
    assert jobs.status.job is None


def test_a_modal_tells_of_an_error():
    window = Window(USER_ERROR)
    assert window.tick_until(ended) == {"CANCELLED"}
    assert window.reports == [("ERROR", "The weights are missing. Install the add-on again.")]
    assert jobs.status.error == window.reports[0][1]


@pytest.mark.parametrize("way", ["escape", "button"])
def test_a_running_job_can_be_cancelled(way):
    window = Window(ENDLESS)
    window.tick_until(lambda _: jobs.status.job.fraction == 0.5)
    assert jobs.status.job.message == "Half way"
    if way == "escape":
        assert window.event("ESC", "PRESS") == {"RUNNING_MODAL"}
    else:
        assert bpy.ops.imface.cancel_job() == {"FINISHED"}
    assert window.tick_until(ended) == {"CANCELLED"}
    assert window.finished == 0
    assert window.reports == [("INFO", "Cancelled: Doing it")]
    assert jobs.status.error == ""


def test_escape_stops_an_animation_first():
    window = Window(ENDLESS)
    window.tick_until(lambda _: jobs.status.job.fraction == 0.5)
    window.context.screen.is_animation_playing = True
    assert window.event("ESC", "PRESS") == {"PASS_THROUGH"}
    window.context.screen.is_animation_playing = False
    assert window.event("ESC", "RELEASE") == {"PASS_THROUGH"}  # of the key that stopped it
    assert window.event("ESC", "PRESS") == {"RUNNING_MODAL"}
    assert window.tick_until(ended) == {"CANCELLED"}


def test_a_running_job_can_be_settled():
    window = Window(ENDLESS)
    window.tick_until(lambda _: jobs.status.job.preview is not None)
    assert bpy.ops.imface.settle_job() == {"FINISHED"}
    assert window.tick_until(ended) == {"FINISHED"}
    assert window.reports == [("INFO", "Done")]


@pytest.mark.parametrize("way", ["escape", "close"])
def test_what_is_being_made_is_drawn_until_it_ends(way):
    window = Window(ENDLESS)
    window.tick_until(lambda _: overlay._lines is not None)
    assert overlay._lines.shape == (2, 2, 3)
    handle = overlay._handle
    window.event("TIMER")
    assert overlay._handle is handle is not None
    if way == "escape":
        window.event("ESC", "PRESS")
        window.tick_until(ended)
    else:
        jobs.close_worker()
    assert overlay._handle is overlay._lines is None
    assert len(bpy.data.objects) == 0


def test_a_script_does_one_job_at_a_time(tmp_path):
    window = Window(ENDLESS)
    busy = r"ImFace is busy \(Doing it\). Wait, or cancel it\."
    with pytest.raises(RuntimeError, match=busy):
        bpy.ops.imface.generate()
    with pytest.raises(RuntimeError, match=busy):
        bpy.ops.imface.fit_file(filepath=str(tmp_path / "scan.obj"))
    assert len(bpy.data.objects) == 0
    window.event("ESC", "PRESS")
    window.tick_until(ended)
    assert bpy.ops.imface.generate() == {"FINISHED"}


def test_what_is_asked_for_in_the_window_waits_in_line():
    first, second, third = Window(ENDLESS), Window(USER_ERROR), Window(seed=3)
    assert len(jobs.status.line) == 2
    assert second.event("TIMER") == third.event("ESC", "PRESS") == {"PASS_THROUGH"}
    assert jobs.status.job is first._job
    first.event("ESC", "PRESS")
    assert first.tick_until(ended) == {"CANCELLED"}
    assert third.event("TIMER") == {"PASS_THROUGH"}
    assert jobs.status.job is None  # it is the second's turn
    with pytest.raises(RuntimeError, match="ImFace is busy"):
        bpy.ops.imface.generate()
    assert second.tick_until(ended) == {"CANCELLED"}
    assert jobs.status.error.startswith("The weights are missing.")
    assert third.tick_until(ended) == {"FINISHED"}
    assert jobs.status.error.startswith("The weights are missing.")  # nobody has asked since
    assert (second.finished, third.finished) == (0, 1)
    assert (jobs.status.job, jobs.status.line) == (None, [])


def test_time_counts_from_a_job_s_own_start():
    first, second = Window(ENDLESS), Window(seed=2)
    begun = jobs.status.started
    first.event("ESC", "PRESS")
    first.tick_until(ended)
    second.event("TIMER")
    assert begun < jobs.status.started <= time.monotonic()
    second.tick_until(ended)


def test_whether_anybody_asked_for_the_running_job_is_known(monkeypatch):
    monkeypatch.setattr(Window, "by_itself", True)
    first = Window(ENDLESS)
    monkeypatch.setattr(Window, "by_itself", False)
    second = Window(seed=2)
    assert jobs.status.by_itself
    first.event("ESC", "PRESS")
    first.tick_until(ended)
    second.tick_until(lambda _: second._job)
    assert not jobs.status.by_itself


@pytest.mark.parametrize("way", ["button", "close"])
def test_what_waits_in_line_can_be_taken_out(way):
    first, second, third = Window(ENDLESS), Window(seed=2), Window(seed=3)
    if way == "button":
        assert bpy.ops.imface.cancel_job(place=1) == {"FINISHED"}
        assert second.event("TIMER") == {"CANCELLED"}
    else:
        second.cancel(second.context)
    assert jobs.status.job is first._job
    first.event("ESC", "PRESS")
    first.tick_until(ended)
    assert third.tick_until(ended) == {"FINISHED"}
    assert second.finished == 0


def test_a_worker_that_cannot_start_in_turn_is_told(monkeypatch):
    first, second = Window(ENDLESS), Window(seed=2)
    first.event("ESC", "PRESS")
    first.tick_until(ended)
    monkeypatch.setenv("IMFACE_PYTHON", "/nowhere/python")
    assert second.event("TIMER") == {"CANCELLED"}
    assert "/nowhere/python cannot be started" in jobs.status.error
    assert (jobs.status.job, jobs.status.line) == (None, [])


def test_an_ended_worker_leaves_no_line():
    first, second = Window(ENDLESS), Window(seed=2)
    jobs.close_worker()
    assert first.event("TIMER") == second.event("TIMER") == {"CANCELLED"}
    assert jobs.status.line == []


def test_the_result_waits_until_the_user_is_back_in_object_mode():
    window = Window(seed=1)
    window.context.mode = "EDIT_MESH"
    window.tick_until(lambda _: jobs.status.waiting)
    assert window.event("ESC", "PRESS") == {"PASS_THROUGH"}
    assert window.finished == 0
    window.context.mode = "OBJECT"
    assert window.tick_until(ended) == {"FINISHED"}
    assert window.finished == 1
    assert not jobs.status.waiting


def test_the_result_waits_until_the_user_is_back_in_the_scene():
    window, first = Window(seed=1), bpy.context.scene
    window.context.scene = bpy.data.scenes.new("Other")
    window.tick_until(lambda _: jobs.status.waiting)
    assert jobs.status.waiting == "Ready: return to the scene 'Scene' to see it"
    assert window.finished == 0
    window.context.scene = first
    assert window.tick_until(ended) == {"FINISHED"}


def test_a_scene_that_was_deleted_gets_no_result():
    other = bpy.data.scenes.new("Other")
    window = Window(seed=1)
    asked_in, window.context.scene = window.context.scene, other
    bpy.data.scenes.remove(asked_in)
    assert window.tick_until(ended) == {"CANCELLED"}
    assert window.finished == 0
    assert jobs.status.error == "The scene was deleted while the job ran. Nothing was changed."


def test_what_leaves_no_undo_step_waits_for_no_scene():
    window = Window(seed=1)
    window.bl_options = set()
    window.context.scene = bpy.data.scenes.new("Other")
    assert window.tick_until(ended) == {"FINISHED"}


@pytest.mark.parametrize(
    ("name", "macros"),
    [
        ("TRANSFORM_OT_translate", []),
        ("OBJECT_OT_duplicate_move", ["OBJECT_OT_duplicate", "TRANSFORM_OT_translate"]),
    ],
)
def test_the_result_waits_until_the_user_has_dropped_what_is_being_moved(name, macros):
    window = Window(seed=1)
    grab = SimpleNamespace(bl_idname=name, macros=macros)
    screen = SimpleNamespace(areas=[])
    other = SimpleNamespace(modal_operators=[grab], screen=screen)  # of Blender's windows
    window.context.window_manager.windows.append(other)
    window.tick_until(lambda _: jobs.status.waiting)
    other.modal_operators.remove(grab)
    assert window.tick_until(ended) == {"FINISHED"}


def test_what_the_user_last_did_is_what_can_be_adjusted():
    """Else Adjust Last Operation takes a result back, and all since whatever came before it."""
    for operator in CLASSES:
        options = getattr(operator, "bl_options", set())
        assert ("REGISTER" in options) == ("UNDO" in options), operator


def test_a_result_is_not_adjusted():
    drawn = []
    layout = SimpleNamespace(enabled=True, prop=lambda owner, name: drawn.append(name))
    choices = SimpleNamespace(bl_rna=bpy.ops.imface.load_codes.get_rna_type())
    shown = SimpleNamespace(layout=layout, properties=choices)
    JobOperator.draw(shown, bpy.context)
    assert not layout.enabled
    assert sorted(drawn) == ["filepath", "resolution", "topology"]


def test_repeat_last_runs_as_the_button_does():
    window = Window(seed=3)
    assert window.tick_until(ended) == {"FINISHED"}
    assert window.execute(window.context) == {"CANCELLED"}
    assert json.loads(bpy.context.object.imface.codes)["identity"][0] == 4  # seed and strength
    assert bpy.ops.imface.generate() == {"FINISHED"}


def test_a_result_is_not_kept_by_blender_s_list_of_operators():
    window = Window(seed=1)
    assert window.tick_until(ended) == {"FINISHED"}
    assert window._job is None


def test_whatever_a_job_raises_the_panel_is_free_again():
    window = Window(ENDLESS)
    jobs.status.job.poll = lambda: 1 / 0
    assert window.event("TIMER") == {"CANCELLED"}
    assert (jobs.status.job, jobs.status.error) == (None, UNEXPECTED)
    assert "ZeroDivisionError" in jobs.status.details
    assert bpy.ops.imface.generate() == {"FINISHED"}


def test_a_waiting_result_can_be_declined():
    window = Window(seed=1)
    window.context.mode = "EDIT_MESH"
    window.tick_until(lambda _: jobs.status.waiting)
    bpy.ops.imface.cancel_job()
    other = Window(seed=2)
    assert window.event("TIMER") == {"CANCELLED"}
    assert window.finished == 0
    assert jobs.status.job is other._job
    assert other.tick_until(ended) == {"FINISHED"}


def test_a_closed_window_cancels_its_job():
    window = Window(ENDLESS)
    window.cancel(window.context)
    assert jobs.status.job is None
    assert bpy.ops.imface.generate() == {"FINISHED"}


@pytest.mark.parametrize("load", ["another file", "a new file"])
def test_another_file_can_be_loaded_during_a_job(load, make_face, tmp_path):
    make_face()
    path = str(tmp_path / "Gesichter für später.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    window = Window(ENDLESS)
    window.tick_until(lambda _: jobs.status.job.fraction == 0.5)
    window.cancel(window.context)  # as Blender does, which then loads the file
    if load == "another file":
        bpy.ops.wm.open_mainfile(filepath=path)
        assert bpy.data.objects.keys() == ["Face"]
    else:
        bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
        assert bpy.data.objects.keys() == []
    before = len(bpy.data.objects)
    assert bpy.ops.imface.generate(seed=2) == {"FINISHED"}
    assert len(bpy.data.objects) == before + 1
    assert (window.finished, window.reports, jobs.status.error) == (0, [], "")


def test_a_face_that_was_deleted_meanwhile(make_face):
    uid = make_face().session_uid
    assert faces.find(uid).name == "Face"
    bpy.data.objects.remove(bpy.data.objects["Face"])
    with pytest.raises(jobs.UserError, match="deleted while the job ran"):
        faces.find(uid)


def test_errors_of_operators_without_a_job_are_shown_too(
    make_mesh, make_face, monkeypatch, assert_refused
):
    make_face()
    bpy.ops.imface.add_expressions(names="jawOpen")
    keyframe, nonsense = bpy.ops.imface.keyframe_expression, "jawOpen"
    assert_refused(keyframe, "jawOpen", expressions=nonsense)
    assert "jawOpen" in jobs.status.error
    assert jobs.status.details == ""
    monkeypatch.setattr(shape_keys, "keyframe", lambda *_: 1 / 0)
    assert_refused(keyframe, UNEXPECTED, expressions="jawOpen=1")
    assert jobs.status.error == UNEXPECTED
    assert "ZeroDivisionError" in jobs.status.details
    monkeypatch.undo()
    assert keyframe(expressions="jawOpen=1") == {"FINISHED"}
    assert jobs.status.error == jobs.status.details == ""


@pytest.mark.parametrize("name", ["object", "active_object"])
def test_a_script_s_override_names_the_face(make_face, make_mesh, name):
    face, other = make_face(), make_face(seed=2)
    with bpy.context.temp_override(**{name: face}):
        bpy.ops.imface.add_expressions(names="jawOpen")
        bpy.ops.imface.keyframe_expression(expressions="jawOpen=1", frame=1)
    assert face.data.shape_keys.animation_data is not None
    assert other.data.shape_keys is None
    scan = make_mesh()
    with bpy.context.temp_override(**{name: face}):
        assert bpy.ops.imface.neutralize.poll()
    with bpy.context.temp_override(**{name: scan}):
        assert not bpy.ops.imface.neutralize.poll()
    with bpy.context.temp_override(**{name: face}, selected_objects=[face, other]):
        bpy.ops.imface.blend_key()
    assert len(face.data.shape_keys.key_blocks) == 3
    assert other.data.shape_keys is None
