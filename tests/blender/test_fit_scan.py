# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit Scan: what the worker gets, where the face arrives, and what is refused."""

import json

import bpy
import numpy as np
import pytest
from mathutils import Vector

from imface_blender import faces
from imface_blender.operators.fit_scan import IMFACE_OT_fit_scan


def test_the_worker_gets_the_scan_in_the_scenes_place(make_mesh):
    scan = make_mesh("Anna")
    scan.location = (10, 0, 0)
    assert bpy.ops.imface.fit_scan() == {"FINISHED"}
    received = json.loads(bpy.context.object.imface.codes)
    assert received["vertices"] == [[10, 0, 0], [11, 0, 0], [10, 1, 0]]
    assert received["triangles"] == [[0, 1, 2]]


def test_the_face_arrives_by_the_pose_and_the_scan_stays(make_mesh, points):
    scan = make_mesh("Anna")
    bpy.ops.imface.fit_scan()
    face = bpy.context.object
    assert face.name == "Anna Face"
    # The fake's pose takes (x, y, z) mm to (2z + 10, 2y + 20, -2x + 30) in scan space. The first
    # vertex, (-50, -100, 10) mm, so gets to (30, -180, 130): (30, -130, -180) in Blender.
    world = face.matrix_world @ face.data.vertices[0].co
    assert (world - Vector((30, -130, -180))).length < 1e-3
    np.testing.assert_allclose(points(face.data.vertices)[0], [-0.05, -0.01, -0.1], atol=1e-8)
    assert tuple(face.scale) == pytest.approx((2000, 2000, 2000))
    assert scan.name in bpy.data.objects
    assert tuple(scan.data.vertices[1].co) == (1, 0, 0)


def test_a_fitted_face_stands_for_its_scan(make_mesh, assert_refused):
    scan = make_mesh("Anna")
    bpy.ops.imface.fit_scan()
    assert bpy.ops.imface.fit_scan(refine=True) == {"FINISHED"}
    again = bpy.context.object
    assert again.name == "Anna Face.001"
    assert json.loads(again.imface.codes)["vertices"][1] == [1, 0, 0]
    assert bpy.ops.imface.mark_landmarks() == {"FINISHED"}
    assert {mark.parent for mark in bpy.context.selected_objects} == {scan}
    bpy.context.view_layer.objects.active = again
    scan.hide_set(True)
    assert_refused(bpy.ops.imface.fit_scan, "'Anna' is hidden. Show it first")
    bpy.data.objects.remove(scan)
    assert_refused(bpy.ops.imface.fit_scan, "'Anna Face.001' is the face fitted to a scan that is")


@pytest.mark.parametrize(
    ("change", "known"),
    [
        (lambda scan: setattr(scan, "name", "Berta"), "Berta"),
        (lambda scan: bpy.data.objects.remove(scan), ""),
    ],
)
def test_a_scan_may_be_renamed_or_deleted_while_it_is_fitted(make_mesh, monkeypatch, change, known):
    scan, prepare = make_mesh("Anna"), IMFACE_OT_fit_scan.prepare

    def prepare_and_change(self, context):
        request = prepare(self, context)
        change(scan)
        return request

    monkeypatch.setattr(IMFACE_OT_fit_scan, "prepare", prepare_and_change)
    assert bpy.ops.imface.fit_scan() == {"FINISHED"}
    assert bpy.context.object.imface.scan == known


def test_the_report_is_kept_and_can_be_read_in_one_line(make_mesh):
    make_mesh()
    bpy.ops.imface.fit_scan()
    face = bpy.context.object
    assert json.loads(face.imface.report)["chamfer_mm"] == 0.5
    expected = "0.60 mm mean, 97 % within 2 mm, 10 % of the face not seen"
    assert faces.report_line(json.loads(face.imface.report)) == expected


@pytest.mark.parametrize("refine", [False, True])
def test_detail_is_captured_if_asked_for(make_mesh, refine):
    make_mesh()
    bpy.ops.imface.fit_scan(refine=refine)
    assert json.loads(bpy.context.object.imface.codes)["refine"] == refine


def test_a_refined_report_names_the_figures_with_detail():
    figures = {"scan_to_fit_mean_mm": 1.6, "within_2mm": 0.5, "coverage": 0.9}
    refined = {"scan_to_fit_mean_mm": 0.1, "within_2mm": 1.0, "coverage": 0.95}
    line = faces.report_line(figures | {"refined": refined, "advice": "poor fit"})
    assert line == "0.10 mm mean, 100 % within 2 mm, 5 % of the face not seen; poor fit"


def test_hair_before_a_face_is_not_in_the_line_of_its_report():
    hair = {"scan_to_fit_mean_mm": 11.6, "within_2mm": 0.55, "coverage": 0.55}
    line = faces.report_line(hair | {"face_mean_mm": 0.18, "face_within_2mm": 0.99})
    assert line == "0.18 mm mean, 99 % within 2 mm, 45 % of the face not seen"


def test_detail_survives_saving(make_mesh, tmp_path):
    make_mesh("Anna")
    bpy.ops.imface.fit_scan()
    settings = bpy.context.object.imface
    detail = json.loads(settings.codes) | {"detail": "aB3+/" * 20_000}
    settings.codes = json.dumps(detail)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "face.blend"))
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "face.blend"))
    assert faces.codes_of(bpy.data.objects["Anna Face"]) == detail


