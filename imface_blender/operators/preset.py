# SPDX-License-Identifier: GPL-3.0-or-later
"""Presets of a face's shape: save, apply and remove them."""

import bpy
from bpy.props import StringProperty

from .. import face_shape, faces, presets, slider_properties, sliders
from ..errors import UserError
from ..job_operators import Outcome, QuickOperator
from ..mesh_io import mesh_of
from ..properties import PresetChoice
from ..translations import label, say
from .codes import write


class PresetName:
    """Which preset."""

    preset: StringProperty(
        name="Preset", description="Name of a shape preset", options={"SKIP_SAVE"}
    )


class IMFACE_OT_save_preset(PresetName, QuickOperator):
    """Save where the active face's sliders stand, to apply that to other faces"""

    bl_idname = "imface.save_preset"
    bl_label = "Save Shape Preset"

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return why the active object has no shape to save."""
        return super().why_not(context) or faces.why_not_fixed(context.object)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Outcome:
        """Ask for the name."""
        self.preset = self.preset or presets.free_name(context.object.name)
        return context.window_manager.invoke_props_dialog(self)

    def check(self, context: bpy.types.Context) -> bool:
        """Draw the dialog again once a name was typed."""
        return True

    def draw(self, context: bpy.types.Context) -> None:
        """Warn of a name that is taken."""
        self.layout.prop(self, "preset")
        if self.preset.strip() in presets.names():
            warning = label("OK replaces the preset of this name")
            self.layout.label(text=warning, icon="ERROR", translate=False)

    def work(self, context: bpy.types.Context) -> Outcome:
        """Write the file; one of the same name is replaced."""
        values = sliders.values_of(mesh_of(context.object))
        write(presets.path_of(self.preset, create=True), presets.to_text(values))
        self.report({"INFO"}, say("Saved the preset '{name}'", name=self.preset))
        return {"FINISHED"}


class IMFACE_OT_apply_preset(PresetName, PresetChoice, QuickOperator):
    """Set the active face's unlocked sliders to a preset, or move them towards it"""

    bl_idname = "imface.apply_preset"
    bl_label = "Apply Shape Preset"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012 - Blender only reads it

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return why the active object's sliders do not move."""
        return super().why_not(context) or sliders.why_not(context.object)

    def work(self, context: bpy.types.Context) -> Outcome:
        """Move the sliders."""
        face = context.object
        aim = presets.read(self.preset)
        now = sliders.values_of(mesh_of(face))
        way = self.factor if self.method == "MIX" else 1.0
        face_shape.move(
            face,
            {
                name: (1 - way) * now.get(name, 0.0) + way * aim.get(name, 0.0)
                for name in slider_properties.unlocked(mesh_of(face))
            },
        )
        return {"FINISHED"}


class IMFACE_OT_remove_preset(PresetName, QuickOperator):
    """Delete a shape preset; faces stay as they are"""

    bl_idname = "imface.remove_preset"
    bl_label = "Remove Shape Preset"

    def work(self, context: bpy.types.Context) -> Outcome:
        """Delete its file."""
        path = presets.path_of(self.preset)
        try:
            path.unlink()
        except OSError as error:
            raise UserError(
                "{path} cannot be deleted: {reason}. Delete it in your file manager.",
                path=path,
                reason=error.strerror,
            ) from error
        return {"FINISHED"}


CLASSES = (IMFACE_OT_save_preset, IMFACE_OT_apply_preset, IMFACE_OT_remove_preset)
