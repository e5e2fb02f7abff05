# SPDX-License-Identifier: GPL-3.0-or-later
"""Presets of a face's shape: saved, replaced by and mixed with, refused, removed."""

import json
import shutil
from types import SimpleNamespace

import bpy
import pytest

from imface_blender import presets, sliders
from imface_blender.operators.preset import IMFACE_OT_save_preset
from imface_blender.panels import sections
from imface_blender.slider_names import NAMES
from tests.blender.test_panels import Layout, draw

WITCH = {"noseLength": 2.0, "jawWidth": -1.0}


@pytest.fixture(autouse=True)
def no_presets():
    yield
    shutil.rmtree(presets.folder(), ignore_errors=True)


@pytest.fixture
def face(make_face):
    face = make_face()
    bpy.ops.imface.edit_shape()
    return face


@pytest.fixture
def witch(face):
    """Save a preset and return a face whose sliders stand at 0."""
    for name, value in WITCH.items():
        setattr(face.data.imface_sliders, name, value)
    assert bpy.ops.imface.save_preset(preset="Witch") == {"FINISHED"}
    bpy.ops.imface.reset_shape()
    return face


def values(face):
    return sliders.values_of(face.data)


def test_replace_sets_all_sliders(witch, points):
    reset = points(witch.data.vertices)
    witch.data.imface_sliders.noseWidth = 3
    assert bpy.ops.imface.apply_preset(preset="Witch") == {"FINISHED"}
    assert values(witch) == pytest.approx(WITCH)
    preview = sliders.preview_of(witch).offset(WITCH)
    assert points(witch.data.vertices) == pytest.approx(reset + preview, abs=1e-6)


@pytest.mark.parametrize("factor", [0.0, 0.25, 1.0])
def test_mix_moves_all_sliders_towards_it(witch, factor):
    witch.data.imface_sliders.noseLength = 1
    witch.data.imface_sliders.noseWidth = 3
    bpy.ops.imface.apply_preset(preset="Witch", method="MIX", factor=factor)
    wanted = {"noseLength": 1 + factor, "jawWidth": -factor, "noseWidth": 3 * (1 - factor)}
    found = {name: values(witch).get(name, 0) for name in wanted}
    assert found == pytest.approx(wanted)


def test_a_preset_serves_another_face(witch, make_face):
    other = make_face(seed=2)
    with pytest.raises(RuntimeError, match="Press Edit Face Shape first"):
        bpy.ops.imface.apply_preset(preset="Witch")
    bpy.ops.imface.edit_shape()
    bpy.ops.imface.apply_preset(preset="Witch")
    assert values(other) == pytest.approx(WITCH)
    assert values(witch) == {}


def test_locked_sliders_stay(witch):
    witch.data.imface_sliders.lock_Jaw = True
    witch.data.imface_sliders.jawWidth = 3
    bpy.ops.imface.apply_preset(preset="Witch")
    assert values(witch) == pytest.approx({"noseLength": 2, "jawWidth": 3})


def test_it_is_one_step_of_undo(witch, points):
    name = witch.name
    bpy.ops.ed.undo_push(message="before")
    before = points(witch.data.vertices)
    bpy.ops.imface.apply_preset(preset="Witch")
    bpy.ops.ed.undo_push(message="after")
    moved = points(bpy.data.objects[name].data.vertices)
    bpy.ops.ed.undo()
    face = bpy.data.objects[name]
    assert values(face) == {}
    assert points(face.data.vertices) == pytest.approx(before)
    bpy.ops.ed.redo()
    face = bpy.data.objects[name]
    assert values(face) == pytest.approx(WITCH)
    assert points(face.data.vertices) == pytest.approx(moved)


