# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender without a window, empty for each test, and a worker with known answers."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

# Blender reads these when it is imported: nothing of the user's own may reach the tests.
BLENDER_HOME = tempfile.mkdtemp(prefix="imface-blender-")
for variable in ("BLENDER_USER_RESOURCES", "XDG_CACHE_HOME"):
    os.environ[variable] = BLENDER_HOME

import bpy  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

import imface_blender  # noqa: E402
from imface_blender import jobs, sliders  # noqa: E402

FAKE_WORKER = Path(__file__).parent / "fake_worker"


@pytest.fixture(scope="session", autouse=True)
def addon():
    """Register the add-on; an operator left registered would crash Blender 4.2 at exit."""
    imface_blender.register()
    yield imface_blender
    imface_blender.unregister()
    shutil.rmtree(BLENDER_HOME, ignore_errors=True)


@pytest.fixture(autouse=True)
def blender(addon, monkeypatch):
    """Empty Blender and choose the worker with known answers."""
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    monkeypatch.setenv("IMFACE_PYTHON", sys.executable)
    monkeypatch.setattr(jobs, "backend_dir", lambda: FAKE_WORKER)
    jobs.status.__init__()
    sliders._previews.clear()
    sliders._surfaces.clear()


@pytest.fixture
def make_mesh():
    """Return a function that adds a mesh object and makes it the active and selected one."""

    def make(name="Scan", vertices=((0, 0, 0), (1, 0, 0), (0, 0, 1)), faces=((0, 1, 2),)):
        mesh = bpy.data.meshes.new(name)
        mesh.from_pydata(vertices, [], faces)
        obj = bpy.data.objects.new(name, mesh)
        bpy.context.scene.collection.objects.link(obj)
        return select(obj)

    return make


@pytest.fixture
def select_only():
    """Return a function that selects the given objects; the first becomes the active one."""
    return select


def select(*objects):
    for obj in bpy.context.view_layer.objects:
        obj.select_set(obj in objects)
    bpy.context.view_layer.objects.active = objects[0]
    bpy.context.view_layer.update()
    return objects[0]


@pytest.fixture
def make_face():
    """Return a function that generates a face: five vertices of known place."""

    def make(seed=1, topology="HEAD"):
        assert bpy.ops.imface.generate(seed=seed, topology=topology) == {"FINISHED"}
        return bpy.context.object

    return make


@pytest.fixture
def census():
    """Return a function that counts all datablocks, to see that nothing has been left behind."""

    def count():
        collections = (name for name in dir(bpy.data) if not name.startswith("_"))
        return {
            name: len(getattr(bpy.data, name))
            for name in collections
            if isinstance(getattr(bpy.data, name), bpy.types.bpy_prop_collection)
        }

    return count


@pytest.fixture
def assert_refused(census):
    """Return a function that runs an operator and sees that it says a sentence and changes
    nothing."""

    def check(operator, sentence, **choices):
        before = census()
        with pytest.raises(RuntimeError, match=sentence):
            operator(**choices)
        assert census() == before

    return check


@pytest.fixture
def refusal(census):
    """Return a function that asks for a face in vain, sees that nothing was made, and returns what
    the user is told."""

    def generate(seed=1):
        before = census()
        with pytest.raises(RuntimeError) as caught:
            bpy.ops.imface.generate(seed=seed)
        assert census() == before
        assert jobs.status.job is None
        assert jobs.status.error in str(caught.value)
        return jobs.status.error

    return generate


@pytest.fixture
def points():
    """Return a function that reads a mesh's or a shape key's coordinates as (V, 3)."""

    def read(data):
        values = np.empty(len(data) * 3, np.float32)
        data.foreach_get("co", values)
        return values.reshape(-1, 3)

    return read
