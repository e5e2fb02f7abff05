# SPDX-License-Identifier: GPL-3.0-or-later
"""An artist's session in a real Blender window: jobs waited for, drags and redraws measured."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import bpy
import numpy as np
from hand import SETTLE_S, TICK_S, Hand, Steps, check, until
from mathutils import Euler

PACKAGE = "bl_ext.user_default.imface_blender"
HEAD_VERTICES = (5_000, 40_000)
STANDSTILL_S = 60  # of a job's progress: it may have to load PyTorch on a busy machine
DRAG_PX = 60


def summary(intervals: list[float]) -> dict[str, float]:
    """Return mean, 95th percentile and maximum [ms]."""
    values = np.array(intervals) * 1000
    return {
        "mean_ms": round(float(values.mean()), 1),
        "p95_ms": round(float(np.percentile(values, 95)), 1),
        "max_ms": round(float(values.max()), 1),
        "count": len(values),
    }


class Session:
    """The artist's session: a hand, what was measured, and what is asked of the add-on."""

    def __init__(self, archive: Path, scan: Path) -> None:
        self.archive, self.scan = archive, scan
        self.hand = Hand()
        self.figures: dict[str, dict[str, float]] = {}
        self.draws: list[float] = []
        self.known_error = ""
        self._started = 0.0  # the last job that was waited for
        bpy.types.SpaceView3D.draw_handler_add(
            lambda: self.draws.append(time.perf_counter()), (), "WINDOW", "POST_PIXEL"
        )

    @property
    def status(self) -> object:
        """What the add-on's panel shows."""
        return sys.modules[f"{PACKAGE}.jobs"].status

    def check_no_error(self) -> None:
        """Raise Missed when the panel shows another error than the one that is known."""
        error = self.status.error
        check(error in ("", self.known_error), f"The panel says: {error}")

    def start_job(self) -> Steps:
        """Wait until a pressed button has started its job, which may be over by then."""
        yield from until(
            lambda: self.status.started != self._started or self.status.error,
            "The job's start",
            10,
        )
        self._started = self.status.started
        self.check_no_error()

    def finish_job(self) -> Steps:
        """Wait until no job runs, nor one that comes by itself."""
        yield SETTLE_S
        while self._is_busy():
            job = self.status.job
            seen = job and (job.fraction, job.message)
            yield from until(
                lambda job=job, seen=seen: (
                    self.status.job is not job or (job and (job.fraction, job.message)) != seen
                ),
                f"News of {self.status.label}, after {seen}",
                STANDSTILL_S,
            )
            yield SETTLE_S if self.status.job is None else 0.0
        self._started = self.status.started
        self.check_no_error()

    def _is_busy(self) -> bool:
        waiting = sys.modules[f"{PACKAGE}.catch_up"]._waiting
        return bool(self.status.job or self.status.line or waiting)

    def rest(self) -> Steps:
        """Wait until the sliders' exact surface has come."""
        yield 1.0
        yield from self.finish_job()

    def watch_redraws(self, name: str, goes_on: Callable[[], object]) -> Steps:
        """Measure how evenly the viewport is drawn while something goes on."""
        start = len(self.draws)
        while goes_on():
            self.hand.area.tag_redraw()
            yield TICK_S
        self.figures[name] = summary(np.diff(self.draws[start:]).tolist() or [0.0])

    def drag_nose(self, name: str) -> Steps:
        """Drag a slider, and measure."""
        sliders = bpy.context.object.data.imface_sliders
        with self.measure(name, lambda: sliders.noseLength) as wait_for_drawing:
            yield from self.hand.drag("noseLength", DRAG_PX, wait_for_drawing)

    def scrub(self, name: str, first: int, last: int) -> Steps:
        """Drag over the timeline, and measure."""
        with self.measure(name, lambda: bpy.context.scene.frame_current) as wait_for_drawing:
            yield from self.hand.scrub(first, last, wait_for_drawing)
        check(bpy.context.scene.frame_current == last, f"Frame {last} has not been reached.")

    @contextlib.contextmanager
    def measure(self, name: str, read: Callable[[], float]) -> Iterator[Callable[[], Steps]]:
        """Measure from the pointer's moves, which change what is read, to the drawn head."""
        took: list[float] = []

        def wait_for_drawing() -> Steps:
            start, drawn, value = time.perf_counter(), len(self.draws), read()
            while read() == value:
                if time.perf_counter() - start > 0.2:  # Blender waits for a longer way
                    return
                yield 0.0
            # Seen in the loop's next turn: by then the drawing has been shown.
            yield from until(lambda: len(self.draws) > drawn, "A drawing of the drag", 20, 0.0)
            took.append(time.perf_counter() - start)

        yield wait_for_drawing
        self.figures[name] = summary(took) | {"updates_per_second": round(len(took) / sum(took), 1)}

    def frame(self) -> Steps:
        """Look at the selected objects, from a little to the side."""
        turn = Euler((math.radians(80), 0, math.radians(25))).to_quaternion()
        self.hand.area.spaces.active.region_3d.view_rotation = turn
        yield from self.hand.key("NUMPAD_PERIOD")

    def head(self, name: str) -> bpy.types.Object:
        """Return a head of this name, after a look at it."""
        face = bpy.data.objects.get(name)
        check(face is not None, f"There is no object {name}.")
        count = len(face.data.vertices)
        low, high = HEAD_VERTICES
        check(low < count < high, f"{name} has {count} vertices.")
        check(bpy.context.view_layer.objects.active == face, f"{name} is not the active object.")
        check(face.imface.codes, f"{name} has no codes.")
        return face
