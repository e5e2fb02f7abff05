# SPDX-License-Identifier: GPL-3.0-or-later
"""In-between shapes of a baked animation.

Each is a shape key whose value rises from 0 at the knot before its own to 1 and falls to 0 at the
knot after. A mesh remembers which keys these are (`mesh.imface.in_betweens`: JSON, key names).
"""

from __future__ import annotations

import json

import bpy
import numpy as np

from . import faces, keyframes, shape_keys
from .errors import UserError
from .mesh_io import mesh_of
from .properties import of_mesh

NAME = "In-Between"
SMALLEST_MM = 1e-3  # an offset below it needs no key


def own_keys(obj: bpy.types.Object) -> list[bpy.types.ShapeKey]:
    """Return the in-between shape keys; those that the user deleted or renamed are left out."""
    mesh = mesh_of(obj)
    if mesh.shape_keys is None:
        return []
    blocks = mesh.shape_keys.key_blocks
    return [
        blocks[name] for name in json.loads(of_mesh(mesh).in_betweens or "[]") if name in blocks
    ]


def remove(obj: bpy.types.Object) -> int:
    """Remove the in-between shape keys with their animation; return how many there were."""
    keys = own_keys(obj)
    for key in keys:
        _remove(obj, key)
    of_mesh(mesh_of(obj)).in_betweens = ""
    return len(keys)


def check_editable(obj: bpy.types.Object) -> None:
    """Raise UserError when a face's in-between shapes cannot be replaced."""
    if reason := shape_keys.why_none(obj):
        raise UserError("{reason}.", reason=reason)
    owner = mesh_of(obj).shape_keys
    keyframes.check_editable(owner)
    for key in own_keys(obj):
        if keyframes.is_locked(owner, key, "value"):
            raise UserError(
                "The keyframes of '{key}' are locked. Unlock its channel and bake again.",
                key=key.name,
            )


def sample(scene: bpy.types.Scene, obj: bpy.types.Object, start: int, end: int) -> np.ndarray:
    """Return the values (F, E) of a face's expressions at each frame, as they are evaluated."""
    keys = shape_keys.own_keys(obj).values()
    now = scene.frame_current, scene.frame_subframe
    values = np.empty((end - start + 1, len(keys)), np.float32)
    for row, at in enumerate(range(start, end + 1)):
        scene.frame_set(at)
        values[row] = [0.0 if key.mute else key.value for key in keys]
    scene.frame_set(now[0], subframe=now[1])
    return values


def write(
    obj: bpy.types.Object,
    basis_mm: np.ndarray,
    knots: list[int],
    offsets_mm: np.ndarray,
) -> int:
    """Write a face's in-between shapes from the first knot to the last; return how many.

    Earlier ones act on outside these frames, and are removed if they did only within.

    Parameters
    ----------
    basis_mm : ndarray (V, 3)
        The neutral face in face space [mm].
    knots : list of int
        K frames, rising.
    offsets_mm : ndarray (K, V, 3)
        From the mix of the expressions, at the knots.
    """
    faces.check_vertices(obj, len(basis_mm))
    check_editable(obj)
    kept = _make_room(obj, range(knots[0], knots[-1] + 1))
    around = [knots[0] - 1, *knots, knots[-1] + 1]
    needed = [i for i, offset in enumerate(offsets_mm) if np.abs(offset).max() > SMALLEST_MM]
    made = [shape_keys.add(obj, f"{NAME} {knots[i]}") for i in needed]
    owner = mesh_of(obj).shape_keys
    for i, key in zip(needed, made, strict=True):
        before, knot, after = around[i : i + 3]
        hat = np.interp(np.arange(before, after + 1), [before, knot, after], [0.0, 1.0, 0.0])
        keyframes.remove(owner, key, "value")  # Blender leaves the curve of a key that was deleted
        keyframes.write(owner, key, before, "value", hat)
    shape_keys.write_offsets(obj, made, basis_mm, offsets_mm[needed])
    of_mesh(mesh_of(obj)).in_betweens = json.dumps([key.name for key in (*kept, *made)])
    return len(made)


def _make_room(obj: bpy.types.Object, frames: range) -> list[bpy.types.ShapeKey]:
    """Let the in-between shapes do nothing within frames; return those that act elsewhere."""
    kept = []
    for key in own_keys(obj):
        if keyframes.silence(mesh_of(obj).shape_keys, key, "value", frames):
            kept.append(key)
        else:
            _remove(obj, key)
    return kept


def _remove(obj: bpy.types.Object, key: bpy.types.ShapeKey) -> None:
    keyframes.remove(mesh_of(obj).shape_keys, key, "value")
    obj.shape_key_remove(key)
