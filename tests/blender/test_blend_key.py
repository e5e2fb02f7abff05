# SPDX-License-Identifier: GPL-3.0-or-later
"""Blend sliders: a shape key from a face to its blend, whose value is the weight."""

import bpy
import numpy as np
import pytest

from imface_blender import shape_keys
from imface_blender.panels import sections
from tests.blender.test_panels import draw


@pytest.fixture
def two_faces(make_face, select_only):
    """Return two faces of identities 2 and 12; the first is the active one."""
    first, second = make_face(seed=1), make_face(seed=11)
    select_only(first, second)
    return first, second


def test_its_value_is_the_weight(two_faces, points):
    face, other = two_faces
    before = points(face.data.vertices)
    assert bpy.ops.imface.blend_key(weight=0.25) == {"FINISHED"}
    key = face.data.shape_keys.key_blocks[f"Blend {other.name}"]
    assert key.value == 0.25
    assert len(bpy.data.objects) == 2
    np.testing.assert_array_equal(points(face.data.shape_keys.reference_key.data), before)
    moved = points(key.data) - before
    assert np.abs(moved[:4]).max() < 1e-8
    assert np.linalg.norm(moved[4]) == pytest.approx(0.01, abs=1e-6)  # 12 - 2 mm
    key.value = 0.5
    shown = face.evaluated_get(bpy.context.evaluated_depsgraph_get()).to_mesh()
    np.testing.assert_allclose(points(shown.vertices), before + moved / 2, atol=1e-7)


def test_what_was_sculpted_and_applied_stays(two_faces, points):
    face, _ = two_faces
    sculpted = 2 * points(face.data.vertices)
    face.data.vertices.foreach_set("co", sculpted.ravel())
    bpy.ops.imface.blend_key()
    basis, key = (points(block.data) for block in face.data.shape_keys.key_blocks)
    np.testing.assert_array_equal(basis, sculpted)
    assert np.linalg.norm(key - basis, axis=1).max() == pytest.approx(0.02, abs=1e-6)


def test_the_panel_has_the_sliders_of_blends_and_morphs_alone(two_faces, select_only):
    face, other = two_faces
    bpy.ops.imface.add_expressions(names="jawOpen")
    select_only(face, other)
    bpy.ops.imface.blend_key()
    bpy.ops.imface.morph()
    wanted = [f"Blend {other.name}", f"Morph {other.name}"]
    assert [key.name for key in shape_keys.blend_keys(face)] == wanted
    assert draw(sections.IMFACE_PT_blend).drawn[-2:] == wanted
    assert list(shape_keys.own_keys(face)) == ["jawOpen"]
    face.shape_key_remove(face.data.shape_keys.key_blocks[wanted[0]])
    assert [key.name for key in shape_keys.blend_keys(face)] == wanted[1:]
    face.shape_key_add(name=wanted[0])  # an artist's
    assert [key.name for key in shape_keys.blend_keys(face)] == wanted[1:]


def test_a_renamed_slider_stays_in_the_panel(two_faces, select_only):
    face, _ = two_faces
    bpy.ops.imface.blend_key()
    bpy.ops.imface.morph()
    for key, name in zip(shape_keys.blend_keys(face), ("Anna", "jawOpen"), strict=True):
        key.name = name
    assert draw(sections.IMFACE_PT_blend).drawn[-2:] == ["Anna", "jawOpen"]
    select_only(face)
    bpy.ops.imface.add_expressions()
    assert draw(sections.IMFACE_PT_blend).drawn[-2:] == ["Anna", "jawOpen"]
    assert shape_keys.own_keys(face)["jawOpen"].name == "jawOpen.001"
    copy = bpy.data.objects.new("Copy", face.data.copy())
    assert [key.name for key in shape_keys.blend_keys(copy)] == ["Anna", "jawOpen"]


def test_undo_takes_it_away(two_faces):
    bpy.ops.ed.undo_push(message="Before")
    bpy.ops.imface.blend_key("EXEC_DEFAULT", True)
    assert shape_keys.blend_keys(bpy.context.object)
    bpy.ops.ed.undo()
    assert bpy.context.object.data.shape_keys is None


def test_a_changed_mesh_gets_none(two_faces, assert_refused):
    face, _ = two_faces
    face.data.vertices.add(1)
    assert_refused(bpy.ops.imface.blend_key, "'Face' has 6 vertices, but its codes give 5")


def test_a_raw_surface_has_no_such_slider(two_faces, assert_refused):
    two_faces[0].imface.topology = "SURFACE"
    assert_refused(bpy.ops.imface.blend_key, "'Face' is a raw surface")
