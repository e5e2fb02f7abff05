# SPDX-License-Identifier: GPL-3.0-or-later
"""A scan file becomes a scan in the scene and a face in its place."""

import json

import bpy
import numpy as np
import pytest

from imface_blender import jobs
from imface_blender.errors import UserError
from imface_blender.operators.fit_file import CHOICES, EXTENSIONS, IMFACE_FH_scan, complete
from tests.blender_versions import export_gltf

EXPORTERS = {
    ".obj": lambda path: bpy.ops.wm.obj_export(filepath=path),
    ".ply": lambda path: bpy.ops.wm.ply_export(filepath=path),
    ".stl": lambda path: bpy.ops.wm.stl_export(filepath=path),
    ".glb": export_gltf,
}


@pytest.fixture
def scan_file(request, make_mesh, tmp_path):
    """Return the file of two triangles, and of a smaller one that is an object of its own where a
    file can hold two."""
    make_mesh("Crumb", vertices=((5, 0, 0), (5.1, 0, 0), (5, 0, 0.1)))
    make_mesh(vertices=((0, 0, 0), (1, 0, 0), (0, 0, 1), (0, 1, 0)), faces=((0, 1, 2), (0, 1, 3)))
    (tmp_path / "Büsten & Köpfe").mkdir()
    path = tmp_path / "Büsten & Köpfe" / f"my scan{request.param}"
    EXPORTERS[request.param](str(path))
    for obj in list(bpy.data.objects):
        bpy.data.objects.remove(obj)
    return path


@pytest.mark.parametrize("scan_file", EXTENSIONS, indirect=True)
def test_a_file_is_imported_and_fitted(scan_file):
    assert bpy.ops.imface.fit_file(filepath=str(scan_file), topology="FACE", refine=True) == {
        "FINISHED"
    }
    face = bpy.context.object
    assert face.name.endswith(" Face")
    assert face.imface.topology == "FACE"
    scan = bpy.data.objects[face.name.removesuffix(" Face")]
    assert set(bpy.data.objects) == {scan, face}
    received = json.loads(face.imface.codes)
    assert len(received["triangles"]) == len(scan.data.polygons) == 3  # all parts, joined
    assert np.ptp(np.array(received["vertices"]), axis=0).max() > 5
    assert received["refine"] is True


@pytest.mark.parametrize("scan_file", [".ply"], indirect=True)
def test_undo_takes_the_face_and_leaves_the_scan(scan_file):
    bpy.ops.ed.undo_push(message="Before")
    bpy.ops.imface.fit_file("EXEC_DEFAULT", True, filepath=str(scan_file))
    assert len(bpy.data.objects) == 2
    bpy.ops.ed.undo()
    assert bpy.data.objects.keys() == ["my scan"]


def test_what_is_no_scan(tmp_path, assert_refused):
    (tmp_path / "a.txt").write_text("hello")
    fit = bpy.ops.imface.fit_file
    assert_refused(fit, "a.txt is no scan file. Use OBJ", filepath=str(tmp_path / "a.txt"))
    assert_refused(fit, "There is no file .*b.ply", filepath=str(tmp_path / "b.ply"))
    (tmp_path / "c.ply").write_text("hello")
    assert_refused(fit, "c.ply", filepath=str(tmp_path / "c.ply"))


@pytest.mark.parametrize("scan_file", [".ply"], indirect=True)
def test_a_fit_that_cannot_start_is_one_sentence_and_the_scan_stays(scan_file, monkeypatch):

    def no_backend():
        raise UserError("The add-on's backend folder is missing. Install the add-on again.")

    jobs.close_worker()
    monkeypatch.setattr(jobs, "backend_dir", no_backend)
    with pytest.raises(RuntimeError, match="^Error: The add-on's backend folder is missing"):
        bpy.ops.imface.fit_file(filepath=str(scan_file))
    assert bpy.data.objects.keys() == ["my scan"]


@pytest.mark.parametrize("scan_file", [".ply"], indirect=True)
def test_nothing_is_imported_while_a_job_runs(scan_file, monkeypatch, assert_refused):
    monkeypatch.setattr(jobs.status, "job", object())
    monkeypatch.setattr(jobs.status, "label", "Fitting a scan")
    fit = bpy.ops.imface.fit_file
    assert_refused(fit, r"ImFace is busy \(Fitting a scan\)", filepath=str(scan_file))
    assert not bpy.data.objects


def test_dropping_offers_it():
    assert IMFACE_FH_scan.bl_import_operator == "imface.fit_file"
    assert "fit_file" in dir(bpy.ops.imface)
    assert IMFACE_FH_scan.bl_file_extensions == ".obj;.ply;.stl;.glb"


def test_a_dropped_file_is_fitted_as_the_panel_says():
    settings = bpy.context.scene.imface
    settings.topology, settings.refine, settings.resolution = "FACE", True, 64
    choices = bpy.context.window_manager.operator_properties_last("imface.fit_file")
    for name in CHOICES:
        choices.property_unset(name)
    complete(choices, bpy.context.scene)
    assert (choices.topology, choices.refine, choices.resolution) == ("FACE", True, 64)
    settings.topology, settings.refine = "NARROW", False
    choices.property_unset("refine")
    complete(choices, bpy.context.scene)
    assert (choices.topology, choices.refine, choices.resolution) == ("FACE", False, 64)
