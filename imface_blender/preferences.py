# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's preferences: which Python runs the worker."""

import os
from typing import cast

import bpy
from bpy.props import StringProperty

from .errors import UserError


class ImFacePreferences(bpy.types.AddonPreferences):
    """One setting and a button that tests it."""

    bl_idname = __package__

    worker_python: StringProperty(
        name="Worker's Python",
        description="The Python program, with PyTorch installed, in which faces are computed",
        subtype="FILE_PATH",
    )

    def draw(self, context: bpy.types.Context) -> None:
        """Show the setting."""
        self.layout.prop(self, "worker_python")
        self.layout.operator("imface.check_worker")


CLASSES = (ImFacePreferences,)


def worker_python() -> str:
    """Return the worker's Python: the preference, else the environment variable IMFACE_PYTHON.

    Raises UserError when neither is set.
    """
    addons = bpy.context.preferences.addons
    python = ""
    if __package__ in addons:  # not so when a script registered the add-on without enabling it
        preferences = cast(ImFacePreferences, addons[__package__].preferences)
        python = bpy.path.abspath(preferences.worker_python)
    python = python or os.environ.get("IMFACE_PYTHON", "")
    if not python:
        raise UserError(
            "No Python is chosen for the worker. "
            "Set one that has PyTorch in the add-on's preferences or in IMFACE_PYTHON."
        )
    return python
