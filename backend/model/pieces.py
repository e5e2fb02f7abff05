# SPDX-License-Identifier: GPL-3.0-or-later
"""Work on many points in pieces, side by side on the processor's cores."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")

#: Points per piece: activations of one piece stay in the processor's cache.
CACHE_POINTS = 2048
#: Cores that get fewer points than this are not worth it.
_LEAST_POINTS = 200
#: Threads that are not there by then could not be started: memory has run out.
_SECONDS_TO_START = 10.0


def by_pieces(work: Callable[[Tensor], T], points: Tensor, size: int = CACHE_POINTS) -> list[T]:
    """Return the results of work on pieces (n, ...) of points (N, ...), in order.

    On a processor each piece has a core for itself. PyTorch's own threads share every single
    operation and wait for each other after each: where they sleep meanwhile, and leave the cores
    to Blender, two were hardly faster than one.
    """
    threads = torch.get_num_threads() if points.device.type == "cpu" else 1
    count = max(-(-len(points) // size), 1)
    if len(points) >= threads * _LEAST_POINTS:
        count = -(-count // threads) * threads
    pieces = points.tensor_split(count)
    if threads == 1:
        return [work(piece) for piece in pieces]
    with_grad = torch.is_grad_enabled()  # each thread has a mode of its own

    def in_thread(piece: Tensor) -> T:
        with torch.set_grad_enabled(with_grad):
            return work(piece)

    return list(_pool(threads).map(in_thread, pieces))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Return threads of which each has one core."""
    pool, all_there = ThreadPoolExecutor(threads), Barrier(threads, timeout=_SECONDS_TO_START)

    def keep_to_one_core(_: int) -> None:
        all_there.wait()
        torch.get_num_threads()  # the first time, a thread takes over the number of all others
        torch.set_num_threads(1)

    list(pool.map(keep_to_one_core, range(threads)))
    torch.set_num_threads(threads)  # was changed for all threads to come
    return pool
