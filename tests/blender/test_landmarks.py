# SPDX-License-Identifier: GPL-3.0-or-later
"""Landmarks: where they start, where the worker gets them, and what is said when some are wrong."""

import json
from math import pi

import bpy
import numpy as np
import pytest
from mathutils import Euler, Matrix, Vector

from imface_blender import faces, landmarks
from imface_blender.properties import LANDMARKS

#: Somewhere on a face that looks along -Y, in the order that the worker expects.
PLACES = {
    "right_eye": (-0.45, -0.1, 0.3),
    "left_eye": (0.45, -0.1, 0.3),
    "nose": (0, -0.6, 0),
    "right_mouth": (-0.25, -0.3, -0.4),
    "left_mouth": (0.25, -0.3, -0.4),
}
#: The same in backend axes.
EXPECTED = [[x, z, -y] for x, y, z in PLACES.values()]
AWAY = Matrix.LocRotScale(Vector((5, -3, 2)), Euler((0.3, -0.7, 1.9)), Vector((-2, 3, 0.5)))


@pytest.fixture
def make_box(make_mesh):
    """Return a function that makes a box of width 2, depth 2 and height 4."""

    def make(name="Scan"):
        corners = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-2, 2)]
        quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
        return make_mesh(name, corners, quads)

    return make


def received():
    return json.loads(bpy.context.object.imface.codes)


def mark_of(scan, name):
    return landmarks.of_scan(bpy.context, scan)[name]


def test_landmarks_start_on_the_scan_s_front(make_box):
    scan = make_box()
    assert bpy.ops.imface.mark_landmarks() == {"FINISHED"}
    marks = landmarks.of_scan(bpy.context, scan)
    assert set(marks) == set(LANDMARKS)
    for name, mark in marks.items():
        assert (mark.name, mark.parent, mark.type) == (LANDMARKS[name], scan, "EMPTY")
        right, up = landmarks.SEEN[name]
        assert tuple(mark.location) == pytest.approx((right, -1, up), abs=1e-5)
    assert set(bpy.context.selected_objects) == set(marks.values())  # dragging leaves the scan
    assert len(scan.data.vertices) == 8
    assert scan.matrix_world == Matrix()


def test_landmarks_start_on_a_scan_that_stands_elsewhere(make_box):
    scan = make_box()
    scan.scale = (10, 10, 10)
    scan.location = (100, 50, 20)
    bpy.ops.imface.mark_landmarks()
    bpy.context.view_layer.update()
    nose = mark_of(scan, "nose").matrix_world.translation
    assert tuple(nose) == pytest.approx((100, 40, 20), abs=1e-4)


def test_landmarks_start_where_the_view_sees_them(make_box):
    scan = make_box()
    screen = bpy.data.screens["Layout"]
    area = next(area for area in screen.areas if area.type == "VIEW_3D")
    # The viewer stands at +X.
    area.spaces.active.region_3d.view_rotation = Euler((pi / 2, 0, pi / 2)).to_quaternion()
    with bpy.context.temp_override(screen=screen, area=area):
        bpy.ops.imface.mark_landmarks()
    assert tuple(mark_of(scan, "nose").location) == pytest.approx((1, 0, 0), abs=1e-5)
    assert tuple(mark_of(scan, "left_eye").location) == pytest.approx((1, 0.45, 0.3), abs=1e-5)


def test_landmarks_of_points_start_within_them(make_mesh):
    scan = make_mesh(vertices=np.random.default_rng(0).random((3000, 3)), faces=())
    bpy.ops.imface.mark_landmarks()
    assert tuple(mark_of(scan, "nose").location) == pytest.approx((0.5, 0.5, 0.5), abs=0.01)


@pytest.mark.parametrize("place", [Matrix(), AWAY], ids=["here", "away"])
def test_the_worker_gets_them_in_the_scan_s_space(make_box, select_only, place):
    """The scan has a parent, both are moved, turned and scaled, and one is mirrored."""
    parent = bpy.data.objects.new("Parent", None)
    bpy.context.scene.collection.objects.link(parent)
    parent.matrix_world = place
    scan = make_box()
    scan.parent = parent
    scan.matrix_basis = place
    bpy.context.view_layer.update()
    bpy.ops.imface.mark_landmarks()
    for name, local in PLACES.items():
        mark_of(scan, name).location = local
    select_only(scan)
    assert bpy.ops.imface.fit_scan() == {"FINISHED"}
    got = received()
    world = [scan.matrix_world @ Vector(local) for local in PLACES.values()]
    np.testing.assert_allclose(got["landmarks"], [[x, z, -y] for x, y, z in world], atol=1e-5)
    world = [scan.matrix_world @ vertex.co for vertex in scan.data.vertices]
    np.testing.assert_allclose(got["vertices"], [[x, z, -y] for x, y, z in world], atol=1e-5)


