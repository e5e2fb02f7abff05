# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a random face."""

import bpy

from ..faces import add_face, life_size_at_cursor
from ..job_operators import JobOperator
from ..jobs import Request
from ..properties import GenerateChoice, MeshChoice, mesh_params
from ..translations import say
from ..worker_client import Job


class IMFACE_OT_generate(GenerateChoice, MeshChoice, JobOperator):
    """Make a random face at the 3D cursor; the same seed makes the same face"""

    bl_idname = "imface.generate"
    bl_label = "Generate Face"
    label = "Generating a face"

    def prepare(self, context: bpy.types.Context) -> Request:
        """Ask for a face of this seed."""
        params = {"seed": self.seed, "strength": self.strength, "expressions": {}}
        return Request("generate", params | mesh_params(self), {})

    def finish(self, context: bpy.types.Context, job: Job) -> str:
        """Add the face, life-size."""
        place = life_size_at_cursor(context.scene)
        face = add_face(context, "Face", self.topology, place, job)
        return say("Generated '{name}'", name=face.name)
