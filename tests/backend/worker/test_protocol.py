# SPDX-License-Identifier: GPL-3.0-or-later
"""Each end of the wire reads what the other writes, and refuses what is no message."""

import importlib.util
import io
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from backend.worker import protocol

ROOT = Path(__file__).resolve().parents[3]


def _load_wire() -> ModuleType:
    """Load the add-on's end by its path: its package needs Blender."""
    spec = importlib.util.spec_from_file_location("wire", ROOT / "imface_blender" / "wire.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


wire = _load_wire()

HEADER = {"type": "result", "id": 3, "values": {"name": "Lee — ⅔", "list": [1, 2.5, None]}}
ARRAYS = {
    "vertices": np.array([[0.1, -2.0, 3e300]]),
    "polygons": np.array([[0, 1, 2, -1]], dtype=np.int32),
    "half": np.asfortranarray(np.arange(6, dtype=np.float16).reshape(2, 3)),
    "view": np.arange(20, dtype=np.uint8)[::3],
    "big endian": np.array([1, 2], dtype=">i4"),
    "single": np.array(7.0),
    "none": np.zeros((0, 3), dtype=np.float32),
}

both_ways = pytest.mark.parametrize(
    ("writer", "reader"), [(wire, protocol), (protocol, wire)], ids=["job", "answer"]
)
both_ends = pytest.mark.parametrize("end", [wire, protocol], ids=["wire", "protocol"])


@both_ways
def test_one_end_reads_what_the_other_writes(writer: Any, reader: Any) -> None:
    stream = io.BytesIO(writer.pack(HEADER, ARRAYS) + writer.pack({"type": "quit"}))
    header, arrays = reader.read_message(stream)
    assert header == HEADER
    assert list(arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        assert arrays[name].flags.writeable
        np.testing.assert_array_equal(arrays[name], array)
    assert reader.read_message(stream) == ({"type": "quit"}, {})


def test_both_ends_are_of_one_version() -> None:
    names = ("PROTOCOL", "MAX_HEADER_BYTES", "MAX_ARRAY_BYTES")
    assert [getattr(wire, n) for n in names] == [getattr(protocol, n) for n in names]


@both_ends
def test_the_bytes_of_a_message_are_these(end: Any) -> None:
    text = b'{"type": "quit", "arrays": []}'
    assert end.pack({"type": "quit"}) == b"\x00\x00\x00\x1e" + text


@both_ends
def test_an_ended_stream_is_an_end_wherever_it_ends(end: Any) -> None:
    message = end.pack({"type": "x"}, {"a": np.arange(3)})
    for length in range(0, len(message), 7):
        with pytest.raises(EOFError):
            end.read_message(io.BytesIO(message[:length]))


def _frame(text: bytes, rest: bytes = b"") -> bytes:
    return len(text).to_bytes(4, "big") + text + rest


def _with_array(nbytes: Any, rest: bytes = b"") -> bytes:
    return _frame(json.dumps({"type": "x", "arrays": [["a", nbytes]]}).encode(), rest)


def _pickled() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([{}], dtype=object), allow_pickle=True)
    return file.getvalue()


@both_ends
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"Loading the model...\n", id="text"),
        pytest.param((16 * 2**20 + 1).to_bytes(4, "big"), id="header too long"),
        pytest.param(_frame(b"not json"), id="no json"),
        pytest.param(_frame(b"\xff\xfe"), id="no utf-8"),
        pytest.param(_frame(b"[" * 100_000), id="deep json"),
        pytest.param(_frame(b"[1, 2]"), id="no object"),
        pytest.param(_frame(b'{"type": "x"}'), id="no list of arrays"),
        pytest.param(_frame(b'{"arrays": [1]}'), id="no pair"),
        pytest.param(_with_array(-1), id="negative size"),
        pytest.param(_with_array("9"), id="size no number"),
        pytest.param(_with_array(4 * 2**30 + 1), id="array too long"),
        pytest.param(_with_array(6, b"no npy"), id="no npy"),
        pytest.param(_with_array(len(_pickled()), _pickled()), id="pickle"),
    ],
)
def test_what_is_no_message_is_refused(end: Any, data: bytes) -> None:
    with pytest.raises(end.ProtocolError):
        end.read_message(io.BytesIO(data))


@both_ends
def test_python_objects_are_not_sent(end: Any) -> None:
    with pytest.raises(ValueError, match=r"[Oo]bject"):
        end.pack({"type": "x"}, {"a": np.array([{}], dtype=object)})
    with pytest.raises(TypeError):
        end.pack({"type": "x", "values": {"a": np.float32(1)}})
