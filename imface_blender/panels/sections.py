# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel's sections, one for each operator.

A button gets its values from the scene's settings; the operator itself reads only what it is
given, so that a script and the panel do the same.
"""

from typing import Any

import bpy

from .. import catch_up, faces, fit_error, presets, shape_keys, sliders
from ..mesh_io import mesh_of
from ..properties import SURFACES, of_scene
from ..slider_names import GROUPS, short_title
from ..slider_properties import lock_name, sliders_of
from ..translations import OWN_CONTEXT, label, word
from .main import Icon, draw_text

POSES = {
    "Neutral": "",
    "Smile": "mouthSmileLeft=1, mouthSmileRight=1",
    "Jaw Open": "jawOpen=1",
}
#: Region -> how the names of its expressions begin.
EXPRESSION_REGIONS = {
    "Brows": ("brow",),
    "Eyes": ("eye",),
    "Cheeks and Nose": ("cheek", "nose"),
    "Jaw": ("jaw", "chin"),
    "Mouth": ("mouth", "tongue", "lip", "dimpler"),
    "Whole Face": ("smile", "grin", "anger", "sadness"),
}


class _Section(bpy.types.Panel):
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Generate Face"
    bl_parent_id = "IMFACE_PT_main"


class IMFACE_PT_generate(_Section):
    """A random face"""

    bl_label = "Generate"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the seed, the mesh and the button."""
        _draw_choices(self.layout, context, "seed", "strength", "topology", "resolution")
        draw_button(self.layout, context, "imface.generate")
        row = self.layout.row(align=True)
        draw_button(row, context, "imface.random_gallery")
        draw_button(row, context, "imface.keep_face")
        row = self.layout.row(align=True)
        draw_button(row, context, "imface.import_codes")
        draw_button(row, context, "imface.export_codes")
        row = self.layout.row(align=True)
        draw_button(row, context, "imface.copy_codes")
        draw_button(row, context, "imface.paste_codes")
        draw_button(self.layout, context, "imface.save_asset")


class IMFACE_PT_fit_scan(_Section):
    """A face like a scan"""

    bl_label = "Fit Scan"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the mesh, the button, and how well the active face matches its scan."""
        _draw_choices(self.layout, context, "topology", "resolution", "refine")
        draw_button(self.layout, context, "imface.fit_scan")
        draw_button(self.layout, context, "imface.fit_file")
        draw_button(self.layout, context, "imface.mark_landmarks")
        face = context.object
        as_fitted = faces.is_face(face) and not sliders.values_of(mesh_of(face))
        if as_fitted and (report := faces.report_of(face)):
            sign: Icon = "ERROR" if faces.is_poor_fit(report) else "NONE"
            draw_text(self.layout, faces.report_line(report), sign)
            if fit_error.has_errors(face):
                self.layout.operator("imface.show_fit_error")
                draw_text(self.layout, label(fit_error.LEGEND))


class IMFACE_PT_blend(_Section):
    """A face between two"""

    bl_label = "Blend"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012 - Blender only reads it

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the weight, what is mixed, the mesh, the buttons and the active face's blends."""
        _draw_choices(self.layout, context, "weight", "what")
        column = self.layout.column(align=True)
        column.label(text="Regions")  # the buttons do not say it
        column.prop(of_scene(context.scene), "regions")
        _draw_choices(self.layout, context, "topology", "resolution")
        draw_button(self.layout, context, "imface.blend")
        draw_button(self.layout, context, "imface.blend_key")
        draw_button(self.layout, context, "imface.morph")
        if faces.is_face(context.object) and (keys := shape_keys.blend_keys(context.object)):
            _draw_values(self.layout, keys)


class IMFACE_PT_shape(_Section):
    """Sliders of a face's shape"""

    bl_label = "Shape"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the buttons and, once there is a face, its sliders; unmovable ones can be read.

        To be drawn is to ask for them: this section is open.
        """
        _draw_choices(self.layout, context, "seed", "strength")
        column = self.layout.column(align=True)
        for operator in ("imface.randomize_shape", "imface.reset_shape", "imface.refine_shape"):
            draw_button(column, context, operator)
        _draw_choices(self.layout, context, "method")
        if of_scene(context.scene).method == "MIX":
            _draw_choices(self.layout, context, "factor")
        row = self.layout.row(align=True)
        row.menu("IMFACE_MT_presets")
        row.operator("imface.save_preset", text="", icon="ADD")
        reason = faces.why_not_fixed(context.object)
        if not reason:
            catch_up.get_ready(context.object)
            _draw_news(self.layout, context.object)
            _draw_sliders(self.layout, context.object)
        elif faces.is_face(context.object):
            draw_text(self.layout, reason, "INFO")


class IMFACE_MT_presets(bpy.types.Menu):
    """Shape presets, each with a button that removes it"""

    bl_label = "Shape Presets"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw a row for each preset."""
        names, row = presets.names(), self.layout.row()
        left, right = row.column(), row.column()
        for name in names:
            draw_button(left, context, "imface.apply_preset", name).preset = name
            right.operator("imface.remove_preset", text="", icon="REMOVE").preset = name
        if not names:
            left.label(text="None yet: save one with the button beside")


