# SPDX-License-Identifier: GPL-3.0-or-later
"""Neutralise: the same person without the expression, beside the face."""

import json

import bpy
import numpy as np
import pytest
from mathutils import Matrix

from imface_blender import fit_error


@pytest.fixture
def smiling(make_face):
    """Return the active face, whose codes have an expression."""
    face = make_face(seed=1)
    face.imface.codes = json.dumps(json.loads(face.imface.codes) | {"expression": [0.5]})
    return face


def test_the_person_stays_and_the_expression_goes(smiling):
    before = smiling.imface.codes
    assert bpy.ops.imface.neutralize() == {"FINISHED"}
    made = json.loads(bpy.context.object.imface.codes)
    assert bpy.context.object.name == f"{smiling.name} Neutral"
    assert made == json.loads(before) | {"expression": None}
    assert smiling.imface.codes == before


def test_the_neutral_face_stands_beside_the_other(smiling):
    smiling.matrix_world = Matrix.Translation((1, 2, 3)) @ Matrix.Scale(10, 4)
    bpy.context.view_layer.update()
    bpy.ops.imface.neutralize(topology="SURFACE")
    face = bpy.context.object
    assert tuple(face.scale) == pytest.approx((10, 10, 10))
    assert tuple(face.location) == pytest.approx((1 + 1.2, 2, 3))
    assert face.imface.topology == "SURFACE"


def in_world(face, points):
    place = np.array(face.matrix_world)
    return points(face.data.vertices) @ place[:3, :3].T + place[:3, 3]


def test_it_is_turned_and_sized_as_a_face_to_which_that_was_applied(smiling, points):
    smiling.matrix_world = (
        Matrix.Translation((1, 2, 3)) @ Matrix.Rotation(1.5, 4, "Z") @ Matrix.Scale(10, 4)
    )
    bpy.context.view_layer.update()
    bpy.ops.object.transform_apply(location=True, rotation=True, scale=True)
    bpy.ops.imface.neutralize()
    bpy.context.view_layer.update()
    aside = in_world(bpy.context.object, points) - in_world(smiling, points)
    its_left = np.array(Matrix.Rotation(1.5, 3, "Z"))[:, 0]
    np.testing.assert_allclose(aside, np.tile(1.2 * its_left, (5, 1)), atol=1e-5)


def test_one_undo_step(smiling):
    name = smiling.name
    bpy.ops.ed.undo_push(message="Before")
    bpy.ops.imface.neutralize("EXEC_DEFAULT", True)
    assert f"{name} Neutral" in bpy.data.objects
    bpy.ops.ed.undo()
    assert set(bpy.data.objects.keys()) == {name}


def test_a_scan_has_no_expression_to_take_off(make_mesh, assert_refused):
    make_mesh("Anna")
    assert_refused(bpy.ops.imface.neutralize, "'Anna' is no ImFace face")


@pytest.fixture
def painted(make_face):
    """Return the active face with materials of the artist's, her UVs and colours."""
    face = make_face()
    mesh = face.data
    gold, glass = bpy.data.materials.new("Gold"), bpy.data.materials.new("Glass")
    mesh.materials[0] = gold
    mesh.materials.append(None)
    face.material_slots[1].link = "OBJECT"
    face.material_slots[1].material = glass
    mesh.polygons[0].material_index = 1
    mesh.uv_layers[0].uv[2].vector = (0.25, 0.75)
    mesh.uv_layers.new(name="Own").uv[1].vector = (0.5, 0.125)
    mesh.color_attributes.new("Paint", "BYTE_COLOR", "CORNER").data[3].color = (1, 0, 1, 1)
    fit_error.write(mesh, np.zeros(5))
    return face


def look_of(face):
    mesh = face.data
    return (
        [slot.material and slot.material.name for slot in face.material_slots],
        [polygon.material_index for polygon in mesh.polygons],
        {layer.name: [tuple(uv.vector) for uv in layer.uv] for layer in mesh.uv_layers},
        [tuple(each.color) for each in mesh.color_attributes["Paint"].data],
    )


def test_the_artist_s_look_comes_along(painted, make_face, select_only):
    wanted = look_of(painted)
    assert wanted[0] == ["Gold", "Glass", None]
    bpy.ops.imface.neutralize()
    assert look_of(bpy.context.object) == wanted
    assert fit_error.COLOURS not in bpy.context.object.data.color_attributes
    select_only(painted, make_face(seed=2))
    bpy.ops.imface.blend()
    assert look_of(bpy.context.object) == wanted


def test_a_mesh_of_other_polygons_has_its_own_look(painted):
    painted.data.polygons[0].flip()
    bpy.ops.imface.neutralize()
    assert bpy.context.object.data.materials.keys() == ["ImFace Skin", "ImFace Eyes"]
