# SPDX-License-Identifier: GPL-3.0-or-later
"""Face captures as keyframes: on whom, when, and what of the artist's stays."""

import bpy
import numpy as np
import pytest
from mathutils import Matrix, Vector

from tests import live_link_writer

NAMES = ["jawOpen", "mouthSmileLeft", "mouthSmileRight"]
GENERATED = "GENERATED"
SECOND = np.linspace(0, 1, 61)


@pytest.fixture
def face(make_face):
    face = make_face()
    bpy.ops.imface.add_expressions()
    bpy.context.scene.render.fps = 60
    return face


@pytest.fixture
def take(tmp_path):
    """Return a function that writes a Live Link Face take and returns its path as text."""
    return lambda values, **choices: str(
        live_link_writer.write(tmp_path / "take.csv", values, **choices)
    )


def keys(face):
    return face.data.shape_keys


def points(owner, path, index=0):
    """Return a curve's keyframes."""
    return curve(owner, path, index).keyframe_points


def curve(owner, path, index=0):
    """Return an F-curve, found in the way of this Blender."""
    animation = owner.animation_data
    if bpy.app.version < (5, 0, 0):
        return animation.action.fcurves.find(path, index=index)
    strip = animation.action.layers[0].strips[0]
    return strip.channelbag(animation.action_slot).fcurves.find(path, index=index)


def values(face, name):
    """Return {frame: value} of an expression."""
    found = points(keys(face), f'key_blocks["{name}"].value')
    return {point.co.x: point.co.y for point in found}


def near(expected):
    return {frame: pytest.approx(value, abs=1e-6) for frame, value in expected.items()}


def test_a_take_becomes_one_keyframe_per_frame(face, take):
    path = take({"JawOpen": SECOND, "MouthSmileLeft": SECOND / 2})
    assert bpy.ops.imface.import_capture(filepath=path) == {"FINISHED"}
    assert values(face, "jawOpen") == near({1 + i: i / 60 for i in range(61)})
    assert values(face, "mouthSmileLeft") == near({1 + i: i / 120 for i in range(61)})
    assert values(face, "mouthSmileRight") == near({1 + i: 0 for i in range(61)})
    second = points(keys(face), 'key_blocks["jawOpen"].value')[1]
    assert second.handle_left[0] == pytest.approx(2 - 1 / 3, abs=1e-3)
    assert second.handle_right[0] == pytest.approx(2 + 1 / 3, abs=1e-3)
    bpy.context.scene.frame_set(31)
    assert keys(face).key_blocks["jawOpen"].value == pytest.approx(0.5, abs=1e-6)


def test_a_take_is_seen_over_nla_strips(face, take):
    bpy.ops.imface.keyframe_expression(expressions="jawOpen=1", frame=1)
    face.keyframe_insert("delta_rotation_euler", frame=1)
    for owner in (face, keys(face)):
        animation = owner.animation_data
        animation.nla_tracks.new().strips.new("Before", 1, animation.action)
        animation.action = None
    bpy.context.scene.frame_set(2)
    assert keys(face).key_blocks["jawOpen"].value == 1
    path = take({"JawOpen": SECOND, "HeadPitch": np.full(61, 0.3)})
    bpy.ops.imface.import_capture(filepath=path, head=True)
    bpy.context.scene.frame_set(31)
    assert keys(face).key_blocks["jawOpen"].value == pytest.approx(0.5, abs=1e-6)
    assert face.delta_rotation_euler.x == pytest.approx(-0.3, abs=1e-6)


def test_it_is_resampled_to_the_scene_and_starts_where_it_is_told(face, take):
    render = bpy.context.scene.render
    render.fps, render.fps_base = 24, 1.001
    bpy.ops.imface.import_capture(filepath=take({"JawOpen": SECOND}), start=-10)
    expected = {-10 + i: i * 1.001 / 24 for i in range(24)}
    assert values(face, "jawOpen") == near(expected)


def test_the_capture_rate_can_be_set(face, take):
    bpy.ops.imface.import_capture(filepath=take({"JawOpen": SECOND}), capture_fps=30)
    assert values(face, "jawOpen") == near({1 + i: i / 120 for i in range(121)})


