# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a face that matches a scan."""

import bpy

from .. import faces, landmarks, mesh_io, scan_colors
from ..job_operators import JobOperator
from ..jobs import Request
from ..properties import FitChoice, MeshChoice, mesh_params, of_object
from ..translations import say
from ..worker_client import Job


class IMFACE_OT_fit_scan(FitChoice, MeshChoice, JobOperator):
    """Add a face object that matches the active scan."""

    bl_idname = "imface.fit_scan"
    bl_label = "Fit Face to Scan"
    bl_description = (
        "Make a face that matches the active scan, in the scan's place; the scan stays as it is. "
        "It may lie anyhow and be in any unit, and needs no landmarks; it uses those that it has"
    )
    label = "Fitting a scan"

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return why there is no scan to fit."""
        scan = landmarks.scan_of(context.object)
        reason = super().why_not(context) or faces.why_not_mesh(scan)
        if not reason and faces.report_of(scan):
            return say(
                "'{name}' is the face fitted to a scan that is gone or renamed. Select the scan, "
                "or import it again",
                name=scan.name,
            )
        return reason

    def prepare(self, context: bpy.types.Context) -> Request:
        """Send the scan as it is seen, and its landmarks."""
        scan = landmarks.scan_of(context.object)
        self._name, self._session_uid = f"{scan.name} Face", scan.session_uid
        arrays = mesh_io.scan_arrays(scan, context.evaluated_depsgraph_get())
        self._colours_lost = scan_colors.are_lost(scan, mesh_io.mesh_of(scan), arrays)
        arrays |= landmarks.arrays(context, scan)
        return Request("fit", mesh_params(self) | {"refine": self.refine}, arrays)

    def finish(self, context: bpy.types.Context, job: Job) -> str:
        """Add the face where the scan was."""
        place = mesh_io.place_from_pose(job.values.get("pose"))
        report = job.values["report"]
        quality, self._doubtful = faces.report_line(report), faces.is_poor_fit(report)
        face = faces.add_face(context, self._name, self.topology, place, job)
        if scan := faces.look_up(self._session_uid):
            of_object(face).scan = scan.name
        sentences = [say("Fitted '{name}': {quality}", name=face.name, quality=quality)]
        if self._colours_lost:
            sentences.append(
                say(
                    "The scan's colours were left out: each of its materials has to show one "
                    "picture, whose file is there"
                )
            )
        return ". ".join(sentences)
