# SPDX-License-Identifier: GPL-3.0-or-later
"""Expressions as shape keys, and their keyframes."""

import bpy
import numpy as np
import pytest
from mathutils import Matrix

from imface_blender import catch_up, shape_keys, sliders

NAMES = ["jawOpen", "mouthSmileLeft", "mouthSmileRight"]
MOVED = 4  # the fake moves this vertex up, by 1, 2 and 3 mm


@pytest.fixture
def face(make_face):
    return make_face()


@pytest.fixture
def lively_face(face):
    bpy.ops.imface.add_expressions()
    return face


def keys(face):
    return face.data.shape_keys.key_blocks


def offset(face, name, points):
    """Return how far a key moves the vertex that the fake moves, in metres."""
    blocks = keys(face)
    moved = points(blocks[name].data) - points(blocks[0].data)
    assert np.abs(np.delete(moved, MOVED, axis=0)).max() == 0
    return moved[MOVED]


def test_every_expression_becomes_a_key(lively_face, points):
    assert [key.name for key in keys(lively_face)] == ["Basis", *NAMES]
    for millimetres, name in enumerate(NAMES, start=1):
        expected = [0, 0, millimetres / 1000]
        np.testing.assert_allclose(offset(lively_face, name, points), expected, atol=1e-7)
    assert all(key.value == 0 for key in keys(lively_face)[1:])


def test_some_expressions(face):
    bpy.ops.imface.add_expressions(names=" jawOpen ,mouthSmileLeft,")
    assert [key.name for key in keys(face)] == ["Basis", "jawOpen", "mouthSmileLeft"]


def test_the_other_set(face, capfd):
    bpy.ops.imface.add_expressions(expression_set="FACESCAPE")
    assert [key.name for key in keys(face)] == ["Basis", "smile", "anger"]
    assert "Info: 2 expressions on 'Face'\n" in capfd.readouterr().out
    bpy.ops.imface.add_expressions(expression_set="FACESCAPE", names="jawOpen")
    assert [key.name for key in keys(face)] == ["Basis", "smile", "anger", "jawOpen"]
    assert list(shape_keys.own_keys(face)) == ["smile", "anger", "jawOpen"]


def test_again_updates_in_place(lively_face, points):
    jaw = keys(lively_face)["jawOpen"]
    jaw.value = 0.3
    jaw.keyframe_insert("value", frame=7)
    jaw.data.foreach_set("co", np.zeros(15, np.float32))
    bpy.ops.imface.add_expressions()
    assert [key.name for key in keys(lively_face)] == ["Basis", *NAMES]
    np.testing.assert_allclose(offset(lively_face, "jawOpen", points), [0, 0, 1e-3], atol=1e-7)
    assert keys(lively_face)["jawOpen"].value == pytest.approx(0.3)
    assert keyframes(lively_face)["jawOpen"] == {7: pytest.approx(0.3)}


@pytest.mark.parametrize("all_of_them", [False, True])
def test_an_artist_s_own_key_under_the_name_of_a_deleted_one_stays(
    lively_face, points, all_of_them
):
    if all_of_them:
        lively_face.shape_key_clear()
        lively_face.shape_key_add(name="Basis")
    else:
        lively_face.shape_key_remove(keys(lively_face)["jawOpen"])
    own = lively_face.shape_key_add(name="jawOpen", from_mix=False)
    own.value = 0.5
    own.data[0].co = (9, 9, 9)
    assert "jawOpen" not in shape_keys.own_keys(lively_face)
    bpy.ops.imface.add_expressions()
    assert points(keys(lively_face)["jawOpen"].data)[0] == pytest.approx(9)
    np.testing.assert_allclose(offset(lively_face, "jawOpen.001", points), [0, 0, 1e-3], atol=1e-7)
    bpy.ops.imface.reset_expressions()
    assert keys(lively_face)["jawOpen"].value == 0.5


