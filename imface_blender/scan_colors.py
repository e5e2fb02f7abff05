# SPDX-License-Identifier: GPL-3.0-or-later
"""The colours of a scan: its materials' pictures, or else its vertex colours."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

from . import fit_error, scan_pictures
from .scan_pictures import as_bytes
from .wire import Arrays

_BRIGHTEST = 2.0  # of most vertices: no colour of light is brighter, but nearly all in bytes are


def read(scan: bpy.types.Object, mesh: bpy.types.Mesh) -> Arrays:
    """Read the colours of a mesh's loop triangles, or of its vertices if it has none of those;
    nothing if it has no colours.

    Returns
    -------
    dict
        `corner_uv` (T, 3, 2) float32 and `image` (H, W, 3) uint8, first row at the top; or
        `corner_colors` (T, 3, 3) uint8; or `point_colors` (V, 3) uint8; or nothing.
        Colours are as they are shown (sRGB).
    """
    corners = np.empty(len(mesh.loop_triangles) * 3, np.int32)
    mesh.loop_triangles.foreach_get("loops", corners)
    pictures = scan_pictures.read(scan, mesh, corners.reshape(-1, 3))
    if pictures:
        return pictures
    colours: Any = mesh.color_attributes.active_color
    if colours is None or colours.name == fit_error.COLOURS:
        return {}
    values = np.empty(len(colours.data) * 4, np.float32)
    colours.data.foreach_get("color_srgb", values)
    shown = values.reshape(-1, 4)[:, :3]
    if np.median(shown, axis=0).max() > _BRIGHTEST:  # some programs write bytes into an OBJ
        shown = shown / 255
    shown = as_bytes(shown)
    if len(mesh.loop_triangles) == 0:
        return {"point_colors": shown} if colours.domain == "POINT" else {}
    if colours.domain == "POINT":
        vertices = np.empty(len(mesh.loops), np.int32)
        mesh.loops.foreach_get("vertex_index", vertices)
        corners = vertices[corners]
    return {"corner_colors": shown[corners].reshape(-1, 3, 3)}


def are_lost(scan: bpy.types.Object, mesh: bpy.types.Mesh, arrays: Arrays) -> bool:
    """Tell whether a scan's faces show pictures, but no colours are among what was read of it."""
    if "image" in arrays or "corner_colors" in arrays:
        return False
    return scan_pictures.are_there(scan, mesh)
