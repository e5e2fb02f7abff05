# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's end of the wire: how one message becomes bytes, and bytes a message.

A message is a 4-byte big-endian length, a JSON header of that many UTF-8 bytes and then, for
each ``[name, nbytes]`` in ``header["arrays"]``, the bytes of one ``.npy`` file: never a pickle.
The worker's end is ``backend/worker/protocol.py``: the two may run in different Pythons and
import nothing from each other, so the format stands in both, and a test lets each read what the
other writes.
"""

from __future__ import annotations

import io
import json
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

PROTOCOL = 1
MAX_HEADER_BYTES = 16 * 2**20
MAX_ARRAY_BYTES = 4 * 2**30

Arrays = dict[str, np.ndarray]


class ProtocolError(Exception):
    """The other end sent something that is not a message; the text says why not."""


def pack(header: dict[str, Any], arrays: Arrays | None = None) -> bytes:
    """Return the bytes of one message.

    Raises
    ------
    TypeError, ValueError
        If the header is not JSON, or an array holds Python objects.
    """
    files = {name: _npy_bytes(array) for name, array in (arrays or {}).items()}
    sizes = [[name, len(file)] for name, file in files.items()]
    text = json.dumps({**header, "arrays": sizes}).encode()
    return b"".join([len(text).to_bytes(4, "big"), text, *files.values()])


def read_message(stream: IO[bytes]) -> tuple[dict[str, Any], Arrays]:
    """Wait for the next message; return its header (without ``"arrays"``) and its arrays.

    Raises
    ------
    EOFError
        If the stream ends, between two messages or within one.
    ProtocolError
        If the bytes are not a message.
    MemoryError
        If there is no room for it.
    """
    try:
        nbytes = int.from_bytes(_read_part(stream, 4, limit=4), "big")
        header = json.loads(_read_part(stream, nbytes, MAX_HEADER_BYTES))
        arrays = {
            str(name): _npy_array(_read_part(stream, nbytes, MAX_ARRAY_BYTES))
            for name, nbytes in header.pop("arrays")
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ProtocolError(f"{type(error).__name__}: {error}") from error
    return header, arrays


def _read_part(stream: IO[bytes], nbytes: int, limit: int) -> bytes:
    if not 0 <= nbytes <= limit:
        raise ValueError(f"a part of {nbytes} bytes")
    data = stream.read(nbytes)
    if len(data) < nbytes:
        raise EOFError
    return data


def _npy_bytes(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _npy_array(data: bytes) -> np.ndarray:
    return npy.read_array(io.BytesIO(data), allow_pickle=False)
