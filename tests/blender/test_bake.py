# SPDX-License-Identifier: GPL-3.0-or-later
"""Baked animations: in-between shapes, where they are, when they act, and how they go away."""

import bpy
import numpy as np
import pytest

from imface_blender import in_betweens, jobs

MOVED = 4  # the fake moves this vertex up, by 1 mm for jawOpen and by its square for a bake


@pytest.fixture
def face(make_face):
    """Return a face whose jaw opens from frame 1 to 9 and shuts again until 11."""
    face = make_face()
    bpy.ops.imface.add_expressions()
    for frame, value in ((1, 0), (9, 1), (11, 0)):
        bpy.ops.imface.keyframe_expression(expressions=f"jawOpen={value}", frame=frame)
    curve_is_straight(face)
    return face


def bag_of(face):
    """Return what holds the curves of the shape keys and their groups, in this Blender."""
    animation = face.data.shape_keys.animation_data
    if bpy.app.version < (5, 0, 0):
        return animation.action
    return animation.action.layers[0].strips[0].channelbag(animation.action_slot)


def curves_in(action):
    """Return the curves of an action that one datablock plays."""
    if bpy.app.version < (5, 0, 0):
        return action.fcurves
    return action.layers[0].strips[0].channelbags[0].fcurves


def curves_of(face):
    return bag_of(face).fcurves


def curve_is_straight(face):
    """Let the keyframes be joined by straight lines, so that values are known."""
    for curve in curves_of(face):
        for point in curve.keyframe_points:
            point.interpolation = "LINEAR"


def names(face):
    return [key.name for key in face.data.shape_keys.key_blocks]


def height_mm(face, frame, points):
    """Return how high the moved vertex stands above the neutral face at a frame."""
    bpy.context.scene.frame_set(frame)
    evaluated = face.evaluated_get(bpy.context.evaluated_depsgraph_get())
    return 1000 * points(evaluated.data.vertices)[MOVED, 2] - 150


EXPRESSIONS = ["Basis", "jawOpen", "mouthSmileLeft", "mouthSmileRight"]


def test_knots_become_keys_that_act_when_they_should(face, points):
    assert bpy.ops.imface.bake_animation(start=1, end=9) == {"FINISHED"}
    assert names(face) == [*EXPRESSIONS, "In-Between 5", "In-Between 9"]  # none at neutral
    # The jaw is 0, 1/8, ... 1; the bake adds the square at the knots 1, 5 and 9.
    jaw = np.arange(9) / 8
    expected = jaw + np.interp(np.arange(9), [0, 4, 8], [0, 0.25, 1])
    heights = [height_mm(face, frame, points) for frame in range(1, 10)]
    assert heights == pytest.approx(expected, abs=1e-4)
    assert height_mm(face, 10, points) == pytest.approx(0.5, abs=1e-4)  # outside the range
    assert height_mm(face, 30, points) == pytest.approx(0, abs=1e-4)


def test_the_report_has_the_figures(face, capfd):
    bpy.ops.imface.bake_animation(start=1, end=9)
    expected = (
        "2 in-between shapes on 'Face', frames 1 to 9: at most 1.23 mm off before, 0.06 mm now, "
        "over 7 different mixes. Beside frames that are not baked it jumps by 1.00 mm"
    )
    assert expected in capfd.readouterr().out


def test_sampling_reads_evaluated_values_and_restores_the_frame(face):
    scene = bpy.context.scene
    scene.frame_set(3, subframe=0.25)
    face.data.shape_keys.key_blocks["mouthSmileRight"].mute = True
    driver = face.data.shape_keys.key_blocks["mouthSmileLeft"].driver_add("value").driver
    driver.expression = "0.25"
    values = in_betweens.sample(bpy.context, face, 1, 11)
    jaw = [*(np.arange(9) / 8), 0.5, 0]
    np.testing.assert_allclose(values, np.column_stack([jaw, [0.25] * 11, [0] * 11]), atol=1e-6)
    assert (scene.frame_current, scene.frame_subframe) == (3, 0.25)


