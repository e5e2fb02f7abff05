# SPDX-License-Identifier: GPL-3.0-or-later
"""Importing the large libraries."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager


def let_waiting_threads_sleep() -> None:
    """Set it before any of them is imported: threads that spin while they wait make a fit ten times
    slower beside any other busy program."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@contextmanager
def uncollected() -> Iterator[None]:
    """Import modules without looking for garbage among what they define.

    There is none, but the million objects of PyTorch and SciPy would be looked through again and
    again, which takes a fifth of the time; nor are they ever looked at later.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
