# SPDX-License-Identifier: GPL-3.0-or-later
"""How a process learns that the one which started it is gone."""

import os
import threading
import time

_SECONDS_BETWEEN_LOOKS = 1.0


def take_over_stdin() -> int:
    """Keep stdin for one reader alone; returns its file descriptor.

    Nothing else may read it: on Windows even asking for the type of a pipe waits while another
    thread reads from it, and libraries ask when they are loaded.
    """
    source = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return source


def end_with_stdin(status: int) -> None:
    """End this process with that exit status once its stdin ends, whatever it is doing then."""
    source = take_over_stdin()

    def watch() -> None:
        while os.read(source, 4096):
            pass
        os._exit(status)

    threading.Thread(target=watch, daemon=True).start()


def end_with_parent() -> None:
    """End this process once the one is gone that started it: killed, it cannot say so, and some of
    the pipes that would are held open by its other children. On Windows these pipes do end it."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
