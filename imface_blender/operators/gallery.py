# SPDX-License-Identifier: GPL-3.0-or-later
"""Nine random faces side by side, of which the user keeps one."""

import hashlib

import bpy
import numpy as np
from mathutils import Matrix

from .. import faces
from ..errors import UserError
from ..job_operators import JobOperator, Outcome, QuickOperator
from ..jobs import Request
from ..mesh_io import mesh_of, read_positions
from ..properties import GenerateChoice, MeshChoice, mesh_params, of_object
from ..translations import say
from ..worker_client import Job

ROWS = 3
SPACING_M = (0.36, 0.42)  # between the middles of faces


class IMFACE_OT_random_gallery(GenerateChoice, MeshChoice, JobOperator):
    """Make nine random faces around the 3D cursor, of this seed and the next, to choose from"""

    bl_idname = "imface.random_gallery"
    bl_label = "Random Gallery"
    label = "Generating nine faces"

    def prepare(self, context: bpy.types.Context) -> Request:
        """Ask for the faces."""
        seeds = list(range(self.seed, self.seed + ROWS * ROWS))
        params = {"seeds": seeds, "strength": self.strength}
        return Request("gallery", params | mesh_params(self), {})

    def finish(self, context: bpy.types.Context, job: Job) -> str:
        """Add the faces, life-size, on an empty that holds them together."""
        answers = [
            faces.read_answer(values, _arrays_of(job, i))
            for i, values in enumerate(job.values["faces"])
        ]
        gallery = bpy.data.objects.new("Face Gallery", None)
        of_object(gallery).is_gallery = True
        gallery.matrix_world = faces.life_size_at_cursor(context.scene)
        gallery.empty_display_size = 0.1
        faces.link(context, gallery)
        shown = [
            faces.add_answer(context, f"Face {self.seed + i}", self.topology, _place(i), answer)
            for i, answer in enumerate(answers)
        ]
        for face in shown:
            face.parent = gallery
            of_object(face).untouched = _state(face)
        faces.select_only(context, [shown[len(shown) // 2]])
        return say("Select a face, then press Keep This Face")


def _arrays_of(job: Job, face: int) -> faces.Arrays:
    prefix = f"{face}/"
    arrays = job.arrays.items()
    return {name.removeprefix(prefix): array for name, array in arrays if name.startswith(prefix)}


def _place(face: int) -> Matrix:
    """Return a face's place on the gallery's wall, the first at the top left."""
    row, column = divmod(face, ROWS)
    right, down = (step - (ROWS - 1) / 2 for step in (column, row))
    return Matrix.Translation((SPACING_M[0] * right, 0.0, -SPACING_M[1] * down))


class IMFACE_OT_keep_face(QuickOperator):
    """Keep a random gallery's active face, in the gallery's middle, and delete the untouched"""

    bl_idname = "imface.keep_face"
    bl_label = "Keep This Face"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012 - Blender only reads it

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return why there is nothing to choose."""
        return (
            super().why_not(context)
            or faces.why_not_face(context.object)
            or faces.why_not_editable(context.object)
            or ("" if in_gallery(context.object) else say("Select a face of a Random Gallery"))
        )

    def work(self, context: bpy.types.Context) -> Outcome:
        """Take off the wall the face and all that the user has set aside, and the wall away."""
        context.view_layer.update()
        kept = context.object
        gallery = kept.parent
        place = gallery.matrix_world.copy()
        others = [obj for obj in gallery.children if obj != kept and _is_untouched(obj)]
        if not all(obj.is_editable for obj in (gallery, *others)):
            raise UserError("The gallery is linked from another file. Make it local first.")
        for obj in set(gallery.children) - set(others):
            stays = obj.matrix_world.copy()
            obj.parent = None
            obj.matrix_world = stays
        kept.matrix_world = place
        meshes = [face.data for face in others]
        bpy.data.batch_remove([*others, gallery])
        bpy.data.batch_remove([mesh for mesh in meshes if mesh.users == 0])
        faces.select_only(context, [kept])
        self.report({"INFO"}, say("Kept '{name}'", name=kept.name))
        return {"FINISHED"}


def in_gallery(obj: bpy.types.Object | None) -> bool:
    """Tell whether an object hangs in a gallery."""
    return obj is not None and obj.parent is not None and of_object(obj.parent).is_gallery


def _is_untouched(obj: bpy.types.Object) -> bool:
    """Tell whether an object is a face as the gallery has hung it up, and no copy of one."""
    return faces.is_face(obj) and of_object(obj).untouched == _state(obj)


def _state(face: bpy.types.Object) -> str:
    """Return a number of a face that changes when it is renamed or copied, moved, worked at, or
    put elsewhere."""
    mesh, settings = mesh_of(face), of_object(face)
    parts = (
        (face.name, settings.codes, face.animation_data, mesh.shape_keys),
        np.array(face.matrix_basis).tolist(),
        [len(each) for each in (face.modifiers, face.constraints, face.children)],
        [each and each.name for each in (*mesh.materials, *face.users_collection)],
    )
    return hashlib.sha256(repr(parts).encode() + read_positions(mesh).tobytes()).hexdigest()
