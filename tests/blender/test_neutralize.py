# SPDX-License-Identifier: GPL-3.0-or-later
"""Neutralise: the same person without the expression, beside the face."""

import json

import bpy
import pytest
from mathutils import Matrix


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