@pytest.mark.parametrize(("triangles", "kind"), [(1, "Info"), (3, "Warning")])
def test_a_poor_fit_is_a_warning_that_says_what_to_check(make_mesh, capfd, triangles, kind):
    make_mesh("Anna", faces=((0, 1, 2),) * triangles)
    bpy.ops.imface.fit_scan()
    said = next(
        line for line in capfd.readouterr().out.splitlines() if "Fitted 'Anna Face'" in line
    )
    assert said.startswith(f"{kind}: ")
    advice = "; poor fit: check that nothing hides eyes, nose and mouth"
    assert said.endswith(advice) == (kind == "Warning")


def test_half_a_face_is_no_poor_fit(make_mesh):
    make_mesh()
    bpy.ops.imface.fit_scan()
    half = {"coverage": 0.49, "advice": "what the scan does not show of the face is a guess"}
    report = json.loads(bpy.context.object.imface.report) | half
    assert not faces.is_poor_fit(report)
    assert faces.report_line(report).endswith(f"51 % of the face not seen; {half['advice']}")


def test_one_undo_step(make_mesh):
    make_mesh("Anna")
    bpy.ops.ed.undo_push(message="Before")
    bpy.ops.imface.fit_scan("EXEC_DEFAULT", True)
    assert set(bpy.data.objects.keys()) == {"Anna", "Anna Face"}
    bpy.ops.ed.undo()
    assert set(bpy.data.objects.keys()) == {"Anna"}


def test_a_taken_name_gets_a_number(make_mesh):
    make_mesh("Anna Face")
    make_mesh("Anna")
    bpy.ops.imface.fit_scan()
    assert bpy.context.object.name == "Anna Face.001"


def test_a_mesh_without_faces(make_mesh, assert_refused):
    make_mesh(faces=())
    assert_refused(
        bpy.ops.imface.fit_scan, "'Scan' has no faces. Select a mesh with at least 500 faces."
    )


def test_a_mesh_whose_modifiers_leave_no_faces(make_mesh, assert_refused):
    make_mesh().modifiers.new("Mask", "MASK").vertex_group = "None"
    bpy.context.object.vertex_groups.new(name="None")
    assert_refused(bpy.ops.imface.fit_scan, "'Scan' has no faces")


def test_a_mesh_that_geometry_nodes_make_an_instance(make_mesh, assert_refused):
    tree = bpy.data.node_groups.new("Scatter", "GeometryNodeTree")
    for way in ("INPUT", "OUTPUT"):
        tree.interface.new_socket("Geometry", in_out=way, socket_type="NodeSocketGeometry")
    kinds = ("NodeGroupInput", "GeometryNodeGeometryToInstance", "NodeGroupOutput")
    first, middle, last = map(tree.nodes.new, kinds)
    tree.links.new(first.outputs[0], middle.inputs[0])
    tree.links.new(middle.outputs[0], last.inputs[0])
    make_mesh().modifiers.new("Scatter", "NODES").node_group = tree
    assert_refused(bpy.ops.imface.fit_scan, "'Scan' is no mesh behind its geometry nodes.")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_coordinates_that_are_no_numbers(make_mesh, assert_refused, value):
    make_mesh(vertices=[(value, 0, 0), (1, 0, 0), (0, 0, 1)])
    assert_refused(bpy.ops.imface.fit_scan, "'Scan' has vertices whose coordinates are not numbers")


def test_an_object_that_is_no_mesh(select_only, assert_refused):
    empty = bpy.data.objects.new("Empty", None)
    bpy.context.scene.collection.objects.link(empty)
    select_only(empty)
    assert_refused(bpy.ops.imface.fit_scan, "'Empty' is no mesh. Select a mesh object")


def test_nothing_active(assert_refused):
    assert_refused(bpy.ops.imface.fit_scan, "No object is active. Select a mesh object")


def test_a_hidden_scan(make_mesh, assert_refused):
    make_mesh().hide_set(True)
    assert_refused(bpy.ops.imface.fit_scan, "'Scan' is hidden. Show it first")


def test_a_scan_in_edit_mode(make_mesh, assert_refused):
    make_mesh()
    bpy.ops.object.mode_set(mode="EDIT")
    assert_refused(bpy.ops.imface.fit_scan, "Switch to Object Mode first")


def test_a_scan_linked_from_another_file(make_mesh, select_only, tmp_path):
    make_mesh("Linked")
    path = str(tmp_path / "scan.blend")
    bpy.data.libraries.write(path, {bpy.context.object})
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    with bpy.data.libraries.load(path, link=True) as (_source, target):
        target.objects = ["Linked"]
    linked = target.objects[0]
    bpy.context.scene.collection.objects.link(linked)
    select_only(linked)
    assert bpy.ops.imface.fit_scan() == {"FINISHED"}
    assert bpy.context.object.name == "Linked Face"
    assert bpy.context.object.library is None
    select_only(linked)
    assert bpy.ops.imface.mark_landmarks() == {"FINISHED"}
    assert {mark.parent for mark in bpy.context.selected_objects} == {linked}
