# SPDX-License-Identifier: GPL-3.0-or-later
"""The landmarks of a scan, from the files that stand beside it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import LandmarkError
from ..mesh import Mesh

LANDMARKS = 68

#: The parts of a face in Multi-PIE's order, by their names in LJSON files less the underscores.
_PARTS = ("jaw", "leyebrow", "reyebrow", "nose", "leye", "reye", "mouth")
_OTHER_NAMES = {"left": "l", "right": "r", "_": "", "chin": "jaw"}


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


def _ljson_rows(text: str) -> np.ndarray:
    """Read the first group of points; where its labels name the parts of a face, by part."""
    group = next(iter(json.loads(text)["groups"].values()))
    points = np.array(group["landmarks"]["points"], np.float64)
    masks = {_part(label["label"]): label["mask"] for label in group.get("labels", [])}
    if set(masks) != set(_PARTS):
        return points
    return points[np.concatenate([masks[part] for part in _PARTS])]


def _part(label: str) -> str:
    for name, usual in _OTHER_NAMES.items():
        label = label.lower().replace(name, usual)
    return label


_READERS: dict[str, Callable[[str], Any]] = {
    ".bnd": _bnd_rows,
    ".txt": _rows,
    ".json": _json_rows,
    ".pts": _pts_rows,
    ".ljson": _ljson_rows,
    ".csv": _rows,
}
_EXTENSIONS = ", ".join(_READERS)
_NO_POINTS = "{} holds no list of points. Write one x y z a line."
#: What damaged files make the readers raise.
_DAMAGE = (ValueError, TypeError, KeyError, IndexError, AttributeError, StopIteration)


def landmark_file(mesh: Path) -> Path | None:
    """Return the landmark file beside a mesh: its stem with an extension that can be read."""
    extensions = (*_READERS, *(extension.upper() for extension in _READERS))
    candidates = (mesh.with_suffix(extension) for extension in extensions)
    return next((path for path in candidates if path.is_file()), None)


def read_landmarks(path: Path) -> np.ndarray:
    """Read the 68 Multi-PIE landmarks (68, 3) in the file's own unit.

    Parameters
    ----------
    path : Path
        ``.bnd``: a line "index x y z" each. ``.txt``, ``.csv``: a line "x y z" each, commas
        allowed. ``.json``: a list of [x, y, z], or an object whose "landmarks" is one. ``.pts``:
        lines "x y z" between braces. ``.ljson``: as menpo writes it; where its labels name the
        parts of a face, their order in the file does not matter.

    Raises
    ------
    LandmarkError
        If the file cannot be read, or does not hold 68 points.
    """
    points = _checked(path, _read(path, _READERS[path.suffix.lower()]))
    _check_count(path, len(points))
    return points


def read_scan_landmarks(path: Path, scan: Mesh) -> np.ndarray:
    """Read any number of landmarks (K, 3) in the scan's own coordinates.

    Parameters
    ----------
    path : Path
        As for ``read_landmarks``; ``.json`` may also hold an object of {name: [triangle, u, v]},
        places (1 - u - v) a + u b + v c on the scan's triangles, counted from 0.
    scan : Mesh
        Its triangles in the order of its file.

    Raises
    ------
    LandmarkError
        If there is no such file, or it cannot be read.
    """
    if not path.is_file():
        raise LandmarkError(f"There is no file {path}. Check the path.")
    extension = path.suffix.lower()
    if extension not in _READERS:
        raise LandmarkError(f"{path.name} is no landmark file. Use {_EXTENSIONS}.")
    places = _read(path, _places_on_triangles) if extension == ".json" else None
    if places is None:
        return _checked(path, _read(path, _READERS[extension]))
    try:
        corners = scan.vertices[scan.triangles[[triangle for triangle, _, _ in places]]]
        u, v = np.array([[u, v] for _, u, v in places], np.float64).T[..., None]
    except _DAMAGE as error:
        raise LandmarkError(
            f"{path.name} does not name triangles of the scan. Give this scan's own file."
        ) from error
    return _checked(path, (1 - u - v) * corners[:, 0] + u * corners[:, 1] + v * corners[:, 2])


def _places_on_triangles(text: str) -> list[Any] | None:
    """Return rows of [triangle, u, v], or None if the file holds something else."""
    data = json.loads(text)
    return None if not isinstance(data, dict) or "landmarks" in data else list(data.values())


def _read(path: Path, reader: Callable[[str], Any]) -> Any:
    try:
        return reader(path.read_text("utf-8-sig"))
    except (OSError, *_DAMAGE) as error:
        raise LandmarkError(_NO_POINTS.format(path.name)) from error


def _checked(path: Path, rows: Any) -> np.ndarray:
    """Return rows of numbers as points (K, 3)."""
    try:
        points = np.array(rows, np.float64)
    except (ValueError, TypeError) as error:
        raise LandmarkError(_NO_POINTS.format(path.name)) from error
    if points.ndim != 2 or points.shape[1] != 3:
        raise LandmarkError(_NO_POINTS.format(path.name))
    if not np.isfinite(points).all():
        raise LandmarkError(f"{path.name} has a landmark without a position. Write all of them.")
    return points


def read_landmark_indices(path: Path) -> np.ndarray:
    """Read the vertex indices (68,) of the landmarks of a common topology, counted from 0.

    Raises
    ------
    LandmarkError
        If the file does not hold 68 integers.
    """
    try:
        indices = np.array(path.read_text("utf-8-sig").replace(",", " ").split(), np.int64)
        if (indices < 0).any():
            raise ValueError("negative")
    except (ValueError, OverflowError) as error:
        raise LandmarkError(f"{path.name} holds no vertex indices. Write 68 integers.") from error
    _check_count(path, len(indices))
    return indices


def _check_count(path: Path, count: int) -> None:
    if count != LANDMARKS:
        raise LandmarkError(
            f"{path.name} holds {count} landmarks. Give the {LANDMARKS} of Multi-PIE, in order."
        )
