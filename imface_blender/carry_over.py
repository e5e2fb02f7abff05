# SPDX-License-Identifier: GPL-3.0-or-later
"""What a face made of another one takes over from it: what the artist has it look like."""

from __future__ import annotations

import bpy
import numpy as np

from . import faces, fit_error
from .mesh_io import mesh_of, read

#: Kinds of attributes that are UVs or colours: the name of their values, and how many.
_LOOKS = {"FLOAT2": ("vector", 2), "FLOAT_COLOR": ("color", 4), "BYTE_COLOR": ("color", 4)}


def look(session_uid: int, face: bpy.types.Object) -> None:
    """Give a new face the materials, UVs and colours of the one it was made of, if that is still
    there and both have the same polygons."""
    source = faces.look_up(session_uid)
    if source is None or not _have_same_polygons(mesh_of(source), mesh_of(face)):
        return
    _take_materials(source, mesh_of(face))
    _take_attributes(mesh_of(source), mesh_of(face))


def _have_same_polygons(mesh: bpy.types.Mesh, other: bpy.types.Mesh) -> bool:
    return len(mesh.vertices) == len(other.vertices) and all(
        np.array_equal(read(data, name, 1, np.int32), read(others, name, 1, np.int32))
        for data, others, name in (
            (mesh.loops, other.loops, "vertex_index"),
            (mesh.polygons, other.polygons, "loop_start"),
        )
    )


def _take_materials(source: bpy.types.Object, mesh: bpy.types.Mesh) -> None:
    mesh.materials.clear()
    for slot in source.material_slots:  # whose material may be the object's, not the mesh's
        mesh.materials.append(slot.material)
    index = read(mesh_of(source).polygons, "material_index", 1, np.int32)
    mesh.polygons.foreach_set("material_index", index.ravel())


def _take_attributes(source: bpy.types.Mesh, mesh: bpy.types.Mesh) -> None:
    for theirs in source.attributes:
        if theirs.data_type not in _LOOKS or theirs.name == fit_error.COLOURS:
            continue
        name, width = _LOOKS[theirs.data_type]
        own = mesh.attributes.get(theirs.name) or mesh.attributes.new(
            theirs.name, theirs.data_type, theirs.domain
        )
        values = read(theirs.data, name, width, np.float32)  # type: ignore[attr-defined]
        own.data.foreach_set(name, values.ravel())  # type: ignore[attr-defined]
