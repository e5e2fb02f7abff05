# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Python runs the worker, and from where it gets PyTorch."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import bpy

from . import gpu, runtime
from .errors import UserError
from .runtime import Bundle, Unpacking
from .translations import label, say


class Setup(NamedTuple):
    """A Python, and the folders of its packages; none if it has its own."""

    python: str
    packages: tuple[Path, ...]


def _preferences() -> Any:
    """Return the add-on's preferences; None when a script registered it without enabling it."""
    addons = bpy.context.preferences.addons
    return addons[__package__].preferences if __package__ in addons else None


def chosen_python() -> str:
    """Return the Python that the user chose: the preference, else IMFACE_PYTHON, else ''.

    Windows' Copy as Path puts quotes around it, and its `set` keeps them.
    """
    preferences = _preferences()
    python = preferences.worker_python.strip('"') if preferences else ""
    return bpy.path.abspath(python) or os.environ.get("IMFACE_PYTHON", "").strip('"')


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


def why_no_gpu() -> str:
    """Return why PyTorch for a GPU cannot be installed, or an empty string."""
    try:
        wheels = bundle()
    except UserError as error:
        return str(error)
    if chosen_python():
        return say("Another Python is set: it computes on a GPU if its PyTorch has CUDA")
    if wheels is None:
        return say("Only the zip that brings PyTorch can install it for a GPU")
    if _gpu_packages(wheels):
        return say("It is installed already. Remove Runtime takes it away")
    if not bpy.app.online_access:
        return say("Allow Online Access in Preferences > System first: about 3 GB are downloaded")
    return ""


def gpu_installation() -> gpu.Installing:
    """Start to install PyTorch for a GPU."""
    wheels = bundle()
    runtime.check_fits(wheels)
    return gpu.Installing(wheels, home(), python_of_blender())


def accept_gpu() -> None:
    """Use PyTorch for a GPU from now on: a worker has computed rightly with it."""
    runtime.mark_complete(gpu.folder_of(bundle(), home()))


def _gpu_packages(wheels: Bundle) -> tuple[Path, ...]:
    """Return the folder of PyTorch for a GPU, if it is accepted."""
    folder = gpu.folder_of(wheels, home())
    return (folder,) if runtime.size_when_complete(folder) else ()


def gpu_setup() -> Setup:
    """Return what runs the worker on a GPU, accepted or not."""
    wheels = bundle()
    folders = (gpu.folder_of(wheels, home()), *wheels.packages(home()))
    return Setup(python_of_blender(), folders)


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
    return Setup(python_of_blender(), (*_gpu_packages(wheels), *wheels.packages(home())))


def python_of_blender() -> str:
    """Return the Python program that comes with Blender; UserError without one."""
    if not sys.executable:
        raise UserError(
            "This Blender comes without its Python program. "
            "Set a Python that has PyTorch in the add-on's preferences or in IMFACE_PYTHON."
        )
    return sys.executable


def runtime_line() -> str:
    """Return in one line what the worker's packages are."""
    try:
        wheels = bundle()
    except UserError as error:
        return str(error)
    if wheels is None:
        return label("Runtime: none in this zip")
    size = runtime.size_of(wheels, home())
    if not size:
        return label("Runtime: in the zip, unpacked when first used")
    megabytes = (size + runtime.size_when_complete(gpu.folder_of(wheels, home()))) / 1e6
    if chosen_python():
        return label(
            "Runtime: {megabytes:.0f} MB unpacked, not used: another Python is set",
            megabytes=megabytes,
        )
    if _gpu_packages(wheels):
        return label(
            "Runtime: {megabytes:.0f} MB with PyTorch for the GPU, in use", megabytes=megabytes
        )
    return label("Runtime: {megabytes:.0f} MB unpacked, in use", megabytes=megabytes)


def has_unpacked() -> bool:
    """Tell whether anything, if only a part, has been unpacked."""
    return wheels_folder().is_dir() and home().is_dir()


def remove_runtime() -> None:
    """Delete what was unpacked and installed; the worker must have ended."""
    runtime.remove(home())
