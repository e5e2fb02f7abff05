# SPDX-License-Identifier: GPL-3.0-or-later
"""Generate: one face, where and how it should be."""

import json

import bpy
import numpy as np
import pytest

# The fake worker's face, from millimetres with +Y up to metres with +Z up.
EXPECTED_M = [
    [-0.05, -0.01, -0.1],
    [0.05, -0.01, -0.1],
    [0.05, -0.01, 0.1],
    [-0.05, -0.01, 0.1],
    [0, 0.03, 0.15],
]


def test_a_face_arrives_in_metres_upright_and_looking_along_minus_y(make_face, points):
    face = make_face()
    assert face.name == "Face"
    np.testing.assert_allclose(points(face.data.vertices), EXPECTED_M, atol=1e-8)
    assert [list(polygon.vertices) for polygon in face.data.polygons] == [[0, 1, 2, 3], [3, 2, 4]]
    assert face.data.polygons[0].normal.y == pytest.approx(-1)
    assert all(polygon.use_smooth for polygon in face.data.polygons)


def test_the_face_is_the_active_and_only_selected_object(make_face, make_mesh):
    make_mesh()
    face = make_face()
    assert bpy.context.object == face
    assert bpy.context.selected_objects == [face]


def test_it_has_uvs_and_materials(make_face):
    face = make_face()
    uv = [tuple(corner.vector) for corner in face.data.uv_layers["UVMap"].uv]
    assert uv == [(0, 0), (1, 0), (1, 1), (0, 1), (0, 1), (1, 1), (0.5, 0.5)]
    assert [material.name for material in face.data.materials] == ["ImFace Skin", "ImFace Eyes"]
    assert [polygon.material_index for polygon in face.data.polygons] == [0, 1]


def test_it_has_vertex_groups(make_face):
    face = make_face()
    assert face.vertex_groups.keys() == ["Face", "Region Nose"]
    weights = [
        {face.vertex_groups[g.group].name: g.weight for g in vertex.groups}
        for vertex in face.data.vertices
    ]
    assert weights[:3] == [{"Face": 1.0}] * 3
    assert weights[3:] == [{"Face": 1.0, "Region Nose": 0.25}, {"Region Nose": 0.5}]


def test_materials_are_shared_and_keep_what_the_user_did_to_them(make_face):
    make_face().data.materials[0].diffuse_color = (1, 0, 0, 1)
    second = make_face()
    assert second.name == "Face.001"
    assert tuple(second.data.materials[0].diffuse_color) == (1, 0, 0, 1)
    assert len(bpy.data.materials) == 2


def test_the_codes_are_on_the_object(make_face):
    face = make_face(seed=7)
    assert json.loads(face.imface.codes)["identity"] == [8.0]  # the fake adds seed and strength
    assert face.imface.topology == "HEAD"
    assert face.imface.report == ""


def test_a_surface_has_neither_uvs_nor_materials(make_face):
    face = make_face(topology="SURFACE")
    assert len(face.data.uv_layers) == len(face.data.materials) == 0


def test_it_stands_at_the_cursor_in_life_size_whatever_the_scene_s_unit(make_face):
    scene = bpy.context.scene
    scene.cursor.location = (1, 2, 3)
    scene.unit_settings.scale_length = 0.01  # a unit is a centimetre
    face = make_face()
    assert tuple(face.location) == (1, 2, 3)
    assert tuple(face.scale) == pytest.approx((100, 100, 100))


def test_without_a_unit_system_a_unit_is_a_metre_whatever_the_scale_was(make_face):
    unit = bpy.context.scene.unit_settings
    unit.scale_length, unit.system = 0.01, "NONE"
    assert tuple(make_face().scale) == (1, 1, 1)


def activate_collection(collection):
    """Put a collection into the scene, make it the active one and return its layer's part."""
    bpy.context.scene.collection.children.link(collection)
    layer = bpy.context.view_layer.layer_collection.children[collection.name]
    bpy.context.view_layer.active_layer_collection = layer
    return layer


def test_it_goes_to_the_scene_s_collection_when_the_active_one_is_not_to_be_selected(make_face):
    collection = bpy.data.collections.new("Reference")
    activate_collection(collection)
    collection.hide_select = True
    face = make_face()
    assert list(face.users_collection) == [bpy.context.scene.collection]
    assert face.select_get()


def test_it_goes_to_the_active_collection(make_face):
    collection = bpy.data.collections.new("Faces")
    activate_collection(collection)
    assert list(make_face().users_collection) == [collection]


@pytest.mark.parametrize("hidden", ["layer", "collection"])
def test_it_goes_to_the_scene_s_collection_when_the_active_one_is_not_seen(make_face, hidden):
    collection = bpy.data.collections.new("Unseen")
    layer = activate_collection(collection)
    owner = layer if hidden == "layer" else collection
    owner.hide_viewport = True  # another becomes the active one
    bpy.context.view_layer.active_layer_collection = layer
    assert bpy.context.collection == collection
    face = make_face()
    assert list(face.users_collection) == [bpy.context.scene.collection]
    assert face.visible_get()


@pytest.mark.parametrize("overridden", [False, True])
def test_it_goes_to_the_scene_s_collection_when_the_active_one_is_another_file_s(
    make_face, overridden, tmp_path
):
    own, path = bpy.data.collections.new("Theirs"), str(tmp_path / "library.blend")
    bpy.data.libraries.write(path, {own})
    bpy.data.collections.remove(own)
    with bpy.data.libraries.load(path, link=True) as (_, here):
        here.collections = ["Theirs"]
    (theirs,) = here.collections
    activate_collection(theirs.override_create() if overridden else theirs)
    assert list(make_face().users_collection) == [bpy.context.scene.collection]


def test_codes_survive_a_copy_and_save_and_reload(make_face, tmp_path):
    face = make_face(seed=3)
    copy = face.copy()
    bpy.context.scene.collection.objects.link(copy)
    codes = face.imface.codes
    assert copy.imface.codes == codes
    path = str(tmp_path / "face.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    bpy.ops.wm.open_mainfile(filepath=path)
    assert bpy.data.objects["Face"].imface.codes == codes
    assert bpy.data.objects["Face.001"].imface.codes == codes


def test_one_undo_step(make_mesh):
    make_mesh("Before")
    bpy.ops.ed.undo_push(message="Before")
    bpy.ops.imface.generate("EXEC_DEFAULT", True)
    assert set(bpy.data.objects.keys()) == {"Before", "Face"}
    bpy.ops.ed.undo()
    assert set(bpy.data.objects.keys()) == {"Before"}
    bpy.ops.ed.redo()
    assert json.loads(bpy.data.objects["Face"].imface.codes)["identity"] == [2.0]


def test_it_needs_object_mode(make_mesh):
    make_mesh()
    bpy.ops.object.mode_set(mode="EDIT")
    with pytest.raises(RuntimeError, match="Switch to Object Mode first"):
        bpy.ops.imface.generate()