def test_strength_stays_within_the_key_s_range(face, take):
    bpy.ops.imface.import_capture(filepath=take({"JawOpen": SECOND}), strength=2)
    assert values(face, "jawOpen") == near({1 + i: min(i / 30, 1) for i in range(61)})


def test_smoothing_is_off_unless_it_is_asked_for(face, take):
    pulse = np.eye(61)[30]
    bpy.ops.imface.import_capture(filepath=take({"JawOpen": pulse}))
    assert values(face, "jawOpen")[31] == 1
    bpy.ops.imface.import_capture(filepath=take({"JawOpen": pulse}), smoothing=2)
    smooth = values(face, "jawOpen")
    assert smooth[31] == pytest.approx(1 / np.sqrt(2 * np.pi * 4), rel=0.01)
    assert sum(smooth.values()) == pytest.approx(1, abs=1e-5)


def test_importing_again_replaces_what_was_imported(face, take):
    bpy.ops.imface.import_capture(filepath=take({"JawOpen": SECOND}))
    bpy.ops.imface.import_capture(filepath=take({"JawOpen": 1 - SECOND[:11]}), start=6)
    expected = {1 + i: i / 60 for i in range(61)} | {6 + i: 1 - i / 60 for i in range(11)}
    assert values(face, "jawOpen") == near(expected)


def test_another_frame_rate_leaves_no_keyframe_in_between(face, take):
    path = take({"JawOpen": SECOND})
    bpy.ops.imface.import_capture(filepath=path, capture_fps=30)
    bpy.ops.imface.import_capture(filepath=path, capture_fps=30, start=1)
    bpy.context.scene.render.fps = 24
    bpy.ops.imface.import_capture(filepath=path)
    assert values(face, "jawOpen") == near(
        {1 + i: i / 24 for i in range(25)} | {1 + i: i / 120 for i in range(25, 121)}
    )


def test_the_artist_s_keyframes_stay_as_they_are(face, take):
    key = keys(face).key_blocks["jawOpen"]
    for frame, value in ((0, 0.9), (5, 0.8), (7.25, 0.7), (100, 0.6)):
        key.value = value
        key.keyframe_insert("value", frame=frame)
    own = points(keys(face), 'key_blocks["jawOpen"].value')[1]
    own.handle_left_type = own.handle_right_type = "FREE"
    own.handle_left, own.handle_right = (4.5, 0.1), (5.5, 0.3)
    own.interpolation, own.easing, own.type, own.back = "BACK", "EASE_IN", "EXTREME", 2.5
    for _ in range(2):
        bpy.ops.imface.import_capture(filepath=take({"JawOpen": SECOND[:11]}))
        expected = {1 + i: i / 60 for i in range(11)} | {0: 0.9, 5: 0.8, 7.25: 0.7, 100: 0.6}
        assert values(face, "jawOpen") == near(expected)
    found = {p.co.x: p for p in points(keys(face), 'key_blocks["jawOpen"].value')}
    own = found[5]
    assert (own.interpolation, own.easing, own.type) == ("BACK", "EASE_IN", "EXTREME")
    assert own.back == pytest.approx(2.5)
    assert (own.handle_left_type, own.handle_right_type) == ("FREE", "FREE")
    assert own.handle_left[:] == pytest.approx((4.5, 0.1))
    assert own.handle_right[:] == pytest.approx((5.5, 0.3))
    kinds = {frame: point.type for frame, point in found.items()}
    assert [frame for frame, kind in kinds.items() if kind != GENERATED] == [0, 5, 7.25, 100]
    assert found[4].interpolation == "LINEAR"


def test_keyframes_of_a_take_that_the_artist_changed_are_the_artist_s(face, take, capfd):
    path, key = take({"JawOpen": SECOND[:11]}), keys(face).key_blocks["jawOpen"]
    bpy.ops.imface.import_capture(filepath=path)
    key.value = 0.9
    key.keyframe_insert("value", frame=5)  # in Blender it stays of the type Generated
    dragged = points(keys(face), 'key_blocks["jawOpen"].value')[6]
    dragged.co_ui = (7, 0.8)
    bpy.ops.imface.keyframe_expression(expressions="jawOpen=0.7", frame=9)
    capfd.readouterr()
    bpy.ops.imface.import_capture(filepath=path, strength=0.5)
    own = {5: 0.9, 7: 0.8, 9: 0.7}
    assert values(face, "jawOpen") == near({1 + i: i / 120 for i in range(11)} | own)
    assert "Your own keyframes among them stay: 3" in capfd.readouterr().out


