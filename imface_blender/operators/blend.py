# SPDX-License-Identifier: GPL-3.0-or-later
"""Mix faces."""

import bpy

from .. import faces
from ..jobs import JobOperator, Request
from ..properties import BlendChoice, MeshChoice, mesh_params
from ..translations import say
from ..worker_client import Job


class IMFACE_OT_blend(BlendChoice, MeshChoice, JobOperator):
    """Make a face between the active one and the mean of the other selected ones, beside it"""

    bl_idname = "imface.blend"
    bl_label = "Blend Faces"
    label = "Blending faces"

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return why there are no faces to blend."""
        reason = super().why_not(context) or faces.why_not_face(context.object)
        others = faces.others(context)
        if not reason and not others:
            return say("Select two faces or more: the active one and others")
        return reason or next(filter(None, map(faces.why_not_face, others)), "")

    def prepare(self, context: bpy.types.Context) -> Request:
        """Send the faces' codes."""
        face, others = context.object, faces.others(context)
        self._place = faces.beside(face, others[0])
        params = {
            "a": faces.codes_of(face),
            "others": [faces.codes_of(other) for other in others],
            "weight": self.weight,
            "what": self.what.lower(),
            "regions": sorted(region.lower() for region in self.regions),
        }
        return Request("blend", params | mesh_params(self), {})

    def finish(self, context: bpy.types.Context, job: Job) -> str:
        """Add the face between them."""
        face = faces.add_face(context, "Blend", self.topology, self._place, job)
        return say("Blended '{name}'", name=face.name)