def _draw_news(layout: bpy.types.UILayout, face: bpy.types.Object) -> None:
    """Draw why the sliders do not move, or the mesh stays a preview, and the button that helps."""
    if not (news := catch_up.news(face)):
        return
    box = layout.box()
    draw_text(box, news, "INFO")
    if operator := catch_up.remedy(face):
        box.operator(operator)


def _draw_sliders(layout: bpy.types.UILayout, face: bpy.types.Object) -> None:
    """Draw each region's sliders and locks, with the millimetres they stand for once known."""
    group, preview = sliders_of(mesh_of(face)), sliders.preview_of(face)
    movable, values = not sliders.why_not(face), sliders.values_of(mesh_of(face))
    for region, names in GROUPS.items():
        column = layout.box().column(align=True)
        row = column.row()
        row.label(text=region, text_ctxt=OWN_CONTEXT)
        _draw_lock(row, group, region)
        for name in names:
            text = word(short_title(region, name))
            if preview is not None:
                change_mm = values.get(name, 0.0) * preview.unit_mm[name]
                text = label("{slider} {change:+.1f} mm", slider=text, change=change_mm)
            row = column.row(align=True)
            slider = row.row(align=True)
            slider.enabled = movable
            slider.prop(group, name, text=text, slider=True, translate=False)
            _draw_lock(row, group, name)


def _draw_lock(layout: bpy.types.UILayout, group: bpy.types.PropertyGroup, name: str) -> None:
    locked = getattr(group, lock_name(name))
    layout.prop(group, lock_name(name), text="", icon="LOCKED" if locked else "UNLOCKED")


class IMFACE_PT_expressions(_Section):
    """Expressions as shape keys"""

    bl_label = "Expressions"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012 - Blender only reads it

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the choices, the buttons and, once the active face has any, its expressions."""
        _draw_choices(self.layout, context, "expression_set", "names")
        draw_button(self.layout, context, "imface.add_expressions")
        draw_button(self.layout, context, "imface.neutralize")
        if faces.is_face(context.object) and (keys := shape_keys.own_keys(context.object)):
            _draw_expressions(self.layout, context, keys)


def _draw_expressions(
    layout: bpy.types.UILayout, context: bpy.types.Context, keys: dict[str, bpy.types.ShapeKey]
) -> None:
    """Draw the expressions' own values by region, or those that the filter lets through."""
    row = layout.row(align=True)
    row.prop(of_scene(context.scene), "filter", text="", icon="VIEWZOOM")
    row.operator("imface.reset_expressions", text="", icon="LOOP_BACK")
    if wanted := of_scene(context.scene).filter.lower():
        _draw_values(layout, [key for key in keys.values() if wanted in key.name.lower()])
        return
    for region, beginnings in EXPRESSION_REGIONS.items():
        shown = [key for name, key in keys.items() if name.startswith(beginnings)]
        if shown:
            header, body = layout.panel(f"IMFACE_PT_{beginnings[0]}", default_closed=True)
            header.label(text=region)
            if body is not None:
                _draw_values(body, shown)


def _draw_values(layout: bpy.types.UILayout, keys: list[bpy.types.ShapeKey]) -> None:
    column = layout.column(align=True)
    for key in keys:
        row = column.row()
        row.active = not key.mute
        row.prop(key, "value", text=key.name, slider=True, translate=False)


class IMFACE_PT_animate(_Section):
    """Keyframes on expressions"""

    bl_label = "Animate"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012 - Blender only reads it

    def draw(self, context: bpy.types.Context) -> None:
        """Draw a button for each pose, one for the user's own values, then the rest."""
        row = self.layout.row(align=True)
        for name, expressions in POSES.items():
            button = row.operator("imface.keyframe_expression", text=name)
            button.expressions = expressions
        _draw_choices(self.layout, context, "expressions")
        draw_button(self.layout, context, "imface.keyframe_expression")
        self.layout.operator("imface.import_capture")  # its choices stand in the file browser
        row = self.layout.row(align=True)
        draw_bake(row, context)
        row.operator("imface.remove_bake")


def _draw_choices(layout: bpy.types.UILayout, context: bpy.types.Context, *names: str) -> None:
    for name in names:
        if name != "resolution" or of_scene(context.scene).topology in SURFACES:
            layout.prop(of_scene(context.scene), name)


def draw_bake(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Draw the button that bakes the scene's frames."""
    button = layout.operator("imface.bake_animation")
    button.start, button.end = context.scene.frame_start, context.scene.frame_end


def draw_button(
    layout: bpy.types.UILayout, context: bpy.types.Context, operator: str, name: str = ""
) -> Any:
    """Draw the operator's button, by its own name unless another is given, with all values that
    it shares with the scene's settings; return it."""
    settings = of_scene(context.scene)
    texts: dict[str, Any] = {"text": name, "translate": False} if name else {}
    button = layout.operator(operator, **texts)
    for shared in set(button.bl_rna.properties.keys()) & set(settings.bl_rna.properties.keys()):
        if shared not in ("rna_type", "name"):
            setattr(button, shared, getattr(settings, shared))
    return button


CLASSES = (
    IMFACE_PT_generate,
    IMFACE_PT_fit_scan,
    IMFACE_PT_blend,
    IMFACE_PT_shape,
    IMFACE_PT_expressions,
    IMFACE_PT_animate,
)
MENUS = (IMFACE_MT_presets,)
