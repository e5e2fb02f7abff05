# SPDX-License-Identifier: GPL-3.0-or-later
"""The sliders of a face's shape: load them, make the surface exact, draw them, reset them."""

import bpy
import numpy as np
from bpy.props import BoolProperty, StringProperty

from .. import catch_up, face_shape, faces, named_values, slider_properties, sliders
from ..errors import UserError
from ..job_operators import JobOperator, Outcome, QuickOperator
from ..jobs import Request
from ..mesh_io import mesh_of
from ..properties import GenerateChoice, of_object
from ..slider_names import NAMES
from ..translations import say
from ..worker_client import Job


class _ShapeJob(JobOperator):
    """Leaves no undo step: what it changes is how exact the mesh is, not what face it is."""

    bl_options = set()  # noqa: RUF012 - Blender only reads it
    _session_uid = 0

    by_itself: BoolProperty(
        name="By Itself",
        description="Not asked for by the user: errors go to the section Shape and the console",
        options={"HIDDEN", "SKIP_SAVE"},
    )

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return why the active object has no shape to edit."""
        return super().why_not(context) or faces.why_not_changed(context.object)

    def _remember(self, face: bpy.types.Object) -> None:
        self._session_uid, self._codes = face.session_uid, of_object(face).codes

    def _recall(self) -> bpy.types.Object:
        face = faces.find(self._session_uid)
        if of_object(face).codes != self._codes:
            raise UserError("'{name}' is another face by now. Nothing was changed.", name=face.name)
        return face

    def _fail(self, message: str, details: str = "") -> None:
        if not self.by_itself:
            super()._fail(message, details)
            return
        catch_up.give_up(self._session_uid, message)
        print(f"ImFace: {message}\n{details}".rstrip(), flush=True)

    def _end(self, context: bpy.types.Context) -> None:
        super()._end(context)
        if self.by_itself:  # unless a result or an error follows
            catch_up.give_up(self._session_uid, say("Cancelled: {job}", job=say(self.label)))


class IMFACE_OT_edit_shape(_ShapeJob):
    """Get the active face's sliders ready"""

    bl_idname = "imface.edit_shape"
    bl_label = "Edit Face Shape"
    label = "Preparing the sliders"

    def prepare(self, context: bpy.types.Context) -> Request:
        """Ask for the sliders, and for the surface that the mesh's preview starts from."""
        face = context.object
        self._remember(face)
        self._exact = sliders.exact_values_of(mesh_of(face))
        codes = faces.codes_of(face) | {"sliders": self._exact}
        topology = of_object(face).topology.lower()
        return Request("sliders", {"codes": codes, "topology": topology}, {})

    def finish(self, context: bpy.types.Context, job: Job) -> str:
        """Keep the answer; the scene stays as it is."""
        face = self._recall()
        face_shape.load(face, self._exact, job.values, job.arrays)
        return say("The sliders of '{name}' are ready", name=face.name)


class IMFACE_OT_refine_shape(_ShapeJob):
    """Replace the preview that the sliders show by the exact surface of the active face"""

    bl_idname = "imface.refine_shape"
    bl_label = "Refine Shape"
    label = "Refining the shape"

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return why there is nothing to refine."""
        reason = super().why_not(context) or sliders.why_not(context.object)
        if not reason and sliders.is_exact(mesh_of(context.object)):
            return say("'{name}' is exact already", name=context.object.name)
        return reason

    def prepare(self, context: bpy.types.Context) -> Request:
        """Ask for the surface of the sliders as they stand now."""
        face = context.object
        self._remember(face)
        self._values = sliders.values_of(mesh_of(face))
        topology = of_object(face).topology.lower()
        return Request("mesh", {"codes": faces.codes_of(face), "topology": topology}, {})

    def finish(self, context: bpy.types.Context, job: Job) -> str:
        """Move the mesh, which may have gone on meanwhile, by what the preview lacked."""
        face = self._recall()
        face_shape.refine(face, self._values, job.arrays["vertices_mm"])
        return say("'{name}' is exact", name=face.name)


class _ShapeOperator(QuickOperator):
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012 - Blender only reads it

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return why the active object's sliders do not move."""
        return super().why_not(context) or sliders.why_not(context.object)


class IMFACE_OT_set_sliders(_ShapeOperator):
    """Set some of the active face's sliders, for scripts"""

    bl_idname = "imface.set_sliders"
    bl_label = "Set Sliders"

    values: StringProperty(
        name="Values",
        description="Such as noseLength=2, jawWidth=-1, from -5 to 5; all other sliders stay",
    )

    def work(self, context: bpy.types.Context) -> Outcome:
        """Move them."""
        limit, values = sliders.LARGEST_VALUE, {}
        for name, text in named_values.pairs(self.values):
            if name not in NAMES:
                raise UserError("There is no slider '{name}'. Check the spelling.", name=name)
            values[name] = named_values.number(name, text, -limit, limit)
        face_shape.move(context.object, values)
        return {"FINISHED"}


class IMFACE_OT_randomize_shape(GenerateChoice, _ShapeOperator):
    """Set all unlocked sliders to random values that belong together as people's do"""

    bl_idname = "imface.randomize_shape"
    bl_label = "Random Shape"

    def work(self, context: bpy.types.Context) -> Outcome:
        """Draw the values."""
        face = context.object
        preview = sliders.preview_of(face)
        assert preview is not None  # `why_not` has seen to it
        normal = np.random.default_rng(self.seed).normal(size=len(NAMES))
        limit = sliders.LARGEST_VALUE
        drawn = (self.strength * preview.spread @ normal).clip(-limit, limit)
        values = dict(zip(NAMES, drawn.tolist(), strict=True))
        free = slider_properties.unlocked(mesh_of(face))
        face_shape.move(face, {name: values[name] for name in free})
        return {"FINISHED"}


class IMFACE_OT_reset_shape(_ShapeOperator):
    """Set all unlocked sliders to 0: the face as it was made"""

    bl_idname = "imface.reset_shape"
    bl_label = "Reset Shape"

    def work(self, context: bpy.types.Context) -> Outcome:
        """Reset."""
        face = context.object
        face_shape.move(face, dict.fromkeys(slider_properties.unlocked(mesh_of(face)), 0.0))
        return {"FINISHED"}


CLASSES = (
    IMFACE_OT_edit_shape,
    IMFACE_OT_refine_shape,
    IMFACE_OT_set_sliders,
    IMFACE_OT_randomize_shape,
    IMFACE_OT_reset_shape,
)