def test_the_current_frame_stays(face):
    scene = bpy.context.scene
    scene.frame_set(3, subframe=0.25)
    bpy.ops.imface.bake_animation(start=1, end=9)
    assert (scene.frame_current, scene.frame_subframe) == (3, 0.25)


def test_sampling_reads_what_a_scene_evaluates_that_no_window_shows(face):
    scene = bpy.data.scenes.new("Shot")
    scene.collection.objects.link(face)
    with bpy.context.temp_override(scene=scene, view_layer=scene.view_layers[0]):
        values = in_betweens.sample(bpy.context, face, 1, 9)
    np.testing.assert_allclose(values[:, 0], np.arange(9) / 8, atol=1e-6)


def test_sampling_moves_no_mesh_of_any_face(face, make_face, points):
    other, pinned = face.copy(), make_face()
    bpy.context.scene.collection.objects.link(other)
    pinned.show_only_shape_key = True
    before = height_mm(face, 9, points)
    shown = []

    def look(*_):
        shown.append([each.show_only_shape_key for each in (face, other, pinned)])

    bpy.app.handlers.frame_change_post.append(look)
    in_betweens.sample(bpy.context, face, 1, 11)
    bpy.app.handlers.frame_change_post.remove(look)
    assert shown == 11 * [[True, True, True]] + [[False, False, True]]
    assert height_mm(face, 9, points) == before == pytest.approx(1, abs=1e-4)


def test_baking_again_replaces_the_bake(face, census):
    bpy.ops.imface.bake_animation(start=1, end=9)
    before = names(face), census()
    bpy.ops.imface.bake_animation(start=1, end=9)
    assert (names(face), census()) == before


def test_an_earlier_bake_acts_on_outside_the_new_frames(face, points):
    bpy.ops.imface.bake_animation(start=1, end=9)
    first = [height_mm(face, frame, points) for frame in range(1, 10)]
    bpy.ops.imface.bake_animation(start=4, end=6)
    expected = 0.375 + np.array([0, 0.125, 0.25]) + np.array([0.375, 0.5, 0.625]) ** 2
    heights = [height_mm(face, frame, points) for frame in range(1, 10)]
    assert heights == pytest.approx([*first[:3], *expected, *first[6:]], abs=1e-4)
    bpy.ops.imface.bake_animation(start=1, end=9)
    assert names(face) == [*EXPRESSIONS, "In-Between 5", "In-Between 9"]  # no more than at first
    assert bpy.ops.imface.remove_bake() == {"FINISHED"}
    assert names(face) == EXPRESSIONS


def test_a_take_baked_in_two_pieces_has_no_seam(face, points):
    jaw = np.array([*np.arange(9) / 8, 0.5, 0])
    bpy.ops.imface.bake_animation(start=1, end=5)
    bpy.ops.imface.bake_animation(start=6, end=11)
    knots = {1: 0, 3: 2, 5: 4, 6: 5, 9: 8, 11: 10}
    expected = jaw + np.interp(range(1, 12), list(knots), jaw[list(knots.values())] ** 2)
    heights = [height_mm(face, frame, points) for frame in range(1, 12)]
    assert heights == pytest.approx(expected, abs=1e-4)


def delete_keyframes(curve):
    for point in reversed([p for p in curve.keyframe_points if 2 <= p.co.x <= 8]):
        curve.keyframe_points.remove(point)


def slow_down(curve):
    for point in curve.keyframe_points:
        point.co.x = 1 + 2.5 * (point.co.x - 1)


def repeat(curve):
    curve.modifiers.new("CYCLES")


@pytest.mark.parametrize(
    ("edit", "frames"), [(delete_keyframes, (3, 8)), (slow_down, (7, 12)), (repeat, (13, 18))]
)
def test_an_earlier_bake_whose_keyframes_were_edited_acts_outside_the_new_frames_alone(
    face, points, edit, frames
):
    bpy.ops.imface.bake_animation(start=1, end=11)
    for curve in curves_of(face):
        edit(curve)
        curve.update()
    around = [*range(frames[0] - 2, frames[0]), *range(frames[1] + 1, frames[1] + 3)]
    before = [height_mm(face, frame, points) for frame in around]
    jaw = in_betweens.sample(bpy.context, face, *frames)[:, 0]
    bpy.ops.imface.bake_animation(start=frames[0], end=frames[1])
    assert [height_mm(face, frame, points) for frame in around] == pytest.approx(before, abs=1e-4)
    at = range(frames[0], frames[1] + 1)
    expected = jaw + np.interp(range(6), [0, 3, 5], jaw[[0, 3, 5]] ** 2)
    assert [height_mm(face, frame, points) for frame in at] == pytest.approx(expected, abs=1e-4)


