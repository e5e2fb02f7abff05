# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker: which one runs, when it ends, and what is told of it."""

import sys
import time
from contextlib import contextmanager
from types import SimpleNamespace

import bpy
import pytest

from imface_blender import jobs
from imface_blender.operators.worker import IMFACE_OT_copy_details
from tests.blender.fake_worker.seeds import DEATH, ENDLESS, INTERNAL_ERROR
from tests.blender.window import Window


def test_no_python_chosen(refusal, monkeypatch):
    monkeypatch.delenv("IMFACE_PYTHON")
    assert refusal().startswith("No Python is chosen for the worker.")


def test_a_python_that_does_not_exist(refusal, monkeypatch):
    monkeypatch.setenv("IMFACE_PYTHON", "/nowhere/python")
    assert "/nowhere/python cannot be started" in refusal()


def test_the_preference_goes_before_the_environment(refusal, monkeypatch):
    monkeypatch.setenv("IMFACE_PYTHON", "/nowhere/python")
    addon = bpy.context.preferences.addons.new()
    addon.module = "imface_blender"
    try:
        addon.preferences.worker_python = sys.executable
        assert bpy.ops.imface.generate() == {"FINISHED"}
        addon.preferences.worker_python = "/elsewhere/python"
        assert "/elsewhere/python cannot be started" in refusal()
    finally:
        bpy.context.preferences.addons.remove(addon)


def test_a_missing_backend(monkeypatch, tmp_path):
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


def test_the_model_s_line():
    assert jobs.model_line() == "Test Worker names the model"
    assert bpy.ops.imface.generate() == {"FINISHED"}
    assert jobs.model_line() == "Face model fake"
    assert bpy.ops.imface.add_expressions() == {"FINISHED"}  # whose answer does not say it
    assert jobs.model_line() == "Face model fake"


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


def test_a_worker_holds_memory_from_its_start_to_its_end(refusal):
    jobs.close_worker()
    assert not jobs.has_worker()
    job = jobs.submit(jobs.Request("info", {}, {}))
    assert jobs.has_worker()  # though it has not said hello
    job.wait()
    refusal(DEATH)
    assert not jobs.has_worker()
    with pytest.raises(RuntimeError, match="The worker is not running"):
        bpy.ops.imface.free_memory()


def test_an_error_that_comes_again_has_its_own_details():
    for details in ("first", "second"):
        jobs.show_error("The worker failed.", details)
        assert (jobs.status.error, jobs.status.details) == ("The worker failed.", details)


def test_the_error_can_be_copied_with_all_that_is_known_of_it(refusal):
    refusal(INTERNAL_ERROR)
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
