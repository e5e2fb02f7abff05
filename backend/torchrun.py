# SPDX-License-Identifier: GPL-3.0-or-later
"""What torchrun's processes share."""

import os
import signal
from datetime import timedelta
from typing import TypeVar

import torch.distributed as dist

T = TypeVar("T")

#: For the slowest of the others. Where one has died, torchrun ends all that wait.
_PATIENCE = timedelta(days=365)


def share(items: list[T]) -> list[T]:
    """Return this process's part of a list that all processes have."""
    return items[int(os.environ.get("RANK", "0")) :: int(os.environ.get("WORLD_SIZE", "1"))]


def wait_for_the_others() -> None:
    """Return once all processes have called this: torchrun ends them all as soon as one's exit
    status tells that something failed."""
    if dist.is_available() and dist.is_torchelastic_launched():
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's own handler does not run meanwhile
        dist.init_process_group("gloo", timeout=_PATIENCE)
        dist.barrier()
        dist.destroy_process_group()