def test_foreign_keys_actions_and_other_curves_stay(face, take):
    scar = face.shape_key_add(name="Scar")
    scar.value = 0.75
    scar.keyframe_insert("value", frame=3)
    face.rotation_euler.x = 0.5
    face.keyframe_insert("rotation_euler", frame=3)
    action = face.animation_data.action
    bpy.ops.imface.import_capture(filepath=take({"JawOpen": SECOND}))
    assert values(face, "Scar") == {3: 0.75}
    assert face.animation_data.action == action
    assert len(points(face, "rotation_euler")) == 1


def test_a_renamed_key_still_gets_its_expression(face, take):
    keys(face).key_blocks["jawOpen"].name = 'say "ah"'
    names = keys(face).key_blocks.keys()
    face.data.imface.shape_keys = face.data.imface.shape_keys.replace(
        '"jawOpen": "jawOpen"', '"jawOpen": "say \\"ah\\""'
    )
    bpy.ops.imface.import_capture(filepath=take({"JawOpen": SECOND}))
    found = points(keys(face), 'key_blocks["say \\"ah\\""].value')
    assert len(found) == 61
    assert keys(face).key_blocks.keys() == names


def test_tens_of_thousands_of_keyframes(face, tmp_path):
    count = 20_000
    wave = {
        name: (0.5 + 0.5 * np.sin(np.arange(count) * (i + 1) / 99)).round(6)
        for i, name in enumerate(NAMES)
    }
    path = tmp_path / "long.csv"
    rows = np.column_stack([wave[name] for name in NAMES])
    np.savetxt(path, rows, delimiter=",", header=",".join(NAMES), comments="", fmt="%.6f")
    for _ in range(2):  # the second time all are replaced
        bpy.ops.imface.import_capture(filepath=str(path), start=1001)
        for name in NAMES:
            found = points(keys(face), f'key_blocks["{name}"].value')
            coordinates = np.empty(2 * len(found), np.float32)
            found.foreach_get("co", coordinates)
            frames, read = coordinates.reshape(-1, 2).T
            np.testing.assert_array_equal(frames, np.arange(1001, 1001 + count))
            np.testing.assert_allclose(read, wave[name], atol=1e-6)
            assert {found[i].type for i in (0, 9999, 19_999)} == {GENERATED}
    bpy.context.scene.frame_set(1001 + 12_345)
    for name in NAMES:
        value = keys(face).key_blocks[name].value
        assert value == pytest.approx(wave[name][12_345], abs=1e-6)


@pytest.mark.parametrize("mode", ["XYZ", "ZYX", "QUATERNION"])
def test_the_head_turns_on_request(face, take, mode):
    face.rotation_mode = mode
    face.location = (1, 2, 3)
    turn = SECOND * 3  # radians: past a half turn no angle may jump
    zero = 0 * SECOND
    for angles, nose, top in (
        ((turn, zero, zero), lambda a: (-np.sin(a), -np.cos(a), 0), lambda a: (0, 0, 1)),
        (
            (zero, turn, zero),
            lambda a: (0, -np.cos(a), np.sin(a)),
            lambda a: (0, np.sin(a), np.cos(a)),
        ),
        ((zero, zero, turn), lambda a: (0, -1, 0), lambda a: (-np.sin(a), 0, np.cos(a))),
    ):
        head = dict(zip(("HeadYaw", "HeadPitch", "HeadRoll"), angles, strict=True))
        bpy.ops.imface.import_capture(filepath=take({"JawOpen": SECOND} | head), head=True)
        for frame in (1, 21, 31, 61):
            bpy.context.scene.frame_set(frame)
            place = np.array(face.matrix_world)
            a = (frame - 1) / 20
            np.testing.assert_allclose(-place[:3, 1], nose(a), atol=1e-5)
            np.testing.assert_allclose(place[:3, 2], top(a), atol=1e-5)
            np.testing.assert_allclose(place[:3, 3], (1, 2, 3), atol=1e-5)


