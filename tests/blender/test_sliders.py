# SPDX-License-Identifier: GPL-3.0-or-later
"""The sliders of a face's shape: whatever happens, they and the mesh say the same."""

import json

import bpy
import numpy as np
import pytest
from mathutils import Matrix

from imface_blender import face_shape, faces, jobs, sliders
from imface_blender.operators.edit_shape import IMFACE_OT_edit_shape, IMFACE_OT_refine_shape
from imface_blender.slider_names import GROUPS, NAMES
from tests.blender.known_sliders import exact, moved, preview, set_slider


@pytest.fixture
def face(make_face):
    face = make_face()
    assert bpy.ops.imface.edit_shape() == {"FINISHED"}
    return face


@pytest.fixture
def lively_face(face):
    bpy.ops.imface.add_expressions()
    return face


def test_a_slider_moves_the_mesh_at_once(face, points, census):
    before = census()
    set_slider(face, noseLength=1.5, jawWidth=-2)
    expected = moved(noseLength=1.5, jawWidth=-2)
    np.testing.assert_allclose(points(face.data.vertices), expected, atol=1e-7)
    assert face.data.imface_sliders.noseLength == 1.5
    assert census() == before


def test_back_at_zero_the_face_is_as_it_was_made(face, points):
    set_slider(face, noseLength=1.5, jawWidth=-2)
    set_slider(face, noseLength=0, jawWidth=0)
    np.testing.assert_allclose(points(face.data.vertices), moved(), atol=1e-7)
    assert json.loads(face.data.imface.sliders) == {"values": {}, "exact": {}}


def test_shape_keys_move_along(lively_face, points):
    set_slider(lively_face, noseLength=1.5)
    blocks = lively_face.data.shape_keys.key_blocks
    expected = moved(noseLength=1.5)
    np.testing.assert_allclose(points(lively_face.data.vertices), expected, atol=1e-7)
    np.testing.assert_allclose(points(blocks["Basis"].data), expected, atol=1e-7)
    expected[4, 2] += 0.002
    np.testing.assert_allclose(points(blocks["mouthSmileLeft"].data), expected, atol=1e-7)
    blocks["mouthSmileLeft"].value = 1
    shown = lively_face.evaluated_get(bpy.context.evaluated_depsgraph_get())
    np.testing.assert_allclose(points(shown.data.vertices), expected, atol=1e-7)
    set_slider(lively_face, noseLength=0)
    shown = lively_face.evaluated_get(bpy.context.evaluated_depsgraph_get())
    assert points(shown.data.vertices)[4, 2] == pytest.approx(0.152, abs=1e-6)


def test_refining_gives_the_exact_surface(lively_face, points):
    set_slider(lively_face, noseLength=5)
    shown = points(lively_face.data.vertices)
    assert not sliders.is_exact(lively_face.data)
    assert bpy.ops.imface.refine_shape() == {"FINISHED"}
    assert sliders.is_exact(lively_face.data)
    expected = exact({"noseLength": 5})
    assert expected[4, 2] - shown[4, 2] == pytest.approx(0.0025, abs=1e-6)
    np.testing.assert_allclose(points(lively_face.data.vertices), expected, atol=1e-7)
    jaw = lively_face.data.shape_keys.key_blocks["jawOpen"]
    np.testing.assert_allclose(points(jaw.data)[4], expected[4] + [0, 0, 1e-3], atol=1e-7)
    with pytest.raises(RuntimeError, match="'Face' is exact already"):
        bpy.ops.imface.refine_shape()
    set_slider(lively_face, noseLength=0)
    bpy.ops.imface.refine_shape()
    np.testing.assert_allclose(points(lively_face.data.vertices), moved(), atol=1e-7)


def test_a_face_that_is_gone_is_told_to_the_user_who_asked(face, monkeypatch, assert_refused):
    set_slider(face, noseLength=1)
    monkeypatch.setattr(IMFACE_OT_refine_shape, "_recall", lambda operator: faces.find(-1))
    assert_refused(bpy.ops.imface.refine_shape, "The object was deleted")


