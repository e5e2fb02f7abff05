# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's preferences: which Python runs the worker, and what there is of it."""

import bpy
from bpy.props import IntProperty, StringProperty

from . import jobs, worker_setup
from .panels.main import draw_status, draw_test


class ImFacePreferences(bpy.types.AddonPreferences):
    """Which worker, for how long, and what it is and takes."""

    bl_idname = __package__

    worker_python: StringProperty(
        name="Worker's Python",
        description=(
            "A Python program, with PyTorch installed, in which faces are computed. "
            "Empty: what the add-on's zip brings is used"
        ),
        subtype="FILE_PATH",
    )
    idle_minutes: IntProperty(
        name="Free Memory After",
        description="Minutes without a job after which the worker ends; 0: it stays",
        default=15,
        min=0,
        soft_max=120,
    )

    def draw(self, context: bpy.types.Context) -> None:
        """Show the setting, the state of worker, model and runtime, and their buttons."""
        layout = self.layout
        layout.prop(self, "worker_python")
        layout.prop(self, "idle_minutes")
        lines = (jobs.worker_line(), jobs.model_line(), worker_setup.runtime_line())
        for line in filter(None, (*lines, jobs.memory_line())):
            layout.label(text=line, translate=False)
        row = layout.row()
        draw_test(row)
        row.operator("imface.use_gpu")
        row.operator("imface.free_memory")
        row.operator("imface.remove_runtime")
        draw_status(layout)


CLASSES = (ImFacePreferences,)