def test_a_turned_face_turns_about_its_own_axes(face, take):
    face.rotation_euler = (0, 0, np.pi / 2)  # looks along +X
    path = take({"JawOpen": SECOND, "HeadYaw": SECOND})
    bpy.ops.imface.import_capture(filepath=path, head=True)
    bpy.ops.imface.import_capture(filepath=path, head=True)  # does not add up
    bpy.context.scene.frame_set(61)
    nose = -np.array(face.matrix_world)[:3, 1]
    np.testing.assert_allclose(nose, (np.cos(1), -np.sin(1), 0), atol=1e-5)
    assert face.rotation_euler[:] == pytest.approx((0, 0, np.pi / 2))


@pytest.mark.parametrize("mode", ["XYZ", "QUATERNION"])
def test_a_face_that_turns_itself_nods_about_the_axes_of_each_frame(face, take, mode):
    face.rotation_mode = mode
    for frame, angle in ((1, 0), (61, np.pi / 2)):  # at the end it looks along +X
        face.rotation_euler = (0, 0, angle)
        face.rotation_quaternion = face.rotation_euler.to_quaternion()
        face.keyframe_insert("rotation_euler", frame=frame)
        face.keyframe_insert("rotation_quaternion", frame=frame)
    bpy.context.scene.frame_set(1)
    path = take({"JawOpen": SECOND, "HeadPitch": SECOND})
    bpy.ops.imface.import_capture(filepath=path, head=True)
    for frame in (1, 31, 61):
        bpy.context.scene.frame_set(frame)
        pitch, turn = (frame - 1) / 60, np.pi / 2 * (frame - 1) / 60
        level = np.cos(pitch) * np.array([np.sin(turn), -np.cos(turn)])
        nose = -np.array(face.matrix_world)[:3, 1]
        np.testing.assert_allclose(nose, (*level, np.sin(pitch)), atol=1e-5)


def test_a_muted_rotation_does_not_count(face, take):
    face.rotation_euler = (0, 0, np.pi / 2)
    face.keyframe_insert("rotation_euler", frame=1)
    curve(face, "rotation_euler", 2).mute = True
    face.rotation_euler = (0, 0, 0)
    assert_nods(face, take({"JawOpen": SECOND, "HeadPitch": SECOND}), (0, -1, 0))


def give_landmarks(face, yaw):
    """Give a face the landmarks of a head that is turned by an angle."""
    group = face.vertex_groups.new(name="Landmarks")
    places = {8: (0, 0, -1), 27: (0, 0, 0), 36: (-1, 0, 0), 45: (1, 0, 0)}
    for row, (landmark, place) in enumerate(places.items()):
        group.add([row], (landmark + 1) / 68, "REPLACE")
        keys(face).reference_key.data[row].co = Matrix.Rotation(yaw, 3, "Z") @ Vector(place)


def assert_nods(face, path, nose):
    """Look at a head whose nose is on that side of its mesh after it has nodded upwards."""
    bpy.ops.imface.import_capture(filepath=path, head=True)
    bpy.context.scene.frame_set(61)
    raised = np.cos(1) * np.array(nose) + np.sin(1) * np.array((0, 0, 1))
    np.testing.assert_allclose(np.array(face.matrix_world)[:3, :3] @ nose, raised, atol=1e-5)


def test_after_apply_rotation_a_head_turns_about_the_axes_that_its_landmarks_show(face, take):
    give_landmarks(face, 0)
    face.rotation_euler = (0, 0, np.pi / 2)
    bpy.ops.object.transform_apply(location=False, rotation=True, scale=False)
    assert_nods(face, take({"JawOpen": SECOND, "HeadPitch": SECOND}), (1, 0, 0))


def test_landmarks_that_are_a_little_askew_are_no_turn(face, take):
    give_landmarks(face, 0.2)
    assert_nods(face, take({"JawOpen": SECOND, "HeadPitch": SECOND}), (0, -1, 0))


def test_the_head_stays_still_by_default(face, take):
    bpy.ops.imface.import_capture(filepath=take({"JawOpen": SECOND, "HeadYaw": SECOND}))
    assert face.animation_data is None


