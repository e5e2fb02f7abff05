# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are whole or not there."""

import glob
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from secrets import token_hex

import numpy as np

#: On Windows an antivirus or a viewer that has a file open keeps it from being replaced.
_SECONDS_TO_LET_GO = 5.0
_SECONDS_BETWEEN_TRIES = 0.1
#: What nobody has written to for so long is of a process that was killed.
_SECONDS_TO_STRAY = 3600.0


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give another path to write to; what is there in the end takes the place of ``path``.

    A stop while writing leaves the previous file, and each of several that write one at once has a
    path of its own. What was killed meanwhile is removed when the file is written again.
    """
    _remove_strays(path)
    partial = path.with_name(f"{path.name}.{token_hex(4)}.partial")
    try:
        yield partial
        _replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _remove_strays(path: Path) -> None:
    """Remove what processes that were killed have left of a file; others may be writing it now."""
    for stray in path.parent.glob(f"{glob.escape(path.name)}.*.partial"):
        with suppress(OSError):  # another one has just removed it, or Windows has it open
            if time.time() - stray.stat().st_mtime > _SECONDS_TO_STRAY:
                stray.unlink()


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


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write a compressed ``.npz`` file, whole or not at all."""
    content = BytesIO()  # an archive that is written to a full disk complains of it once more
    np.savez_compressed(content, **arrays)
    with replacing(path) as partial:
        partial.write_bytes(content.getbuffer())
