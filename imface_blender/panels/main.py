# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel's head: the worker, what it does now, and what went wrong last."""

import textwrap
from typing import Literal

import bpy

from ..jobs import memory_line, model_line, status, time_left, worker_line

COLUMNS = 38  # of text in a sidebar of usual width: labels do not wrap by themselves
Icon = Literal["NONE", "ERROR", "INFO"]


class IMFACE_PT_main(bpy.types.Panel):
    """Generate, fit, blend and animate faces"""

    bl_idname = "IMFACE_PT_main"
    bl_label = "Generate Face"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Generate Face"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw what is known of the worker, the running job and the last error."""
        model = model_line() if status.weights else ""
        for line in (worker_line(), model, memory_line()):
            draw_text(self.layout, line)
        draw_test(self.layout)
        draw_status(self.layout)


def draw_test(layout: bpy.types.UILayout) -> None:
    """Draw the button that tests the worker; in its place a job that nobody has asked for, which
    comes while the user is at the panel and must not move what is below."""
    if status.job is None or not status.by_itself:
        layout.operator("imface.check_worker")
        return
    row = layout.row(align=True)
    text = status.waiting or status.label
    row.progress(text=text, factor=status.job.fraction, translate=False)
    row.operator("imface.cancel_job", text="", icon="X")


def draw_status(layout: bpy.types.UILayout) -> None:
    """Draw the job that the user waits for, what waits in line, and the last error."""
    if status.job is not None and not status.by_itself:
        _draw_job(layout)
    for place, turn in enumerate(status.line, 1):
        row = layout.row(align=True)
        row.label(text=turn.label, icon="TIME", translate=False)
        row.operator("imface.cancel_job", text="", icon="X").place = place
    if status.error:
        _draw_error(layout)


def draw_text(layout: bpy.types.UILayout, text: str, icon: Icon = "NONE") -> None:
    """Draw a sentence on as many lines as it needs, the icon before the first."""
    column = layout.column(align=True)
    for line in textwrap.wrap(text, COLUMNS):
        column.label(text=line, icon=icon, translate=False)
        icon = "NONE"


def _draw_job(layout: bpy.types.UILayout) -> None:
    job = status.job
    if status.waiting:
        draw_text(layout, status.waiting, "INFO")
    else:
        column = layout.column(align=True)
        column.label(text=status.label, translate=False)
        column.progress(text=job.message, factor=job.fraction, translate=False)
        if left := time_left():
            column.label(text=left, translate=False)
        if job.preview is not None:
            column.operator("imface.settle_job", icon="CHECKMARK")
    layout.operator("imface.cancel_job", icon="CANCEL")


def _draw_error(layout: bpy.types.UILayout) -> None:
    box = layout.box()
    draw_text(box, status.error)
    row = box.row(align=True)
    row.operator("imface.copy_details", icon="COPYDOWN")
    row.operator("imface.dismiss_error", text="", icon="X")
