# SPDX-License-Identifier: GPL-3.0-or-later
"""The one pattern for every long job.

An operator says what to ask the worker (`prepare`) and what to do with the answer (`finish`).
Called from the panel it runs as a modal operator and the window stays alive; called from a
script, or without a window, it runs to its end like any other operator. Either way the scene
changes in `finish` only, after everything that can go wrong has gone well: one undo step.

The worker does one job at a time. What is asked for meanwhile in the window waits in line.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import bpy

from . import overlay
from .errors import UserError
from .jobs import (
    Request,
    Turn,
    redraw_panels,
    refuse_while_busy,
    show_error,
    status,
    submit,
    user_is_busy,
)
from .translations import label, say
from .work import Job

SECONDS_BETWEEN_POLLS = 0.1
UNEXPECTED = (
    "Something unexpected went wrong and nothing was finished. "
    "Copy the details from the panel and report them."
)
NOT_IN_OBJECT_MODE = "Switch to Object Mode first"
Outcome = set[Any]  # what an operator returns; Any because the type stubs differ in versions


def with_its_object(context: bpy.types.Context) -> AbstractContextManager[Any]:
    """Return a context whose `object` is the one that a script's override names, by whichever of
    Blender's two names: `object`, or `active_object` alone."""
    active = context.active_object
    usual = active and context.view_layer.objects.active
    return nullcontext() if active == usual else context.temp_override(object=active)


class PolledOperator(bpy.types.Operator):
    """An operator that is greyed out with a reason: by itself, outside Object Mode."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Tell whether the operator can run; if not, its tooltip says why."""
        with with_its_object(context):
            reason = cls.why_not(context)
        if reason:
            cls.poll_message_set(reason)
        return not reason

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return the reason, or an empty string when the operator can run."""
        return "" if context.mode == "OBJECT" else say(NOT_IN_OBJECT_MODE)

    def _explain(self, error: Exception) -> None:
        """Tell the user of an error: of bad input its sentence, of our own fault the traceback."""
        if isinstance(error, UserError):
            self._fail(str(error))
        else:
            self._fail(say(UNEXPECTED), "".join(traceback.format_exception(error)))

    def _fail(self, message: str, details: str = "") -> None:
        show_error(message, details)
        self.report({"ERROR"}, message)

    def _start(self, operator: Any, how: str, choices: Mapping[str, Any]) -> Outcome:
        """Start another operator, and report what it reports."""
        try:
            operator(how, True, **choices)
        except RuntimeError as error:
            self.report({"ERROR"}, str(error).removeprefix(f"{say('Error')}: ").strip())
            return {"CANCELLED"}
        return {"FINISHED"}


class QuickOperator(PolledOperator):
    """An operator that needs no worker: `work`, at once."""

    def work(self, context: bpy.types.Context) -> Outcome:
        """Do it; UserError, before any change, when that is not possible."""
        raise NotImplementedError

    def execute(self, context: bpy.types.Context) -> Outcome:
        """Do it, or show in the panel why not."""
        show_error("")
        try:
            with with_its_object(context):
                return self.work(context)
        except Exception as error:
            self._explain(error)
            return {"CANCELLED"}


class FileOperator(QuickOperator):
    """An operator that asks for a file, its `filepath`, and starts another that does the job.

    It has no undo of its own: the file browser would make a step of that before the job begins.
    """

    _how = "EXEC_DEFAULT"

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Outcome:
        """Ask for the file, unless it is known; the job then runs beside the user's work."""
        self._how = "INVOKE_DEFAULT"
        if self.filepath:  # type: ignore[attr-defined]
            return self.execute(context)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def start(self, operator: Any, **choices: Any) -> Outcome:
        """Start the job."""
        return self._start(operator, self._how, choices)


