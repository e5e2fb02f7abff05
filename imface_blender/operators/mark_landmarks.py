# SPDX-License-Identifier: GPL-3.0-or-later
"""Show where a scan's face is."""

import bpy
from mathutils import Vector

from .. import faces, landmarks
from ..job_operators import Outcome, QuickOperator
from ..properties import LANDMARKS, LandmarkPlaces
from ..translations import say

HINT = (
    "Drag the landmarks onto the face (snapping to faces helps), then press Fit Face to Scan. "
    "Right is the person's own"
)


class IMFACE_OT_mark_landmarks(LandmarkPlaces, QuickOperator):
    """Add five empties to the active scan, to be dragged onto its face."""

    bl_idname = "imface.mark_landmarks"
    bl_label = "Mark Landmarks"
    bl_description = (
        "Only where Fit Scan misses the face: add five empties to the active scan, as seen from "
        "this view, and drag them onto eyes, nose and mouth. Those that exist stay where they are"
    )
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012 - Blender only reads it

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return why there is no scan to mark."""
        return super().why_not(context) or faces.why_not_mesh(landmarks.scan_of(context.object))

    def work(self, context: bpy.types.Context) -> Outcome:
        """Add what is missing and select it, so that nothing drags the scan along."""
        scan = landmarks.scan_of(context.object)
        given = [name for name in LANDMARKS if self.properties.is_property_set(name)]
        places = {name: Vector(getattr(self, name)) for name in given}
        marks = landmarks.place(context, scan, places)
        if not marks:
            done = say("'{scan}' has all its landmarks", scan=scan.name)
            self.report({"INFO"}, ". ".join([done, say(HINT)]))
            return {"CANCELLED"}
        faces.select_only(context, marks)
        self.report({"INFO"}, say(HINT))
        return {"FINISHED"}