def test_a_deleted_in_between_leaves_no_trace_in_the_next_bake(face, points):
    bpy.ops.imface.bake_animation(start=1, end=9)
    face.shape_key_remove(face.data.shape_keys.key_blocks["In-Between 5"])  # its curve stays
    bpy.ops.imface.bake_animation(start=4, end=6)
    assert height_mm(face, 5, points) == pytest.approx(0.5 + 0.25, abs=1e-4)
    assert height_mm(face, 2, points) == pytest.approx(0.125, abs=1e-4)


def test_an_artist_s_key_under_the_name_of_a_deleted_in_between_stays(face):
    bpy.ops.imface.bake_animation(start=1, end=9)
    face.shape_key_remove(face.data.shape_keys.key_blocks["In-Between 5"])
    own = face.shape_key_add(name="In-Between 5")  # the curve of ours, which stays, is now its
    bpy.ops.imface.bake_animation(start=1, end=9)
    assert sorted(names(face)) == sorted(
        [*EXPRESSIONS, "In-Between 5", "In-Between 5.001", "In-Between 9"]
    )
    assert curves_of(face).find(own.path_from_id("value")) is not None
    bpy.ops.imface.remove_bake()
    assert names(face) == [*EXPRESSIONS, "In-Between 5"]


def curve_count(face):
    return len(curves_of(face))


def test_removing_leaves_what_was_there_before(face, points):
    own = face.shape_key_add(name="In-Between 5")  # an artist's, by chance of that name
    own.value = 0
    curves = curve_count(face)
    bpy.ops.imface.bake_animation(start=1, end=9)
    assert curve_count(face) == curves + 2
    assert bpy.ops.imface.remove_bake() == {"FINISHED"}
    assert names(face) == [*EXPRESSIONS, "In-Between 5"]
    assert curve_count(face) == curves
    assert height_mm(face, 9, points) == pytest.approx(1, abs=1e-4)
    with pytest.raises(RuntimeError, match="'Face' has no baked animation"):
        bpy.ops.imface.remove_bake()


def test_a_sculpted_and_scaled_face_keeps_its_shape(face, points):
    basis = face.data.shape_keys.reference_key.data
    coordinates = 10 * points(basis)
    for key in face.data.shape_keys.key_blocks:
        key.data.foreach_set("co", (10 * points(key.data)).ravel())
    bpy.ops.imface.bake_animation(start=1, end=9)
    moved = points(face.data.shape_keys.key_blocks["In-Between 9"].data) - coordinates
    np.testing.assert_allclose(moved[MOVED], [0, 0, 0.01], atol=1e-6)


def test_one_undo_step(face):
    bpy.ops.ed.undo_push(message="Before")
    bpy.ops.imface.bake_animation("EXEC_DEFAULT", True, start=1, end=9)
    bpy.ops.ed.undo()
    assert names(bpy.data.objects["Face"]) == EXPRESSIONS
    bpy.ops.ed.redo()
    assert len(names(bpy.data.objects["Face"])) == 6


