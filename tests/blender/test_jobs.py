# SPDX-License-Identifier: GPL-3.0-or-later
"""The pattern of a long job: errors, cancelling, and the modal's steps without a window."""

import sys
import time
from contextlib import contextmanager
from types import SimpleNamespace

import bpy
import pytest

from imface_blender import faces, job_operators, jobs, overlay, shape_keys
from imface_blender.job_operators import UNEXPECTED, JobOperator
from imface_blender.jobs import Request
from imface_blender.operators.worker import IMFACE_OT_copy_details

USER_ERROR, INTERNAL_ERROR, DEATH, BAD_INDEX, BAD_VERTEX, ENDLESS, CTRL_C = range(100, 107)  # seeds


def refused(census, seed=1):
    """Generate, see that nothing was made, and return the sentence."""
    before = census()
    with pytest.raises(RuntimeError) as caught:
        bpy.ops.imface.generate(seed=seed)
    assert census() == before
    assert jobs.status.job is None
    assert jobs.status.error in str(caught.value)
    return jobs.status.error


def test_progress_is_printed(capfd):
    bpy.ops.imface.generate()
    assert "ImFace:  50% Half way" in capfd.readouterr().out


def test_invoked_without_a_window_it_runs_to_the_end():
    assert bpy.ops.imface.generate("INVOKE_DEFAULT") == {"FINISHED"}
    assert bpy.context.object.name == "Face"


def test_the_worker_refuses(census):
    assert refused(census, USER_ERROR) == "The weights are missing. Install the add-on again."
    assert jobs.status.details == ""


def test_the_worker_fails(census):
    assert refused(census, INTERNAL_ERROR) == "The worker failed."
    assert jobs.status.details == "Traceback: a line of it"


def test_the_worker_dies_and_the_next_job_gets_a_new_one(census):
    assert "ended unexpectedly" in refused(census, DEATH)
    assert "last words" in jobs.status.details
    assert bpy.ops.imface.generate() == {"FINISHED"}
    assert jobs.status.error == jobs.status.details == ""


@pytest.mark.parametrize("seed", [BAD_INDEX, BAD_VERTEX])
def test_an_answer_that_is_no_mesh(census, seed):
    assert refused(census, seed).startswith("The worker's answer is not a mesh")


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


def test_an_unexpected_error_keeps_its_traceback(census, monkeypatch):
    monkeypatch.setattr(faces.FaceMesh, "from_answer", lambda *_: 1 / 0)
    assert refused(census) == UNEXPECTED
    assert "ZeroDivisionError" in jobs.status.details


def test_no_python_chosen(census, monkeypatch):
    monkeypatch.delenv("IMFACE_PYTHON")
    assert refused(census).startswith("No Python is chosen for the worker.")


def test_a_python_that_does_not_exist(census, monkeypatch):
    monkeypatch.setenv("IMFACE_PYTHON", "/nowhere/python")
    assert "/nowhere/python cannot be started" in refused(census)


def test_the_preference_goes_before_the_environment(census, monkeypatch):
    monkeypatch.setenv("IMFACE_PYTHON", "/nowhere/python")
    addon = bpy.context.preferences.addons.new()
    addon.module = "imface_blender"
    try:
        addon.preferences.worker_python = sys.executable
        assert bpy.ops.imface.generate() == {"FINISHED"}
        addon.preferences.worker_python = "/elsewhere/python"
        assert "/elsewhere/python cannot be started" in refused(census)
    finally:
        bpy.context.preferences.addons.remove(addon)


def test_a_missing_backend(census, monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.setattr(jobs, "__file__", str(tmp_path / "add_on" / "jobs.py"))
    with pytest.raises(jobs.UserError, match="backend folder is missing"):
        jobs.backend_dir()


def test_the_backend_beside_the_add_on_goes_first(monkeypatch, tmp_path):
    monkeypatch.undo()
    for folder in (tmp_path, tmp_path / "add_on"):
        (folder / "backend").mkdir(parents=True)
    monkeypatch.setattr(jobs, "__file__", str(tmp_path / "add_on" / "jobs.py"))
    assert jobs.backend_dir() == (tmp_path / "add_on").resolve()


def test_the_worker_s_line():
    jobs.close_worker()
    assert jobs.worker_line() == "The worker has not started yet"
    assert bpy.ops.imface.check_worker() == {"FINISHED"}
    assert jobs.worker_line() == "PyTorch 2.13.0 on CPU, Python 3.11.7"
    assert len(bpy.data.objects) == 0


@contextmanager
def hours_later(monkeypatch):
    then = time.monotonic() + 3600
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: then)
        yield patch


def test_an_idle_worker_is_ended_and_a_busy_one_is_not(monkeypatch):
    monkeypatch.setattr(jobs, "idle_minutes", lambda: 10)
    jobs.close_worker()
    assert jobs.end_idle_worker() is None  # nothing to look after
    assert bpy.ops.imface.check_worker() == {"FINISHED"}
    assert bpy.app.timers.is_registered(jobs.end_idle_worker)
    assert jobs.end_idle_worker() == jobs.SECONDS_BETWEEN_LOOKS
    assert jobs.has_worker()
    job = jobs.submit(jobs.Request("generate", {"seed": ENDLESS}, {}))
    with hours_later(monkeypatch):
        assert jobs.end_idle_worker() == jobs.SECONDS_BETWEEN_LOOKS
    assert job.state == "running"
    jobs.close_worker()


