# SPDX-License-Identifier: GPL-3.0-or-later
"""Give a face its expressions as shape keys."""

import bpy

from .. import faces, in_betweens, shape_keys
from ..job_operators import JobOperator, Outcome, QuickOperator
from ..jobs import Request
from ..properties import ExpressionNames, of_object
from ..translations import say
from ..worker_client import Job


class IMFACE_OT_add_expressions(ExpressionNames, JobOperator):
    """Add or update the shape keys of the active face."""

    bl_idname = "imface.add_expressions"
    bl_label = "Add Expressions"
    bl_description = (
        "Add the expressions to the active face as shape keys, or update those added before. "
        "Your own shape keys, and all values, drivers and keyframes stay as they are; what you "
        "sculpted on ours is computed anew"
    )
    label = "Computing expressions"

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return why the active object cannot have expressions."""
        return super().why_not(context) or faces.why_not_changed(context.object)

    def prepare(self, context: bpy.types.Context) -> Request:
        """Ask for the expressions of this face."""
        face = context.object
        self._session_uid = face.session_uid
        wanted = [name.strip() for name in self.names.split(",") if name.strip()]
        params = {
            "codes": faces.codes_of(face),
            "topology": of_object(face).topology.lower(),
            "names": wanted or None,
            "set": self.expression_set.lower(),
        }
        return Request("shape_keys", params, {})

    def finish(self, context: bpy.types.Context, job: Job) -> str:
        """Write the shape keys."""
        face = faces.find(self._session_uid)
        names = job.values["names"]
        shape_keys.write(face, names, job.arrays["basis_mm"], job.arrays["vertices_mm"])
        sentences = [say("{count} expressions on '{name}'", count=len(names), name=face.name)]
        if absent := job.values.get("absent"):
            sentences.append(say("The model does not know {names}", names=", ".join(absent)))
        return ". ".join(sentences)


class IMFACE_OT_reset_expressions(QuickOperator):
    """Set all expressions of the active face to 0; keyframes and your own shape keys stay"""

    bl_idname = "imface.reset_expressions"
    bl_label = "Reset Expressions"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012 - Blender only reads it

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return why the active object has no expressions to reset."""
        reason = super().why_not(context) or faces.why_not_face(context.object)
        return reason or shape_keys.why_none(context.object)

    def work(self, context: bpy.types.Context) -> Outcome:
        """Reset."""
        shape_keys.reset(context.object)
        in_betweens.reset(context.object)
        return {"FINISHED"}
