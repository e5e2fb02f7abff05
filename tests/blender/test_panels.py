# SPDX-License-Identifier: GPL-3.0-or-later
"""The panels: what they say and what their buttons do, drawn to a layout that writes it down."""

import time
from types import SimpleNamespace

import bpy
import numpy as np
import pytest

from imface_blender import catch_up, fit_error, jobs, panels
from imface_blender.operators import CLASSES
from imface_blender.panels import menus, sections
from imface_blender.slider_names import NAMES


class Layout:
    """Writes down what is drawn; rows and boxes write into the same list."""

    def __init__(self, closed=()):
        self.drawn = []
        self.closed = closed
        self.icons = []
        self.buttons = {}
        self.locks = set()

    def row(self, align=False):
        return self

    box = column = row

    def panel(self, idname, default_closed=False):
        self.drawn.append(idname)
        return self, None if idname in self.closed else self

    def label(self, text="", icon="NONE", text_ctxt="", translate=True):
        self.drawn.append(text)
        self.icons.append(icon)

    def progress(self, text="", factor=0.0, translate=True):
        self.drawn.append(f"{text} {factor:.0%}")

    def prop(self, owner, name, text=None, icon="NONE", slider=False, translate=True):
        assert name in owner.bl_rna.properties
        self.drawn.append(text or name)
        if icon == "LOCKED":
            self.locks.add(name)

    def menu(self, menu, text="", translate=True):
        assert getattr(bpy.types, menu).is_registered
        self.drawn.append(text or menu)

    def separator(self):
        pass

    def operator(self, operator, text="", icon="NONE", translate=True):
        category, name = operator.split(".")
        rna = getattr(getattr(bpy.ops, category), name).get_rna_type()
        button = SimpleNamespace(bl_rna=rna)
        self.buttons[text or operator] = button
        self.drawn.append(text or operator)
        return button


def draw(panel, closed=()):
    layout = Layout(closed)
    panel.draw(SimpleNamespace(layout=layout), bpy.context)
    return layout


def test_every_panel_is_in_the_tab_generate_face():
    names = [cls.bl_label for cls in panels.CLASSES]
    expected = ["Generate Face", "Generate", "Fit Scan", "Blend", "Shape", "Expressions"]
    expected.append("Animate")
    assert names == expected
    for cls in panels.CLASSES:
        assert cls.is_registered
        assert (cls.bl_category, cls.bl_region_type) == ("Generate Face", "UI")


@pytest.mark.parametrize("panel", sections.CLASSES)
def test_sections_have_buttons_whatever_is_active(panel, make_mesh):
    buttons = [set(draw(panel).buttons)]
    make_mesh()
    buttons.append(set(draw(panel).buttons))
    bpy.ops.imface.fit_scan()
    buttons.append(set(draw(panel).buttons))
    assert buttons[0]
    assert buttons[0] == buttons[1] <= buttons[2]


@pytest.mark.parametrize("report", ["{", "[]", '{"scan_to_fit_mean_mm": 0.5, "coverage": 0.9}'])
def test_a_report_of_another_version_is_not_shown(make_mesh, report):
    make_mesh()
    bpy.ops.imface.fit_scan()
    bpy.context.object.imface.report = report
    assert "mm mean" not in " ".join(draw(sections.IMFACE_PT_fit_scan).drawn)


def test_buttons_carry_the_panel_s_settings():
    settings = bpy.context.scene.imface
    settings.seed, settings.strength, settings.topology = 5, 0.5, "SURFACE"
    settings.resolution = 64
    button = draw(sections.IMFACE_PT_generate).buttons["imface.generate"]
    assert (button.seed, button.strength, button.topology) == (5, 0.5, "SURFACE")
    assert button.resolution == 64
    settings.refine = True
    layout = draw(sections.IMFACE_PT_fit_scan)
    assert "refine" in layout.drawn
    assert layout.buttons["imface.fit_scan"].refine
    settings.weight, settings.what = 0.25, "BOTH"
    button = draw(sections.IMFACE_PT_blend).buttons["imface.blend"]
    assert (button.weight, button.what) == (0.25, "BOTH")
    settings.names, settings.expression_set = "jawOpen", "FACESCAPE"
    button = draw(sections.IMFACE_PT_expressions).buttons["imface.add_expressions"]
    assert (button.names, button.expression_set) == ("jawOpen", "FACESCAPE")