def test_an_exact_surface_that_comes_late_is_where_the_preview_starts(face, points):
    set_slider(face, noseLength=1)
    late = 1000 * exact({"noseLength": 1})
    late_mm = np.stack([late[:, 0], late[:, 2], -late[:, 1]], axis=-1)
    set_slider(face, noseLength=3)  # while the worker is at it
    face_shape.refine(face, {"noseLength": 1.0}, late_mm)
    assert face.data.imface_sliders.noseLength == 3
    assert not sliders.is_exact(face.data)
    np.testing.assert_allclose(
        points(face.data.vertices), preview(face.data.imface.sliders), atol=1e-7
    )


def test_the_surfaces_that_were_used_last_are_kept(make_face, select_only, monkeypatch):
    monkeypatch.setattr(sliders, "SURFACES_KEPT", 2)
    first, second, third = (make_face(seed=seed) for seed in (1, 2, 3))
    for face in (first, second, first, third):
        select_only(face)
        assert bpy.ops.imface.edit_shape() == {"FINISHED"}
    ready = [sliders.preview_of(face) is not None for face in (first, second, third)]
    assert ready == [True, False, True]


def test_an_undo_while_the_sliders_are_prepared_leaves_their_surface_its_own(
    face, points, monkeypatch
):
    set_slider(face, noseLength=1)
    bpy.ops.imface.refine_shape()
    sliders._surfaces.clear()
    finish = IMFACE_OT_edit_shape.finish

    def undone_before(operator, context, job):
        face.data.imface.sliders = ""
        return finish(operator, context, job)

    monkeypatch.setattr(IMFACE_OT_edit_shape, "finish", undone_before)
    bpy.ops.imface.edit_shape()
    ((_, values, _),) = sliders._surfaces
    assert json.loads(values) == {"noseLength": 1}


def test_sculpting_stays(face, points):
    face.data.vertices[0].co.x -= 0.005
    set_slider(face, noseLength=1)
    bpy.ops.imface.refine_shape()
    expected = exact({"noseLength": 1})
    expected[0, 0] -= 0.005
    np.testing.assert_allclose(points(face.data.vertices), expected, atol=1e-7)


@pytest.mark.parametrize("angle", [0, 1.5])
@pytest.mark.parametrize("amount", [1.2, 1.5])
def test_the_way_there_and_back_leaves_a_sculpted_head_as_it_was(
    lively_face, points, angle, amount
):
    turn = np.array(Matrix.Rotation(angle, 3, "X"))
    sculpted = moved()
    sculpted[sculpted[:, 2] > 0] *= amount
    sculpted = (sculpted @ turn.T).astype(np.float32)
    for block in (lively_face.data.vertices, *(k.data for k in keys_of(lively_face))):
        block.foreach_set("co", sculpted.ravel())
    for seed in range(1, 9):
        bpy.ops.imface.randomize_shape(seed=seed, strength=2)
        bpy.ops.imface.refine_shape()
        bpy.ops.imface.reset_shape()
        bpy.ops.imface.refine_shape()
    np.testing.assert_allclose(points(lively_face.data.vertices), sculpted, atol=2e-7)
    for key in keys_of(lively_face):
        np.testing.assert_allclose(points(key.data), sculpted, atol=2e-7)


def keys_of(face):
    return face.data.shape_keys.key_blocks


