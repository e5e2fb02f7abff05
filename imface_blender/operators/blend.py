# SPDX-License-Identifier: GPL-3.0-or-later
"""Mix two faces."""

import bpy

from .. import faces
from ..jobs import JobOperator, Request
from ..properties import BlendChoice, MeshChoice, mesh_params
from ..translations import say
from ..worker_client import Job


class IMFACE_OT_blend(BlendChoice, MeshChoice, JobOperator):
    """Make a face between the active one and the other selected one, beside the active one"""

    bl_idname = "imface.blend"
    bl_label = "Blend Faces"
    label = "Blending two faces"

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return why there are no two faces to blend."""
        return super().why_not(context) or why_not_two_faces(context)

    def prepare(self, context: bpy.types.Context) -> Request:
        """Send both faces' codes."""
        face, other = context.object, faces.others(context)[0]
        self._place = faces.beside(face, other)
        params = {
            "a": faces.codes_of(face),
            "b": faces.codes_of(other),
            "weight": self.weight,
            "what": self.what.lower(),
            "regions": sorted(region.lower() for region in self.regions),
        }
        return Request("blend", params | mesh_params(self), {})

    def finish(self, context: bpy.types.Context, job: Job) -> str:
        """Add the face between the two."""
        face = faces.add_face(context, "Blend", self.topology, self._place, job)
        return say("Blended '{name}'", name=face.name)


def why_not_two_faces(context: bpy.types.Context) -> str:
    """Return why the selection is not an active face and one other, or an empty string."""
    reason = faces.why_not_face(context.object)
    if reason:
        return reason
    others = faces.others(context)
    if len(others) != 1:
        return say("Select two faces: the active one and one other")
    return faces.why_not_face(others[0])
