# SPDX-License-Identifier: GPL-3.0-or-later
"""The 68 Multi-PIE landmarks of a mesh, from the files that stand beside it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError

LANDMARKS = 68


def _rows(text: str) -> list[list[str]]:
    lines = text.replace(",", " ").splitlines()
    return [line.split() for line in lines if line.strip()]


def _bnd_rows(text: str) -> np.ndarray:
    """Read rows of "index x y z", in the order of their index."""
    rows = np.array(_rows(text), np.float64)
    return rows[np.argsort(rows[:, 0], kind="stable"), 1:]


def _pts_rows(text: str) -> list[list[str]]:
    return _rows(text.partition("{")[2].partition("}")[0])


def _json_rows(text: str) -> Any:
    data = json.loads(text)
    return data["landmarks"] if isinstance(data, dict) else data


_READERS: dict[str, Callable[[str], Any]] = {
    ".bnd": _bnd_rows,
    ".txt": _rows,
    ".json": _json_rows,
    ".pts": _pts_rows,
}


def landmark_file(mesh: Path) -> Path | None:
    """Return the landmark file beside a mesh: its stem with .bnd, .txt, .json or .pts."""
    candidates = (mesh.with_suffix(extension) for extension in _READERS)
    return next((path for path in candidates if path.is_file()), None)


def read_landmarks(path: Path) -> np.ndarray:
    """Read landmarks (68, 3) in the file's own unit.

    Parameters
    ----------
    path : Path
        ``.bnd``: a line "index x y z" each. ``.txt``: a line "x y z" each, commas allowed.
        ``.json``: a list of [x, y, z], or an object whose "landmarks" is one. ``.pts``: lines
        "x y z" between braces.

    Raises
    ------
    DataError
        If the file cannot be read, or does not hold 68 points.
    """
    try:
        points = np.array(_READERS[path.suffix](path.read_text("utf-8-sig")), np.float64)
    except (OSError, ValueError, TypeError, KeyError, IndexError) as error:
        raise DataError(f"{path.name} holds no list of points. Write one x y z a line.") from error
    if points.ndim != 2 or points.shape[1] != 3:
        raise DataError(f"{path.name} holds no list of points. Write one x y z a line.")
    _check_count(path, len(points))
    if not np.isfinite(points).all():
        raise DataError(f"{path.name} has a landmark without a position. Write all 68 of them.")
    return points


def read_landmark_indices(path: Path) -> np.ndarray:
    """Read the vertex indices (68,) of the landmarks of a common topology, counted from 0.

    Raises
    ------
    DataError
        If the file does not hold 68 integers.
    """
    try:
        indices = np.array(path.read_text("utf-8-sig").replace(",", " ").split(), np.int64)
        if (indices < 0).any():
            raise ValueError("negative")
    except (ValueError, OverflowError) as error:
        raise DataError(f"{path.name} holds no vertex indices. Write 68 integers.") from error
    _check_count(path, len(indices))
    return indices


def _check_count(path: Path, count: int) -> None:
    if count != LANDMARKS:
        raise DataError(
            f"{path.name} holds {count} landmarks. Give the {LANDMARKS} of Multi-PIE, in order."
        )
