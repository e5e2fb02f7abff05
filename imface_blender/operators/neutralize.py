# SPDX-License-Identifier: GPL-3.0-or-later
"""Take a face's expression off."""

import bpy

from .. import carry_over, faces
from ..job_operators import JobOperator
from ..jobs import Request
from ..properties import MeshChoice, mesh_params
from ..translations import say
from ..worker_client import Job


class IMFACE_OT_neutralize(MeshChoice, JobOperator):
    """Make the active face's person with a neutral expression, beside the active face"""

    bl_idname = "imface.neutralize"
    bl_label = "Neutralise Face"
    label = "Taking the expression off"

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return why there is no face to neutralise."""
        return super().why_not(context) or faces.why_not_face(context.object)

    def prepare(self, context: bpy.types.Context) -> Request:
        """Send the face's codes."""
        face = context.object
        self._session_uid = face.session_uid
        self._name, self._row = f"{face.name} Neutral", faces.beside(face, face)
        return Request("express", {"codes": faces.codes_of(face)} | mesh_params(self), {})

    def finish(self, context: bpy.types.Context, job: Job) -> str:
        """Add the neutral face, which looks as the other does."""
        place = faces.free_place(context, self._row)
        face = faces.add_face(context, self._name, self.topology, place, job)
        carry_over.look(self._session_uid, face)
        return say("Made '{name}'", name=face.name)
