# SPDX-License-Identifier: GPL-3.0-or-later
"""Work in pieces: the whole in order, each piece on a core of its own, as the caller has it."""

import threading
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from backend.model.pieces import by_pieces

POINTS = torch.arange(3 * 10_001, dtype=torch.float32).view(-1, 3)


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Let PyTorch have so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_the_pieces_are_the_whole_in_order(threads: int) -> None:
    pieces = by_pieces(lambda piece: piece * 2, POINTS)
    assert torch.equal(torch.cat(pieces), POINTS * 2)
    assert len(pieces) % threads == 0
    sizes = [len(piece) for piece in pieces]
    assert max(sizes) <= 2048
    assert max(sizes) - min(sizes) <= 1
    assert max(map(len, by_pieces(lambda piece: piece, POINTS, 100))) <= 100
    for few in (POINTS[:7], POINTS[:0]):
        (piece,) = by_pieces(lambda piece: piece, few)
        assert torch.equal(piece, few)


def test_each_thread_has_one_core_and_the_caller_all_of_them(threads: int) -> None:
    def work(_: Tensor) -> tuple[int, int]:
        barrier.wait(10)  # as many are at work as there are cores
        return threading.get_ident(), torch.get_num_threads()

    barrier = threading.Barrier(threads)
    found = by_pieces(work, POINTS[: 2000 * threads])
    assert len({ident for ident, _ in found}) == threads
    assert {cores for _, cores in found} == {1}
    assert torch.get_num_threads() == threads
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [threads]


@pytest.mark.parametrize("enabled", [True, False])
def test_gradients_are_kept_as_the_caller_has_them(threads: int, enabled: bool) -> None:
    factor = torch.tensor(2.0, requires_grad=True)
    with torch.set_grad_enabled(enabled):
        pieces = by_pieces(lambda piece: piece * factor, POINTS)
    assert {piece.requires_grad for piece in pieces} == {enabled}


def test_an_error_reaches_the_caller(threads: int) -> None:
    def work(piece: Tensor) -> None:
        if (piece[-1] == POINTS[-1]).all():
            raise ValueError("the last piece")

    with pytest.raises(ValueError, match="the last piece"):
        by_pieces(work, POINTS)
