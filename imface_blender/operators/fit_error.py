# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at how well a fitted face matches its scan."""

from typing import cast

import bpy

from .. import fit_error
from ..job_operators import Outcome, QuickOperator
from ..mesh_io import mesh_of
from ..translations import say


class IMFACE_OT_show_fit_error(QuickOperator):
    """Colour fitted faces in this viewport by their distance to the scan, or stop doing so"""

    bl_idname = "imface.show_fit_error"
    bl_label = "Show Fit Error"

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return why there is nothing to show."""
        if not fit_error.has_errors(context.object):
            return say("Select a face made by Fit Scan")
        is_viewport = isinstance(context.space_data, bpy.types.SpaceView3D)
        return "" if is_viewport else say("Use this in a 3D viewport")

    def work(self, context: bpy.types.Context) -> Outcome:
        """Switch the viewport's colours."""
        space = cast(bpy.types.SpaceView3D, context.space_data)
        shown = fit_error.show(mesh_of(context.object), space.shading)
        text = say(fit_error.LEGEND) if shown else say("The material's colours are back")
        self.report({"INFO"}, text)
        return {"FINISHED"}
