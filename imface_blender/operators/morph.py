# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn one face into another over time."""

import bpy

from .. import faces, shape_keys
from ..jobs import Outcome, QuickOperator
from ..translations import say
from .blend import why_not_two_faces


class IMFACE_OT_morph(QuickOperator):
    """Give the active face a shape key that turns it into the other selected face"""

    bl_idname = "imface.morph"
    bl_label = "Add Morph"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012 - Blender only reads it

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return why there are no two faces."""
        return super().why_not(context) or why_not_two_faces(context)

    def work(self, context: bpy.types.Context) -> Outcome:
        """Add the key, at 0: nothing is seen to change."""
        face, other = context.object, faces.others(context)[0]
        key = shape_keys.add_morph(face, other)
        self.report({"INFO"}, say("Added '{key}' to '{name}'", key=key.name, name=face.name))
        return {"FINISHED"}