def test_a_mode_that_takes_no_rotation_is_refused_before_any_change(face, take, assert_refused):
    face.rotation_mode = "AXIS_ANGLE"
    path = take({"JawOpen": SECOND})
    assert_refused(
        bpy.ops.imface.import_capture, "rotation mode Axis Angle", filepath=path, head=True
    )
    assert keys(face).animation_data is None


def reported(capfd):
    return capfd.readouterr().out


def test_what_is_missing_is_named_not_faked(face, tmp_path, capfd):
    path = tmp_path / "take.csv"
    path.write_text("JawOpen,TongueOut,,\n0,1,,\n1,1,,\n")
    bpy.ops.imface.import_capture(filepath=str(path))
    text = reported(capfd)
    assert (
        "Keyframed 1 expressions of 'Face', frames 1 to 2, from 2 rows at 60 per second (assumed). "
        "The file has no mouthSmileLeft, mouthSmileRight. The face has no TongueOut"
    ) in text
    assert set(bpy.data.actions) == {keys(face).animation_data.action}
    with pytest.raises(AttributeError):
        values(face, "mouthSmileLeft")


def test_the_report_tells_of_keyframes_that_stay(face, take, capfd):
    keys(face).key_blocks["jawOpen"].keyframe_insert("value", frame=3)
    face.keyframe_insert("delta_rotation_euler", frame=3)
    path = take({"JawOpen": SECOND, "HeadYaw": SECOND})
    bpy.ops.imface.import_capture(filepath=path, head=True)
    assert "61 rows at 60 per second" in (text := reported(capfd))
    assert "Your own keyframes among them stay: 4" in text


def test_locked_curves_are_left_out_and_told_of(face, take, capfd):
    keys(face).key_blocks["jawOpen"].keyframe_insert("value", frame=3)
    curve(keys(face), 'key_blocks["jawOpen"].value').lock = True
    face.keyframe_insert("delta_rotation_euler", index=2, frame=3)
    curve(face, "delta_rotation_euler", 2).lock = True
    path = take({"JawOpen": SECOND, "MouthSmileLeft": SECOND, "HeadYaw": SECOND})
    bpy.ops.imface.import_capture(filepath=path, head=True)
    assert values(face, "jawOpen") == {3: 0}
    assert len(points(face, "delta_rotation_euler", 2)) == 1
    assert curve(face, "delta_rotation_euler", 0) is None
    assert len(values(face, "mouthSmileLeft")) == 61
    text = reported(capfd)
    assert "Keyframed 2 expressions of 'Face'" in text
    left_out = "HeadYaw, HeadPitch, HeadRoll, jawOpen"
    assert f"Without a keyframe, as they are locked: {left_out}" in text


def test_driven_expressions_are_left_out_and_told_of(face, take, capfd):
    blocks = keys(face).key_blocks
    blocks["jawOpen"].driver_add("value").driver.expression = "0.25"
    blocks["mouthSmileRight"].driver_add("value").driver.expression = "0.25"
    keys(face).animation_data.drivers[1].mute = True
    face.driver_add("delta_rotation_euler", 2)
    path = take({"JawOpen": SECOND, "MouthSmileRight": SECOND, "HeadYaw": SECOND})
    bpy.ops.imface.import_capture(filepath=path, head=True)
    assert curve(keys(face), 'key_blocks["jawOpen"].value') is None
    assert face.animation_data.action is None
    assert len(values(face, "mouthSmileRight")) == 61
    text = reported(capfd)
    assert "Keyframed 2 expressions of 'Face'" in text
    left_out = "HeadYaw, HeadPitch, HeadRoll, jawOpen"
    assert f"Without a keyframe, as drivers move them: {left_out}" in text


def test_sampled_expressions_are_left_out_and_told_of(face, take, capfd):
    bpy.ops.imface.import_capture(filepath=take({"JawOpen": SECOND}))
    path = 'key_blocks["jawOpen"].value'
    curve(keys(face), path).convert_to_samples(1, 62)
    bpy.ops.imface.import_capture(filepath=take({"JawOpen": 1 - SECOND}))
    bpy.ops.imface.keyframe_expression(expressions="jawOpen=1", frame=31)
    assert curve(keys(face), path).evaluate(31) == pytest.approx(0.5)
    assert reported(capfd).count("Without a keyframe, as they have samples: jawOpen") == 2


