# SPDX-License-Identifier: GPL-3.0-or-later
"""Save Face to Library: a file that the asset browser shows, with a picture."""

import json
from pathlib import Path

import bpy
import numpy as np
import pytest
from mathutils import Matrix

from imface_blender import portrait


@pytest.fixture
def library(tmp_path):
    libraries = bpy.context.preferences.filepaths.asset_libraries
    for old in list(libraries):
        libraries.remove(old)
    made = libraries.new(name="Mine", directory=str(tmp_path))
    yield tmp_path / "ImFace"
    libraries.remove(made)


def assets_in(path):
    with bpy.data.libraries.load(str(path), assets_only=True) as (there, here):
        here.objects = there.objects
    return here.objects


def picture_of(asset):
    pixels = np.empty(256 * 256 * 4, np.float32)
    asset.preview.image_pixels_float.foreach_get(pixels)
    return pixels.reshape(-1, 4)


def test_a_face_comes_back_from_the_library_with_keys_codes_and_picture(make_face, library):
    face = make_face(seed=4)
    bpy.ops.imface.add_expressions(names="jawOpen")
    codes = face.imface.codes
    assert bpy.ops.imface.save_asset() == {"FINISHED"}
    assert face.asset_data is None  # in the scene nothing has changed
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    (loaded,) = assets_in(library / "Face.blend")
    assert json.loads(loaded.imface.codes) == json.loads(codes)
    assert "jawOpen" in loaded.data.shape_keys.key_blocks
    assert [tag.name for tag in loaded.asset_data.tags] == ["ImFace"]
    assert tuple(loaded.preview.image_size) == (256, 256)
    assert 0.05 < picture_of(loaded)[:, 3].mean() < 0.9  # a face on a transparent ground


@pytest.mark.parametrize("mirror", [1, -1])
def test_the_picture_of_a_face_is_upright_whatever_was_applied_to_it(make_face, library, mirror):
    make_face()
    bpy.ops.imface.save_asset()
    turn = Matrix.Rotation(1.5, 4, "X") @ Matrix.Rotation(2.5, 4, "Z")
    bpy.context.object.matrix_world = turn @ Matrix.Diagonal((40 * mirror, 40, 40, 1))
    bpy.context.view_layer.update()
    bpy.ops.object.transform_apply(location=True, rotation=True, scale=True)
    if mirror == -1:
        bpy.context.object.data.flip_normals()
    bpy.ops.imface.save_asset()
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    names = ("Face.blend", "Face_1.blend")
    made, turned = (picture_of(*assets_in(library / name)) for name in names)
    assert np.abs(made - turned).mean() < 0.01


@pytest.mark.parametrize("link", [False, True])
def test_a_face_brings_its_keyframes_and_its_bake(make_face, library, link):
    make_face()
    bpy.ops.imface.add_expressions()
    for frame, value in ((1, 0), (9, 1)):
        bpy.ops.imface.keyframe_expression(expressions=f"jawOpen={value}", frame=frame)
    bpy.ops.imface.bake_animation(start=1, end=9)
    bpy.ops.imface.save_asset()
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    with bpy.data.libraries.load(str(library / "Face.blend"), link=link) as (there, here):
        here.objects = there.objects
    (face,) = here.objects
    bpy.context.scene.collection.objects.link(face)
    keys = face.data.shape_keys.key_blocks
    bpy.context.scene.frame_set(5)
    assert [keys[name].value for name in ("In-Between 5", "In-Between 9")] == pytest.approx([1, 0])
    bpy.context.scene.frame_set(9)
    names = ("jawOpen", "In-Between 5", "In-Between 9")
    assert [keys[name].value for name in names] == pytest.approx([1, 0, 1])
    if not link:
        bpy.context.view_layer.objects.active = face
        assert bpy.ops.imface.keyframe_expression(expressions="jawOpen=0.5", frame=9)
        assert bpy.ops.imface.bake_animation(start=1, end=9) == {"FINISHED"}
        assert bpy.ops.imface.remove_bake() == {"FINISHED"}
        assert keys.keys() == ["Basis", "jawOpen", "mouthSmileLeft", "mouthSmileRight"]


def test_a_second_one_of_that_name_does_not_replace_the_first(make_face, library):
    make_face()
    for _ in range(2):
        bpy.ops.imface.save_asset()
    assert sorted(path.name for path in library.iterdir()) == ["Face.blend", "Face_1.blend"]


def test_a_face_that_is_an_asset_stays_one(make_face, library):
    face = make_face()
    face.asset_mark()
    face.asset_data.tags.new("Hero")
    bpy.ops.imface.save_asset()
    assert "Hero" in face.asset_data.tags


@pytest.mark.parametrize("kept", [False, True])
def test_a_face_keeps_its_own_fake_user(make_face, library, kept):
    face = make_face()
    face.use_fake_user = kept
    bpy.ops.imface.save_asset()
    assert face.use_fake_user == kept


