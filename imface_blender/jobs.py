# SPDX-License-Identifier: GPL-3.0-or-later
"""What the add-on asks its worker for: the running job, those in line, and what the panel shows.

The worker does one job at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import bpy

from . import overlay
from .errors import UserError
from .translations import label, say
from .wire import Arrays
from .work import Chain, Job, ThreadJob
from .worker_client import WorkerClient, runtime_command, runtime_environment, worker_command
from .worker_setup import (
    Setup,
    gpu_installation,
    gpu_setup,
    idle_minutes,
    unpacking,
    worker_setup,
)

SECONDS_BETWEEN_LOOKS = 10.0  # for a worker that has been idle for too long
SECONDS_BEFORE_GUESS = 2.0  # of how long a job will take
UNPACK_AGAIN = "Press Remove Runtime in the preferences and try again: it is then unpacked anew."


class Request(NamedTuple):
    """What the worker is asked for."""

    name: str
    params: dict[str, Any]
    arrays: Arrays


@dataclass(eq=False)
class Turn:
    """What waits in line for the worker."""

    label: str  # what it will do
    request: Request


@dataclass
class Status:
    """What the panel shows of the worker; it lives as long as this Blender."""

    job: Job | None = None
    label: str = ""  # what the running job does
    by_itself: bool = False  # nobody has asked for it
    started: float = 0.0  # when it began, by `time.monotonic`
    waiting: str = ""  # what the user has to do before the result comes into the scene
    error: str = ""  # what went wrong last
    details: str = ""
    line: list[Turn] = field(default_factory=list)  # what comes after the job
    weights: str = ""  # the sha256 of the worker's model, or its beginning
    freed: bool = False  # the user ended the worker and has asked for nothing since


status = Status()
_client: WorkerClient | None = None
_client_setup: Setup | None = None
_threads: list[ThreadJob] = []  # what unpacks or installs for the worker


def backend_dir() -> Path:
    """Return the folder that holds `backend`: the add-on's own, or its parent in a checkout."""
    here = Path(__file__).resolve().parent
    for folder in (here, here.parent):
        if (folder / "backend").is_dir():
            return folder
    raise UserError("The add-on's backend folder is missing. Install the add-on again.")


def client(setup: Setup) -> WorkerClient:
    """Return the worker client; a new one when something else is to run the worker."""
    global _client, _client_setup
    if _client is None or setup != _client_setup:
        _close_client()
        _client = _make_client(setup)
        _client_setup = setup
    return _client


def _make_client(setup: Setup) -> WorkerClient:
    command, env = backend_command(setup, ["serve"])
    remedy = say(UNPACK_AGAIN) if setup.packages else ""
    bpy.app.timers.register(end_idle_worker, first_interval=SECONDS_BETWEEN_LOOKS, persistent=True)
    return WorkerClient(setup.python, backend_dir(), env, command=command, remedy=remedy)


def end_idle_worker() -> float | None:
    """End a worker that has been idle for as long as the preferences allow; return when to look
    again [s]."""
    if _client is None:
        return None
    minutes, idle = idle_minutes(), _client.idle_seconds()  # asked of a job too: then it is none
    if status.job is None and minutes and idle > 60 * minutes:
        close_worker()
        redraw_panels(bpy.context)
        return None
    return SECONDS_BETWEEN_LOOKS


def backend_command(setup: Setup, words: list[str]) -> tuple[list[str], dict[str, str]]:
    """Return the command line that has the backend do these words, and the variables for it."""
    python, packages = setup
    if not packages:
        return worker_command(python, words), {}
    return runtime_command(python, words), runtime_environment([backend_dir(), *packages])


def submit(request: Request) -> Job:
    """Hand the worker a request; what comes with the add-on is unpacked before, once."""
    return _after_unpacking(lambda: client(worker_setup()).submit(*request))


def submit_on_gpu(request: Request) -> Job:
    """Install PyTorch for a GPU, then hand the request to a worker that has it."""
    return _after_unpacking(
        lambda: Chain(_track(gpu_installation()), lambda: client(gpu_setup()).submit(*request))
    )


