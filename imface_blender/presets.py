# SPDX-License-Identifier: GPL-3.0-or-later
"""Presets of a face's shape: named values of its sliders, as files in Blender's user folder.

A preset is a change, not a face: on another face it does the same to another person.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import bpy

from .errors import UserError
from .slider_names import NAMES
from .sliders import LARGEST_VALUE, Values

EXTENSION = ".json"
FOLDER = "presets/imface"  # below that of the user's scripts


def folder(create: bool = False) -> Path:
    """Return the folder of all presets, which stays when the add-on goes; UserError when it is to
    be made and cannot."""
    path = bpy.utils.user_resource("SCRIPTS", path=FOLDER, create=create)
    if not path:
        raise UserError(
            "The folder {path} cannot be made. Allow that in your file manager, or make it "
            "yourself.",
            path=bpy.utils.user_resource("SCRIPTS", path=FOLDER) or FOLDER,
        )
    return Path(path)


def path_of(name: str, create: bool = False) -> Path:
    """Return the file of a preset; UserError for a name that is none, or without its folder."""
    if not name.strip():
        raise UserError("The preset has no name. Give it one.")
    return folder(create) / (quote(name.strip(), safe=" ") + EXTENSION)


def names() -> list[str]:
    """Return the names of all presets, sorted."""
    return sorted(unquote(path.stem) for path in folder().glob(f"*{EXTENSION}"))


def free_name(name: str) -> str:
    """Return a name that no preset has: this one, or with a number."""
    taken = names()
    numbered = (f"{name} {number}" for number in itertools.count(2))
    return next(free for free in itertools.chain([name], numbered) if free not in taken)


def to_text(values: Values) -> str:
    """Return what a preset's file holds."""
    return json.dumps({"sliders": values}, indent=1) + "\n"


def read(name: str) -> Values:
    """Return the values that a preset sets; sliders that it does not name are at 0."""
    try:
        values = json.loads(path_of(name).read_text(encoding="utf-8"))["sliders"]
    except OSError as error:
        raise UserError(
            "There is no preset '{name}'. Save one with Save Shape Preset.", name=name
        ) from error
    except (ValueError, KeyError, TypeError):
        values = None
    if not isinstance(values, dict) or not all(map(_is_value, values, values.values())):
        raise UserError("The preset '{name}' is damaged. Remove it, or save it again.", name=name)
    return values


def _is_value(slider: str, value: Any) -> bool:
    return slider in NAMES and isinstance(value, int | float) and abs(value) <= LARGEST_VALUE