def test_what_the_regions_are_stands_above_them():
    drawn = draw(sections.IMFACE_PT_blend).drawn
    assert drawn[drawn.index("regions") - 1] == "Regions"


@pytest.mark.parametrize("topology", ["SURFACE", "QUADS"])
def test_the_resolution_is_shown_where_it_matters(topology):
    assert "resolution" not in draw(sections.IMFACE_PT_generate).drawn
    bpy.context.scene.imface.topology = topology
    assert "resolution" in draw(sections.IMFACE_PT_generate).drawn


def test_sliders_are_shown_with_millimetres_once_they_move(make_mesh, make_face):
    make_mesh()
    assert "Length" not in draw(sections.IMFACE_PT_shape).drawn
    face = make_face(seed=77)
    assert "Length" in draw(sections.IMFACE_PT_shape).drawn
    bpy.ops.imface.edit_shape()
    face.data.imface_sliders.noseLength = 0.5
    unit = 1 + NAMES.index("noseLength")  # the fake's
    drawn = draw(sections.IMFACE_PT_shape).drawn
    assert f"Length {unit / 2:+.1f} mm" in drawn
    assert "Axis 10 +0.0 mm" in drawn
    face.data.imface_sliders.lock_Nose = True
    assert draw(sections.IMFACE_PT_shape).locks == {"lock_Nose"}


def test_an_open_shape_section_gets_the_sliders_ready(make_face):
    make_face(seed=78)
    layout = draw(sections.IMFACE_PT_shape)
    assert "The sliders are being made ready" in layout.drawn
    assert "imface.edit_shape" not in layout.buttons
    catch_up.bring_up_to_date()
    drawn = draw(sections.IMFACE_PT_shape).drawn
    assert "The sliders are being made ready" not in drawn
    assert "Length +0.0 mm" in drawn


def test_why_sliders_are_grey_stands_beside_them(make_face, monkeypatch):
    face = make_face(seed=79)
    catch_up.give_up(face.session_uid, "The worker failed.")
    layout = draw(sections.IMFACE_PT_shape)
    assert "The worker failed." in layout.drawn
    assert "imface.edit_shape" in layout.buttons
    assert bpy.ops.imface.edit_shape() == {"FINISHED"}
    face.data.vertices.add(1)
    drawn = " ".join(draw(sections.IMFACE_PT_shape).drawn)
    assert "'Face' has 6 vertices, but its codes give 5" in drawn
    make_face(topology="SURFACE")
    assert "is a raw surface" in " ".join(draw(sections.IMFACE_PT_shape).drawn)


def test_a_shape_that_stays_a_preview_is_told_with_a_button(make_face):
    face = make_face(seed=80)
    bpy.ops.imface.edit_shape()
    face.data.imface_sliders.noseLength = 1
    before = draw(sections.IMFACE_PT_shape).drawn
    assert not any("preview" in text for text in before)
    catch_up.give_up(face.session_uid, "The worker failed.")
    catch_up._waiting.clear()
    drawn = draw(sections.IMFACE_PT_shape).drawn
    place = drawn.index("The shape is a preview: The worker")
    assert drawn[place + 1 : place + 3] == ["failed.", "imface.refine_shape"]


@pytest.fixture
def lively_face(make_face):
    face = make_face()
    bpy.ops.imface.add_expressions()
    face.shape_key_add(name="mouthOfMyOwn")
    return face


def test_expressions_are_moved_where_they_were_made(lively_face):
    drawn = draw(sections.IMFACE_PT_expressions).drawn
    assert drawn[drawn.index("IMFACE_PT_jaw") :] == [
        *("IMFACE_PT_jaw", "Jaw", "jawOpen"),
        *("IMFACE_PT_mouth", "Mouth", "mouthSmileLeft", "mouthSmileRight"),
    ]
    closed = draw(sections.IMFACE_PT_expressions, closed=("IMFACE_PT_mouth",)).drawn
    assert closed[-2:] == ["IMFACE_PT_mouth", "Mouth"]


