# SPDX-License-Identifier: GPL-3.0-or-later
"""Blend: which codes are mixed, and where the new face stands."""

import json

import bpy
import pytest
from mathutils import Matrix


@pytest.fixture
def two_faces(make_face, select_only):
    """Return two faces of identities 2 and 12; the first is the active one."""
    first, second = make_face(seed=1), make_face(seed=11)
    select_only(first, second)
    return first, second


def blended(**choices):
    assert bpy.ops.imface.blend(**choices) == {"FINISHED"}
    assert bpy.context.object.name.startswith("Blend")
    return json.loads(bpy.context.object.imface.codes)


def test_the_weight_goes_from_the_active_face_to_the_other(two_faces, select_only):
    assert blended(weight=0.25)["identity"] == [4.5]
    first, second = two_faces
    bpy.data.objects.remove(bpy.data.objects["Blend"])
    select_only(second, first)
    assert blended(weight=0.25)["identity"] == [9.5]


def test_what_is_mixed(two_faces):
    assert blended(what="EXPRESSION")["what"] == "expression"


def test_where_it_is_mixed(two_faces, select_only):
    assert blended()["regions"] == []
    select_only(*two_faces)
    assert blended(regions={"NOSE", "EYES"})["regions"] == ["eyes", "nose"]


def test_the_blend_stands_beside_the_active_face_away_from_the_other(two_faces):
    first, second = two_faces
    first.matrix_world = Matrix.Translation((1, 2, 3)) @ Matrix.Scale(10, 4)
    second.location = (5, 2, 3)
    bpy.context.view_layer.update()
    bpy.ops.imface.blend()
    face = bpy.context.object
    assert tuple(face.scale) == pytest.approx((10, 10, 10))
    assert tuple(face.location) == pytest.approx((1 - 1.2, 2, 3))  # the face is 0.1 m wide


def test_the_blend_is_sized_and_placed_as_faces_whose_places_were_applied(two_faces):
    first, second = two_faces
    first.matrix_world = Matrix.Translation((1, 2, 3)) @ Matrix.Scale(10, 4)
    second.location = (5, 2, 3)
    bpy.context.view_layer.update()
    bpy.ops.object.transform_apply(location=True, rotation=True, scale=True)
    bpy.ops.imface.blend()
    face = bpy.context.object
    assert tuple(face.scale) == pytest.approx((10, 10, 10), rel=1e-4)
    assert tuple(face.location) == pytest.approx((1 - 1.2, 2, 3), abs=1e-4)


def test_blends_of_the_same_faces_stand_side_by_side(two_faces, make_face, select_only):
    first, second = two_faces
    second.location.x = 0.12  # a face is 0.1 m wide
    neighbour = make_face()
    neighbour.location.x = -0.3
    hidden = make_face()
    hidden.location.x = -0.12
    hidden.hide_set(True)
    places = []
    for _ in range(3):
        select_only(first, second)
        blended()
        places.append(bpy.context.object.location.x)
    assert places == pytest.approx([-0.12, -0.48, -0.6])


def test_a_blend_stands_beyond_all_faces_that_are_in_its_way(two_faces, make_face, select_only):
    first, second = two_faces
    second.location.x = 0.12
    for x in (-0.18, -0.42, -0.66):  # each of them between two places
        make_face().location.x = x
    bpy.ops.object.transform_apply(location=True, rotation=False, scale=False)
    bpy.ops.object.camera_add(location=(-0.84, 0, 0))
    select_only(first, second)
    blended()
    assert bpy.context.object.location.x == pytest.approx(-0.84)


def test_a_blend_of_a_face_of_no_size(two_faces):
    two_faces[0].scale = (0, 0, 0)
    bpy.context.view_layer.update()
    assert blended()["identity"] == [7]


def test_one_undo_step(two_faces):
    bpy.ops.ed.undo_push(message="Before")
    bpy.ops.imface.blend("EXEC_DEFAULT", True)
    assert "Blend" in bpy.data.objects
    bpy.ops.ed.undo()
    assert set(bpy.data.objects.keys()) == {"Face", "Face.001"}


def test_one_face_is_not_enough(two_faces, select_only, assert_refused):
    select_only(two_faces[0])
    sentence = "Select two faces or more: the active one and others"
    assert_refused(bpy.ops.imface.blend, sentence)
    bpy.ops.object.select_all(action="DESELECT")
    assert_refused(bpy.ops.imface.blend, sentence)


def test_of_several_others_it_is_their_mean(two_faces, make_face, select_only):
    select_only(*two_faces, make_face(seed=21))
    assert blended(weight=0.5)["identity"] == [(2 + (12 + 22) / 2) / 2]


def test_a_face_and_a_scan(two_faces, make_mesh, select_only, assert_refused):
    select_only(two_faces[0], make_mesh())
    assert_refused(bpy.ops.imface.blend, "'Scan' is no ImFace face. Select one made by Generate")


def test_two_scans(make_mesh, select_only, assert_refused):
    select_only(make_mesh("A"), make_mesh("B"))
    assert_refused(bpy.ops.imface.blend, "'A' is no ImFace face")


def test_damaged_codes(two_faces, assert_refused):
    two_faces[1].imface.codes = "{"
    assert_refused(bpy.ops.imface.blend, "The codes stored on 'Face.001' are damaged")


@pytest.mark.parametrize("operator", ["blend", "blend_key", "morph"])
def test_a_face_that_a_box_select_left_active_is_not_mixed_in(
    two_faces, make_face, assert_refused, operator
):
    third = make_face(seed=21)
    third.select_set(False)
    for number, face in enumerate(two_faces, 1):
        face.select_set(True)
        sentence = "'Face.002' is active, but not selected. Shift-click the selected face"
        assert_refused(getattr(bpy.ops.imface, operator), sentence)
        assert len(bpy.context.selected_objects) == number
    assert third.data.shape_keys is None
