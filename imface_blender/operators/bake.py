# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring an animation's mesh onto the network's own surface."""

import bpy
import numpy as np
from bpy.props import FloatProperty, IntProperty

from .. import faces, in_betweens, keyframes, shape_keys
from ..errors import UserError
from ..job_operators import JobOperator, Outcome, QuickOperator
from ..jobs import Request
from ..mesh_io import mesh_of
from ..properties import of_object
from ..translations import say
from ..worker_client import Job

MAX_FRAMES = 10_000  # a head takes a second and 300 kB for each in the worst case


class IMFACE_OT_bake_animation(JobOperator):
    """Add in-between shapes to the active face's animation."""

    bl_idname = "imface.bake_animation"
    bl_label = "Bake Animation"
    bl_description = (
        "Compute the network's own surface along the active face's animation, and add in-between "
        "shape keys where the mix of its expressions is off. Baking again replaces those within "
        "its frames"
    )
    label = "Baking the animation"

    start: IntProperty(name="Start", description="First frame", default=1, subtype="TIME")
    end: IntProperty(name="End", description="Last frame", default=250, subtype="TIME")
    tolerance_mm: FloatProperty(
        name="Tolerance",
        description="How far, in millimetres, the animated mesh may be off",
        default=0.1,
        min=0.01,
        max=10.0,
    )

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return why the active object has no expressions that could be animated."""
        face = context.object
        reason = super().why_not(context) or faces.why_not_face(face) or faces.why_not_kept(face)
        reason = reason or shape_keys.why_none(face)
        return reason or keyframes.why_not_timed(context.scene, mesh_of(face).shape_keys)

    def prepare(self, context: bpy.types.Context) -> Request:
        """Send the expressions' values at each frame."""
        frames = self.end - self.start + 1
        if not 1 <= frames <= MAX_FRAMES:
            raise UserError(
                "Frames {start} to {end} are {count}. Bake 1 to {most} frames at once.",
                start=self.start,
                end=self.end,
                count=max(frames, 0),
                most=MAX_FRAMES,
            )
        face = context.object
        in_betweens.check_editable(face)
        self._session_uid = face.session_uid
        weights = in_betweens.sample(context, face, self.start, self.end)
        in_betweens.check_blending(face)
        params = {
            "codes": faces.codes_of(face),
            "topology": of_object(face).topology.lower(),
            "names": list(shape_keys.own_keys(face)),
            "tolerance_mm": self.tolerance_mm,
        }
        return Request("in_betweens", params, {"weights": weights})

    def finish(self, context: bpy.types.Context, job: Job) -> str:
        """Write the in-between shapes."""
        face = faces.find(self._session_uid)
        knots = [self.start + row for row in job.values["knots"]]
        arrays = job.arrays
        count = in_betweens.write(face, arrays["basis_mm"], knots, arrays["offsets_mm"])
        keyframes.show(context.scene)
        sentence = say(
            "{count} in-between shapes on '{name}', frames {start} to {end}: at most {before:.2f} "
            "mm off before, {after:.2f} mm now, over {measured} different mixes",
            count=count,
            name=face.name,
            start=self.start,
            end=self.end,
            before=job.values["before_mm"],
            after=job.values["after_mm"],
            measured=job.values["measured"],
        )
        edge_mm = float(np.linalg.norm(arrays["offsets_mm"][[0, -1]], axis=2).max())
        if edge_mm <= self.tolerance_mm:
            return sentence
        jump = say("Beside frames that are not baked it jumps by {edge:.2f} mm", edge=edge_mm)
        return f"{sentence}. {jump}"


class IMFACE_OT_remove_bake(QuickOperator):
    """Remove the in-between shapes of Bake Animation from the active face"""

    bl_idname = "imface.remove_bake"
    bl_label = "Remove Bake"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012 - Blender only reads it

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return why there is nothing to remove."""
        reason = super().why_not(context) or faces.why_not_face(context.object)
        reason = reason or faces.why_not_kept(context.object)
        if not reason and not in_betweens.own_keys(context.object):
            return say("'{name}' has no baked animation", name=context.object.name)
        return reason

    def work(self, context: bpy.types.Context) -> Outcome:
        """Remove them."""
        count = in_betweens.remove(context.object)
        self.report({"INFO"}, say("Removed {count} in-between shapes", count=count))
        return {"FINISHED"}
