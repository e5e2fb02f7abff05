# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Python runs the worker, and from where it gets PyTorch."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import bpy

from . import runtime
from .errors import UserError
from .runtime import Bundle, Unpacking
from .translations import label


class Setup(NamedTuple):
    """A Python, and the folders of its packages; none if it has its own."""

    python: str
    packages: tuple[Path, ...]


def _preferences() -> Any:
    """Return the add-on's preferences; None when a script registered it without enabling it."""
    addons = bpy.context.preferences.addons
    return addons[__package__].preferences if __package__ in addons else None


def chosen_python() -> str:
    """Return the Python that the user chose: the preference, else IMFACE_PYTHON, else ''."""
    preferences = _preferences()
    python = bpy.path.abspath(preferences.worker_python) if preferences else ""
    return python or os.environ.get("IMFACE_PYTHON", "")


def idle_minutes() -> int:
    """Return after how many minutes without a job the worker ends; 0: never."""
    preferences = _preferences()
    return preferences.idle_minutes if preferences else 0


def wheels_folder() -> Path:
    """Return the folder of the wheels that came with the add-on; it need not exist."""
    return Path(__file__).resolve().parent / "wheels"


def home() -> Path:
    """Return the folder in which wheels are unpacked.

    It is the extension's own for the user: Blender deletes it when the extension is uninstalled.
    """
    return Path(bpy.utils.extension_path_user(__package__, path="runtime"))


def bundle() -> Bundle | None:
    """Return the wheels that came with the add-on; None if there are none."""
    return runtime.read_bundle(wheels_folder())


def unpacking() -> Unpacking | None:
    """Start to unpack the wheels, if the worker will need them and they are not yet there."""
    wheels = None if chosen_python() else bundle()
    if wheels is None or runtime.size_of(wheels, home()):
        return None
    runtime.check_fits(wheels)
    return Unpacking(wheels, home())


def worker_setup() -> Setup:
    """Return what runs the worker; UserError if there is nothing."""
    if python := chosen_python():
        return Setup(python, ())
    wheels = bundle()
    if wheels is None:
        raise UserError(
            "No Python is chosen for the worker. Install the zip that brings PyTorch, "
            "or set a Python that has it in the add-on's preferences or in IMFACE_PYTHON."
        )
    runtime.check_fits(wheels)
    if not sys.executable:
        raise UserError(
            "This Blender comes without its Python program. "
            "Set a Python that has PyTorch in the add-on's preferences or in IMFACE_PYTHON."
        )
    return Setup(sys.executable, tuple(wheels.packages(home())))


def runtime_line() -> str:
    """Return in one line what became of the wheels."""
    try:
        wheels = bundle()
    except UserError as error:
        return str(error)
    if wheels is None:
        return label("Runtime: none in this zip")
    size = runtime.size_of(wheels, home())
    if not size:
        return label("Runtime: in the zip, unpacked when first used")
    megabytes = size / 1e6
    if chosen_python():
        return label(
            "Runtime: {megabytes:.0f} MB unpacked, not used: another Python is set",
            megabytes=megabytes,
        )
    return label("Runtime: {megabytes:.0f} MB unpacked, in use", megabytes=megabytes)


def has_unpacked() -> bool:
    """Tell whether anything, if only a part, has been unpacked."""
    return wheels_folder().is_dir() and home().is_dir()


def remove_runtime() -> None:
    """Delete the unpacked wheels; the worker must have ended."""
    runtime.remove(home())
