# SPDX-License-Identifier: GPL-3.0-or-later
"""Keyframe expressions."""

import bpy
from bpy.props import IntProperty

from .. import faces, in_betweens, shape_keys
from ..job_operators import Outcome, QuickOperator
from ..properties import ExpressionValues
from ..translations import say


class IMFACE_OT_keyframe_expression(ExpressionValues, QuickOperator):
    """Keyframe all expressions of the active face at once: the given values, and 0 for the rest"""

    bl_idname = "imface.keyframe_expression"
    bl_label = "Keyframe Expression"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012 - Blender only reads it

    frame: IntProperty(
        name="Frame",
        description="Frame of the scene; the current one if none is named",
        options={"SKIP_SAVE"},
        subtype="TIME",
    )

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return why the active object has no expressions to keyframe."""
        face = context.object
        reason = super().why_not(context) or faces.why_not_face(face)
        return reason or shape_keys.why_none(face)

    def work(self, context: bpy.types.Context) -> Outcome:
        """Set the values and keyframe them."""
        if not self.properties.is_property_set("frame"):
            self.frame = context.scene.frame_current
        face, render = context.object, context.scene.render
        at = self.frame * render.frame_map_old / render.frame_map_new  # Blender's Time Stretching
        left_out = shape_keys.keyframe(face, self.expressions, at)
        in_betweens.rest(face)
        count = len(shape_keys.own_keys(face)) - len(left_out.names())
        said = say("Keyframed {count} expressions at frame {frame}", count=count, frame=self.frame)
        self.report({"INFO"}, ". ".join([said, *left_out.sentences()]))
        return {"FINISHED"}
