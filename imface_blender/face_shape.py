# SPDX-License-Identifier: GPL-3.0-or-later
"""Move a face's mesh by its sliders, and let its preview start from an exact surface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bpy
import numpy as np

from . import applied, catch_up, faces, jobs, mesh_io, sliders
from .errors import UserError
from .properties import of_key, of_mesh
from .sliders import Record, Values
from .wire import Arrays


def load(obj: bpy.types.Object, exact: Values, values: Mapping[str, Any], arrays: Arrays) -> None:
    """Keep what the worker says of the sliders, and the surface of the values `exact`, where this
    face's preview started when the worker was asked; the scene stays as it is."""
    preview = sliders.Preview.from_answer(values, arrays)
    sliders.keep_surface(obj, exact, mesh_io.metres_from_mm(arrays["vertices_mm"]))
    sliders.keep_preview(obj, preview)
    catch_up.go_on(obj)


def move(obj: bpy.types.Object, values: Values) -> None:
    """Set some sliders of a face, whose mesh follows at once; values beyond the limits stop there.

    Raises
    ------
    UserError
        When the face's sliders do not move; nothing has been changed then.
    """
    reason = sliders.why_not(obj)
    if reason:
        raise UserError("{reason}.", reason=reason)
    if not np.isfinite(list(values.values())).all():
        raise UserError("A slider's value is not a number. Choose -5 to 5.")
    before = sliders.record_of(mesh_io.mesh_of(obj))
    if before.values == before.exact:  # a drag begins: to look each time would slow it down
        faces.check_vertices(obj, sliders.shape_of(obj, before))
    limit = sliders.LARGEST_VALUE
    wanted = {
        name: min(max(value, -limit), limit) for name, value in (before.values | values).items()
    }
    _bring(obj, Record(sliders.without_zeros(wanted), before.exact))
    jobs.status.freed = False
    catch_up.wait(obj)


def refine(obj: bpy.types.Object, exact: Values, vertices_mm: np.ndarray) -> None:
    """Let a face's preview start from the exact surface (V, 3) [mm] of the given values, whatever
    the sliders stand at by now; UserError when the face has changed."""
    reason = sliders.why_not(obj)
    if reason:
        raise UserError("{reason}.", reason=reason)
    sliders.keep_surface(obj, exact, mesh_io.metres_from_mm(vertices_mm))
    _bring(obj, Record(sliders.values_of(mesh_io.mesh_of(obj)), exact))
    catch_up.go_on(obj)


def _bring(obj: bpy.types.Object, after: Record) -> None:
    """Bring mesh and shape keys to a record: each by the difference from its own, so that what an
    artist sculpted stays."""
    mesh, text = mesh_io.mesh_of(obj), after.to_text()
    before, points = sliders.record_of(mesh), mesh_io.read_positions(mesh)
    known = applied.read(mesh, points)
    step = _way(obj, before, after) @ known.linear
    if mesh.shape_keys is not None:
        own = of_key(mesh.shape_keys).sliders  # keys that were never moved are at their mesh's
        key_step = _way(obj, Record.from_text(own) if own else before, after) @ known.linear
        for block in mesh.shape_keys.key_blocks:
            mesh_io.write_points(block.points, mesh_io.read_points(block.points) + key_step)
        mesh.shape_keys.update_tag()
        of_key(mesh.shape_keys).sliders = text
    mesh_io.write_positions(mesh, points + step)
    applied.remember(mesh, points + step, known)
    of_mesh(mesh).sliders = text
    mesh.update()


def _way(obj: bpy.types.Object, before: Record, after: Record) -> np.ndarray:
    """Return the way (V, 3) [m] from one record to another."""
    return sliders.shape_of(obj, after) - sliders.shape_of(obj, before)
