# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's modules that need no Blender, imported in a Python that has none."""

import importlib
import sys
import types
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def import_without_bpy(module: str) -> Any:
    """Import a module of the add-on without the add-on's own ``__init__``, which needs bpy."""
    package = types.ModuleType("imface_without_bpy")
    package.__path__ = [str(ROOT / "imface_blender")]
    sys.modules.setdefault(package.__name__, package)
    return importlib.import_module(f"{package.__name__}.{module}")
