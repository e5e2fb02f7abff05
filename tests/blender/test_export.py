# SPDX-License-Identifier: GPL-3.0-or-later
"""A head with expressions, keyframes and a bake survives the formats that other programs read."""

from typing import NamedTuple

import bpy
import numpy as np
import pytest
from mathutils.kdtree import KDTree

from imface_blender import jobs
from tests.blender.test_real_worker import NEEDS_REAL_WORKER, choose_real_worker
from tests.blender_versions import export_gltf

EXPRESSIONS = [
    "jawOpen", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookOutLeft", "eyeLookUpLeft",
    "mouthSmileLeft", "mouthFunnel", "browInnerUp",
]  # fmt: skip
FRAMES = {
    1: "",
    4: "jawOpen=0.6, eyeLookOutLeft=1, eyeLookUpLeft=0.8, mouthSmileLeft=1",
    6: "eyeBlinkLeft=1, eyeBlinkRight=1, browInnerUp=0.7",
}
LAST = max(FRAMES)
FBX_LATER = 1  # frames: what Blender's importer adds by itself


class Head(NamedTuple):
    """What is to be the same in any program; V vertices, S corners, F frames, E expressions."""

    keys: dict[str, np.ndarray]  # name -> (V, 3) [mm] in the world; the basis comes first
    corners: np.ndarray  # (S, 3) U, V and height [m]
    areas: dict[str, float]  # by material [mm^2]
    looks: list[list[float]]  # colour, roughness and alpha of each material
    values: np.ndarray  # (F, E)
    shown: list[np.ndarray]  # (V, 3) [mm] at each frame


def head_of(later: int = 0) -> Head:
    """Return what the only mesh of this file is, with an animation that starts later."""
    (obj,) = (obj for obj in bpy.data.objects if obj.type == "MESH")
    basis, *keys = obj.data.shape_keys.key_blocks
    values, shown = [], []
    for frame in range(1 + later, LAST + 1 + later):
        bpy.context.scene.frame_set(frame)
        values.append([key.value for key in keys])
        evaluated = obj.evaluated_get(bpy.context.evaluated_depsgraph_get())
        shown.append(_world_mm(obj, evaluated.data.vertices))
    heights = _world_mm(obj, basis.data)[:, 2] / 1000
    vertices = _read(obj.data.loops, "vertex_index", 1, np.int32).ravel()
    uv = _read(obj.data.uv_layers[0].uv, "vector", 2)
    return Head(
        {key.name.replace("_", " "): _world_mm(obj, key.data) for key in (basis, *keys)},
        np.column_stack([uv, heights[vertices]]),
        _areas_mm2(obj),
        [_look(material) for material in obj.data.materials],
        np.array(values),
        shown,
    )


def _read(data, name, width, dtype=np.float32):
    values = np.empty(len(data) * width, dtype)
    data.foreach_get(name, values)
    return values.reshape(-1, width)


def _world_mm(obj, data):
    place = np.array(obj.matrix_world)
    return 1000 * (_read(data, "co", 3) @ place[:3, :3].T + place[:3, 3])


def _areas_mm2(obj):
    size = 1000 * obj.matrix_world.to_scale()[0]
    area = size**2 * _read(obj.data.polygons, "area", 1).ravel()
    slots = _read(obj.data.polygons, "material_index", 1, np.int32).ravel()
    names = [material.name.replace("_", " ") for material in obj.data.materials]
    return dict(zip(names, np.bincount(slots, area, len(names)), strict=True))


