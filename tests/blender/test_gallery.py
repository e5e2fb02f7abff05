# SPDX-License-Identifier: GPL-3.0-or-later
"""Random Gallery: nine faces on a wall, one of which is kept."""

import json

import bpy
import numpy as np
import pytest

from imface_blender import jobs
from tests.blender.fake_worker.seeds import BAD_INDEX


@pytest.fixture
def wall():
    bpy.context.scene.cursor.location = (1, 2, 3)
    assert bpy.ops.imface.random_gallery(seed=5, strength=0.5) == {"FINISHED"}
    return [bpy.data.objects[f"Face {seed}"] for seed in range(5, 14)]


def test_nine_faces_of_nine_seeds_hang_around_the_cursor(wall):
    assert len(bpy.data.objects) == len(wall) + 1
    identities = [json.loads(face.imface.codes)["identity"] for face in wall]
    assert identities == [[seed + 0.5] for seed in range(5, 14)]
    bpy.context.view_layer.update()
    places = np.array([face.matrix_world.translation for face in wall])
    np.testing.assert_allclose(places[4], (1, 2, 3), atol=1e-6)
    np.testing.assert_allclose(places[0], (0.64, 2, 3.42), atol=1e-6)
    np.testing.assert_allclose(places[8], (1.36, 2, 2.58), atol=1e-6)
    assert bpy.context.selected_objects == [bpy.context.object] == [wall[4]]


def test_the_model_that_made_a_gallery_is_known(wall):
    assert jobs.status.weights == json.loads(wall[0].imface.codes)["weights"]


def test_keep_leaves_one_face_at_the_cursor_and_nothing_else(wall):
    codes = wall[2].imface.codes
    bpy.context.view_layer.objects.active = wall[2]
    assert bpy.ops.imface.keep_face() == {"FINISHED"}
    assert [obj.name for obj in bpy.data.objects] == ["Face 7"]
    assert len(bpy.data.meshes) == 1
    face = bpy.data.objects["Face 7"]
    assert face.imface.codes == codes
    assert face.parent is None
    assert tuple(face.matrix_world.translation) == pytest.approx((1, 2, 3))
    assert bpy.context.object == face
    assert bpy.context.selected_objects == [face]


def test_each_is_one_undo_step():
    bpy.ops.ed.undo_push(message="Before")
    bpy.ops.imface.random_gallery("EXEC_DEFAULT", True)
    bpy.ops.imface.keep_face("EXEC_DEFAULT", True)
    assert bpy.data.objects.keys() == ["Face 5"]
    bpy.ops.ed.undo()
    assert len(bpy.data.objects) == 10
    bpy.ops.ed.undo()
    assert len(bpy.data.objects) == 0


def test_keep_needs_a_face_of_a_gallery(make_face, make_mesh):
    make_face()
    assert not bpy.ops.imface.keep_face.poll()
    child = make_mesh("Child")
    child.parent = bpy.data.objects["Face"]
    assert not bpy.ops.imface.keep_face.poll()


def test_a_mesh_that_the_user_shares_with_a_face_stays(wall):
    other = bpy.data.objects.new("Other", wall[0].data)
    bpy.context.scene.collection.objects.link(other)
    assert bpy.ops.imface.keep_face() == {"FINISHED"}
    assert set(bpy.data.objects.keys()) == {"Other", "Face 9"}
    assert len(other.data.vertices) == 5


def test_what_the_user_hung_on_the_wall_stays_where_it_is(wall):
    lamp = bpy.data.objects.new("Lamp", bpy.data.lights.new("Lamp", "POINT"))
    bpy.context.scene.collection.objects.link(lamp)
    lamp.parent = wall[0].parent
    lamp.location = (0, -1, 0)
    bpy.context.view_layer.update()
    place = lamp.matrix_world.copy()
    assert bpy.ops.imface.keep_face() == {"FINISHED"}
    bpy.context.view_layer.update()
    assert set(bpy.data.objects.keys()) == {"Lamp", "Face 9"}
    assert lamp.matrix_world == place


def test_what_the_user_has_set_aside_stays(wall, select_only):
    select_only(wall[0])
    bpy.ops.object.duplicate()  # where the face is
    wall[1].location.x += 3
    wall[2].name = "Anna"
    wall[3].data.vertices[0].co.z += 1
    select_only(wall[5])
    bpy.ops.imface.add_expressions()
    wall[6].modifiers.new("Smooth", "SMOOTH")
    wall[7].data.materials.append(bpy.data.materials.new("Gold"))
    place = wall[1].parent.matrix_world @ wall[1].matrix_basis
    select_only(wall[4])
    assert bpy.ops.imface.keep_face() == {"FINISHED"}
    left = {"Face 5.001", "Face 6", "Anna", "Face 8", "Face 9", "Face 10", "Face 11", "Face 12"}
    assert set(bpy.data.objects.keys()) == left
    np.testing.assert_allclose(wall[1].matrix_basis, place, atol=1e-6)
    assert {obj.parent for obj in bpy.data.objects} == {None}


def test_a_wall_from_a_file_is_untouched(wall, tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "wall.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "wall.blend"))
    assert bpy.ops.imface.keep_face() == {"FINISHED"}
    assert bpy.data.objects.keys() == ["Face 9"]


def test_a_bad_answer_leaves_the_scene_alone():
    with pytest.raises(RuntimeError, match="not a mesh that Blender can show"):
        bpy.ops.imface.random_gallery(seed=BAD_INDEX - 8)  # it is the last of nine
    assert len(bpy.data.objects) == len(bpy.data.meshes) == 0
