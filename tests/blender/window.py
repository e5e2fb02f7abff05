# SPDX-License-Identifier: GPL-3.0-or-later
"""A job operator in a window, where there is none."""

import time
from types import SimpleNamespace

import bpy

from imface_blender.job_operators import JobOperator
from imface_blender.jobs import Request


class Window:
    """Stands in for a job operator in a window: the true methods, but no Blender behind them."""

    modal, cancel, execute = JobOperator.modal, JobOperator.cancel, JobOperator.execute
    _begin, _conclude, _end = JobOperator._begin, JobOperator._conclude, JobOperator._end
    _start_in_turn, _wait_in_line = JobOperator._start_in_turn, JobOperator._wait_in_line
    _scene, _waits_for = JobOperator._scene, JobOperator._waits_for
    _explain, _fail, _start = JobOperator._explain, JobOperator._fail, JobOperator._start
    submit = staticmethod(JobOperator.submit)
    bl_idname = "IMFACE_OT_generate"
    bl_options = JobOperator.bl_options
    macros, by_itself, _doubtful = (), False, False
    label = "Doing it"
    limit_s = 10
    _turn = _job = _timer = None

    def __init__(self, seed):
        self.seed, self.reports, self.finished = seed, [], 0
        window = SimpleNamespace(modal_operators=[self], screen=SimpleNamespace(areas=[]))
        self.context = SimpleNamespace(
            mode="OBJECT",
            active_object=None,
            scene=bpy.context.scene,
            screen=SimpleNamespace(is_animation_playing=False),
            window=window,
            window_manager=SimpleNamespace(windows=[window]),
        )
        assert self._begin(self.context)

    def prepare(self, context):
        params = {"seed": self.seed, "strength": 1.0, "topology": "head", "resolution": 128}
        return Request("generate", params, {})

    def finish(self, context, job):
        self.finished += 1
        return "Done"

    def as_keywords(self):
        return {"seed": self.seed}

    def report(self, kind, message):
        self.reports.append((*kind, message))

    def event(self, kind, value="NOTHING"):
        return self.modal(self.context, SimpleNamespace(type=kind, value=value))

    def tick_until(self, condition):
        deadline = time.monotonic() + self.limit_s
        result = self.event("TIMER")
        while not condition(result):
            assert time.monotonic() < deadline
            time.sleep(0.01)
            result = self.event("TIMER")
        return result


def ended(result):
    return result != {"PASS_THROUGH"}
