# SPDX-License-Identifier: GPL-3.0-or-later
"""Work that goes on beside Blender and is asked about now and then. No bpy, no torch."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from . import wire
from .errors import UserError

SECONDS_BETWEEN_POLLS = 0.02
SECONDS_TO_HEED_A_CANCEL = 5.0

State = Literal["running", "done", "failed", "cancelled"]


class Job:
    """What an operator waits for: `poll` it until its state is no longer "running".

    Attributes
    ----------
    state
        "running" until the work is done, has failed or has heeded a cancel.
    fraction, message
        The progress, from 0 to 1, and what is done now.
    preview
        Lines (N, 2, 3) of what is being made, backend axes, once there are any.
    values, arrays
        The result, once "done".
    error, details
        Of what "failed": one sentence, and text for a report (may be empty).
    """

    def __init__(self, message: str) -> None:
        self.state: State = "running"
        self.fraction = 0.0
        self.message = message
        self.preview: np.ndarray | None = None
        self.values: dict[str, Any] = {}
        self.arrays: wire.Arrays = {}
        self.error = ""
        self.details = ""

    def poll(self) -> None:
        """Take in what has happened so far; never blocks."""
        raise NotImplementedError

    def cancel(self) -> None:
        """Ask for an end; go on polling until the state is "cancelled"."""
        raise NotImplementedError

    def settle(self) -> None:
        """Ask for what is found by now; a job that finds its result at once goes on."""

    def wait(self, on_progress: Callable[[float, str], None] | None = None) -> None:
        """Block until the state is no longer "running"; call ``on_progress`` with each news."""
        seen = None
        while self.state == "running":
            self.poll()
            news = (self.fraction, self.message)
            if on_progress is not None and news != seen:
                on_progress(*news)
            seen = news
            time.sleep(SECONDS_BETWEEN_POLLS)


class ThreadJob(Job):
    """A job that a thread of its own does.

    Subclasses do it in `work`, which writes its progress to `_news` and returns early once `_stop`
    is set; they start `_thread` when they are complete. Texts are put together in `poll`, on
    Blender's own thread.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self._stop = threading.Event()
        self._outcome: tuple[State, Exception | None] = ("running", None)
        self._news = (0.0, message)
        self._thread = threading.Thread(target=self._run, name="ImFace job", daemon=True)

    def work(self) -> None:
        """Do it; whatever is raised ends the job as failed."""
        raise NotImplementedError

    def explain(self, error: Exception) -> str:
        """Return the sentence on an error that is no UserError."""
        raise NotImplementedError

    def poll(self) -> None:
        """Take in how far the thread is."""
        self.fraction, self.message = self._news
        self.state, error = self._outcome
        if isinstance(error, UserError):
            self.error = str(error)
        elif error is not None:
            self.error = self.explain(error)
            self.details = "".join(traceback.format_exception(error))
        if self._stop.is_set() and self.state == "done":
            self.state = "cancelled"

    def cancel(self) -> None:
        """Stop after the next piece."""
        self._stop.set()

    def close(self) -> None:
        """Cancel, and wait until the thread has left its files alone."""
        self.cancel()
        self._thread.join(SECONDS_TO_HEED_A_CANCEL)
        self.poll()

    def _run(self) -> None:
        try:
            self.work()
            self._outcome = ("done", None)
        except Exception as error:  # whatever it is, the panel must not wait for ever
            self._outcome = ("failed", error)


class Chain(Job):
    """One job, and a second one that is made when the first is done; the second's result."""

    def __init__(self, first: Job, make_second: Callable[[], Job]) -> None:
        super().__init__(first.message)
        self._now = first
        self._make_second: Callable[[], Job] | None = make_second

    def poll(self) -> None:
        """Take in the news of the job that runs now."""
        self._now.poll()
        if self._now.state == "done" and self._make_second is not None:
            make, self._make_second = self._make_second, None
            try:
                self._now = make()
            except UserError as error:
                self.state, self.error = "failed", str(error)
                return
        now = self._now
        self.state, self.fraction, self.message = now.state, now.fraction, now.message
        self.preview, self.values, self.arrays = now.preview, now.values, now.arrays
        self.error, self.details = now.error, now.details

    def cancel(self) -> None:
        """Cancel the job that runs now."""
        self._now.cancel()

    def settle(self) -> None:
        """Ask the job that runs now for what it has found."""
        self._now.settle()
