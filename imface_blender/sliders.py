# SPDX-License-Identifier: GPL-3.0-or-later
"""Sliders of a face's shape: what they stand at, and the mesh that belongs to it.

A face's shape is its object's codes moved by its mesh's sliders. The mesh stores its sliders'
values, and the values at which its surface was last computed exactly; from there on it is a
preview: the exact surface plus the sliders' linear offsets. Values and coordinates are on the same
datablock and change together, so undo, redo, copies, files and linked duplicates cannot part them.
Shape keys are a datablock of their own, which Blender may undo apart from its mesh: they carry
the same record.

What a preview needs is fetched once from the worker and kept as long as this Blender: the
offsets for each pair of weights and level of detail, and the exact surfaces it starts from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import bpy
import numpy as np

from . import faces, mesh_io
from .errors import UserError
from .job_operators import NOT_IN_OBJECT_MODE
from .properties import of_mesh, of_object
from .slider_names import NAMES
from .translations import say
from .wire import Arrays

LARGEST_VALUE = 5.0
SURFACES_KEPT = 64  # 0.3 MB each
NOT_LOADED = "Press Edit Face Shape first"

Values = dict[str, float]  # by name, without zeros


class Record(NamedTuple):
    """Where a datablock's coordinates come from."""

    values: Values  # of the sliders
    exact: Values  # those of the surface that the preview starts from

    @classmethod
    def from_text(cls, text: str) -> Record:
        """Read what a datablock stores; one that stores nothing is as it was made."""
        known = json.loads(text) if text else {}
        return cls(known.get("values", {}), known.get("exact", {}))

    def to_text(self) -> str:
        """Return what a datablock stores."""
        return json.dumps(self._asdict())


@dataclass(frozen=True)
class Preview:
    """What S sliders do to V vertices."""

    offsets: dict[str, np.ndarray]  # (V, 3) float32 [m] of a value of 1
    unit_mm: dict[str, float]  # what a value of 1 adds to the slider's own measurement
    spread: np.ndarray  # (S, S): independent normal numbers to values that belong together

    @classmethod
    def from_answer(cls, values: Mapping[str, Any], arrays: Arrays) -> Preview:
        """Check and convert a worker's answer; UserError when its sliders are others than ours."""
        if values["names"] != list(NAMES):
            raise UserError(
                "The worker has other sliders than the add-on. Reinstall the add-on so that all "
                "its parts have the same version."
            )
        offsets = mesh_io.metres_from_mm(arrays["offsets_mm"])
        return cls(
            offsets=dict(zip(NAMES, offsets, strict=True)),
            unit_mm=dict(zip(NAMES, values["unit_mm"], strict=True)),
            spread=arrays["spread"],
        )

    def offset(self, values: Values) -> np.ndarray:
        """Return what values add to the vertices (V, 3) [m]."""
        total = np.zeros_like(self.offsets[NAMES[0]])
        for name, value in values.items():
            total += np.float32(value) * self.offsets[name]
        return total


_previews: dict[tuple[str, str], Preview] = {}  # by weights and level of detail
_surfaces: dict[tuple[str, str, str], np.ndarray] = {}  # (V, 3) [m] by codes, sliders and level


def record_of(mesh: bpy.types.Mesh) -> Record:
    """Return where a mesh's coordinates come from."""
    return Record.from_text(of_mesh(mesh).sliders)


def values_of(mesh: bpy.types.Mesh) -> Values:
    """Return the values of a mesh's sliders."""
    return record_of(mesh).values


def is_exact(mesh: bpy.types.Mesh) -> bool:
    """Tell whether the mesh is no preview."""
    record = record_of(mesh)
    return record.values == record.exact


def exact_values_of(mesh: bpy.types.Mesh) -> Values:
    """Return the values of the surface from which a mesh's preview starts."""
    return record_of(mesh).exact


def preview_of(obj: bpy.types.Object) -> Preview | None:
    """Return what a face's sliders do; None as long as its shape cannot be edited."""
    exact = exact_values_of(mesh_io.mesh_of(obj))
    return _previews.get(_model_key(obj)) if _surface_key(obj, exact) in _surfaces else None


def why_not(obj: bpy.types.Object | None) -> str:
    """Return why the sliders of this object do not move, or an empty string."""
    reason = faces.why_not_changed(obj)
    if not reason and (obj.mode != "OBJECT" or mesh_io.mesh_of(obj).is_editmode):
        reason = say(NOT_IN_OBJECT_MODE)
    if reason:
        return reason
    preview = preview_of(obj)
    if preview is None:
        return say(NOT_LOADED)
    return faces.why_not_vertices(obj, len(preview.offsets[NAMES[0]]))


def face_of(mesh: bpy.types.Mesh) -> bpy.types.Object | None:
    """Return a face that has this mesh, the active one if it has; None without any."""
    for obj in (bpy.context.object, *bpy.data.objects):
        if obj is not None and obj.data == mesh and faces.is_face(obj):
            return obj
    return None


def shape_of(obj: bpy.types.Object, record: Record) -> np.ndarray:
    """Return the vertices (V, 3) [m] that a record stands for; UserError when its surface is not
    known."""
    surface = _surfaces.get(_surface_key(obj, record.exact))
    if surface is None:
        raise UserError("{reason}.", reason=say(NOT_LOADED))
    beyond = {
        name: record.values.get(name, 0.0) - record.exact.get(name, 0.0)
        for name in record.values | record.exact
    }
    return surface + _previews[_model_key(obj)].offset(without_zeros(beyond))


def keep_preview(obj: bpy.types.Object, preview: Preview) -> None:
    """Keep what the sliders do to every face of this one's weights and level of detail."""
    _previews[_model_key(obj)] = preview


def keep_surface(obj: bpy.types.Object, exact: Values, vertices: np.ndarray) -> None:
    """Keep the exact surface (V, 3) [m] of the values `exact`; UserError when it is no mesh, or
    the object's mesh is no longer that of its codes."""
    if not np.isfinite(vertices).all():
        raise UserError(mesh_io.NOT_A_MESH)
    faces.check_vertices(obj, vertices)
    key = _surface_key(obj, exact)
    _surfaces.pop(key, None)  # the newest go last
    _surfaces[key] = vertices
    while len(_surfaces) > SURFACES_KEPT:
        del _surfaces[next(iter(_surfaces))]


def without_zeros(values: Values) -> Values:
    """Return values as they are stored."""
    return {name: float(value) for name, value in values.items() if value}


def _model_key(obj: bpy.types.Object) -> tuple[str, str]:
    return faces.codes_of(obj)["weights"], of_object(obj).topology


def _surface_key(obj: bpy.types.Object, exact: Values) -> tuple[str, str, str]:
    return of_object(obj).codes, json.dumps(exact, sort_keys=True), of_object(obj).topology