def _look(material):
    (shader,) = (node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    inputs = shader.inputs
    colour = inputs["Base Color"]
    known = (0, 0, 0) if colour.is_linked else colour.default_value[:3]  # then it is a picture
    return [*known, inputs["Roughness"].default_value, inputs["Alpha"].default_value]


def _nearest(points, others):
    """Return for each point (N, 3) the index of the nearest of the others, and how far it is."""
    tree = KDTree(len(others))
    for i, place in enumerate(others):
        tree.insert(place, i)
    tree.balance()
    found = [tree.find(point) for point in points]
    return np.array([i for _, i, _ in found]), max(far for _, _, far in found)


def _gltf(path):
    export_gltf(path + ".glb")
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


@pytest.fixture(scope="module")
def head_file(addon, tmp_path_factory):
    """Return a file with a head of the real worker, animated and baked: half a minute's work."""
    path = str(tmp_path_factory.mktemp("head") / "head.blend")
    with pytest.MonkeyPatch.context() as patch:
        choose_real_worker(patch)
        _empty()
        bpy.ops.imface.generate(seed=3)
        bpy.ops.imface.add_expressions(names=", ".join(EXPRESSIONS))
        for frame, expressions in FRAMES.items():
            bpy.ops.imface.keyframe_expression(expressions=expressions, frame=frame)
        bpy.ops.imface.bake_animation(start=1, end=LAST)
        jobs.close_worker()
    bpy.context.scene.frame_end = LAST
    bpy.ops.wm.save_as_mainfile(filepath=path)
    return path


@pytest.fixture(
    scope="module",
    params=[pytest.param(export, marks=NEEDS_REAL_WORKER) for export in (_gltf, _fbx, _usd)],
)
def there_and_back(request, head_file, tmp_path_factory):
    """Return the head, and the head that another program would get."""
    bpy.ops.wm.open_mainfile(filepath=head_file)
    before = head_of()
    request.param(str(tmp_path_factory.mktemp("export") / "head"))
    return before, head_of(FBX_LATER if request.param == _fbx else 0)


def test_all_shape_keys_come_back_and_move_every_vertex_as_they_did(there_and_back):
    head, read = there_and_back
    in_betweens = list(head.keys)[1 + len(EXPRESSIONS) :]
    assert list(head.keys) == ["Basis", *EXPRESSIONS, *in_betweens]
    assert in_betweens[0] == "In-Between 2"
    assert [name.replace("In Between", "In-Between") for name in read.keys] == list(head.keys)
    same, far_mm = _nearest(head.keys["Basis"], read.keys["Basis"])
    assert far_mm < 0.01
    for wanted, key in zip(head.keys.values(), read.keys.values(), strict=True):
        np.testing.assert_allclose(key[same], wanted, atol=0.01)


def test_every_frame_is_the_same(there_and_back):
    head, read = there_and_back
    np.testing.assert_allclose(read.values, head.values, atol=1e-4)
    assert head.values.max(axis=0)[len(EXPRESSIONS) :] == pytest.approx(1)
    same, _ = _nearest(head.keys["Basis"], read.keys["Basis"])
    for wanted, shown in zip(head.shown, read.shown, strict=True):
        np.testing.assert_allclose(shown[same], wanted, atol=0.01)


def test_uvs_come_back_with_their_seams(there_and_back):
    corners, found = (np.unique(each.corners.round(5), axis=0) for each in there_and_back)
    assert _nearest(corners, found)[1] < 1e-4
    assert _nearest(found, corners)[1] < 1e-4
    assert len(corners) > len(there_and_back[0].keys["Basis"])  # a vertex on a seam has several


def test_materials_come_back_on_their_parts(there_and_back):
    head, read = there_and_back
    names = ["Skin", "Mouth", "Teeth", "Eyes", "Eye Sockets", "Eye Fluid", "Lashes"]
    names += ["Iris", "Pupil"]
    assert list(head.areas) == [f"ImFace {name}" for name in names]
    assert list(read.areas) == list(head.areas)
    areas, wanted = list(read.areas.values()), list(head.areas.values())
    np.testing.assert_allclose(areas, wanted, rtol=0.01)  # a bent quad is larger in triangles
    np.testing.assert_allclose(read.looks, head.looks, atol=0.01)


@pytest.mark.parametrize("export", [_gltf, _fbx, _usd])
def test_the_eyes_keep_their_iris(export, make_face, tmp_path):
    make_face()
    export(str(tmp_path / "face"))
    (obj,) = (obj for obj in bpy.data.objects if obj.type == "MESH")
    image = _picture(obj.data.materials[1]).image
    width, height = image.size
    pixels = np.reshape(image.pixels, (height, width, -1))[..., :3]
    pupil, white = pixels[height // 2, width // 2], pixels[0, 0]
    assert pupil.max() < 0.1 < 0.7 < white.min()


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


@pytest.mark.parametrize("export", [_gltf, _fbx, _usd])
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