def test_the_textures_of_a_saved_file_are_found_from_the_library(make_face, library, tmp_path):
    folder = tmp_path / "scene"
    folder.mkdir()
    skin = bpy.data.images.new("skin.png", 4, 4)
    skin.filepath_raw, skin.file_format = str(folder / "skin.png"), "PNG"
    skin.save()
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "scene.blend"))
    skin.filepath = "//skin.png"
    material = bpy.data.materials.new("Mine")
    material.use_nodes = True
    material.node_tree.nodes.new("ShaderNodeTexImage").image = skin
    make_face().data.materials.append(material)
    bpy.ops.imface.save_asset()
    assert skin.filepath == "//skin.png"
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    assets_in(library / "Face.blend")
    assert Path(bpy.path.abspath(bpy.data.images["skin.png"].filepath)) == folder / "skin.png"


def test_a_face_leaves_its_gallery_behind_and_hangs_there_as_before(library):
    bpy.context.scene.unit_settings.scale_length = 0.01
    bpy.context.scene.cursor.location = (1, 2, 3)
    bpy.ops.imface.random_gallery(seed=1)
    face = bpy.data.objects["Face 1"]
    bpy.context.view_layer.objects.active = face
    face.rotation_euler = face.delta_rotation_euler = (0, 0, 0.5)
    face.matrix_parent_inverse = Matrix.Translation((0, 0.1, 0))
    bpy.context.view_layer.update()
    names = ("matrix_world", "matrix_basis", "matrix_parent_inverse")
    before = {name: np.array(getattr(face, name)) for name in names}
    assert bpy.ops.imface.save_asset() == {"FINISHED"}
    bpy.context.view_layer.update()
    assert face.parent == bpy.data.objects["Face Gallery"]
    for name, matrix in before.items():
        np.testing.assert_allclose(getattr(face, name), matrix, atol=1e-5)
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    (loaded,) = assets_in(library / "Face_1.blend")
    assert bpy.data.objects[:] == [loaded]
    bpy.context.scene.collection.objects.link(loaded)
    bpy.context.view_layer.update()
    np.testing.assert_allclose(loaded.matrix_world, before["matrix_world"], atol=1e-5)


def test_a_library_that_is_not_there(make_face, library):
    make_face()
    with pytest.raises(RuntimeError, match="There is no asset library 'Theirs'. Choose another"):
        bpy.ops.imface.save_asset(library="Theirs")
    libraries = bpy.context.preferences.filepaths.asset_libraries
    libraries[0].path = ""
    with pytest.raises(RuntimeError, match="Blender has no asset library. Add one"):
        bpy.ops.imface.save_asset()


def test_a_library_that_cannot_be_written(make_face, library):
    face = make_face()
    library.write_text("a file where the folder should be")
    with pytest.raises(RuntimeError, match="cannot be written"):
        bpy.ops.imface.save_asset()
    assert face.asset_data is None


def test_the_picture_shows_the_near_side_lit_from_the_left(make_mesh):
    bpy.ops.mesh.primitive_uv_sphere_add(segments=64, ring_count=32)
    picture = portrait.draw(bpy.context.object, bpy.context.evaluated_depsgraph_get())
    assert picture.shape == (256, 256, 4)
    seen = picture[..., 3] > 0
    rows, columns = np.nonzero(seen)
    assert 225 < np.ptp(rows) < 245
    assert 225 < np.ptp(columns) < 245
    assert seen[100:156, 100:156].all()
    assert picture[180, 80, 0] > picture[60, 190, 0] + 0.2  # above left, and below right


def test_what_is_fully_transparent_does_not_hide_what_lies_behind(make_mesh):
    squares = [[(x, y, z) for x, z in ((0, 0), (1, 0), (1, 1), (0, 1))] for y in (0.0, -0.1)]
    obj = make_mesh("Eye", squares[0] + squares[1], ((0, 1, 2, 3), (4, 5, 6, 7)))
    for name, color in (("Iris", (0.5, 0, 0, 1)), ("Fluid", (1, 1, 1, 0))):
        material = bpy.data.materials.new(name)
        material.diffuse_color = color
        obj.data.materials.append(material)
    obj.data.polygons[1].material_index = 1
    picture = portrait.draw(obj, bpy.context.evaluated_depsgraph_get())
    assert picture[128, 128, 0] > 0.1
    assert picture[128, 128, 1] == 0


def test_a_mesh_without_faces_has_an_empty_picture():
    obj = bpy.data.objects.new("None", bpy.data.meshes.new("None"))
    bpy.context.scene.collection.objects.link(obj)
    assert not portrait.draw(obj, bpy.context.evaluated_depsgraph_get()).any()
