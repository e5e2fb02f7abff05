# SPDX-License-Identifier: GPL-3.0-or-later
"""Morph: one face becomes the other, and nothing else changes."""

import bpy
import numpy as np
import pytest
from mathutils import Matrix

from imface_blender import applied


@pytest.fixture
def two_faces(make_face, select_only, points):
    """Return two faces, the other one wider by half; the first is the active one."""
    first, second = make_face(seed=1), make_face(seed=2)
    second.data.vertices.foreach_set("co", (points(second.data.vertices) * (1.5, 1, 1)).ravel())
    select_only(first, second)
    return first, second


def test_at_one_the_face_is_the_other(two_faces, points):
    face, other = two_faces
    before = points(face.data.vertices)
    assert bpy.ops.imface.morph() == {"FINISHED"}
    key = face.data.shape_keys.key_blocks["Morph Face.001"]
    assert key.value == 0
    np.testing.assert_array_equal(points(key.data), points(other.data.vertices))
    np.testing.assert_array_equal(points(face.data.shape_keys.reference_key.data), before)
    key.value = 1
    shown = face.evaluated_get(bpy.context.evaluated_depsgraph_get()).to_mesh()
    np.testing.assert_allclose(points(shown.vertices), points(other.data.vertices), atol=1e-7)


@pytest.mark.parametrize("applied_to", [0, 1])
@pytest.mark.parametrize(
    "applied",
    [
        Matrix.Translation((1, 0, 0)),
        Matrix.Scale(10, 4),
        Matrix.Rotation(2, 4, "Z") @ Matrix.Translation((1, 2, 3)) @ Matrix.Scale(0.5, 4),
        Matrix.Scale(-1, 4, (1, 0, 0)),
    ],
)
def test_what_was_applied_to_one_of_two_faces_is_no_part_of_it(
    make_face, select_only, points, applied, applied_to
):
    face, other = two = make_face(seed=1), make_face(seed=2)
    two[applied_to].data.transform(applied)
    select_only(face, other)
    bpy.ops.imface.morph()
    basis, key = (points(block.data) for block in face.data.shape_keys.key_blocks)
    np.testing.assert_allclose(key, basis, atol=1e-5 * np.ptp(basis))


@pytest.mark.parametrize("angle", [0.5, 0.75])  # less and more than people differ by
@pytest.mark.parametrize("size", [1.0, 1.2, 1.7])
def test_a_turn_and_a_size_that_people_might_have_are_no_part_of_it(two_faces, points, angle, size):
    face, other = two_faces
    wanted = points(other.data.vertices)
    other.data.transform(Matrix.Rotation(angle, 4, "X") @ Matrix.Scale(size, 4))
    bpy.ops.imface.morph()
    morph = face.data.shape_keys.key_blocks["Morph Face.001"]
    np.testing.assert_allclose(points(morph.data), wanted, atol=1e-6)


@pytest.mark.parametrize("factor", [0.7, 1.5])
def test_a_larger_person_whose_middle_is_elsewhere_stays_so(two_faces, points, factor):
    face, other = two_faces
    own = Matrix.Translation((0.02, 0, 0.08)) @ Matrix.Rotation(0.25, 4, "X")
    other.data.transform(own @ Matrix.Scale(factor, 4))
    applied.remember(other.data, points(other.data.vertices))  # as the worker had made it so
    bpy.ops.imface.morph()
    morph = face.data.shape_keys.key_blocks["Morph Face.001"]
    np.testing.assert_array_equal(points(morph.data), points(other.data.vertices))


def test_proportions_stay_when_what_was_applied_is_taken_off(two_faces, points):
    face, other = two_faces
    wanted = np.ptp(points(other.data.vertices), axis=0)
    other.data.transform(Matrix.Translation((2, 0, 0)) @ Matrix.Scale(10, 4))
    bpy.ops.imface.morph()
    sizes = np.ptp(points(face.data.shape_keys.key_blocks["Morph Face.001"].data), axis=0)
    assert sizes / sizes[2] == pytest.approx(wanted / wanted[2], rel=1e-4)


def test_expressions_of_either_are_left_alone(two_faces, select_only, points):
    face, other = two_faces
    for obj in (other, face):
        select_only(obj)
        bpy.ops.imface.add_expressions(names="jawOpen")
    other.data.shape_keys.key_blocks["jawOpen"].value = 1
    select_only(face, other)
    bpy.ops.imface.morph()
    keys = face.data.shape_keys.key_blocks
    assert keys.keys() == ["Basis", "jawOpen", "Morph Face.001"]
    wanted = points(other.data.shape_keys.reference_key.data)
    np.testing.assert_array_equal(points(keys["Morph Face.001"].data), wanted)
    select_only(face)
    bpy.ops.imface.keyframe_expression(expressions="jawOpen=1", frame=1)
    assert keys["Morph Face.001"].value == 0


def test_one_undo_step(two_faces):
    bpy.ops.ed.undo_push(message="Before")
    bpy.ops.imface.morph("EXEC_DEFAULT", True)
    bpy.ops.ed.undo()
    assert bpy.data.objects["Face"].data.shape_keys is None


def test_meshes_of_other_vertices_make_no_morph(two_faces, assert_refused):
    two_faces[1].data.vertices.add(1)
    assert_refused(bpy.ops.imface.morph, "'Face' and 'Face.001' have different meshes")


def test_surfaces_share_no_vertices(make_face, select_only, assert_refused):
    faces = make_face(topology="SURFACE"), make_face(topology="QUADS")
    select_only(*faces)
    assert_refused(bpy.ops.imface.morph, "'Face.001' have different meshes. Make both with")
    select_only(faces[0])
    assert_refused(bpy.ops.imface.morph, "Select two faces: the active one and one other")
