# SPDX-License-Identifier: GPL-3.0-or-later
"""A face with expressions and keyframes survives the formats that other programs read."""

import bpy
import numpy as np
import pytest

from tests.blender_versions import no_gltf_in_4_2

FRAMES = {1: 0.0, 11: 1.0}


@pytest.fixture
def animated_face(make_face):
    """Return a face whose jaw opens from frame 1 to 11, the only object of the file."""
    face = make_face()
    assert bpy.ops.imface.add_expressions(names="jawOpen, mouthSmileLeft") == {"FINISHED"}
    for frame, value in FRAMES.items():
        bpy.ops.imface.keyframe_expression(expressions=f"jawOpen={value}", frame=frame)
    bpy.context.scene.frame_end = max(FRAMES)
    return face


def _gltf(path):
    bpy.ops.export_scene.gltf(filepath=path + ".glb")
    _empty()
    bpy.ops.import_scene.gltf(filepath=path + ".glb")


def _fbx(path):
    # Blender's exporter drops the keyframes of shape keys when it walks through strips or actions.
    bpy.ops.export_scene.fbx(
        filepath=path + ".fbx",
        bake_anim_use_nla_strips=False,
        bake_anim_use_all_actions=False,
        path_mode="COPY",
        embed_textures=True,
    )
    _empty()
    bpy.ops.import_scene.fbx(filepath=path + ".fbx")


def _usd(path):
    bpy.ops.wm.usd_export(filepath=path + ".usdc", export_animation=True)
    _empty()
    bpy.ops.wm.usd_import(filepath=path + ".usdc")


def _empty():
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)


@pytest.fixture(
    params=[
        pytest.param(_gltf, id="glTF", marks=no_gltf_in_4_2),
        pytest.param(_fbx, id="FBX"),
        pytest.param(_usd, id="USD"),
    ]
)
def read_back(request, animated_face, tmp_path):
    """Return the face as another program would get it."""
    request.param(str(tmp_path / "face"))
    (obj,) = (obj for obj in bpy.data.objects if obj.type == "MESH")
    return obj


def test_shape_keys_uvs_materials_and_size_come_back(read_back):
    mesh = read_back.data
    assert mesh.shape_keys.key_blocks.keys() == ["Basis", "jawOpen", "mouthSmileLeft"]
    assert [m.name.replace("_", " ") for m in mesh.materials] == ["ImFace Skin", "ImFace Eyes"]
    assert len(mesh.uv_layers) == 1
    corner_uv = {tuple(np.round(corner.vector, 4)) for corner in mesh.uv_layers[0].uv}
    assert corner_uv == {(0, 0), (1, 0), (1, 1), (0, 1), (0.5, 0.5)}
    bpy.context.view_layer.update()
    assert sorted(read_back.dimensions) == pytest.approx([0.04, 0.1, 0.25], abs=0.003)


def test_the_eyes_keep_their_iris(read_back):
    image = _picture(read_back.data.materials[1]).image
    width, height = image.size
    pixels = np.reshape(image.pixels, (height, width, -1))[..., :3]
    pupil, white = pixels[height // 2, width // 2], pixels[0, 0]
    assert pupil.max() < 0.1 < 0.7 < white.min()


def test_shape_keys_move_what_they_moved(read_back, points):
    keys = read_back.data.shape_keys.key_blocks
    size = max(read_back.matrix_world.to_scale())
    for name, wanted_mm in (("jawOpen", 1), ("mouthSmileLeft", 2)):
        moved = np.linalg.norm(points(keys[name].data) - points(keys["Basis"].data), axis=1)
        assert moved.max() * size * 1000 == pytest.approx(wanted_mm, rel=0.01)


def test_the_animation_comes_back(read_back):
    jaw = read_back.data.shape_keys.key_blocks["jawOpen"]
    scene = bpy.context.scene
    values = []
    for frame in range(-1, 14):
        scene.frame_set(frame)
        values.append(jaw.value)
    assert min(values) == pytest.approx(0, abs=1e-3)
    assert max(values) == pytest.approx(1, abs=1e-3)
    assert values == sorted(values)


@pytest.fixture
def coloured_face(make_mesh):
    """Return a face fitted to a coloured scan, the only object of the file."""
    scan = make_mesh()
    scan.data.color_attributes.new("Col", "BYTE_COLOR", "POINT")
    assert bpy.ops.imface.fit_scan() == {"FINISHED"}
    face = bpy.context.object
    bpy.data.objects.remove(scan)
    return face


def _picture(material):
    """Return the node of the only picture that colours a material."""
    (picture,) = (node for node in material.node_tree.nodes if node.type == "TEX_IMAGE")
    assert picture.outputs["Color"].is_linked
    return picture


@pytest.mark.parametrize("export", [pytest.param(_gltf, marks=no_gltf_in_4_2), _fbx, _usd])
def test_a_fitted_skin_s_picture_comes_back_over_both_tiles(export, coloured_face, tmp_path):
    export(str(tmp_path / "face"))
    (obj,) = (obj for obj in bpy.data.objects if obj.type == "MESH")
    picture = _picture(obj.data.materials[0])
    assert tuple(picture.image.size) == (8, 4)
    tiles = picture.inputs["Vector"].links[0].from_node
    assert tiles.inputs["Scale"].default_value[:] == pytest.approx((0.5, 1, 1))
    assert tiles.inputs["Location"].default_value[:] == pytest.approx((0, 0, 0))
    source = tiles.inputs["Vector"].links[0].from_node
    assert getattr(source, "uv_map", "") in ("", *obj.data.uv_layers.keys())
