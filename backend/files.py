# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are whole or not there."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

#: On Windows an antivirus or a viewer that has a file open keeps it from being replaced.
_SECONDS_TO_LET_GO = 5.0
_SECONDS_BETWEEN_TRIES = 0.1


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give another path to write to; what is there in the end takes the place of ``path``.

    A stop while writing leaves the previous file, and each of several that write one at once has a
    path of its own.
    """
    partial = path.with_name(f"{path.name}.{token_hex(4)}.partial")
    try:
        yield partial
        _replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _replace(partial: Path, path: Path) -> None:
    """Do it as soon as the system lets it be done."""
    end = time.monotonic() + _SECONDS_TO_LET_GO
    while True:
        try:
            partial.replace(path)
            return
        except PermissionError:
            if time.monotonic() > end:
                raise
            time.sleep(_SECONDS_BETWEEN_TRIES)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
