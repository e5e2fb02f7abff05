# SPDX-License-Identifier: GPL-3.0-or-later
"""Codes survive JSON to the bit, and what is no codes file is one sentence."""

import base64
import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.codes import DETAIL_SIDE, Codes
from backend.errors import BackendError


def _codes() -> Codes:
    rng = np.random.default_rng(0)
    identity = rng.normal(size=128).astype(np.float32)
    return Codes(identity, rng.normal(size=128).astype(np.float32), "0123456789abcdef")


def test_json_gives_the_codes_back_to_the_bit(tmp_path: Path) -> None:
    codes = _codes()
    codes.save(tmp_path / "a.codes.json")
    back = Codes.load(tmp_path / "a.codes.json")
    assert back.weights == codes.weights
    np.testing.assert_array_equal(back.identity, codes.identity)
    assert back.expression is not None
    np.testing.assert_array_equal(back.expression, codes.expression)
    assert (back.identity.dtype, back.expression.dtype) == (np.float32, np.float32)


def test_a_neutral_face_has_no_expression_code() -> None:
    neutral = Codes(_codes().identity, None, "w")
    assert neutral.to_json()["expression"] is None
    assert Codes.from_json(json.loads(json.dumps(neutral.to_json()))).expression is None


def test_detail_comes_back_to_the_bit(tmp_path: Path) -> None:
    bump = np.random.default_rng(0).integers(-32767, 32768, (40, 50))
    detail = np.zeros((DETAIL_SIDE, DETAIL_SIDE), np.int16)
    detail[30:70, 60:110] = bump
    replace(_codes(), detail=detail).save(tmp_path / "a.codes.json")
    back = Codes.load(tmp_path / "a.codes.json").detail
    assert back is not None
    assert back.dtype == np.int16
    np.testing.assert_array_equal(back, detail)
    assert (tmp_path / "a.codes.json").stat().st_size < 12_000  # 52 kB as they are


@pytest.mark.parametrize("name", ["surface", "residual"])
def test_what_a_scan_asks_for_comes_back_to_the_bit(name: str) -> None:
    code = np.random.default_rng(1).normal(size=128).astype(np.float32)
    scanned = replace(_codes(), **{name: code})
    back = getattr(Codes.from_json(json.loads(json.dumps(scanned.to_json()))), name)
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, code)
    assert getattr(Codes.from_json(_codes().to_json()), name) is None


GOOD: dict[str, Any] = {"format": 1, "weights": "w", "identity": [0.5, 1], "expression": [2]}
SMALL, BOMB = (base64.b64encode(zlib.compress(bytes(n))).decode() for n in (100, 10**8))


def test_the_format_is_this() -> None:
    codes = Codes.from_json(GOOD)
    assert codes.identity.tolist() == [0.5, 1]
    assert codes.to_json() == GOOD


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (None, "not a set of ImFace codes. Choose a .codes.json file"),
        ([], "not a set of ImFace codes"),
        ({}, "not a set of ImFace codes"),
        ("codes", "not a set of ImFace codes"),
        ({"asset": {"version": "2.0"}}, "not a set of ImFace codes"),
        ({**GOOD, "identity": ["a"]}, "not a set of ImFace codes"),
        ({**GOOD, "identity": [[1], [2, 3]]}, "not a set of ImFace codes"),
        ({k: v for k, v in GOOD.items() if k != "expression"}, "not a set of ImFace codes"),
        ({**GOOD, "format": 2}, "have format 2; this version reads format 1. Update"),
        ({**GOOD, "identity": [float("nan")]}, "values that are not numbers"),
        ({**GOOD, "expression": [float("inf")]}, "values that are not numbers"),
        ({**GOOD, "surface": None}, "values that are not numbers"),
        ({**GOOD, "surface": "skin"}, "not a set of ImFace codes"),
        ({**GOOD, "detail": None}, "not a set of ImFace codes"),
        ({**GOOD, "detail": "bump"}, "not a set of ImFace codes"),
        ({**GOOD, "detail": "b%mp"}, "not a set of ImFace codes"),
        ({**GOOD, "detail": SMALL}, "not a set of ImFace codes"),
        ({**GOOD, "detail": BOMB}, "not a set of ImFace codes"),
        ({**GOOD, "identity": 3.0}, "values that are not numbers"),
        ({**GOOD, "identity": [[1.0, 2.0]]}, "values that are not numbers"),
    ],
)
def test_bad_codes_are_one_sentence(data: Any, sentence: str) -> None:
    with pytest.raises(BackendError, match=sentence):
        Codes.from_json(data)


def test_bad_files_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"cannot be read: No such file.* Check the path"):
        Codes.load(tmp_path / "none.json")
    for content in (b"not json", b"\xff\xfe\x00", b""):
        (tmp_path / "bad.json").write_bytes(content)
        with pytest.raises(BackendError, match=r"bad\.json is not a JSON file. Choose"):
            Codes.load(tmp_path / "bad.json")