def test_a_job_longer_than_the_idle_time_is_no_idleness(monkeypatch):
    assert bpy.ops.imface.check_worker() == {"FINISHED"}
    monkeypatch.setattr(jobs, "idle_minutes", lambda: 10)
    job = jobs.submit(jobs.Request("generate", {"seed": ENDLESS}, {}))
    monkeypatch.setattr(jobs.status, "job", job)
    with hours_later(monkeypatch):
        jobs.end_idle_worker()
        job.cancel()
        while job.state == "running":
            job.poll()
        monkeypatch.setattr(jobs.status, "job", None)
        assert jobs.end_idle_worker() == jobs.SECONDS_BETWEEN_LOOKS
    assert jobs.has_worker()


def test_it_ends_after_its_idle_time_unless_told_to_stay(monkeypatch):
    assert bpy.ops.imface.check_worker() == {"FINISHED"}
    with hours_later(monkeypatch) as patch:
        patch.setattr(jobs, "idle_minutes", lambda: 0)
        assert jobs.end_idle_worker() == jobs.SECONDS_BETWEEN_LOOKS
        assert jobs.has_worker()
        patch.setattr(jobs, "idle_minutes", lambda: 10)
        assert jobs.end_idle_worker() is None
        assert not jobs.has_worker()
    assert bpy.ops.imface.check_worker() == {"FINISHED"}  # and the next job starts it again


def test_a_worker_is_idle_once_its_job_was_given_up(monkeypatch):
    monkeypatch.setattr(jobs, "idle_minutes", lambda: 0.001)
    window = Window(ENDLESS)
    window.tick_until(lambda _: jobs.status.job.fraction == 0.5)
    window.cancel(window.context)
    deadline = time.monotonic() + window.limit_s
    while jobs.end_idle_worker() is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not jobs.has_worker()


def test_a_worker_holds_memory_from_its_start_to_its_end(census):
    jobs.close_worker()
    assert not jobs.has_worker()
    job = jobs.submit(jobs.Request("info", {}, {}))
    assert jobs.has_worker()  # though it has not said hello
    job.wait()
    refused(census, DEATH)
    assert not jobs.has_worker()
    with pytest.raises(RuntimeError, match="The worker is not running"):
        bpy.ops.imface.free_memory()


class Window:
    """Stands in for a job operator in a window: the true methods, but no Blender behind them."""

    modal, cancel = JobOperator.modal, JobOperator.cancel
    _begin, _conclude, _end = JobOperator._begin, JobOperator._conclude, JobOperator._end
    _start_in_turn, _wait_in_line = JobOperator._start_in_turn, JobOperator._wait_in_line
    _scene, _waits_for = JobOperator._scene, JobOperator._waits_for
    _explain, _fail = JobOperator._explain, JobOperator._fail
    submit = staticmethod(JobOperator.submit)
    bl_idname = "IMFACE_OT_generate"
    bl_options = JobOperator.bl_options
    macros, by_itself, _doubtful = (), False, False
    label = "Doing it"
    limit_s = 10
    _turn = _job = _timer = None

    def __init__(self, seed):
        self.seed, self.reports, self.finished = seed, [], 0
        self.context = SimpleNamespace(
            mode="OBJECT",
            active_object=None,
            scene=bpy.context.scene,
            screen=SimpleNamespace(is_animation_playing=False),
            window=SimpleNamespace(modal_operators=[self]),
            window_manager=bpy.context.window_manager,
        )
        assert self._begin(self.context)

    def prepare(self, context):
        params = {"seed": self.seed, "strength": 1.0, "topology": "head", "resolution": 128}
        return Request("generate", params, {})

    def finish(self, context, job):
        self.finished += 1
        return "Done"

    def report(self, kind, message):
        self.reports.append((*kind, message))

    def event(self, kind, value="NOTHING"):
        return self.modal(self.context, SimpleNamespace(type=kind, value=value))

    def tick_until(self, condition):
        deadline = time.monotonic() + self.limit_s
        result = self.event("TIMER")
        while not condition(result):
            assert time.monotonic() < deadline
            time.sleep(0.01)
            result = self.event("TIMER")
        return result


def ended(result):
    return result != {"PASS_THROUGH"}


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
    window.context.window.modal_operators.append(grab)
    window.tick_until(lambda _: jobs.status.waiting)
    window.context.window.modal_operators.remove(grab)
    assert window.tick_until(ended) == {"FINISHED"}


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
def test_another_file_can_be_loaded_during_a_job(load, make_face, tmp_path, census):
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


def test_the_error_can_be_copied_with_all_that_is_known_of_it(census):
    refused(census, INTERNAL_ERROR)
    copied = SimpleNamespace(window_manager=SimpleNamespace())
    assert IMFACE_OT_copy_details.execute(None, copied) == {"FINISHED"}
    assert copied.window_manager.clipboard == (
        "The worker failed.\nPyTorch 2.13.0 on CPU, Python 3.11.7\nTraceback: a line of it"
    )


def test_nothing_to_cancel_to_keep_or_to_copy():
    with pytest.raises(RuntimeError, match="No face has been found yet"):
        bpy.ops.imface.settle_job()
    with pytest.raises(RuntimeError, match="ImFace is not doing anything"):
        bpy.ops.imface.cancel_job()
    with pytest.raises(RuntimeError, match="There was no error"):
        bpy.ops.imface.copy_details()
