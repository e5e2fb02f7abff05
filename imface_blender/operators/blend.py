# SPDX-License-Identifier: GPL-3.0-or-later
"""Mix faces."""

from typing import Any

import bpy

from .. import carry_over, faces, shape_keys
from ..job_operators import JobOperator
from ..jobs import Request
from ..properties import BlendChoice, MeshChoice, mesh_params, of_object
from ..translations import say
from ..worker_client import Job


class _OfFaces(BlendChoice, JobOperator):
    """The active face and the other selected ones are mixed."""

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return why there are no faces to blend."""
        reason = super().why_not(context) or faces.why_not_selected(context)
        reason = reason or faces.why_not_face(context.object)
        others = faces.others(context)
        if not reason and not others:
            return say("Select two faces or more: the active one and others")
        return reason or next(filter(None, map(faces.why_not_face, others)), "")

    def params(self, context: bpy.types.Context) -> dict[str, Any]:
        """Return which codes are mixed, and how."""
        return {
            "a": faces.codes_of(context.object),
            "others": [faces.codes_of(other) for other in faces.others(context)],
            "weight": self.weight,
            "what": self.what.lower(),
            "regions": sorted(region.lower() for region in self.regions),
        }


class IMFACE_OT_blend(_OfFaces, MeshChoice):
    """Make a face between the active one and the mean of the other selected ones, beside it"""

    bl_idname = "imface.blend"
    bl_label = "Blend Faces"
    label = "Blending faces"

    def prepare(self, context: bpy.types.Context) -> Request:
        """Send the faces' codes."""
        self._session_uid = context.object.session_uid
        self._row = faces.beside(context.object, faces.others(context)[0])
        return Request("blend", self.params(context) | mesh_params(self), {})

    def finish(self, context: bpy.types.Context, job: Job) -> str:
        """Add the face between them, which looks as the active one does."""
        place = faces.free_place(context, self._row)
        face = faces.add_face(context, "Blend", self.topology, place, job)
        carry_over.look(self._session_uid, face)
        return say("Blended '{name}'", name=face.name)


class IMFACE_OT_blend_key(_OfFaces):
    """Give the active face a slider that blends it with the other selected ones at once."""

    bl_idname = "imface.blend_key"
    bl_label = "Add Blend Slider"
    bl_description = (
        "Give the active face a shape key that mixes the other selected ones into it as chosen "
        "above: its value is the weight, follows at once and takes keyframes"
    )
    label = "Blending faces"

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return why the active face cannot have such a shape key."""
        return super().why_not(context) or faces.why_not_changed(context.object)

    def prepare(self, context: bpy.types.Context) -> Request:
        """Ask for the active face, and for what it is at a weight of 1."""
        self._session_uid = context.object.session_uid
        others = faces.others(context)
        self._name = f"Blend {others[0].name}" if len(others) == 1 else "Blend"
        level = {"topology": of_object(context.object).topology.lower()}
        return Request("blend_key", self.params(context) | {"weight": 1.0} | level, {})

    def finish(self, context: bpy.types.Context, job: Job) -> str:
        """Add the shape key, at the chosen weight."""
        face = faces.find(self._session_uid)
        arrays = job.arrays
        key = shape_keys.add_blend(face, self._name, arrays["basis_mm"], arrays["vertices_mm"])
        key.value = self.weight
        return say("Added '{key}' to '{name}'", key=key.name, name=face.name)