def test_a_preset_is_replaced_by_one_of_its_name_and_can_be_removed(witch):
    assert bpy.ops.imface.save_preset(preset="Witch") == {"FINISHED"}  # all at 0
    bpy.ops.imface.save_preset(preset="Größe: 1/2 + mehr")
    bpy.ops.imface.save_preset(preset="../_%41")
    assert presets.names() == ["../_%41", "Größe: 1/2 + mehr", "Witch"]
    assert len(list(presets.folder().iterdir())) == 3
    witch.data.imface_sliders.noseLength = 1
    bpy.ops.imface.apply_preset(preset="Witch")
    assert values(witch) == {}
    assert bpy.ops.imface.remove_preset(preset="Witch") == {"FINISHED"}
    assert presets.names() == ["../_%41", "Größe: 1/2 + mehr"]
    with pytest.raises(RuntimeError, match="cannot be deleted: No such file"):
        bpy.ops.imface.remove_preset(preset="Witch")


def test_the_dialog_offers_a_free_name_and_warns_of_one_that_is_taken(witch):
    manager = SimpleNamespace(invoke_props_dialog=lambda _: {"RUNNING_MODAL"})
    asked = SimpleNamespace(object=SimpleNamespace(name="Witch"), window_manager=manager)
    rna = bpy.ops.imface.save_preset.get_rna_type()
    dialog = SimpleNamespace(preset="", layout=Layout(), bl_rna=rna)
    assert IMFACE_OT_save_preset.invoke(dialog, asked, None) == {"RUNNING_MODAL"}
    assert dialog.preset == "Witch 2"
    warning = "OK replaces the preset of this name"
    IMFACE_OT_save_preset.draw(dialog, asked)
    assert warning not in dialog.layout.drawn
    dialog.preset = "Witch "
    IMFACE_OT_save_preset.draw(dialog, asked)
    assert warning in dialog.layout.drawn
    bpy.ops.imface.save_preset(preset="Witch 2")
    assert presets.free_name("Witch") == "Witch 3"
    assert presets.free_name("Elf") == "Elf"


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"sliders": [1]}',
        '{"sliders": {"noseLength": "1"}}',
        '{"sliders": {"noseLength": NaN}}',
        '{"sliders": {"noseLength": 6}}',
        '{"sliders": {"unheardOf": 1}}',
    ],
)
def test_a_damaged_preset_is_one_sentence_and_changes_nothing(witch, text, assert_refused):
    presets.path_of("Witch").write_text(text)
    assert_refused(bpy.ops.imface.apply_preset, "'Witch' is damaged. Remove it", preset="Witch")
    assert values(witch) == {}


def test_what_is_not_there_or_has_no_name_is_refused(face, assert_refused):
    apply, save = bpy.ops.imface.apply_preset, bpy.ops.imface.save_preset
    assert_refused(apply, "There is no preset 'Elf'. Save one", preset="Elf")
    assert_refused(save, "The preset has no name. Give it one.", preset=" ")
    assert presets.names() == []


def test_a_folder_that_cannot_be_made_is_named(face, assert_refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = presets.folder()
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("a file where the folder should be")
    sentence = f"The folder {folder} cannot be made. Allow that"
    assert_refused(bpy.ops.imface.save_preset, sentence, preset="Witch")
    folder.unlink()
    assert not list(tmp_path.iterdir())


def test_the_file_holds_the_values_alone(witch):
    content = json.loads(presets.path_of("Witch").read_text())
    assert content == {"sliders": pytest.approx(WITCH)}
    assert set(WITCH) <= set(NAMES)


def test_the_menu_lists_them_with_the_panel_s_choices(witch):
    settings = bpy.context.scene.imface
    assert "factor" not in draw(sections.IMFACE_PT_shape).drawn
    settings.method, settings.factor = "MIX", 0.25
    assert "factor" in draw(sections.IMFACE_PT_shape).drawn
    menu = draw(sections.IMFACE_MT_presets)
    button = menu.buttons["Witch"]
    assert (button.preset, button.method, button.factor) == ("Witch", "MIX", 0.25)
    assert menu.buttons["imface.remove_preset"].preset == "Witch"
    bpy.ops.imface.remove_preset(preset="Witch")
    assert draw(sections.IMFACE_MT_presets).drawn == ["None yet: save one with the button beside"]
