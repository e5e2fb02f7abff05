# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn one face into another over time."""

import bpy

from .. import faces, shape_keys
from ..job_operators import Outcome, QuickOperator
from ..translations import say


class IMFACE_OT_morph(QuickOperator):
    """Give the active face a shape key that turns it into the other selected face"""

    bl_idname = "imface.morph"
    bl_label = "Add Morph"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012 - Blender only reads it

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return why there are no two faces."""
        reason = super().why_not(context) or faces.why_not_selected(context)
        reason = reason or faces.why_not_face(context.object)
        others = faces.others(context)
        if not reason and len(others) != 1:
            return say("Select two faces: the active one and one other")
        return reason or faces.why_not_kept(context.object) or faces.why_not_face(others[0])

    def work(self, context: bpy.types.Context) -> Outcome:
        """Add the key, at 0: nothing is seen to change."""
        face, other = context.object, faces.others(context)[0]
        key = shape_keys.add_morph(face, other)
        self.report({"INFO"}, say("Added '{key}' to '{name}'", key=key.name, name=face.name))
        return {"FINISHED"}