class JobOperator(PolledOperator):
    """An operator whose work is done by the worker: `prepare`, the job, `finish`."""

    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012 - Blender only reads it
    label = ""  # what it does, for the panel and the console
    submit = staticmethod(submit)
    by_itself = False  # not asked for by the user, whose last error it leaves in the panel
    _doubtful = False  # what `finish` has made
    _asked_in = 0  # session_uid of the scene
    _turn: Turn | None = None  # while it waits in line
    _job: Job | None = None
    _timer: bpy.types.Timer | None = None

    def prepare(self, context: bpy.types.Context) -> Request:
        """Read what the job needs from the scene; UserError when it is not good."""
        raise NotImplementedError

    def finish(self, context: bpy.types.Context, job: Job) -> str:
        """Change the scene and return a sentence about it; UserError before any change.

        Objects that `prepare` used may be gone by now: look them up again.
        """
        raise NotImplementedError

    def draw(self, context: bpy.types.Context) -> None:
        """Show in Adjust Last Operation what it was done with; to change that would bring the
        window to a standstill until the job is done anew."""
        self.layout.use_property_split = True
        self.layout.enabled = False
        for choice in self.properties.bl_rna.properties:
            if choice.identifier != "rna_type" and not choice.is_hidden:
                self.layout.prop(self, choice.identifier)

    def execute(self, context: bpy.types.Context) -> Outcome:
        """Run to the end; what Repeat Last runs once more, runs beside the user's work again."""
        if self._asked_in:
            name, choices = self.bl_idname.removeprefix("IMFACE_OT_"), self.as_keywords()  # type: ignore[func-returns-value]
            self._start(getattr(bpy.ops.imface, name), "INVOKE_DEFAULT", choices)  # type: ignore[attr-defined]
            return {"CANCELLED"}
        try:
            refuse_while_busy()
        except UserError as error:
            self._explain(error)
            return {"CANCELLED"}
        self._begin(context)
        job = self._job
        if job is None:
            return {"CANCELLED"}
        try:
            job.wait(on_progress=_print_progress)
        except KeyboardInterrupt:  # where Blender leaves Ctrl-C to Python
            self.cancel(context)
            return self._interrupted()
        except BaseException:
            self.cancel(context)
            raise
        if job.state == "cancelled":  # by Ctrl-C, which reaches the worker in any Blender
            self._end(context)
            return self._interrupted()
        return self._conclude(context, job)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Outcome:
        """Run beside the user's work; Blender without a window executes what is invoked."""
        if not self._begin(context):
            return {"CANCELLED"}
        manager = context.window_manager
        self._timer = manager.event_timer_add(SECONDS_BETWEEN_POLLS, window=context.window)
        manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> Outcome:
        """Look after the job on each tick of the timer; Esc cancels it, or stops an animation."""
        if self._turn is not None:
            return self._wait_in_line(context)
        job = self._job
        if job is None or job is not status.job:  # its result was declined
            self._end(context)
            return {"CANCELLED"}
        escape = event.type == "ESC" and event.value == "PRESS"
        if escape and job.state == "running" and not context.screen.is_animation_playing:
            job.cancel()
            return {"RUNNING_MODAL"}
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        try:
            job.poll()
        except Exception as error:  # whatever it is, the panel must not wait for ever
            self.cancel(context)
            self._explain(error)
            return {"CANCELLED"}
        overlay.show(job.preview)
        status.waiting = self._waits_for(context) if job.state == "done" else ""
        redraw_panels(context)
        if job.state == "running" or status.waiting:
            return {"PASS_THROUGH"}
        return self._conclude(context, job)

    def cancel(self, context: bpy.types.Context) -> None:
        """Give the job up: its window was closed, or another file is being loaded."""
        if self._turn in status.line:
            status.line.remove(self._turn)
        if self._job is not None:
            self._job.cancel()
        self._end(context)

    def _begin(self, context: bpy.types.Context) -> bool:
        """Get in line, and start if it is empty; False when that fails, which has been reported."""
        if not self.by_itself:
            show_error("")
            status.freed = False
        self._asked_in = context.scene.session_uid
        try:
            with with_its_object(context):
                self._turn = Turn(label(self.label), self.prepare(context))
        except Exception as error:
            self._explain(error)
            return False
        status.line.append(self._turn)
        return self._start_in_turn()

    def _start_in_turn(self) -> bool:
        """Start the job if it is its turn; False when it cannot start, which has been reported."""
        if status.job is not None or status.line[0] is not self._turn:
            return True
        turn, self._turn = status.line.pop(0), None
        try:
            status.job = self._job = self.submit(turn.request)
        except Exception as error:
            self._explain(error)
            return False
        status.started = time.monotonic()
        status.label, status.by_itself = turn.label, self.by_itself
        return True

    def _wait_in_line(self, context: bpy.types.Context) -> Outcome:
        """Start when it is its turn; Esc is for the job that runs."""
        if self._turn not in status.line or not self._start_in_turn():
            self._end(context)
            return {"CANCELLED"}
        return {"PASS_THROUGH"}

    def _scene(self, context: bpy.types.Context) -> bpy.types.Scene | None:
        """Return the scene that the result is for, None when it was deleted: the one in which it
        was asked for, and any for what leaves no undo step."""
        if "UNDO" not in self.bl_options:
            return context.scene
        return next((s for s in bpy.data.scenes if s.session_uid == self._asked_in), None)

    def _waits_for(self, context: bpy.types.Context) -> str:
        """Return what the user has to do before the result can come into the scene."""
        scene = self._scene(context)
        if scene not in (None, context.scene):
            return label("Ready: return to the scene '{name}' to see it", name=scene.name)
        return label("Ready: return to Object Mode to see it") if user_is_busy(context) else ""

    def _conclude(self, context: bpy.types.Context, job: Job) -> Outcome:
        """Bring the ended job's result into the scene, or say why there is none."""
        self._end(context)
        if job.state == "cancelled":
            self.report({"INFO"}, say("Cancelled: {job}", job=say(self.label)))
            return {"CANCELLED"}
        if job.state == "failed":
            self._fail(job.error, job.details)
            return {"CANCELLED"}
        try:
            if self._scene(context) is None:
                raise UserError("The scene was deleted while the job ran. Nothing was changed.")
            status.weights = _weights(job) or status.weights
            sentence = self.finish(context, job)
            self.report({"WARNING" if self._doubtful else "INFO"}, sentence)
        except Exception as error:
            self._explain(error)
            return {"CANCELLED"}
        return {"FINISHED"}

    def _interrupted(self) -> Outcome:
        """End a script that does not look at what its operators return, and has asked for this."""
        sentence = say("Cancelled: {job}", job=say(self.label))
        self.report({"INFO"} if self.by_itself else {"ERROR"}, sentence)
        return {"CANCELLED"}

    def _end(self, context: bpy.types.Context) -> None:
        if status.job is self._job:
            status.job = None
            status.waiting = ""
        self._job = None  # Blender keeps its last operators, and with them what they hold
        overlay.hide()
        if self._timer is not None:
            context.window_manager.event_timer_remove(self._timer)
            self._timer = None
        redraw_panels(context)


def _weights(job: Job) -> str:
    """Return by which weights a job's faces were made, or an empty string if it made none."""
    made = job.values.get("faces", [job.values])
    return str(made[0].get("codes", {}).get("weights", "")) if made else ""


def _print_progress(fraction: float, message: str) -> None:
    print(f"ImFace: {fraction:4.0%} {message}", flush=True)
