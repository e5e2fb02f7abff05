# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's preferences: which Python runs the worker, and what there is of it."""

import bpy
from bpy.props import StringProperty

from . import jobs, worker_setup


class ImFacePreferences(bpy.types.AddonPreferences):
    """One setting, and what the worker is and takes."""

    bl_idname = __package__

    worker_python: StringProperty(
        name="Worker's Python",
        description=(
            "A Python program, with PyTorch installed, in which faces are computed. "
            "Empty: what the add-on's zip brings is used"
        ),
        subtype="FILE_PATH",
    )

    def draw(self, context: bpy.types.Context) -> None:
        """Show the setting, the state of worker, model and runtime, and their buttons."""
        layout = self.layout
        layout.prop(self, "worker_python")
        for line in (jobs.worker_line(), jobs.model_line(), worker_setup.runtime_line()):
            layout.label(text=line, translate=False)
        row = layout.row()
        row.operator("imface.check_worker")
        row.operator("imface.free_memory")
        row.operator("imface.remove_runtime")


CLASSES = (ImFacePreferences,)
