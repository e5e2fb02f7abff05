# SPDX-License-Identifier: GPL-3.0-or-later
"""The wish to end, heeded between two steps of the work."""

import signal
from types import FrameType


class Interruption:
    """Takes the first Ctrl-C as the wish for what is there by now; the second one ends all.

    Parameters
    ----------
    others : int
        Signals that are the same wish, however often they come: torchrun passes on those that its
        processes have got already.

    Attributes
    ----------
    wanted : bool
    """

    def __init__(self, *others: int) -> None:
        self.wanted = False
        self._numbers = (signal.SIGINT, *others)

    def __enter__(self) -> "Interruption":
        handlers = {number: signal.getsignal(number) for number in self._numbers}
        usual = (signal.default_int_handler, signal.SIG_DFL)  # else it is to be ignored
        self._before = {number: handler for number, handler in handlers.items() if handler in usual}
        for number in self._before:
            signal.signal(number, self._heed)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _heed(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            signal.signal(number, self._before[number])
        self.wanted = True
