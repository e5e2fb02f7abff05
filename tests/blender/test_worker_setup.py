# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Python runs the worker, and the first use of what the zip brings."""

import sys
import time

import bpy
import pytest

import build
from imface_blender import jobs, runtime, worker_setup
from imface_blender.worker_client import worker_command


@pytest.fixture
def bundled(tmp_path, monkeypatch, make_bundle):
    """Have an add-on with wheels and no Python chosen; return the folder to unpack them in."""
    monkeypatch.delenv("IMFACE_PYTHON")
    monkeypatch.setattr(worker_setup, "wheels_folder", lambda: tmp_path / "wheels")
    monkeypatch.setattr(worker_setup, "home", lambda: tmp_path / "runtime")
    # The worker with known answers needs numpy, which is where this Python has its packages.
    monkeypatch.setattr(jobs, "runtime_command", worker_command)
    make_bundle(tmp_path / "wheels", {"alpha": "", "beta": ""})
    yield tmp_path / "runtime"
    jobs.close_worker()


@pytest.fixture
def preference():
    """Return the preferences of the add-on, as if it were enabled."""
    addon = bpy.context.preferences.addons.new()
    addon.module = "imface_blender"
    yield addon.preferences
    bpy.context.preferences.addons.remove(addon)


def test_the_preference_goes_first_then_the_environment_then_the_runtime(
    bundled, preference, monkeypatch
):
    monkeypatch.setenv("IMFACE_PYTHON", "/from/environment")
    preference.worker_python = "/from/preference"
    assert worker_setup.worker_setup() == ("/from/preference", ())
    preference.worker_python = ""
    assert worker_setup.worker_setup() == ("/from/environment", ())
    assert worker_setup.unpacking() is None
    monkeypatch.delenv("IMFACE_PYTHON")
    key = worker_setup.bundle().key
    packages = (bundled / key / "alpha", bundled / key / "beta")
    assert worker_setup.worker_setup() == (sys.executable, packages)


def test_first_use_unpacks_and_the_next_use_does_not(bundled):
    assert worker_setup.runtime_line() == "Runtime: in the zip, unpacked when first used"
    assert bpy.ops.imface.generate(seed=1) == {"FINISHED"}
    assert bpy.context.object.name == "Face"
    assert (bundled / worker_setup.bundle().key / "beta" / "beta" / "__init__.py").is_file()
    assert worker_setup.runtime_line() == "Runtime: 0 MB unpacked, in use"
    assert worker_setup.unpacking() is None
    assert bpy.ops.imface.generate(seed=2) == {"FINISHED"}


def test_a_cancelled_unpacking_is_gone_on_with_by_the_next_job(bundled, monkeypatch):
    at_full_speed = runtime.unpack

    def slowly(*arguments):
        for share in at_full_speed(*arguments):
            time.sleep(0.1)
            yield share

    monkeypatch.setattr(runtime, "unpack", slowly)
    job = jobs.submit(jobs.Request("info", {}, {}))
    while "1 of 2" not in job.message:
        job.poll()
    job.cancel()
    job.wait()
    assert job.state == "cancelled"
    assert runtime.size_of(worker_setup.bundle(), bundled) == 0
    assert bpy.ops.imface.generate(seed=1) == {"FINISHED"}


def test_a_damaged_wheel_reaches_the_panel(bundled, assert_refused):
    next(worker_setup.wheels_folder().glob("beta*.whl")).write_bytes(b"damaged")
    assert_refused(bpy.ops.imface.generate, "beta.* is missing or damaged. Install the add-on's")
    assert jobs.status.error.startswith("beta")


def test_wheels_for_another_python_reach_the_panel(bundled, assert_refused, make_bundle):
    other = build.Target(build.this_platform(), "3.9")
    make_bundle(worker_setup.wheels_folder(), {"alpha": ""}, other)
    assert_refused(bpy.ops.imface.generate, "runtime is for Python 3.9")
    assert not bundled.exists()


def test_a_damaged_list_does_not_break_the_preferences(bundled):
    (worker_setup.wheels_folder() / runtime.LIST).write_text("{")
    assert "damaged" in worker_setup.runtime_line()


def test_a_blender_without_its_python_is_told(bundled, monkeypatch):
    monkeypatch.setattr(sys, "executable", None)
    with pytest.raises(worker_setup.UserError, match="comes without its Python program"):
        worker_setup.worker_setup()


def test_the_runtime_can_be_removed_and_comes_again(bundled):
    with pytest.raises(RuntimeError, match="Nothing has been unpacked"):
        bpy.ops.imface.remove_runtime()
    bpy.ops.imface.generate(seed=1)
    assert bpy.ops.imface.remove_runtime() == {"FINISHED"}
    assert not bundled.exists()
    assert jobs.worker_line() == "The worker has not started yet"
    assert bpy.ops.imface.generate(seed=1) == {"FINISHED"}
    assert bundled.exists()


def test_freeing_memory_ends_the_worker():
    bpy.ops.imface.generate(seed=1)
    process = jobs._client._process
    assert bpy.ops.imface.free_memory() == {"FINISHED"}
    assert not process.is_alive()
    with pytest.raises(RuntimeError, match="The worker is not running"):
        bpy.ops.imface.free_memory()


def test_test_worker_names_the_model():
    assert jobs.model_line() == "Test Worker names the model"
    bpy.ops.imface.check_worker()
    assert jobs.model_line() == "Face model 01234567"


def test_unregistering_ends_the_unpacking(bundled, monkeypatch):
    held = worker_setup.unpacking()
    monkeypatch.setattr(jobs, "_unpacking", held)
    jobs.close_worker()
    assert not held._thread.is_alive()
    assert held.state == "cancelled"