@pytest.mark.parametrize(
    "name",
    [
        "smile",
        "mouth_stretch",
        "anger",
        "jaw_left",
        "jaw_right",
        "jaw_forward",
        "mouth_left",
        "mouth_right",
        "dimpler",
        "chin_raiser",
        "lip_puckerer",
        "lip_funneler",
        "sadness",
        "lip_roll",
        "grin",
        "cheek_blowing",
        "eye_closed",
        "brow_raiser",
        "brow_lower",
        "browInnerUp",
        "cheekPuff",
        "eyeBlinkLeft",
        "jawOpen",
        "mouthClose",
        "noseSneerLeft",
        "tongueOut",
    ],
)
def test_every_expression_has_one_region(name):
    regions = sections.EXPRESSION_REGIONS.values()
    assert sum(name.startswith(beginnings) for beginnings in regions) == 1


def test_expressions_are_filtered_by_name(lively_face):
    bpy.context.scene.imface.filter = "LEFT"
    drawn = draw(sections.IMFACE_PT_expressions).drawn
    assert drawn[-2:] == ["imface.reset_expressions", "mouthSmileLeft"]


def test_a_face_without_expressions_has_none_to_move(make_face):
    make_face()
    assert "imface.reset_expressions" not in draw(sections.IMFACE_PT_expressions).drawn


@pytest.mark.parametrize("panel", sections.CLASSES)
def test_what_is_needed_first_is_open(panel):
    opened = not getattr(panel, "bl_options", set())
    assert opened == (panel.bl_label in ("Generate", "Fit Scan", "Shape"))


def test_blender_s_menus_have_all_that_artists_look_for():
    bpy.context.scene.imface.seed = 7
    layout = Layout()
    for _, draw_entries in menus.PLACES:
        draw_entries(SimpleNamespace(layout=layout), bpy.context)
    assert layout.buttons["Face"].seed == 7  # as in the panel
    assert [text for text in layout.drawn if "." in text] == [
        "Face Scan (.obj, .ply, .stl, .glb)",
        "Face Capture (.csv)",
    ]
    buttons = draw(menus.IMFACE_MT_object).buttons
    shown = {*buttons, "imface.generate", "imface.fit_file", "imface.import_capture"}
    inner = {cls for cls in CLASSES if "INTERNAL" in getattr(cls, "bl_options", ())}
    of_presets = {"imface.apply_preset", "imface.remove_preset"}
    of_the_worker = {cls.bl_idname for cls in CLASSES if cls.__module__.endswith(".worker")}
    of_scripts = {"imface.set_sliders"}
    known = {cls.bl_idname for cls in {*CLASSES} - inner}
    assert known - shown - of_presets - of_the_worker == of_scripts
    assert buttons["imface.bake_animation"].end == bpy.context.scene.frame_end


def test_poses_to_keyframe():
    bpy.context.scene.imface.expressions = "jawOpen=0.2"
    buttons = draw(sections.IMFACE_PT_animate).buttons
    assert buttons["Neutral"].expressions == ""
    assert buttons["Smile"].expressions == "mouthSmileLeft=1, mouthSmileRight=1"
    assert buttons["imface.keyframe_expression"].expressions == "jawOpen=0.2"
    assert not hasattr(buttons["imface.import_capture"], "strength")  # not that of Generate


def test_a_fit_s_report_is_shown(make_mesh):
    make_mesh()
    bpy.ops.imface.fit_scan()
    layout = draw(sections.IMFACE_PT_fit_scan)
    text = " ".join(layout.drawn)
    assert "0.60 mm mean, 97 % within 2 mm, 10 % of the face not seen" in text
    assert text.endswith(fit_error.LEGEND)
    assert set(layout.icons) == {"NONE"}


def test_a_fit_that_was_reshaped_shows_no_report(make_mesh):
    make_mesh()
    bpy.ops.imface.fit_scan()
    bpy.ops.imface.edit_shape()
    bpy.context.object.data.imface_sliders.noseLength = 1
    assert "mm mean" not in " ".join(draw(sections.IMFACE_PT_fit_scan).drawn)