def _after_unpacking(make_job: Callable[[], Job]) -> Job:
    _close_threads()  # one that was cancelled may still be in the folder
    first = unpacking()
    return make_job() if first is None else Chain(_track(first), make_job)


def _track(job: ThreadJob) -> ThreadJob:
    _threads.append(job)
    return job


def has_worker() -> bool:
    """Tell whether a worker runs, and holds memory."""
    return _client is not None and _client.is_running()


def worker_line() -> str:
    """Return in one line what runs the worker."""
    hello = _client.hello if _client else {}
    if not hello:
        return label("The worker has not started yet")
    return label(
        "PyTorch {torch} on {device}, Python {python}",
        torch=hello["torch"],
        device=hello["device"],
        python=hello["python"],
    )


def model_line() -> str:
    """Return in one line which face model the worker has."""
    if not status.weights:
        return label("Test Worker names the model")
    return label("Face model {name}", name=status.weights[:8])


def memory_line() -> str:
    """Return in one line how much memory the worker holds; an empty string if that is unknown."""
    held = _client.memory_bytes() if _client is not None else 0
    return label("The worker holds {memory:.1f} GB of memory", memory=held / 2**30) if held else ""


def close_worker() -> None:
    """End the worker process and its job, if there are any, and what unpacks for it."""
    _close_threads()
    _close_client()
    overlay.hide()
    status.job = None
    status.waiting = ""
    status.line.clear()


def _close_client() -> None:
    global _client
    if _client is not None:
        _client.close()
    _client = None
    if bpy.app.timers.is_registered(end_idle_worker):  # Blender 4.2 crashes at exit with one
        bpy.app.timers.unregister(end_idle_worker)


def _close_threads() -> None:
    while _threads:
        _threads.pop().close()


def time_left() -> str:
    """Return in a sentence how long the running job will take, as far as what is done tells; an
    empty string when that is too little."""
    past = time.monotonic() - status.started
    if status.job is None or status.job.fraction < 0.1 or past < SECONDS_BEFORE_GUESS:
        return ""
    left = past / status.job.fraction - past
    if left > 90:
        return label("About {minutes:.0f} min left", minutes=left / 60)
    return label("About {seconds:.0f} s left", seconds=left)


def refuse_while_busy() -> None:
    """Raise UserError while there are jobs: a script cannot wait in line, as nothing would move."""
    if status.job is not None or status.line:
        raise UserError("ImFace is busy ({job}). Wait, or cancel it.", job=status.label)


def show_error(message: str, details: str = "") -> None:
    """Show in the panel what went wrong last; an empty message is nothing."""
    if (message, details) != (status.error, status.details):
        status.error, status.details = message, details
        redraw_panels(bpy.context)


def cancel_job(place: int = 0) -> None:
    """Cancel the running job, or decline the result that waits for the user; of a place in line
    from 1 on, take out what waits there."""
    if place:
        del status.line[place - 1 : place]
        return
    if status.job is not None:
        status.job.cancel()
    if status.waiting:
        status.job = None
        status.waiting = ""


def user_is_busy(context: bpy.types.Context) -> bool:
    """Tell whether a change of the scene, and its undo step, would fall into the user's own.

    A macro, such as Duplicate Objects, ends in moving what it has made.
    """
    return context.mode != "OBJECT" or any(
        operator.macros or operator.bl_idname.startswith("TRANSFORM_OT_")
        for window in context.window_manager.windows
        for operator in window.modal_operators
    )


def redraw_panels(context: bpy.types.Context) -> None:
    """Show the job's progress wherever the panel or the preferences are open.

    Of a viewport the sidebar alone: to draw a scene anew takes time, the worker's too.
    """
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            shown = {"VIEW_3D": "UI", "PREFERENCES": "WINDOW"}.get(area.type)
            for region in area.regions:
                if region.type == shown:
                    region.tag_redraw()