def test_copies_files_and_joined_meshes_know_which_keys_are_ours(
    lively_face, make_mesh, select_only, tmp_path
):
    bpy.ops.object.duplicate()
    more = make_mesh()
    copy = select_only(bpy.data.objects["Face.001"], more)
    assert list(shape_keys.own_keys(copy)) == NAMES
    bpy.ops.object.join()
    assert list(shape_keys.own_keys(copy)) == NAMES
    path = str(tmp_path / "face.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    with bpy.data.libraries.load(path) as (_, wanted):
        wanted.objects = ["Face"]
    assert list(shape_keys.own_keys(wanted.objects[0])) == NAMES


def test_an_artist_s_own_key_of_the_same_name_stays(face, points):
    own = face.shape_key_add(name="Basis") and face.shape_key_add(name="jawOpen")
    own.data.foreach_set("co", np.ones(15, np.float32))
    bpy.ops.imface.add_expressions()
    bpy.ops.imface.add_expressions()
    expected = ["Basis", "jawOpen", "jawOpen.001", "mouthSmileLeft", "mouthSmileRight"]
    assert [key.name for key in keys(face)] == expected
    assert (points(keys(face)["jawOpen"].data) == 1).all()
    np.testing.assert_allclose(offset(face, "jawOpen.001", points), [0, 0, 1e-3], atol=1e-7)


def test_a_deleted_key_comes_back_and_a_renamed_one_is_the_artist_s(lively_face):
    lively_face.shape_key_remove(keys(lively_face)["mouthSmileLeft"])
    keys(lively_face)["mouthSmileRight"].name = "Grin"
    bpy.ops.imface.add_expressions()
    expected = ["Basis", "jawOpen", "Grin", "mouthSmileLeft", "mouthSmileRight"]
    assert [key.name for key in keys(lively_face)] == expected


def test_keys_survive_save_and_reload(lively_face, tmp_path):
    path = str(tmp_path / "face.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    face = bpy.data.objects["Face"]
    bpy.context.view_layer.objects.active = face
    bpy.ops.imface.add_expressions()
    assert [key.name for key in keys(face)] == ["Basis", *NAMES]


def test_a_sculpted_face_keeps_its_shape_and_gets_the_same_expressions(face, points):
    face.data.vertices[0].co.x -= 0.005
    bpy.ops.imface.add_expressions()
    assert points(keys(face)["jawOpen"].data)[0, 0] == pytest.approx(-0.055)
    np.testing.assert_allclose(offset(face, "jawOpen", points), [0, 0, 1e-3], atol=1e-7)


def test_expressions_follow_an_applied_scale_and_rotation(face, points):
    # The fake's five points span space, so the transform can be found from them.
    face.matrix_world = Matrix.Rotation(np.pi / 2, 4, "X") @ Matrix.Scale(10, 4)
    bpy.context.view_layer.update()
    bpy.ops.object.transform_apply()
    bpy.ops.imface.add_expressions()
    expected = [0, -0.01, 0]  # up became -Y, 1 mm became 10
    blocks = keys(face)
    moved = points(blocks["jawOpen"].data) - points(blocks[0].data)
    np.testing.assert_allclose(moved[MOVED], expected, atol=1e-6)


def test_an_expression_in_the_place_of_the_basis_is_refused(lively_face, points, assert_refused):
    lively_face.shape_key_remove(keys(lively_face)["Basis"])
    before = [points(key.data) for key in keys(lively_face)]
    sentence = "The Basis of 'Face' was deleted, and its expression 'jawOpen' is now in its place"
    assert_refused(bpy.ops.imface.add_expressions, sentence)
    assert_refused(bpy.ops.imface.add_expressions, sentence, names="mouthSmileLeft")
    np.testing.assert_array_equal([points(key.data) for key in keys(lively_face)], before)


def test_one_undo_step(face):
    bpy.ops.ed.undo_push(message="Before")
    bpy.ops.imface.add_expressions("EXEC_DEFAULT", True)
    bpy.ops.ed.undo()
    assert bpy.data.objects["Face"].data.shape_keys is None
    bpy.ops.ed.redo()
    assert len(keys(bpy.data.objects["Face"])) == 4


def test_a_changed_mesh_is_refused(face, assert_refused):
    face.data.vertices.add(1)
    assert_refused(bpy.ops.imface.add_expressions, "'Face' has 6 vertices, but its codes give 5")


def test_an_unknown_expression_is_refused(face, assert_refused):
    assert_refused(
        bpy.ops.imface.add_expressions, "This model has no expression 'wink'", names="wink"
    )


@pytest.mark.parametrize("fault", ["a number too few", "no number"])
def test_arrays_that_do_not_fit_change_nothing(face, census, fault):
    before, basis_mm = census(), np.zeros((5, 3), np.float32)
    vertices_mm = np.zeros((2, 5, 3), np.float32)
    if fault == "no number":
        vertices_mm[0, 0, 0] = np.nan
    names = ["jawOpen", "smile"] if fault == "no number" else ["jawOpen"]
    with pytest.raises(ValueError, match="names"):
        shape_keys.write(face, names, basis_mm, vertices_mm)
    with pytest.raises(ValueError, match="basis"):
        shape_keys.add_blend(face, "Blend", basis_mm, vertices_mm[0, : 3 + len(names)])
    assert census() == before


@pytest.mark.parametrize("topology", ["SURFACE", "QUADS"])
def test_a_surface_is_refused(topology, make_face, assert_refused):
    make_face(topology=topology)
    assert_refused(bpy.ops.imface.add_expressions, "'Face' is a raw surface")


def test_a_scan_is_refused(make_mesh, assert_refused):
    make_mesh()
    assert_refused(bpy.ops.imface.add_expressions, "'Scan' is no ImFace face")


def curves(face):
    """Return {key name: F-curve}, read in the way of this Blender."""
    keys = face.data.shape_keys
    action = keys.animation_data.action
    if bpy.app.version < (5, 0, 0):
        found = action.fcurves
    else:
        bag = action.layers[0].strips[0].channelbag(keys.animation_data.action_slot)
        found = bag.fcurves
    return {c.data_path.removeprefix('key_blocks["').removesuffix('"].value'): c for c in found}


@pytest.fixture
def overridden_face(lively_face, select_only, tmp_path):
    """Return a face of another file whose object and mesh are overridden."""
    path = str(tmp_path / "library.blend")
    bpy.data.libraries.write(path, {lively_face})
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    with bpy.data.libraries.load(path, link=True) as (_, here):
        here.objects = ["Face"]
    face = here.objects[0].override_create(remap_local_usages=True)
    face.data.override_create(remap_local_usages=True)
    bpy.context.scene.collection.objects.link(face)
    return select_only(face)


def test_what_changes_the_mesh_of_an_override_is_refused(
    overridden_face, make_face, select_only, assert_refused
):
    sentence = "'Face' is a library override, and files do not store changes to its mesh"
    twin = make_face()
    select_only(overridden_face, twin)
    for name in (
        "edit_shape",
        "randomize_shape",
        "add_expressions",
        "morph",
        "bake_animation",
        "remove_bake",
    ):
        assert_refused(getattr(bpy.ops.imface, name), sentence)
    assert sliders.why_not(overridden_face).startswith(sentence)
    catch_up.wait(overridden_face)
    assert catch_up.bring_up_to_date() is None
    select_only(twin, overridden_face)
    assert bpy.ops.imface.morph() == {"FINISHED"}
    select_only(overridden_face)
    assert bpy.ops.imface.keyframe_expression(expressions="jawOpen=1") == {"FINISHED"}
    bpy.ops.object.make_local(type="SELECT_OBDATA")
    assert bpy.ops.imface.add_expressions() == {"FINISHED"}


def keyframes(face):
    """Return {key name: {frame: value}}."""
    return {
        name: {int(point.co.x): point.co.y for point in curve.keyframe_points}
        for name, curve in curves(face).items()
    }


def test_a_pose_is_keyframed_on_every_expression(lively_face):
    bpy.ops.imface.keyframe_expression(frame=1)
    bpy.ops.imface.keyframe_expression(
        expressions="mouthSmileLeft=1, mouthSmileRight = 0.5", frame=10
    )
    bpy.context.scene.frame_set(20)
    bpy.ops.imface.keyframe_expression(expressions="jawOpen=1")
    assert keyframes(lively_face) == {
        "jawOpen": {1: 0, 10: 0, 20: 1},
        "mouthSmileLeft": {1: 0, 10: 1, 20: 0},
        "mouthSmileRight": {1: 0, 10: 0.5, 20: 0},
    }


@pytest.mark.parametrize("frame", [-20, -1, 0])
def test_any_frame_can_be_named(lively_face, frame):
    bpy.context.scene.frame_set(7)
    bpy.ops.imface.keyframe_expression(expressions="jawOpen=1", frame=frame)
    assert keyframes(lively_face)["jawOpen"] == {frame: 1}


@pytest.mark.parametrize("choices", [{}, {"frame": 51}])
def test_the_pose_is_seen_at_its_frame_where_time_is_stretched(lively_face, choices):
    scene = bpy.context.scene
    scene.render.frame_map_new = 200
    bpy.ops.imface.keyframe_expression(frame=1)
    scene.frame_set(51)
    bpy.ops.imface.keyframe_expression(expressions="jawOpen=1", **choices)
    scene.frame_set(1)
    assert keys(lively_face)["jawOpen"].value == 0
    scene.frame_set(51)
    assert keys(lively_face)["jawOpen"].value == 1


def test_the_pose_moves_the_mesh(lively_face, points):
    bpy.ops.imface.keyframe_expression(frame=1)
    bpy.ops.imface.keyframe_expression(expressions="jawOpen=1", frame=10)
    heights = []
    for frame in (1, 10):
        bpy.context.scene.frame_set(frame)
        evaluated = lively_face.evaluated_get(bpy.context.evaluated_depsgraph_get())
        heights.append(points(evaluated.data.vertices)[MOVED, 2])
    assert heights == pytest.approx([0.15, 0.151], abs=1e-6)


def test_foreign_keys_and_keyframes_stay(lively_face):
    own = lively_face.shape_key_add(name="Scar")
    own.value = 0.75
    own.keyframe_insert("value", frame=3)
    lively_face.location.x = 2
    lively_face.keyframe_insert("location", frame=3)
    bpy.ops.imface.keyframe_expression(expressions="jawOpen=1", frame=3)
    assert keyframes(lively_face)["Scar"] == {3: 0.75}
    assert own.value == 0.75
    assert lively_face.animation_data.action is not None


def test_what_is_locked_is_named_and_not_counted(lively_face, capfd):
    bpy.ops.imface.keyframe_expression(frame=1)
    curves(lively_face)["mouthSmileLeft"].lock = True
    bpy.ops.imface.keyframe_expression(expressions="jawOpen=1", frame=10)
    assert keyframes(lively_face) == {
        "jawOpen": {1: 0, 10: 1},
        "mouthSmileLeft": {1: 0},
        "mouthSmileRight": {1: 0, 10: 0},
    }
    said = "Keyframed 2 expressions at frame 10. Without a keyframe, as they are locked: "
    assert said + "mouthSmileLeft" in capfd.readouterr().out


def test_what_is_driven_is_named_and_not_counted(lively_face, capfd):
    keys(lively_face)["mouthSmileLeft"].driver_add("value").driver.expression = "0.25"
    bpy.ops.imface.keyframe_expression(expressions="jawOpen=1, mouthSmileLeft=1", frame=10)
    assert keyframes(lively_face) == {"jawOpen": {10: 1}, "mouthSmileRight": {10: 0}}
    said = "Keyframed 2 expressions at frame 10. Without a keyframe, as drivers move them: "
    assert said + "mouthSmileLeft" in capfd.readouterr().out


def test_a_linked_action_is_not_keyframed(lively_face, tmp_path, assert_refused):
    bpy.ops.imface.keyframe_expression(frame=1)
    animation, library = lively_face.data.shape_keys.animation_data, tmp_path / "actions.blend"
    bpy.data.libraries.write(str(library), {animation.action})
    with bpy.data.libraries.load(str(library), link=True) as (_, wanted):
        wanted.actions = [animation.action.name]
    animation.action = wanted.actions[0]
    assert_refused(
        bpy.ops.imface.keyframe_expression,
        "is linked from another file. Make it local first.",
        expressions="jawOpen=1",
    )
    assert keys(lively_face)["jawOpen"].value == 0


def test_keyframing_is_one_undo_step(lively_face):
    bpy.ops.ed.undo_push(message="Before")
    bpy.ops.imface.keyframe_expression("EXEC_DEFAULT", True, expressions="jawOpen=1")
    bpy.ops.ed.undo()
    blocks = bpy.data.objects["Face"].data.shape_keys
    assert blocks.animation_data is None
    assert blocks.key_blocks["jawOpen"].value == 0


@pytest.mark.parametrize(
    ("expressions", "sentence"),
    [
        ("wink=1", "The face has no expression 'wink'. Add it with Add Expressions."),
        ("jawOpen=2", "'jawOpen=2' is no value from 0 to 1. Write such as jawOpen=0.5."),
        ("jawOpen", "'jawOpen=' is no value from 0 to 1"),
        ("mouthSmileLeft=1, jawOpen=wide", "'jawOpen=wide' is no value from 0 to 1"),
        ("jawOpen=nan", "'jawOpen=nan' is no value from 0 to 1"),
    ],
)
def test_what_cannot_be_keyframed(lively_face, census, expressions, sentence):
    before = census()
    with pytest.raises(RuntimeError, match=sentence):
        bpy.ops.imface.keyframe_expression(expressions=expressions)
    assert census() == before
    assert all(key.value == 0 for key in keys(lively_face)[1:])
    assert lively_face.data.shape_keys.animation_data is None


def test_a_value_within_a_range_that_the_artist_widened_is_keyframed(lively_face):
    jaw = keys(lively_face)["jawOpen"]
    jaw.slider_min, jaw.slider_max = -1, 2
    bpy.ops.imface.keyframe_expression(expressions="jawOpen=1.5", frame=1)
    assert keyframes(lively_face)["jawOpen"] == {1: 1.5}
    with pytest.raises(RuntimeError, match="'jawOpen=3' is no value from -1 to 2"):
        bpy.ops.imface.keyframe_expression(expressions="jawOpen=3")


def test_a_face_without_expressions_cannot_be_keyframed(face):
    with pytest.raises(RuntimeError, match="'Face' has no expressions yet. Use Add Expressions"):
        bpy.ops.imface.keyframe_expression()


def test_a_reset_is_one_undo_step_and_leaves_keyframes_and_own_keys(lively_face):
    bpy.ops.imface.keyframe_expression(expressions="jawOpen=1")
    lively_face.shape_key_add(name="Mine").value = 0.5
    keys(lively_face)["mouthSmileLeft"].value = 0.7
    keys(lively_face)["mouthSmileRight"].slider_min = 0.1
    keys(lively_face)["mouthSmileRight"].value = 0.9
    before = keyframes(lively_face)
    bpy.ops.ed.undo_push(message="Before")
    assert bpy.ops.imface.reset_expressions("EXEC_DEFAULT", True) == {"FINISHED"}
    values = {key.name: round(key.value, 6) for key in lively_face.data.shape_keys.key_blocks}
    expected = {"jawOpen": 0, "mouthSmileLeft": 0, "mouthSmileRight": 0.1, "Mine": 0.5}
    assert values == {"Basis": values["Basis"]} | expected
    assert keyframes(lively_face) == before
    bpy.context.scene.frame_set(bpy.context.scene.frame_current)
    assert keys(lively_face)["jawOpen"].value == 1  # its keyframe again, as in Blender
    bpy.ops.ed.undo()
    face = bpy.data.objects["Face"]
    assert keys(face)["mouthSmileLeft"].value == pytest.approx(0.7)


def test_a_face_without_expressions_has_nothing_to_reset(face, assert_refused):
    assert_refused(bpy.ops.imface.reset_expressions, "'Face' has no expressions yet")