@pytest.mark.parametrize("choice", ["strength", "smoothing", "capture_fps"])
def test_choices_that_are_no_numbers_are_refused(face, take, assert_refused, choice):
    sentence = "Capture Rate, Strength or Smoothing is not a number. Choose 0 or more."
    path = take({"JawOpen": SECOND})
    assert_refused(bpy.ops.imface.import_capture, sentence, filepath=path, **{choice: np.nan})
    assert keys(face).animation_data is None


def test_stretched_time_is_refused(face, take, assert_refused):
    bpy.context.scene.render.frame_map_new = 200
    sentence = "The scene stretches time. Set Old and New of Time Stretching to the same number"
    assert_refused(bpy.ops.imface.import_capture, sentence, filepath=take({"JawOpen": SECOND}))
    assert keys(face).animation_data is None


def test_a_moved_strip_in_tweak_mode_is_refused(face, take, assert_refused):
    face.keyframe_insert("location", frame=1)
    animation = face.animation_data
    track = animation.nla_tracks.new()
    strip = track.strips.new("Walk", 101, animation.action)
    animation.action = None
    track.select = strip.select = animation.use_tweak_mode = True
    sentence = "The NLA strip in tweak mode plays at other frames than those of its action"
    assert_refused(bpy.ops.imface.import_capture, sentence, filepath=take({"JawOpen": SECOND}))


def test_one_undo_step(face, take):
    bpy.ops.ed.undo_push(message="Before")
    path = take({"JawOpen": SECOND})
    bpy.ops.imface.import_capture("EXEC_DEFAULT", True, filepath=path)
    assert len(values(face, "jawOpen")) == 61
    bpy.ops.ed.undo()
    assert keys(bpy.data.objects["Face"]).animation_data is None
    bpy.ops.ed.redo()
    assert len(values(bpy.data.objects["Face"], "jawOpen")) == 61


def test_after_save_and_reload_the_same_are_replaced(face, take, tmp_path):
    path = take({"JawOpen": SECOND})
    keys(face).key_blocks["jawOpen"].keyframe_insert("value", frame=90)
    bpy.ops.imface.import_capture(filepath=path)
    blend = str(tmp_path / "face.blend")
    bpy.ops.wm.save_as_mainfile(filepath=blend)
    bpy.ops.wm.open_mainfile(filepath=blend)
    face = bpy.data.objects["Face"]
    bpy.context.view_layer.objects.active = face
    bpy.ops.imface.import_capture(filepath=path, strength=0.5)
    assert values(face, "jawOpen") == near({1 + i: i / 120 for i in range(61)} | {90: 0})


def test_a_linked_action_is_refused(face, take, tmp_path, assert_refused):
    keys(face).key_blocks["jawOpen"].keyframe_insert("value", frame=90)
    action = keys(face).animation_data.action
    library = str(tmp_path / "actions.blend")
    bpy.data.libraries.write(library, {action})
    with bpy.data.libraries.load(library, link=True) as (_, wanted):
        wanted.actions = [action.name]
    keys(face).animation_data.action = wanted.actions[0]
    assert_refused(
        bpy.ops.imface.import_capture,
        "is linked from another file. Make it local first.",
        filepath=take({"JawOpen": SECOND}),
    )


def test_a_bad_file_changes_nothing(face, tmp_path, assert_refused):
    path = tmp_path / "take.csv"
    path.write_text("JawOpen\n0\nwide\n")
    sentence = "Line 3 of 'take.csv' has 'wide' for JawOpen, which is no number."
    assert_refused(bpy.ops.imface.import_capture, sentence, filepath=str(path))
    assert keys(face).animation_data is None


def test_a_face_without_expressions_is_told_to_add_them(make_face, take, assert_refused):
    make_face()
    sentence = "'Face' has no expressions yet. Use Add Expressions first"
    assert_refused(bpy.ops.imface.import_capture, sentence, filepath=take({"JawOpen": SECOND}))


def test_a_scan_is_refused(make_mesh, take, assert_refused):
    make_mesh()
    path = take({"JawOpen": SECOND})
    assert_refused(bpy.ops.imface.import_capture, "'Scan' is no ImFace face", filepath=path)
