# SPDX-License-Identifier: GPL-3.0-or-later
"""Expressions as shape keys.

A mesh remembers which of its shape keys ImFace made (`mesh.imface.shape_keys`: JSON, expression
to key name). They also bear a mark, so that an artist's own keys are never taken for ours, whatever
their names: not even one with the name of one of ours that she deleted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Literal

import bpy
import numpy as np

from . import applied, faces, keyframes, mesh_io, named_values
from .errors import UserError
from .properties import SURFACES, of_key, of_mesh, of_object
from .translations import say

Mark = Literal["KEY_CARDINAL", "KEY_CATMULL_ROM"]
#: An interpolation that Blender gives no new key, and that acts on absolute shape keys alone: it
#: goes along into files, copies and undo, as no property of ours on a key could.
MARK: Mark = "KEY_CARDINAL"
#: Of keys that lead to other faces, which artists rename: they are known by it alone.
BLEND_MARK: Mark = "KEY_CATMULL_ROM"


def own_keys(obj: bpy.types.Object) -> dict[str, bpy.types.ShapeKey]:
    """Return the object's ImFace shape keys by expression; keys the user deleted are left out."""
    mesh = mesh_io.mesh_of(obj)
    names = json.loads(of_mesh(mesh).shape_keys or "{}")
    keys = marked(mesh, names.values())
    return {name: keys[key] for name, key in names.items() if key in keys}


def marked(mesh: bpy.types.Mesh, names: Iterable[str]) -> dict[str, bpy.types.ShapeKey]:
    """Return those shape keys of these names that a mesh has and that bear our mark, by name."""
    if mesh.shape_keys is None:
        return {}
    blocks = {block.name: block for block in mesh.shape_keys.key_blocks}  # by name they are slow
    keys = (blocks[name] for name in names if name in blocks)
    return {key.name: key for key in keys if key.interpolation == MARK}


def reset(obj: bpy.types.Object) -> None:
    """Set all ImFace shape keys to 0, or as near to it as their limits allow; keyframes stay."""
    for key in own_keys(obj).values():
        key.value = 0.0  # Blender heeds the limits


def why_none(obj: bpy.types.Object) -> str:
    """Return why a face has no expressions that could be set, or an empty string."""
    if own_keys(obj):
        return faces.why_not_editable(obj)
    return say("'{name}' has no expressions yet. Use Add Expressions first", name=obj.name)


def write(
    obj: bpy.types.Object, names: list[str], basis_mm: np.ndarray, vertices_mm: np.ndarray
) -> None:
    """Add the expressions as shape keys, or update in place those that ImFace made before.

    Parameters
    ----------
    obj : Object
        A face object. Values, drivers, keyframes and all other keys stay as they are.
    names : list of str
        E expressions.
    basis_mm, vertices_mm : ndarray
        (V, 3) and (E, V, 3) in face space [mm].

    Raises
    ------
    UserError
        When the mesh has another number of vertices than the basis, or lost its Basis to an
        expression.
    ValueError
        When the arrays do not fit together. Nothing has been changed in any of these cases.
    """
    if vertices_mm.shape != (len(names), *basis_mm.shape) or not np.isfinite(vertices_mm).all():
        raise ValueError(
            f"{len(names)} names, {basis_mm.shape} basis, {vertices_mm.shape} vertices"
        )
    mesh = mesh_io.mesh_of(obj)
    faces.check_vertices(obj, basis_mm)
    _need_basis(obj)
    keys = own_keys(obj)
    _check_basis(obj, keys.values())
    for name in names:
        if name not in keys:
            keys[name] = add(obj, name)
    write_offsets(obj, [keys[name] for name in names], vertices_mm - basis_mm)
    of_mesh(mesh).shape_keys = json.dumps({name: key.name for name, key in keys.items()})


def add(obj: bpy.types.Object, name: str, mark: Mark = MARK) -> bpy.types.ShapeKey:
    """Add a shape key that does nothing yet."""
    key = obj.shape_key_add(name=name, from_mix=False)
    key.interpolation = mark
    key.value = 0.0  # Blender 5.0 starts at 1, and all at once is no face
    return key


def write_offsets(
    obj: bpy.types.Object,
    keys: list[bpy.types.ShapeKey],
    offsets_mm: np.ndarray,
) -> None:
    """Write shape keys as offsets (N, V, 3) in face space [mm] from the mesh as it now is."""
    mesh = mesh_io.mesh_of(obj)
    current = mesh_io.read_basis(mesh)
    change = applied.read(mesh, current).linear
    for key, offset_mm in zip(keys, offsets_mm, strict=True):
        mesh_io.write_points(key.data, current + mesh_io.metres_from_mm(offset_mm) @ change)
    mesh.update()


