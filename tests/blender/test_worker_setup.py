# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Python runs the worker, and the first use of what the zip brings."""

import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import bpy
import pytest

import build
from imface_blender import gpu, jobs, panels, runtime, worker_setup
from imface_blender.preferences import ImFacePreferences
from imface_blender.worker_client import worker_command
from tests.blender.test_panels import Layout, draw


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


def test_a_path_may_stand_in_quotes(bundled, preference, monkeypatch):
    monkeypatch.setenv("IMFACE_PYTHON", '"/from the/environment"')
    assert worker_setup.chosen_python() == "/from the/environment"
    preference.worker_python = '"/from the/preference"'
    assert worker_setup.chosen_python() == "/from the/preference"


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


def test_a_runtime_that_does_not_start_has_a_remedy(bundled, assert_refused, monkeypatch):
    monkeypatch.setattr(worker_setup, "python_of_blender", lambda: "/nowhere/python")
    assert_refused(bpy.ops.imface.generate, "Press Remove Runtime in the preferences and try again")


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


def test_the_panel_names_the_model_and_the_worker_s_memory():
    head = panels.main.IMFACE_PT_main
    jobs.close_worker()
    assert jobs.memory_line() == ""
    assert draw(head).drawn == ["The worker has not started yet", "imface.check_worker"]
    bpy.ops.imface.generate()
    lines = draw(head).drawn
    assert lines[1] == "Face model fake"
    if sys.platform == "linux":
        status = Path(f"/proc/{jobs._client._process._popen.pid}/status").read_text()
        kilobytes = int(status.split("VmRSS:")[1].split()[0])
        assert jobs._client.memory_bytes() == pytest.approx(1024 * kilobytes, rel=0.1)
        assert " ".join(lines[2:4]).startswith("The worker holds 0.")


def test_unregistering_ends_the_unpacking(bundled, monkeypatch):
    held = worker_setup.unpacking()
    monkeypatch.setattr(jobs, "_threads", [held])
    jobs.close_worker()
    assert not held._thread.is_alive()
    assert held.state == "cancelled"


@pytest.fixture
def online():
    """Allow online access."""
    system = bpy.context.preferences.system
    system.use_online_access = True
    yield system
    system.use_online_access = False


@pytest.fixture
def index(bundled, online, tmp_path, monkeypatch, make_bundle, make_wheel):
    """Have a GPU, and an index whose PyTorch has it; return the folder of PyTorch's wheel.

    The worker with known answers finds a GPU where a module `fake_cuda` can be imported.
    """
    make_bundle(worker_setup.wheels_folder(), {"torch": ""}, version="2.13.0+cpu")
    folder = tmp_path / "index" / "cu130" / "torch"
    wheel = make_wheel(folder, "torch", "2.13.0+cu130", {"torch.py": "", "fake_cuda.py": ""})
    (folder / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
    monkeypatch.setattr(gpu, "INDEX", f"file://{tmp_path}/index/{{build}}")
    monkeypatch.setattr(gpu, "find_card", lambda: gpu.Card("Fake GPU", 580, 8.6))
    return folder


def test_use_my_gpu_installs_tests_and_uses_it(bundled, index):
    assert "GPU" not in worker_setup.runtime_line()
    assert bpy.ops.imface.use_gpu() == {"FINISHED"}
    assert len(list(bundled.iterdir())) == 2  # the zip's wheels and the GPU's
    assert jobs.worker_line() == "PyTorch 2.13.0 on Fake GPU, Python 3.11.7"
    assert worker_setup.runtime_line() == "Runtime: 0 MB with PyTorch for the GPU, in use"
    jobs.close_worker()
    bpy.ops.imface.generate(seed=1)
    assert "Fake GPU" in jobs.worker_line()
    with pytest.raises(RuntimeError, match="installed already. Remove Runtime takes it away"):
        bpy.ops.imface.use_gpu()


def test_removing_the_runtime_is_the_way_back_to_the_processor(bundled, index):
    bpy.ops.imface.use_gpu()
    assert bpy.ops.imface.remove_runtime() == {"FINISHED"}
    assert not bundled.exists()
    bpy.ops.imface.generate(seed=1)
    assert "on CPU" in jobs.worker_line()


def test_a_build_that_finds_no_gpu_is_not_used_and_not_downloaded_again(index):
    wheel = next(index.glob("*.whl"))
    wheel.write_bytes(wheel.read_bytes().replace(b"fake_cuda.py", b"fake_cura.py"))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="is installed, but finds no GPU and is not used"):
            bpy.ops.imface.use_gpu()
        (index / "index.html").write_text("")
    bpy.ops.imface.generate(seed=1)
    assert "on CPU" in jobs.worker_line()
    assert worker_setup.runtime_line() == "Runtime: 0 MB unpacked, in use"


def test_without_a_gpu_nothing_is_downloaded(index, monkeypatch):
    monkeypatch.setattr(gpu, "find_card", lambda: gpu.Card("Old", 470, 8.6))
    with pytest.raises(RuntimeError, match="driver of Old is too old: it is 470, .* needs 528"):
        bpy.ops.imface.use_gpu()
    assert "too old" in jobs.status.error
    assert not list(worker_setup.home().glob("gpu*"))


def test_without_online_access_nothing_is_asked_for(index, online):
    online.use_online_access = False
    with pytest.raises(RuntimeError, match="Allow Online Access in Preferences > System first"):
        bpy.ops.imface.use_gpu()


def test_use_my_gpu_says_where_it_has_no_place(index, preference, monkeypatch):
    preference.worker_python = "/of/an/artist"
    assert worker_setup.why_no_gpu().startswith("Another Python is set")
    preference.worker_python = ""
    monkeypatch.setattr(worker_setup, "bundle", lambda: None)
    assert worker_setup.why_no_gpu().startswith("Only the zip that brings PyTorch")


def test_the_command_line_computes_on_the_gpu_too(index):
    bpy.ops.imface.use_gpu()
    _, variables = jobs.backend_command(worker_setup.worker_setup(), ["generate"])
    first, second = variables["PYTHONPATH"].split(os.pathsep)[1:3]
    assert (Path(first) / "fake_cuda.py").is_file()
    assert Path(second).name == "torch"


def test_the_preferences_show_progress_and_cancel():
    layout = Layout()
    jobs.status.job, jobs.status.label = (
        SimpleNamespace(message="3 GB", fraction=0.5, preview=None),
        "Installing",
    )
    preferences = SimpleNamespace(layout=layout, bl_rna=ImFacePreferences.bl_rna)
    ImFacePreferences.draw(preferences, bpy.context)
    assert layout.drawn[layout.drawn.index("Installing") + 1] == "3 GB 50%"
    assert {"imface.use_gpu", "imface.cancel_job"} <= set(layout.buttons)
