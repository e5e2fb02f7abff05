# SPDX-License-Identifier: GPL-3.0-or-later
"""Look after the worker: test it, cancel its job, copy what it said."""

import bpy
from bpy.props import IntProperty

from .. import jobs, worker_setup
from ..errors import UserError
from ..job_operators import JobOperator, Outcome, PolledOperator, QuickOperator
from ..jobs import Request
from ..translations import say
from ..worker_client import Job


class _WorkerTest(JobOperator):
    bl_options = set()  # noqa: RUF012 - Blender only reads it

    def prepare(self, context: bpy.types.Context) -> Request:
        """Ask what the model knows: to answer, the worker has to load it and compute a face."""
        return Request("info", {}, {})

    def finish(self, context: bpy.types.Context, job: Job) -> str:
        """Say what answered; the scene stays as it is."""
        jobs.status.weights = job.values["model"]["sha256"]
        known = len(job.values["expressions"])
        return say(
            "{worker}, {count} expressions; a known face came out right to {off:.5f} mm, at "
            "{speed:.0f} thousand points a second",
            worker=jobs.worker_line(),
            count=known,
            off=job.values["check"]["off_mm"],
            speed=job.values["check"]["points_per_second"] / 1000,
        )


class IMFACE_OT_check_worker(_WorkerTest):
    """Start the worker and see that it has PyTorch and computes a known face rightly"""

    bl_idname = "imface.check_worker"
    bl_label = "Test Worker"
    label = "Testing the worker"


class IMFACE_OT_use_gpu(_WorkerTest):
    """Install PyTorch for a GPU, and use it once it has computed a known face rightly."""

    bl_idname = "imface.use_gpu"
    bl_label = "Use My GPU"
    bl_description = (
        "Download PyTorch for an NVIDIA GPU (about 3 GB, unpacked 6 GB) from pytorch.org, test it, "
        "and compute faces with it from then on"
    )
    label = "Installing PyTorch for the GPU"
    submit = staticmethod(jobs.submit_on_gpu)

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return why it cannot be installed."""
        return super().why_not(context) or worker_setup.why_no_gpu()

    def finish(self, context: bpy.types.Context, job: Job) -> str:
        """Use it from now on, unless it sees no GPU."""
        if job.values["model"]["device"] == "cpu":
            raise UserError(
                "PyTorch for the GPU is installed, but finds no GPU and is not used. Update "
                "NVIDIA's driver, restart the computer and try again."
            )
        worker_setup.accept_gpu()
        return super().finish(context, job)


class IMFACE_OT_free_memory(PolledOperator):
    """End the worker and give its memory back; the next job starts it again"""

    bl_idname = "imface.free_memory"
    bl_label = "Free Memory"

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return why there is no memory to free."""
        return _why_not_end_the_worker() or (
            "" if jobs.has_worker() else say("The worker is not running")
        )

    def execute(self, context: bpy.types.Context) -> Outcome:
        """End the worker."""
        jobs.close_worker()
        jobs.status.freed = True
        return {"FINISHED"}


class IMFACE_OT_remove_runtime(QuickOperator):
    """Delete what was unpacked and installed for the worker; the next job unpacks it again"""

    bl_idname = "imface.remove_runtime"
    bl_label = "Remove Runtime"

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return why nothing can be removed."""
        return _why_not_end_the_worker() or (
            "" if worker_setup.has_unpacked() else say("Nothing has been unpacked")
        )

    def work(self, context: bpy.types.Context) -> Outcome:
        """End the worker, which may use it, and delete it."""
        jobs.close_worker()
        jobs.status.freed = True
        worker_setup.remove_runtime()
        return {"FINISHED"}


def _why_not_end_the_worker() -> str:
    if jobs.status.job is None:
        return ""
    return say("ImFace is busy ({job})", job=jobs.status.label)


class IMFACE_OT_cancel_job(PolledOperator):
    """Cancel what ImFace is doing, which Esc does too, or what waits in line"""

    bl_idname = "imface.cancel_job"
    bl_label = "Cancel Face Job"

    place: IntProperty(
        name="Place",
        description="0 is the job that runs, 1 the first in line",
        min=0,
        options={"SKIP_SAVE"},
    )

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return why there is nothing to cancel."""
        busy = jobs.status.job or jobs.status.line
        return "" if busy else say("ImFace is not doing anything")

    def execute(self, context: bpy.types.Context) -> Outcome:
        """Cancel."""
        jobs.cancel_job(self.place)
        return {"FINISHED"}


class IMFACE_OT_settle_job(PolledOperator):
    """End the search for a scan's face here, and keep what it has found"""

    bl_idname = "imface.settle_job"
    bl_label = "Keep Fit So Far"

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return why there is nothing to keep."""
        job = jobs.status.job
        return "" if job and job.preview is not None else say("No face has been found yet")

    def execute(self, context: bpy.types.Context) -> Outcome:
        """Ask for it; the job goes on to its end from there."""
        jobs.status.job.settle()
        return {"FINISHED"}


class IMFACE_OT_copy_details(PolledOperator):
    """Copy the last error, with all that is known about it, to the clipboard"""

    bl_idname = "imface.copy_details"
    bl_label = "Copy Details"

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return why there is nothing to copy."""
        return "" if jobs.status.error else say("There was no error")

    def execute(self, context: bpy.types.Context) -> Outcome:
        """Copy."""
        text = f"{jobs.status.error}\n{jobs.worker_line()}\n{jobs.status.details}"
        context.window_manager.clipboard = text
        return {"FINISHED"}


class IMFACE_OT_dismiss_error(PolledOperator):
    """Take the last error out of the panel"""

    bl_idname = "imface.dismiss_error"
    bl_label = "Dismiss Error"
    bl_options = {"INTERNAL"}  # noqa: RUF012 - Blender only reads it

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return why there is nothing to dismiss."""
        return "" if jobs.status.error else say("There was no error")

    def execute(self, context: bpy.types.Context) -> Outcome:
        """Dismiss."""
        jobs.show_error("")
        return {"FINISHED"}