def add_blend(
    obj: bpy.types.Object, name: str, basis_mm: np.ndarray, vertices_mm: np.ndarray
) -> bpy.types.ShapeKey:
    """Give a face a shape key, at 0, that takes it from a basis to other vertices.

    Parameters
    ----------
    basis_mm, vertices_mm : ndarray (V, 3)
        In face space [mm].

    Raises
    ------
    UserError
        When the mesh has another number of vertices. Nothing has been changed then.
    ValueError
        When the arrays do not fit together, likewise.
    """
    if vertices_mm.shape != basis_mm.shape or not np.isfinite(vertices_mm).all():
        raise ValueError(f"{basis_mm.shape} basis, {vertices_mm.shape} vertices")
    faces.check_vertices(obj, basis_mm)
    _need_basis(obj)
    key = add(obj, name, BLEND_MARK)
    write_offsets(obj, [key], (vertices_mm - basis_mm)[None])
    return key


def blend_keys(obj: bpy.types.Object) -> list[bpy.types.ShapeKey]:
    """Return the keys that lead to other faces, by whatever name."""
    keys = mesh_io.mesh_of(obj).shape_keys
    if keys is None:
        return []
    return [key for key in keys.key_blocks if key.interpolation == BLEND_MARK]


def add_morph(obj: bpy.types.Object, other: bpy.types.Object) -> bpy.types.ShapeKey:
    """Give a face a shape key, at 0, with the shape of another; the rest stays as it is.

    That is the other mesh without its shape keys: with the expression that a scan gave it.

    Raises
    ------
    UserError
        When the two are different meshes.
    """
    mesh, other_mesh = mesh_io.mesh_of(obj), mesh_io.mesh_of(other)
    basis, target = mesh_io.read_basis(mesh), mesh_io.read_basis(other_mesh)
    raw = any(of_object(face).topology in SURFACES for face in (obj, other))
    if raw or len(target) != len(basis):
        raise UserError(
            "'{name}' and '{other}' have different meshes. Make both with the mesh Head, or both "
            "with Face.",
            name=obj.name,
            other=other.name,
        )
    made = applied.read(other_mesh, target).pose().take_off(target)
    shape = applied.read(mesh, basis).pose().put_on(made)
    _need_basis(obj)
    key = add(obj, f"Morph {other.name}", BLEND_MARK)
    mesh_io.write_points(key.data, shape)
    return key


def _check_basis(obj: bpy.types.Object, keys: Iterable[bpy.types.ShapeKey]) -> None:
    """Raise UserError when one of these keys is what all keys are offsets from."""
    basis = mesh_io.mesh_of(obj).shape_keys.reference_key
    if basis in keys:
        raise UserError(
            "The Basis of '{name}' was deleted, and its expression '{key}' is now in its place. "
            "Undo that, or make the face again.",
            name=obj.name,
            key=basis.name,
        )


def _need_basis(obj: bpy.types.Object) -> None:
    mesh = mesh_io.mesh_of(obj)
    if mesh.shape_keys is None:
        obj.shape_key_add(name="Basis", from_mix=False)
        of_key(mesh.shape_keys).sliders = of_mesh(mesh).sliders


def keyframe(obj: bpy.types.Object, expressions: str, frame: float) -> keyframes.LeftOut:
    """Keyframe all ImFace shape keys of a face; return which expressions are left out.

    Parameters
    ----------
    obj : Object
        A face with expressions.
    expressions : str
        Such as "jawOpen=0.5, mouthSmileLeft=1"; expressions that are not named get 0.
    frame : float
        Where the keyframes go, replacing those that are there.

    Raises
    ------
    UserError
        When the text cannot be read or the action is not editable; nothing has been changed then.
    """
    owner = mesh_io.mesh_of(obj).shape_keys
    keyframes.check_editable(owner)
    keys = own_keys(obj)
    values = dict.fromkeys(keys, 0.0) | _parse(expressions, keys)
    left_out = keyframes.LeftOut()
    for name, key in keys.items():
        key.value = values[name]
        if not left_out.notes([name], owner, key, "value"):
            key.keyframe_insert("value", frame=frame)
    return left_out


def _parse(expressions: str, keys: dict[str, bpy.types.ShapeKey]) -> dict[str, float]:
    values = {}
    for name, text in named_values.pairs(expressions):
        if name not in keys:
            raise UserError(
                "The face has no expression '{name}'. Add it with Add Expressions.", name=name
            )
        key = keys[name]
        values[name] = named_values.number(name, text, key.slider_min, key.slider_max)
    return values
