# SPDX-License-Identifier: GPL-3.0-or-later
"""How far each vertex of a fitted face is from its scan: numbers, and colours to look at."""

from typing import Any

import bpy
import numpy as np

ATTRIBUTE = "fit_error_mm"
COLOURS = "Fit Error"
LEGEND = "Blue 0 mm, green 1, yellow 2, red 3 and more; grey: not in the scan"
_MM = (0.0, 1.0, 2.0, 3.0)
_RGB = np.array([[0.0, 0.1, 0.8], [0.0, 0.6, 0.1], [0.9, 0.8, 0.0], [0.8, 0.0, 0.0]])
_UNSEEN = (0.2, 0.2, 0.2)
_BEFORE: dict[int, Any] = {}  # viewport -> its shading before it showed the colours


def write(mesh: bpy.types.Mesh, error_mm: np.ndarray) -> None:
    """Store errors (V,) [mm], -1 where the scan shows nothing, as an attribute and as colours."""
    values = mesh.attributes.new(ATTRIBUTE, "FLOAT", "POINT")
    values.data.foreach_set("value", error_mm.astype(np.float32))  # type: ignore[attr-defined]
    colours = mesh.color_attributes.new(COLOURS, "FLOAT_COLOR", "POINT")
    colours.data.foreach_set("color", colours_of(error_mm).ravel())  # type: ignore[attr-defined]


def colours_of(error_mm: np.ndarray) -> np.ndarray:
    """Return a colour (V, 4) float32 for each error (V,) [mm]."""
    rgba = np.ones((len(error_mm), 4), np.float32)
    for channel in range(3):
        rgba[:, channel] = np.interp(error_mm, _MM, _RGB[:, channel])
    rgba[error_mm < 0, :3] = _UNSEEN
    return rgba


def has_errors(obj: bpy.types.Object | None) -> bool:
    """Tell whether an object's mesh carries the colours."""
    return (
        obj is not None
        and isinstance(obj.data, bpy.types.Mesh)
        and COLOURS in obj.data.color_attributes
    )


def show(mesh: bpy.types.Mesh, shading: bpy.types.View3DShading) -> bool:
    """Show the colours in a viewport, or what it showed before if they are shown; return which."""
    colours, viewport = mesh.color_attributes, shading.as_pointer()
    now = (shading.type, shading.color_type)
    if now == ("SOLID", "VERTEX") and colours.active_color_name == COLOURS:
        shading.type, shading.color_type = _BEFORE.pop(viewport, ("SOLID", "MATERIAL"))
        return False
    if now != ("SOLID", "VERTEX"):
        _BEFORE[viewport] = now
    colours.active_color_name = COLOURS
    shading.type, shading.color_type = "SOLID", "VERTEX"
    return True