def test_a_script_places_them_in_the_world(make_box):
    scan = make_box()
    scan.matrix_world = AWAY
    assert bpy.ops.imface.mark_landmarks(**PLACES) == {"FINISHED"}
    assert bpy.ops.imface.fit_scan() == {"FINISHED"}  # a landmark is active: its scan is meant
    assert bpy.context.object.name == "Scan Face"
    np.testing.assert_allclose(received()["landmarks"], EXPECTED, atol=1e-5)
    bpy.context.view_layer.objects.active = scan
    bpy.ops.imface.mark_landmarks(nose=(7, 8, 9))
    bpy.context.view_layer.objects.active = scan
    bpy.ops.imface.fit_scan()
    np.testing.assert_allclose(received()["landmarks"][2], [7, 9, -8], atol=1e-5)
    np.testing.assert_allclose(received()["landmarks"][:2], EXPECTED[:2], atol=1e-5)


def test_without_landmarks_nothing_is_sent(make_box):
    make_box("Other")
    bpy.ops.imface.mark_landmarks(**PLACES)
    make_box()
    bpy.ops.imface.fit_scan()
    assert "landmarks" not in received()


def test_deleted_landmarks_are_none(make_box):
    scan = make_box()
    bpy.ops.imface.mark_landmarks(**PLACES)
    bpy.ops.object.delete()
    bpy.context.view_layer.objects.active = scan
    bpy.ops.imface.fit_scan()
    assert "landmarks" not in received()


def test_missing_landmarks_are_told_and_can_be_added_again(make_box, select_only, assert_refused):
    scan = make_box()
    bpy.ops.imface.mark_landmarks(**PLACES)
    bpy.data.objects.remove(mark_of(scan, "nose"))
    bpy.context.scene.collection.objects.unlink(mark_of(scan, "left_mouth"))
    select_only(scan)
    said = "'Scan' lacks landmarks: Nose Tip, Left Mouth Corner. Press Mark Landmarks"
    assert_refused(bpy.ops.imface.fit_scan, said)
    assert bpy.ops.imface.mark_landmarks() == {"FINISHED"}
    assert {mark.imface.landmark for mark in bpy.context.selected_objects} == {"nose", "left_mouth"}
    np.testing.assert_allclose(mark_of(scan, "right_eye").location, PLACES["right_eye"])
    said = "have not been moved yet: Nose Tip, Left Mouth Corner. Drag them onto the face"
    assert_refused(bpy.ops.imface.fit_scan, said)


def test_landmarks_where_they_started_are_told(make_box, assert_refused):
    scan = make_box()
    bpy.ops.imface.mark_landmarks()
    assert_refused(bpy.ops.imface.fit_scan, "Landmarks of 'Scan' have not been moved yet: Right")
    for mark in landmarks.of_scan(bpy.context, scan).values():
        mark.location.x += 0.01
    assert bpy.ops.imface.fit_scan() == {"FINISHED"}


def test_a_landmark_that_is_there_twice_is_told(make_box, assert_refused):
    scan = make_box()
    bpy.ops.imface.mark_landmarks(**PLACES)
    copy = mark_of(scan, "nose").copy()
    bpy.context.scene.collection.objects.link(copy)
    said = "'Scan' has the landmark Nose Tip twice. Delete one."
    assert_refused(bpy.ops.imface.fit_scan, said)
    assert_refused(bpy.ops.imface.mark_landmarks, said)


def test_marking_again_changes_nothing(make_box, census):
    scan = make_box()
    bpy.ops.imface.mark_landmarks(**PLACES)
    before = census()
    assert bpy.ops.imface.mark_landmarks() == {"CANCELLED"}
    assert census() == before
    np.testing.assert_allclose(mark_of(scan, "nose").location, PLACES["nose"])


def test_one_undo_step(make_box):
    make_box()
    bpy.ops.ed.undo_push(message="Before")
    bpy.ops.imface.mark_landmarks("EXEC_DEFAULT", True)
    assert len(bpy.data.objects) == 6
    bpy.ops.ed.undo()
    assert set(bpy.data.objects.keys()) == {"Scan"}


def test_a_landmark_without_its_scan_is_no_scan(make_box, select_only, assert_refused):
    scan = make_box()
    bpy.ops.imface.mark_landmarks(**PLACES)
    nose = select_only(mark_of(scan, "nose"))
    bpy.data.objects.remove(scan)
    assert nose.parent is None
    assert_refused(bpy.ops.imface.mark_landmarks, "'Nose Tip' is no mesh. Select a mesh object")


def test_landmarks_left_out_are_told():
    report = {"scan_to_fit_mean_mm": 0.6, "within_2mm": 0.9, "coverage": 0.9}
    said = "the landmarks were left out, as without them the face matches plainly better"
    assert faces.report_line(report | {"landmarks_used": False}).endswith(f"; {said}")
    for used in (True, None):
        assert said not in faces.report_line(report | {"landmarks_used": used})
