# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an evaluation keeps what it has measured, to go on after a stop."""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from .. import ROOT, __version__
from ..checkpoint import FaceModel


@cache
def program() -> str:
    """Return what tells this program from others: its version, and a hash of its sources."""
    return f"{__version__}-{hash_of_sources(ROOT / 'backend')}"


def hash_of_sources(folder: Path) -> str:
    """Return eight hex digits that are others after any change of a folder's Python files."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def rows_file(folder: Path, name: str, model: FaceModel) -> Path:
    """Return the file of what this program measured of a model; what other weights or another
    program left in the folder stays, and is not taken for it."""
    return folder / f"{name}-{model.fitted_by}-{program()}.json"


def read_rows(path: Path) -> dict[str, list[Any]]:
    """Return what the file has so far, by the scans' ``key``."""
    rows: dict[str, list[Any]] = json.loads(path.read_text()) if path.exists() else {}
    return rows
