# SPDX-License-Identifier: GPL-3.0-or-later
"""A face that is still being fitted, drawn as lines over the viewports: no object, nothing to
undo."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from gpu_extras.batch import batch_for_shader

import gpu

from .mesh_io import blender_from_backend

COLOUR = (1.0, 0.5, 0.1, 0.5)

_lines: np.ndarray | None = None
_handle: Any = None
_batch: Any = None  # made where there is a viewport to draw in


def show(lines: np.ndarray | None) -> None:
    """Draw the lines (N, 2, 3), backend axes, in place of those before; None leaves these."""
    global _lines, _handle, _batch
    if lines is None or lines is _lines:
        return
    _lines, _batch = lines, None
    if _handle is None:
        add = bpy.types.SpaceView3D.draw_handler_add
        _handle = add(_draw, (), "WINDOW", "POST_VIEW")
    _redraw()


def hide() -> None:
    """Draw no lines any more."""
    global _lines, _handle, _batch
    if _handle is None:
        return
    bpy.types.SpaceView3D.draw_handler_remove(_handle, "WINDOW")
    _lines = _handle = _batch = None
    _redraw()


def _draw() -> None:
    global _batch
    assert _lines is not None
    shader = gpu.shader.from_builtin("UNIFORM_COLOR")
    if _batch is None:
        ends = np.ascontiguousarray(blender_from_backend(_lines).reshape(-1, 3), np.float32)
        _batch = batch_for_shader(shader, "LINES", {"pos": ends})  # type: ignore[dict-item]
    gpu.state.blend_set("ALPHA")
    shader.uniform_float("color", COLOUR)
    _batch.draw(shader)
    gpu.state.blend_set("NONE")


def _redraw() -> None:
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()