def test_a_transform_that_the_sliders_follow_is_in_the_file(face, points, tmp_path):
    turn = Matrix.Rotation(1, 4, "X")
    face.data.transform(turn)
    face.data.vertices[4].co.x += 0.08  # the sculpted part, by which the turn is not found exactly
    face.data.vertices[3].co.y += 0.03
    sculpted = points(face.data.vertices)
    bpy.ops.imface.randomize_shape(seed=1)
    path = str(tmp_path / "face.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    face = bpy.data.objects["Face"]
    bpy.context.view_layer.objects.active = face
    bpy.ops.imface.reset_shape()
    np.testing.assert_allclose(points(face.data.vertices), sculpted, atol=1e-7)


def test_undo_takes_back_what_was_applied(face, points):
    bpy.ops.ed.undo_push(message="Before")
    face.data.transform(Matrix.Rotation(1.5, 4, "X"))
    bpy.ops.ed.undo_push(message="Apply")
    set_slider(face, noseLength=1)
    bpy.ops.ed.undo_push(message="Drag")
    bpy.ops.ed.undo()
    bpy.ops.ed.undo()
    face = bpy.data.objects["Face"]
    set_slider(face, noseLength=2)
    expected = moved(noseLength=2)
    np.testing.assert_allclose(points(face.data.vertices), expected, atol=1e-7)


def test_sliders_follow_an_applied_scale_and_rotation(lively_face, points):
    turn = Matrix.Rotation(np.pi / 2, 4, "X") @ Matrix.Scale(10, 4)
    lively_face.matrix_world = turn
    bpy.context.view_layer.update()
    bpy.ops.object.transform_apply()
    set_slider(lively_face, noseLength=1)
    bpy.ops.imface.refine_shape()
    expected = exact({"noseLength": 1}) @ np.array(turn)[:3, :3].T
    for data in (lively_face.data.vertices, keys_of(lively_face)["Basis"].data):
        np.testing.assert_allclose(points(data), expected, atol=1e-5)


def test_the_worker_gets_base_codes_and_sliders(face):
    set_slider(face, noseLength=1.5)
    codes = face.imface.codes
    bpy.ops.imface.neutralize()
    assert json.loads(bpy.context.object.imface.codes)["sliders"] == {"noseLength": 1.5}
    assert face.imface.codes == codes  # the sliders stay on the mesh


def test_linked_duplicates_share_mesh_and_sliders(face, select_only):
    twin = bpy.data.objects.new("Twin", face.data)
    twin.imface.codes, twin.imface.topology = face.imface.codes, "HEAD"
    bpy.context.scene.collection.objects.link(twin)
    select_only(twin)
    set_slider(twin, noseLength=1)
    assert face.data.imface_sliders.noseLength == 1
    bpy.ops.imface.refine_shape()
    assert sliders.is_exact(face.data)


def test_a_mesh_moves_by_the_active_face_or_by_any_other_that_has_it(face, select_only):
    twin = face.copy()
    plain = bpy.data.objects.new("A plain object", face.data)
    for obj in (twin, plain):
        bpy.context.scene.collection.objects.link(obj)
    select_only(plain)
    set_slider(face, noseLength=1)
    assert sliders.values_of(face.data) == {"noseLength": 1}
    face.hide_set(True)
    select_only(twin)
    set_slider(twin, noseLength=2)
    assert sliders.values_of(face.data) == {"noseLength": 2}


def refused(face, points, capfd, sentence):
    """See that a slider does not move, and says why in the console and the panel."""
    before, text = points(face.data.vertices), face.data.imface.sliders
    set_slider(face, noseLength=2)
    assert sentence in capfd.readouterr().err
    assert sentence in jobs.status.error
    assert face.data.imface_sliders.noseLength == 0
    assert (points(face.data.vertices) == before).all()
    assert face.data.imface.sliders == text


def test_what_does_not_move(make_face, points, capfd):
    face = make_face()
    refused(face, points, capfd, "Press Edit Face Shape first.")
    bpy.ops.imface.edit_shape()
    face.data.vertices.add(1)
    refused(face, points, capfd, "'Face' has 6 vertices, but its codes give 5")
    refused(make_face(topology="SURFACE"), points, capfd, "is a raw surface")


@pytest.mark.parametrize("mode", ["EDIT", "SCULPT"])
def test_sliders_move_in_object_mode_alone(face, points, capfd, mode):
    bpy.ops.object.mode_set(mode=mode)
    set_slider(face, noseLength=2)
    bpy.ops.object.mode_set(mode="OBJECT")
    assert "Switch to Object Mode first" in capfd.readouterr().err
    assert face.data.imface_sliders.noseLength == 0
    np.testing.assert_allclose(points(face.data.vertices), moved(), atol=1e-7)


def test_faces_of_other_weights_or_another_mesh_have_sliders_of_their_own(make_face):
    head = make_face(seed=1)
    bpy.ops.imface.edit_shape()
    other_mesh = make_face(seed=2, topology="FACE")
    bpy.ops.imface.edit_shape()
    other_weights = make_face(seed=3)
    other_weights.imface.codes = other_weights.imface.codes.replace("fake", "others")
    bpy.ops.imface.edit_shape()
    previews = {id(sliders.preview_of(face)) for face in (head, other_mesh, other_weights)}
    assert len(previews) == 3
    assert sliders.preview_of(make_face(seed=1, topology="FACE")) is None


def test_a_mesh_of_other_vertices_says_so_before_a_drag(face, assert_refused):
    face.data.vertices.add(1)
    sentence = "'Face' has 6 vertices, but its codes give 5"
    assert sliders.why_not(face).startswith(sentence)
    for operator in (bpy.ops.imface.randomize_shape, bpy.ops.imface.reset_shape):
        assert not operator.poll()
        assert_refused(operator, sentence)


def test_a_value_that_is_no_number_does_not_move(face, points, capfd):
    set_slider(face, noseLength=float("nan"))
    assert "not a number" in capfd.readouterr().err
    np.testing.assert_allclose(points(face.data.vertices), moved(), atol=1e-7)


def test_a_surface_that_is_no_mesh_leaves_the_face_as_it_was(face, points):
    set_slider(face, noseLength=1)
    before, text = points(face.data.vertices), face.data.imface.sliders
    with pytest.raises(sliders.UserError, match="not a mesh that Blender can show"):
        face_shape.refine(face, {"noseLength": 1.0}, np.full((5, 3), np.nan))
    assert face.data.imface.sliders == text
    np.testing.assert_array_equal(points(face.data.vertices), before)


def test_what_is_no_face_has_no_sliders_to_move(make_mesh, capfd):
    set_slider(make_mesh(), noseLength=1)
    assert "'Scan' is not the mesh of a face. Select a face." in capfd.readouterr().err


def test_a_value_beyond_the_limits_stops_there(face):
    set_slider(face, noseLength=9, jawWidth=-1e30)
    assert sliders.values_of(face.data) == {"noseLength": 5, "jawWidth": -5}
    face.data.imface.sliders = json.dumps({"values": {"noseLength": 9}, "exact": {}})
    set_slider(face, jawWidth=1)  # a file from before there was a limit
    assert sliders.values_of(face.data) == {"noseLength": 5, "jawWidth": 1}


def test_a_script_sets_sliders_and_is_told_why_not(make_face, assert_refused):
    face, set_sliders = make_face(), bpy.ops.imface.set_sliders
    assert_refused(set_sliders, "Press Edit Face Shape first", values="noseLength=2")
    bpy.ops.imface.edit_shape()
    set_slider(face, jawWidth=3)
    assert set_sliders(values="noseLength=2, noseWidth = -1") == {"FINISHED"}
    wanted = {"noseLength": 2, "noseWidth": -1, "jawWidth": 3}
    assert sliders.values_of(face.data) == wanted
    assert_refused(set_sliders, "There is no slider 'nose'", values="noseLength=1, nose=2")
    assert_refused(set_sliders, "'noseLength=9' is no value from -5 to 5", values="noseLength=9")
    assert sliders.values_of(face.data) == wanted


def test_the_mesh_of_another_face_is_not_taken_for_its_own(face, make_face, select_only):
    other = make_face(seed=2)
    select_only(face, other)
    bpy.ops.object.make_links_data(type="OBDATA")
    assert other.data == face.data
    select_only(other)
    sentence = "'Face.001' has the mesh of another face. Undo that, or delete it"
    assert sliders.why_not(other) == sentence
    assert not bpy.ops.imface.export_codes.poll()
    assert sliders.face_of(face.data) == face
    bpy.ops.object.make_single_user(object=True, obdata=True)
    assert sliders.why_not(other) == sentence
    select_only(face)
    bpy.ops.object.duplicate()
    assert sliders.why_not(bpy.context.object) == ""


def test_a_mesh_that_a_twin_edits_does_not_move(face, select_only):
    twin = face.copy()
    bpy.context.scene.collection.objects.link(twin)
    select_only(twin)
    bpy.ops.object.mode_set(mode="EDIT")
    assert sliders.why_not(face) == "Switch to Object Mode first"


def test_keys_are_born_with_their_mesh_s_sliders(face):
    set_slider(face, noseLength=1)
    bpy.ops.imface.add_expressions()
    assert face.data.shape_keys.imface.sliders == face.data.imface.sliders != ""


def test_a_surface_has_no_sliders(make_face, assert_refused):
    make_face(topology="SURFACE")
    assert_refused(bpy.ops.imface.edit_shape, "'Face' is a raw surface")
    assert_refused(bpy.ops.imface.reset_shape, "'Face' is a raw surface")


def test_sliders_can_be_read_and_moved_again_after_reload(face, points, tmp_path):
    set_slider(face, noseLength=1.5)
    path = str(tmp_path / "face.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    sliders._previews.clear()  # as in another Blender
    sliders._surfaces.clear()
    bpy.ops.wm.open_mainfile(filepath=path)
    face = bpy.data.objects["Face"]
    bpy.context.view_layer.objects.active = face
    assert face.data.imface_sliders.noseLength == 1.5
    assert sliders.why_not(face) == "Press Edit Face Shape first"
    bpy.ops.imface.edit_shape()
    set_slider(face, noseLength=2)
    expected = moved(noseLength=2)
    np.testing.assert_allclose(points(face.data.vertices), expected, atol=1e-7)


def test_an_appended_face_keeps_its_sliders(face, points, tmp_path, select_only):
    set_slider(face, noseLength=1.5)
    path = str(tmp_path / "face.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    with bpy.data.libraries.load(path) as (there, here):
        here.objects = list(there.objects)
    face = here.objects[0]
    bpy.context.scene.collection.objects.link(face)
    select_only(face)
    set_slider(face, jawWidth=1)
    expected = moved(noseLength=1.5, jawWidth=1)
    np.testing.assert_allclose(points(face.data.vertices), expected, atol=1e-7)


def test_random_heeds_seed_strength_and_locks(face, points):
    set_slider(face, noseLength=-1, jawWidth=0.5)
    face.data.imface_sliders.lock_noseLength = face.data.imface_sliders.lock_Jaw = True
    bpy.ops.imface.randomize_shape(seed=3, strength=0.5)
    normal = np.random.default_rng(3).normal(size=len(NAMES))
    drawn = 0.5 * (0.9 * normal + 0.1 * normal.sum())
    expected = dict(zip(NAMES, drawn, strict=True)) | dict.fromkeys(GROUPS["Jaw"], 0)
    expected |= {"noseLength": -1, "jawWidth": 0.5}
    for name, value in expected.items():
        assert getattr(face.data.imface_sliders, name) == pytest.approx(value, abs=1e-6)
    np.testing.assert_allclose(points(face.data.vertices), moved(**expected), atol=1e-7)
    bpy.ops.imface.reset_shape()
    assert sliders.values_of(face.data) == {"noseLength": -1, "jawWidth": 0.5}


def test_a_worker_of_other_sliders_is_refused(face):
    for names in (["noseLength"], [*NAMES[1:], NAMES[0]]):
        with pytest.raises(sliders.UserError, match="The worker has other sliders than the add-on"):
            sliders.Preview.from_answer({"names": names}, {})


def test_a_drag_is_one_undo_step_and_the_exact_surface_none(face, points):
    bpy.ops.ed.undo_push(message="Before")
    for value in (0.5, 1.0, 1.5):
        set_slider(face, noseLength=value)
    bpy.ops.ed.undo_push(message="Drag")  # as Blender does on release
    bpy.ops.imface.refine_shape("EXEC_DEFAULT", True)
    bpy.ops.ed.undo()
    face = bpy.data.objects["Face"]
    assert face.data.imface_sliders.noseLength == 0
    np.testing.assert_allclose(points(face.data.vertices), moved(), atol=1e-7)
    bpy.ops.ed.redo()
    face = bpy.data.objects["Face"]
    assert face.data.imface_sliders.noseLength == 1.5
    shown = points(face.data.vertices)
    np.testing.assert_allclose(shown, preview(face.data.imface.sliders), atol=1e-7)


def test_shape_keys_that_undo_has_parted_from_their_mesh_are_mended(lively_face, points):
    """The exact surface is in no undo step. Blender may restore a mesh that has changed between
    two steps and leave its keys, which have not, as they are now: done by hand here."""
    mesh, basis = lively_face.data, lively_face.data.shape_keys.reference_key
    set_slider(lively_face, noseLength=5)
    text, shown = mesh.imface.sliders, points(mesh.vertices)
    bpy.ops.imface.refine_shape()
    mesh.imface.sliders = text
    mesh.vertices.foreach_set("co", shown.ravel())
    assert abs(points(basis.data) - shown).max() > 0.002
    set_slider(lively_face, noseLength=1)
    expected = preview(mesh.imface.sliders)
    np.testing.assert_allclose(points(mesh.vertices), expected, atol=1e-7)
    np.testing.assert_allclose(points(basis.data), expected, atol=1e-7)