def test_a_poor_fit_is_said_with_a_sign(make_mesh):
    make_mesh(faces=((0, 1, 2),) * 3)
    bpy.ops.imface.fit_scan()
    layout = draw(sections.IMFACE_PT_fit_scan)
    text = " ".join(layout.drawn)
    assert "poor fit: check that nothing hides eyes, nose and mouth" in text
    assert layout.icons[0] == "ERROR"
    assert set(layout.icons[1:]) == {"NONE"}


def test_the_head_shows_the_worker_the_job_and_the_error():
    head = panels.CLASSES[0]
    jobs.close_worker()
    assert draw(head).drawn == ["The worker has not started yet", "imface.check_worker"]
    job = jobs.status.job = SimpleNamespace(fraction=0.25, message="Snapping", preview=None)
    jobs.status.label = "Fitting a scan"
    jobs.status.started = time.monotonic()
    assert draw(head).drawn[2:] == ["Fitting a scan", "Snapping 25%", "imface.cancel_job"]
    jobs.status.line = [jobs.Turn("Blending faces", None)]
    assert draw(head).drawn[4:] == ["imface.cancel_job", "Blending faces", "imface.cancel_job"]
    jobs.status.line = []
    job.preview = np.zeros((2, 2, 3))
    assert draw(head).drawn[4:] == ["imface.settle_job", "imface.cancel_job"]
    jobs.status.waiting = "Ready: return to Object Mode to see it"
    assert "Ready: return to Object Mode to see it" in draw(head).drawn
    jobs.status.job = None
    jobs.status.error = "A sentence that is too long for one line of the sidebar."
    drawn = draw(head).drawn
    assert drawn[2:] == [
        "A sentence that is too long for one",
        "line of the sidebar.",
        "imface.copy_details",
        "imface.dismiss_error",
    ]
    assert bpy.ops.imface.dismiss_error() == {"FINISHED"}
    assert draw(head).drawn == drawn[:2]
    with pytest.raises(RuntimeError, match="There was no error"):
        bpy.ops.imface.dismiss_error()


def test_a_job_that_nobody_asked_for_takes_one_button_s_place_and_moves_none():
    head = panels.CLASSES[0]
    jobs.close_worker()
    jobs.status.job = SimpleNamespace(fraction=0.25, message="Meshing", preview=None)
    jobs.status.label, jobs.status.by_itself = "Refining the shape", True
    row = ["Refining the shape 25%", "imface.cancel_job"]
    assert draw(head).drawn == ["The worker has not started yet", *row]
    jobs.status.waiting = "Ready: return to Object Mode to see it"
    assert draw(head).drawn[1] == "Ready: return to Object Mode to see it 25%"
    jobs.status.job = None
    assert draw(head).drawn == ["The worker has not started yet", "imface.check_worker"]


@pytest.mark.parametrize(
    ("past", "fraction", "sentence"),
    [
        (10, 0.25, "About 30 s left"),
        (60, 0.25, "About 3 min left"),
        (60, 0.05, None),
        (1, 0.5, None),
    ],
)
def test_the_time_left_is_told_once_it_can_be(monkeypatch, past, fraction, sentence):
    job = SimpleNamespace(fraction=fraction, message="Snapping", preview=None)
    monkeypatch.setattr(jobs.status, "job", job)
    monkeypatch.setattr(jobs.status, "started", time.monotonic() - past)
    *_, told, cancel = draw(panels.CLASSES[0]).drawn
    assert cancel == "imface.cancel_job"
    assert (told == sentence) if sentence else told.endswith("%")


def test_the_preferences_draw():
    preferences = bpy.types.AddonPreferences.bl_rna_get_subclass_py("ImFacePreferences")
    layout = Layout()
    stand_in = SimpleNamespace(layout=layout, bl_rna=preferences.bl_rna)
    preferences.draw(stand_in, bpy.context)
    assert layout.drawn[:2] == ["worker_python", "idle_minutes"]
    assert layout.drawn[4] == "Runtime: none in this zip"
    assert list(layout.buttons) == [
        "imface.check_worker",
        "imface.use_gpu",
        "imface.free_memory",
        "imface.remove_runtime",
    ]
