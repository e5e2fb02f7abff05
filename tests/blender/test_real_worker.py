# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole way through with the true worker and the bundled weights."""

import json
import os
from pathlib import Path

import bpy
import numpy as np
import pytest

from imface_blender import command_line, jobs
from imface_blender.jobs import Request
from tests.blender.window import Window

ROOT = Path(__file__).resolve().parents[2]
HAS_WEIGHTS = any((ROOT / "weights").glob("*.safetensors"))

NEEDS_REAL_WORKER = [
    pytest.mark.real_worker,
    pytest.mark.skipif(not HAS_WEIGHTS, reason="weights/ holds no model"),
]
pytestmark = NEEDS_REAL_WORKER


def choose_real_worker(monkeypatch):
    """Choose the true worker; the Python of the checkout's .venv unless another is set."""
    python = os.environ.get("IMFACE_TEST_PYTHON", str(ROOT / ".venv" / "bin" / "python"))
    monkeypatch.setenv("IMFACE_PYTHON", python)
    monkeypatch.setattr(jobs, "backend_dir", lambda: ROOT)
    jobs.close_worker()


@pytest.fixture(autouse=True)
def real_worker(blender, monkeypatch):
    """Choose the true worker, and end it."""
    choose_real_worker(monkeypatch)
    yield
    jobs.close_worker()


def test_generate_fit_blend_express_and_keyframe(points, select_only):
    assert bpy.ops.imface.generate(seed=1) == {"FINISHED"}
    face = bpy.context.object
    height = np.ptp(points(face.data.vertices)[:, 2])
    assert 0.18 < height < 0.4  # a head, in metres

    # The face itself, moved and in centimetres, is a scan whose fit is known.
    scan = bpy.data.objects.new("Scan", face.data.copy())
    bpy.context.scene.collection.objects.link(scan)
    scan.scale = (100, 100, 100)
    scan.location = (50, 20, 10)
    select_only(scan)
    assert bpy.ops.imface.fit_scan(refine=True) == {"FINISHED"}
    fit = bpy.context.object
    assert json.loads(fit.imface.codes)["detail"]
    assert fit.scale[0] == pytest.approx(100, rel=0.1)
    assert json.loads(fit.imface.report)["chamfer_mm"] < 3

    select_only(fit, face)
    assert bpy.ops.imface.blend(weight=0.5) == {"FINISHED"}
    blend = bpy.context.object
    assert json.loads(blend.imface.codes)["detail"]
    names = "jawOpen,mouthSmileLeft,mouthSmileRight"
    assert bpy.ops.imface.add_expressions(names=names) == {"FINISHED"}
    keys = blend.data.shape_keys.key_blocks
    lowest = points(keys["jawOpen"].data)[:, 2] - points(keys["Basis"].data)[:, 2]
    assert lowest.min() < -0.005  # the chin goes down by more than 5 mm
    assert bpy.ops.imface.keyframe_expression(frame=1) == {"FINISHED"}
    assert bpy.ops.imface.keyframe_expression(expressions="jawOpen=1", frame=10) == {"FINISHED"}
    bpy.context.scene.frame_set(10)
    assert keys["jawOpen"].value == 1

    assert bpy.ops.imface.bake_animation(start=5, end=6, tolerance_mm=0.01) == {"FINISHED"}
    half_open = keys["In-Between 5"]  # a mix is never exactly what the network makes of it
    moved = np.abs(points(half_open.data) - points(keys["Basis"].data)).max()
    assert 1e-6 < moved < 0.02


def test_a_scan_of_five_triangles_is_refused(make_mesh, census):
    vertices = np.random.default_rng(0).normal(size=(7, 3)).tolist()
    make_mesh(vertices=vertices, faces=[(i, i + 1, i + 2) for i in range(5)])
    before = census()
    with pytest.raises(RuntimeError, match="The scan has only 5 triangles"):
        bpy.ops.imface.fit_scan()
    assert census() == before
    assert "Traceback" not in jobs.status.error
    assert jobs.status.details == ""


def test_a_monkey_is_no_human(census):
    bpy.ops.mesh.primitive_monkey_add(rotation=(1, 2, 3))
    subdivision = bpy.context.object.modifiers.new("Subdivision", "SUBSURF")
    before = census()
    for subdivision.levels in (0, 1):
        with pytest.raises(RuntimeError, match="No face was found in the scan"):
            bpy.ops.imface.fit_scan()
    assert census() == before


def test_the_same_seed_gives_the_same_face(points):
    bpy.ops.imface.generate(seed=3)
    first = points(bpy.context.object.data.vertices)
    bpy.ops.imface.generate(seed=3)
    assert (points(bpy.context.object.data.vertices) == first).all()


def test_a_sculpt_surface_is_quads_that_can_be_subdivided():
    bpy.ops.imface.generate(seed=3, topology="QUADS", resolution=64)
    face = bpy.context.object
    assert {len(polygon.vertices) for polygon in face.data.polygons} == {4}
    assert 5_000 < len(face.data.polygons) < 10_000
    multires = face.modifiers.new("Multires", "MULTIRES")
    bpy.ops.object.multires_subdivide(modifier=multires.name)
    finer = face.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    assert len(finer.polygons) == 4 * len(face.data.polygons)


class LongJob(Window):
    """A job that takes seconds."""

    limit_s = 120

    def prepare(self, context):
        return Request("generate", {"seed": 2, "topology": "surface", "resolution": 256}, {})


@pytest.mark.parametrize("moment", ["in the middle of it", "when its result waits"])
def test_another_file_is_loaded_during_a_job(moment, make_face, points, tmp_path):
    vertices = points(make_face(seed=1).data.vertices)
    path = str(tmp_path / "Gesicht.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    make_face(seed=3)
    window = LongJob(seed=2)
    if moment == "when its result waits":
        window.context.mode = "EDIT_MESH"
        window.tick_until(lambda _: jobs.status.waiting)
    else:
        window.tick_until(lambda _: jobs.status.job.fraction == 0.5)
    window.cancel(window.context)  # as Blender does, which then loads the file
    bpy.ops.wm.open_mainfile(filepath=path)
    assert bpy.data.objects.keys() == ["Face"]
    loaded = bpy.data.objects["Face"]
    assert (points(loaded.data.vertices) == vertices).all()
    assert jobs.status.job is None
    assert not jobs.status.waiting
    assert bpy.ops.imface.edit_shape() == {"FINISHED"}  # with the loaded face's own codes
    assert (points(make_face(seed=1).data.vertices) == vertices).all()  # and not what was dropped
    assert (points(loaded.data.vertices) == vertices).all()
    assert (window.finished, window.reports, jobs.status.error) == (0, [], "")


def test_the_command_line(tmp_path, capfd):
    words = ["generate", "--topology", "face", "--out", str(tmp_path / "a.obj"), "--json"]
    assert command_line.run(words) == 0
    answer = json.loads(capfd.readouterr().out)
    assert Path(answer["mesh"]).is_file()
    assert command_line.run([*words, "--seed", "one"]) == 2
    assert "invalid int value" in capfd.readouterr().err
