# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes landmark files for the tests."""

import json
from pathlib import Path

import numpy as np


def write_landmarks(points: np.ndarray, path: Path) -> None:
    """Write points (N, 3) in the format that the path's extension names."""
    if path.suffix == ".json":
        path.write_text(json.dumps({"landmarks": points.tolist()}))
        return
    if path.suffix == ".ljson":
        group = {"landmarks": {"points": points.tolist()}}
        path.write_text(json.dumps({"version": 3, "groups": {"LJSON": group}}))
        return
    separator = ", " if path.suffix in (".txt", ".csv") else " "
    rows = [separator.join(map(repr, row)) for row in points.tolist()]
    if path.suffix == ".bnd":
        rows = [f"{i}  {row}" for i, row in enumerate(rows)]
    elif path.suffix == ".pts":
        rows = ["version: 1", "n_points: 68", "{", *rows, "}"]
    path.write_text("\n".join(rows) + "\n")