def test_after_save_and_reload_it_is_replaced(face, tmp_path):
    bpy.ops.imface.bake_animation(start=1, end=9)
    path = str(tmp_path / "face.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    face = bpy.data.objects["Face"]
    bpy.context.view_layer.objects.active = face
    bpy.ops.imface.bake_animation(start=1, end=9)
    assert len(names(face)) == 6


@pytest.mark.parametrize(
    ("start", "end", "sentence"),
    [
        (9, 1, "Frames 9 to 1 are 0. Bake 1 to 10000 frames at once."),
        (1, 10_001, "Frames 1 to 10001 are 10001. Bake 1 to 10000 frames at once."),
    ],
)
def test_ranges_that_are_refused(face, assert_refused, start, end, sentence):
    assert_refused(bpy.ops.imface.bake_animation, sentence, start=start, end=end)


def test_a_face_without_expressions_is_refused(make_face, assert_refused):
    make_face()
    sentence = "'Face' has no expressions yet. Use Add Expressions first"
    assert_refused(bpy.ops.imface.bake_animation, sentence)


def test_stretched_time_is_refused(face, assert_refused):
    render = bpy.context.scene.render
    for render.frame_map_new in (50, 200):
        assert_refused(bpy.ops.imface.bake_animation, "The scene stretches time. Set Old and New")
    render.frame_map_old = 200
    assert bpy.ops.imface.bake_animation(start=1, end=9) == {"FINISHED"}


def test_a_strip_that_is_tweaked_at_other_frames_than_its_action_s_is_refused(
    face, assert_refused, points
):
    animation = face.data.shape_keys.animation_data
    strip = push_down(face, 1)
    animation.nla_tracks[0].select = strip.select = True
    animation.use_tweak_mode = True
    bpy.ops.imface.bake_animation(start=1, end=9)
    assert heights_mm(face, points) == baked_heights(1)
    animation.use_tweak_mode = False
    sentence = "The NLA strip in tweak mode plays at other frames than those of its action"
    strip.frame_end, strip.frame_start = 111, 101
    refused_in_tweak_mode(animation, assert_refused, sentence)
    strip.frame_start, strip.action_frame_start, strip.scale = 0, 0, 2  # frame 0 is where it was
    assert strip.frame_start == 0
    refused_in_tweak_mode(animation, assert_refused, sentence)


def refused_in_tweak_mode(animation, assert_refused, sentence):
    """See that nothing is baked in tweak mode."""
    animation.use_tweak_mode = True
    assert_refused(bpy.ops.imface.bake_animation, sentence, start=1, end=9)
    animation.use_tweak_mode = False


def test_neutral_ends_are_not_told_of(face, capfd):
    bpy.ops.imface.bake_animation(start=1, end=11)
    assert "different mixes\n" in capfd.readouterr().out


@pytest.mark.parametrize("part", ["curve", "group"])
def test_a_locked_bake_is_refused_before_any_work(face, assert_refused, part):
    bpy.ops.imface.bake_animation(start=1, end=9)
    curve = curves_of(face).find('key_blocks["In-Between 5"].value')
    if part == "group":
        curve.group = group = bag_of(face).groups.new("Bake")
        group.lock = True
    else:
        curve.lock = True
    sentence = "The keyframes of 'In-Between 5' are locked. Unlock its channel and bake again."
    assert_refused(bpy.ops.imface.bake_animation, sentence, start=1, end=9)


def test_a_changed_mesh_is_refused_with_the_old_bake_untouched(face, monkeypatch):
    bpy.ops.imface.bake_animation(start=1, end=9)
    answer = jobs.Job.wait

    def wait(job, on_progress):
        answer(job, on_progress=on_progress)
        job.arrays["basis_mm"] = job.arrays["basis_mm"][:4]

    monkeypatch.setattr(jobs.Job, "wait", wait)
    with pytest.raises(RuntimeError, match="'Face' has 5 vertices, but its codes give 4"):
        bpy.ops.imface.bake_animation(start=1, end=9)
    assert len(names(face)) == 6


def play(face, action):
    """Let the shape keys play an action, in Blender 4.4 and later its first slot."""
    animation = face.data.shape_keys.animation_data
    animation.action = action
    if action is not None and hasattr(animation, "action_slot"):
        animation.action_slot = action.slots[0]


def new_take(face, peak, start=1):
    """Let the shape keys play an action of their own in which the jaw opens within 8 frames."""
    keys = face.data.shape_keys
    keys.animation_data.action.use_fake_user = True
    keys.animation_data.action = None
    for frame, value in ((start, 0), (start + 8, peak), (start + 10, 0)):
        bpy.ops.imface.keyframe_expression(expressions=f"jawOpen={value}", frame=frame)
    curve_is_straight(face)
    return keys.animation_data.action


def baked_heights(peak):
    """Return how high the moved vertex stands within the 9 baked frames of a take."""
    jaw = peak * np.arange(9) / 8
    return pytest.approx(jaw + np.interp(np.arange(9), [0, 4, 8], jaw[[0, 4, 8]] ** 2), abs=1e-4)


def heights_mm(face, points, start=1):
    return [height_mm(face, frame, points) for frame in range(start, start + 9)]


def test_each_take_keeps_its_own_bake(face, points):
    bpy.ops.imface.bake_animation(start=1, end=9)
    first = face.data.shape_keys.animation_data.action
    height_mm(face, 9, points)  # where the in-between acts when the next take comes
    second = new_take(face, 0.6)
    bpy.ops.imface.bake_animation(start=1, end=9)
    assert heights_mm(face, points) == baked_heights(0.6)
    for action, peak in ((first, 1), (second, 0.6)):
        height_mm(face, 9, points)
        play(face, action)
        assert heights_mm(face, points) == baked_heights(peak)
    before = names(face)
    bpy.ops.imface.bake_animation(start=1, end=9)
    assert sorted(names(face)) == sorted(before)
    play(face, first)
    assert heights_mm(face, points) == baked_heights(1)
    bpy.ops.imface.remove_bake()
    assert names(face) == EXPRESSIONS
    assert not any("In-Between" in curve.data_path for curve in curves_of(face))
    play(face, second)
    assert not any("In-Between" in curve.data_path for curve in curves_of(face))


def test_takes_of_a_library_are_left_as_they_are(face, points, tmp_path):
    bpy.ops.imface.bake_animation(start=1, end=9)
    first, library = face.data.shape_keys.animation_data.action, str(tmp_path / "takes.blend")
    bpy.data.libraries.write(library, {first})
    new_take(face, 0.6)
    bpy.data.actions.remove(first)
    with bpy.data.libraries.load(library, link=True) as (there, here):
        here.actions = list(there.actions)
    curves = len(curves_in(here.actions[0]))
    bpy.ops.imface.bake_animation(start=1, end=9)
    assert heights_mm(face, points) == baked_heights(0.6)
    assert bpy.ops.imface.remove_bake() == {"FINISHED"}
    assert names(face) == EXPRESSIONS
    assert len(curves_in(here.actions[0])) == curves


@pytest.mark.skipif(bpy.app.version < (5, 0, 0), reason="An action has no slots")
def test_each_slot_of_an_action_keeps_its_own_bake(face, points):
    bpy.ops.imface.bake_animation(start=1, end=9)
    animation = face.data.shape_keys.animation_data
    first = animation.action_slot
    animation.action_slot = animation.action.slots.new(id_type="KEY", name="Second")
    for frame, value in ((1, 0), (9, 0.6), (11, 0)):
        bpy.ops.imface.keyframe_expression(expressions=f"jawOpen={value}", frame=frame)
    curve_is_straight(face)
    bpy.ops.imface.bake_animation(start=1, end=9)
    assert heights_mm(face, points) == baked_heights(0.6)
    animation.action_slot = first
    assert heights_mm(face, points) == baked_heights(1)


def test_a_neutral_loop_made_cyclic_keeps_its_length(face, points):
    offsets_mm = np.zeros((5, 5, 3), np.float32)
    offsets_mm[1:4, MOVED, 1] = 0.5, 1, 0.25
    in_betweens.write(face, offsets_mm[0], [1, 3, 6, 9, 11], offsets_mm)
    once = [height_mm(face, frame, points) for frame in range(1, 12)]
    assert once[5] == pytest.approx(0.625 + 1, abs=1e-4)
    for curve in curves_of(face):
        repeat(curve)
        curve.update()
    again = [height_mm(face, frame, points) for frame in range(11, 22)]
    assert again == pytest.approx(once, abs=1e-4)


def test_the_channels_of_in_betweens_fill_one_line(face):
    own = [curve.data_path for curve in curves_of(face)]
    first = bag_of(face)
    second = new_take(face, 0.6)
    bpy.ops.imface.bake_animation(start=1, end=9)
    for groups in (first.groups, bag_of(face).groups):
        assert groups.keys() == ["In-Betweens"]
        assert len(groups[0].channels) == 2
        assert not groups[0].show_expanded
    assert {curve.data_path for curve in curves_of(face) if curve.group is None} == set(own)
    bpy.ops.imface.bake_animation(start=1, end=9)
    assert bag_of(face).groups.keys() == ["In-Betweens"]
    bpy.ops.imface.remove_bake()
    assert not first.groups
    assert not bag_of(face).groups
    assert [curve.data_path for curve in curves_in(second)] == own


def test_a_sampled_bake_is_refused_before_any_work(face, points, assert_refused):
    bpy.ops.imface.bake_animation(start=1, end=9)
    for curve in curves_of(face):
        curve.convert_to_samples(0, 12)
    sentence = "'In-Between [59]' has samples instead of keyframes. Use Samples to Keys"
    assert_refused(bpy.ops.imface.bake_animation, sentence, start=1, end=9)
    assert height_mm(face, 9, points) == pytest.approx(2, abs=1e-4)


def test_a_sampled_bake_of_another_take_stays(face, points):
    bpy.ops.imface.bake_animation(start=1, end=9)
    first = face.data.shape_keys.animation_data.action
    for curve in curves_of(face):
        curve.convert_to_samples(0, 12)
    new_take(face, 0.6)
    bpy.ops.imface.bake_animation(start=1, end=9)
    play(face, first)
    assert height_mm(face, 9, points) == pytest.approx(2, abs=1e-4)


def test_the_bake_of_a_deleted_take_is_removed_with_the_next_bake(face):
    bpy.ops.imface.bake_animation(start=1, end=9)
    first = face.data.shape_keys.animation_data.action
    new_take(face, 0.6)
    bpy.ops.imface.bake_animation(start=1, end=9)
    assert len(names(face)) == 8
    bpy.data.actions.remove(first)
    bpy.ops.imface.bake_animation(start=1, end=9)
    assert len(names(face)) == 6


def push_down(face, start):
    """Make an NLA strip of the action that is played, which acts within its frames alone."""
    animation = face.data.shape_keys.animation_data
    strip = animation.nla_tracks.new().strips.new("Take", start, animation.action)
    if hasattr(strip, "action_slot"):
        strip.action_slot = animation.action_slot
    strip.extrapolation = "NOTHING"
    animation.action = None
    return strip


def test_takes_of_nla_strips_keep_their_bakes(face, points):
    bpy.ops.imface.bake_animation(start=1, end=9)
    push_down(face, 1)
    for frame, value in ((31, 0), (39, 0.6), (41, 0)):
        bpy.ops.imface.keyframe_expression(expressions=f"jawOpen={value}", frame=frame)
    curve_is_straight(face)
    bpy.ops.imface.bake_animation(start=31, end=39)
    assert heights_mm(face, points, 31) == baked_heights(0.6)
    push_down(face, 31)
    for start, peak in ((1, 1), (31, 0.6), (1, 1)):
        assert heights_mm(face, points, start) == baked_heights(peak)


def test_a_bake_over_nla_strips_leaves_those_of_the_strips_alone(face, points, assert_refused):
    bpy.ops.imface.bake_animation(start=1, end=9)
    push_down(face, 1)
    for frame, value in ((31, 0), (39, 0.6), (41, 0)):
        bpy.ops.imface.keyframe_expression(expressions=f"jawOpen={value}", frame=frame)
    curve_is_straight(face)
    push_down(face, 31)
    sentence = "An NLA strip of 'Face' plays a bake within frames 4 to 6. Use Remove Bake first"
    assert_refused(bpy.ops.imface.bake_animation, sentence, start=4, end=6)
    bpy.ops.imface.bake_animation(start=31, end=39)
    for start, peak in ((1, 1), (31, 0.6), (1, 1)):
        assert heights_mm(face, points, start) == baked_heights(peak)
    assert_refused(bpy.ops.imface.bake_animation, sentence, start=4, end=6)


@pytest.mark.parametrize(("blend", "influence"), [("REPLACE", 1), ("ADD", 1), ("REPLACE", 0.5)])
def test_a_bake_stands_in_for_that_of_a_strip_below_where_its_action_alone_counts(
    face, points, assert_refused, blend, influence
):
    bpy.ops.imface.bake_animation(start=1, end=9)
    push_down(face, 1)
    jaw = face.data.shape_keys.key_blocks["jawOpen"]
    for frame, jaw.value in ((1, 0), (9, 0.6)):
        jaw.keyframe_insert("value", frame=frame)
    curve_is_straight(face)
    animation = face.data.shape_keys.animation_data
    animation.action_blend_type, animation.action_influence = blend, influence
    if (blend, influence) == ("REPLACE", 1):
        bpy.ops.imface.bake_animation(start=1, end=9)
        assert heights_mm(face, points) == baked_heights(0.6)
    else:
        sentence = "An NLA strip of 'Face' plays a bake within frames 1 to 9"
        assert_refused(bpy.ops.imface.bake_animation, sentence, start=1, end=9)


def test_a_take_without_a_bake_shows_none(face, points):
    bpy.ops.imface.bake_animation(start=1, end=9)
    first = face.data.shape_keys.animation_data.action
    assert height_mm(face, 9, points) == pytest.approx(2, abs=1e-4)
    second = new_take(face, 0.6)
    assert [key.value for key in in_betweens.own_keys(face)] == [0, 0]  # at once
    assert height_mm(face, 9, points) == pytest.approx(0.6, abs=1e-4)
    play(face, first)
    assert height_mm(face, 9, points) == pytest.approx(2, abs=1e-4)
    play(face, second)
    assert height_mm(face, 9, points) == pytest.approx(0.6, abs=1e-4)


def straight_heights(peak):
    """Return how high the moved vertex stands within 9 frames of a take without a bake."""
    return pytest.approx(peak * np.arange(9) / 8, abs=1e-4)


def test_takes_keyed_before_any_bake_show_none(face, points):
    first = face.data.shape_keys.animation_data.action
    second = new_take(face, 0.6)
    bpy.ops.imface.bake_animation(start=1, end=9)
    assert heights_mm(face, points) == baked_heights(0.6)  # and stands at the last one
    play(face, first)
    assert heights_mm(face, points) == straight_heights(1)
    play(face, second)
    bpy.ops.imface.remove_bake()
    assert not any("In-Between" in curve.data_path for curve in curves_in(first))


def test_a_take_that_another_face_could_play_is_left_as_it_is(face, make_face, select_only):
    first = face.data.shape_keys.animation_data.action
    new_take(face, 0.6)
    make_face()
    bpy.ops.imface.add_expressions()
    select_only(face)
    bpy.ops.imface.bake_animation(start=1, end=9)
    assert len(curves_in(first)) == 3


def test_a_layer_over_a_baked_strip_leaves_its_shapes_as_they_are(face, points):
    keys = face.data.shape_keys
    push_down(face, 1)
    smile = keys.key_blocks["mouthSmileLeft"]
    smile.keyframe_insert("value", frame=1)
    blinks = keys.animation_data.action
    push_down(face, 1)
    take = keys.animation_data.nla_tracks[0].strips[0].action
    play(face, take)
    bpy.ops.imface.bake_animation(start=1, end=9)
    assert len(curves_in(blinks)) == 1
    keys.animation_data.action = None
    assert heights_mm(face, points) == baked_heights(1)


def test_a_bake_that_is_added_to_strips_acts_where_it_should(face, points):
    push_down(face, 1)
    animation = face.data.shape_keys.animation_data
    animation.action_blend_type = "ADD"
    face.data.shape_keys.key_blocks["mouthSmileLeft"].keyframe_insert("value", frame=1)
    bpy.ops.imface.bake_animation(start=1, end=9)
    assert heights_mm(face, points) == baked_heights(1)


@pytest.mark.parametrize(("blend", "influence"), [("REPLACE", 0.5), ("MULTIPLY", 1)])
def test_a_bake_that_would_act_with_another_strength_is_refused(
    face, points, assert_refused, blend, influence
):
    take = face.data.shape_keys.animation_data.action
    push_down(face, 1)
    play(face, take.copy())
    animation = face.data.shape_keys.animation_data
    animation.action_blend_type, animation.action_influence = blend, influence
    sentence = "The action of 'Face' blends with its NLA strips, and so would its bake. Set its"
    assert_refused(bpy.ops.imface.bake_animation, sentence, start=1, end=9)
    animation.use_nla = False  # then Blender blends with nothing
    assert bpy.ops.imface.bake_animation(start=1, end=9) == {"FINISHED"}
    animation.use_nla, animation.nla_tracks[0].mute = True, True
    assert bpy.ops.imface.bake_animation(start=1, end=9) == {"FINISHED"}
    assert heights_mm(face, points) == baked_heights(1)


def test_a_bake_while_a_track_plays_solo_is_refused(face, assert_refused):
    take = face.data.shape_keys.animation_data.action
    push_down(face, 1)
    play(face, take.copy())
    face.data.shape_keys.animation_data.nla_tracks[0].is_solo = True
    sentence = "An NLA track of 'Face' plays solo, and its action not at all."
    assert_refused(bpy.ops.imface.bake_animation, sentence, start=1, end=9)


def test_a_reset_takes_a_bake_along_whose_action_is_gone(face, points):
    bpy.ops.imface.bake_animation(start=1, end=9)
    height_mm(face, 9, points)
    face.data.shape_keys.animation_data.action = None
    bpy.ops.imface.reset_expressions()
    assert height_mm(face, 9, points) == pytest.approx(0, abs=1e-4)


def test_what_an_action_that_is_gone_left_standing_is_no_bake_of_a_strip(face, points):
    bpy.ops.imface.bake_animation(start=1, end=9)
    height_mm(face, 9, points)
    face.data.shape_keys.animation_data.action = None
    assert bpy.ops.imface.bake_animation(start=1, end=2) == {"FINISHED"}
    assert height_mm(face, 1, points) == pytest.approx(2, abs=1e-4)  # the jaw stays open


@pytest.fixture
def twin(face, select_only):
    """Return a copy of the baked face that plays the same action."""
    bpy.ops.imface.bake_animation(start=1, end=9)
    copy = face.copy()
    copy.data = face.data.copy()
    bpy.context.scene.collection.objects.link(copy)
    assert copy.data.shape_keys.animation_data.action == face.data.shape_keys.animation_data.action
    return select_only(copy)


def test_removing_a_copy_s_bake_leaves_the_first_face_its_own(face, twin, points):
    bpy.ops.imface.remove_bake()
    assert names(twin) == EXPRESSIONS
    assert heights_mm(face, points) == baked_heights(1)


def test_a_copy_that_follows_the_same_bake_is_refused(face, twin, assert_refused, points):
    sentence = "'Face.001' and 'Face' follow the same bake in one action. Give one of them"
    assert_refused(bpy.ops.imface.bake_animation, sentence, start=1, end=9)
    keys = twin.data.shape_keys
    play(twin, keys.animation_data.action.copy())
    bpy.ops.imface.bake_animation(start=4, end=6)
    assert heights_mm(face, points) == baked_heights(1)
    assert height_mm(twin, 5, points) == pytest.approx(0.75, abs=1e-4)


def test_faces_that_share_an_action_have_each_their_own_bake(face, make_face, select_only, points):
    other = make_face(2)
    bpy.ops.imface.add_expressions()
    other.data.shape_keys.animation_data_create()
    play(other, face.data.shape_keys.animation_data.action)
    select_only(face)
    bpy.ops.imface.bake_animation(start=1, end=9)
    select_only(other)
    bpy.ops.imface.bake_animation(start=4, end=6)
    assert heights_mm(face, points) == baked_heights(1)
    bpy.ops.imface.remove_bake()
    assert heights_mm(face, points) == baked_heights(1)
    assert names(other) == EXPRESSIONS
