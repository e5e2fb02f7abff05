# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a face that matches a scan."""

import bpy

from .. import faces, mesh_io
from ..jobs import JobOperator, Request
from ..properties import MeshChoice
from ..worker_client import Job


class IMFACE_OT_fit_scan(MeshChoice, JobOperator):
    """Make a face that matches the active scan, in the scan's place; the scan stays as it is.

    The scan has to be upright and look along -Y (the front view shows its face)"""

    bl_idname = "imface.fit_scan"
    bl_label = "Fit Face to Scan"
    label = "Fitting a scan"

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return why there is no scan to fit."""
        return super().why_not(context) or faces.why_not_mesh(context.object)

    def prepare(self, context: bpy.types.Context) -> Request:
        """Send the scan as it is seen."""
        scan = context.object
        self._name = f"{scan.name} Face"
        arrays = mesh_io.scan_arrays(scan, context.evaluated_depsgraph_get())
        return Request("fit", self.mesh_params(), arrays)

    def finish(self, context: bpy.types.Context, job: Job) -> str:
        """Add the face where the scan was."""
        place = mesh_io.place_from_pose(job.values.get("pose"))
        face = faces.add_face(context, self._name, self.topology, place, job)
        return f"Made '{face.name}'. {faces.report_line(face)}"
