# SPDX-License-Identifier: GPL-3.0-or-later
"""ImFace's neural backend: NumPy and PyTorch, never Blender."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def _manifest_version() -> str:
    with open(ROOT / "blender_manifest.toml", "rb") as file:
        return str(tomllib.load(file)["version"])


__version__ = _manifest_version()
