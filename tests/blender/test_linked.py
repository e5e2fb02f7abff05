# SPDX-License-Identifier: GPL-3.0-or-later
"""A face of another file: read like any other, and never changed."""

import json

import bpy
import pytest

from imface_blender import catch_up, presets


@pytest.fixture
def linked(make_face, select_only, tmp_path):
    """Return the active face, which has expressions and hangs in a gallery, of another file."""
    make_face()
    bpy.ops.imface.random_gallery()
    bpy.ops.imface.add_expressions()
    name, path = bpy.context.object.name, str(tmp_path / "faces.blend")
    bpy.data.libraries.write(path, {bpy.context.object})
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    with bpy.data.libraries.load(path, link=True) as (_, wanted):
        wanted.objects = [name]
    face = wanted.objects[0]
    bpy.context.scene.collection.objects.link(face)
    return select_only(face)


def test_it_is_read(linked, make_face, select_only, tmp_path):
    path = tmp_path / "face.codes.json"
    assert bpy.ops.imface.export_codes(filepath=str(path)) == {"FINISHED"}
    assert json.loads(path.read_text()) == json.loads(linked.imface.codes)
    bpy.ops.imface.save_preset(preset="Linked")
    presets.path_of("Linked").unlink()
    assert bpy.ops.imface.neutralize() == {"FINISHED"}
    assert bpy.context.object.is_editable
    assert bpy.context.object.data.materials.keys() == linked.data.materials.keys()
    select_only(linked, make_face(seed=2))
    assert bpy.ops.imface.blend() == {"FINISHED"}
    face = make_face(seed=3)
    select_only(face, linked)
    assert bpy.ops.imface.morph() == {"FINISHED"}
    assert bpy.ops.imface.blend_key() == {"FINISHED"}


@pytest.mark.parametrize(
    "operator",
    [
        "edit_shape",
        "reset_shape",
        "add_expressions",
        "reset_expressions",
        "keyframe_expression",
        "import_capture",
        "bake_animation",
        "remove_bake",
        "save_asset",
        "keep_face",
    ],
)
def test_it_is_not_changed(linked, assert_refused, operator):
    sentence = f"'{linked.name}' is linked from another file. Make it local first"
    assert_refused(getattr(bpy.ops.imface, operator), sentence)
    assert catch_up.news(linked) == sentence


@pytest.mark.parametrize("operator", ["morph", "blend_key"])
def test_it_gets_no_shape_key_of_another(linked, make_face, select_only, assert_refused, operator):
    select_only(linked, make_face(seed=2))
    assert_refused(getattr(bpy.ops.imface, operator), "is linked from another file")


@pytest.mark.parametrize("operator", ["edit_shape", "add_expressions", "keyframe_expression"])
def test_a_linked_mesh_of_a_local_object_is_not_changed(linked, assert_refused, operator):
    bpy.ops.object.make_local(type="SELECT_OBJECT")
    assert bpy.context.object.is_editable
    assert_refused(getattr(bpy.ops.imface, operator), "is linked from another file")
