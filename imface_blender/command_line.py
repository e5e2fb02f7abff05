# SPDX-License-Identifier: GPL-3.0-or-later
"""`blender --command imface ...`: the backend's command line, run by the worker's Python.

The words are those of `python -m backend`, which explains them itself; nothing else is needed
than Blender and the add-on.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import bpy

from . import jobs
from .errors import UserError
from .worker_client import cannot_start, worker_environment
from .worker_setup import unpacking, worker_setup

COMMAND = "imface"
EXIT_BAD_INPUT = 2  # as the backend's own

_handle: Any = None


def run(words: list[str]) -> int:
    """Run the backend with these words; its output goes where Blender's does.

    Returns
    -------
    int
        The backend's exit status: 0, 1 (failed), 2 (bad input) or 130 (Ctrl-C).
    """
    try:
        job = unpacking()
        if job is not None:
            job.wait(on_progress=lambda _, message: print(message, file=sys.stderr))
            if job.state == "failed":
                return _refuse(job.error)
        return _run_backend(words)
    except UserError as error:
        return _refuse(str(error))


def _refuse(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return EXIT_BAD_INPUT


def _run_backend(words: list[str]) -> int:
    setup = worker_setup()
    command, variables = jobs.backend_command(setup, ["--end-with-stdin", *words])
    env = worker_environment(jobs.backend_dir(), variables)
    sys.stdout.flush()
    try:
        # The pipe breaks when Blender is gone, whatever ended it.
        with subprocess.Popen(command, env=env, stdin=subprocess.PIPE) as backend:
            return backend.wait()
    except OSError as error:
        raise cannot_start(setup.python, error) from error


def register() -> None:
    """Give Blender the command."""
    global _handle
    _handle = bpy.utils.register_cli_command(COMMAND, run)  # type: ignore[func-returns-value]


def unregister() -> None:
    """Take the command away."""
    bpy.utils.unregister_cli_command(_handle)
