# SPDX-License-Identifier: GPL-3.0-or-later
"""In-between shapes of a baked animation.

Each is a shape key whose value rises from 0 at the knot before its own to 1 and falls to 0 at the
knot after. A mesh remembers which keys these are (`mesh.imface.in_betweens`: JSON, key names).
Each acts in one take of the face and rests at 0 in the others, also while they are not played.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, count
from typing import Any

import bpy
import numpy as np

from . import faces, keyframes, shape_keys, takes
from .errors import UserError
from .mesh_io import mesh_of
from .properties import of_mesh

NAME = "In-Between"
GROUP = "In-Betweens"  # of their F-curves
SMALLEST_MM = 1e-3  # an offset below it needs no key


def own_keys(obj: bpy.types.Object) -> list[bpy.types.ShapeKey]:
    """Return the in-between shape keys; those that the user deleted or renamed are left out."""
    mesh = mesh_of(obj)
    return list(shape_keys.marked(mesh, _names(mesh)).values())


def remove(obj: bpy.types.Object) -> int:
    """Remove the in-between shape keys with their animation; return how many there were."""
    keys = own_keys(obj)
    _remove(obj, _names(mesh_of(obj)))
    of_mesh(mesh_of(obj)).in_betweens = ""
    return len(keys)


def reset(obj: bpy.types.Object) -> None:
    """Set the in-between shape keys to 0; keyframes stay."""
    for key in own_keys(obj):
        key.value = 0.0


def rest(obj: bpy.types.Object) -> None:
    """Let the in-between shapes of each take do nothing in the others.

    Those are the baked ones, and all that move what the current one moves and are known to be this
    face's: a layer over another take, such as blinks, leaves the shapes of that as they are.
    """
    owner = mesh_of(obj).shape_keys
    paths = _paths(own_keys(obj))
    moved = _expressions_in(takes.current(owner), obj)
    played, alone = takes.played(owner), _is_only_face(obj)
    for at, take in takes.playable(owner).items():
        baked = not paths.isdisjoint(takes.paths(take))
        theirs = _expressions_in(take, obj)
        if theirs and (baked or (theirs >= moved and (alone or at in played))):
            keyframes.rest(take, paths, GROUP)
    for key in _idle(obj):
        key.value = 0.0


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
        if keyframes.is_sampled(owner, key, "value"):
            raise UserError(
                "'{key}' has samples instead of keyframes. Use Samples to Keys in the Graph "
                "Editor's menu Channel, and bake again.",
                key=key.name,
            )
    _check_unshared(obj)


def check_blending(obj: bpy.types.Object) -> None:
    """Raise UserError when a bake of a face's action would act with another strength than 1, or
    not at all."""
    animation = mesh_of(obj).shape_keys.animation_data
    if animation is None or not animation.use_nla:
        return
    if any(track.is_solo for track in animation.nla_tracks):
        raise UserError(
            "An NLA track of '{name}' plays solo, and its action not at all. Press the track's "
            "star and bake again.",
            name=obj.name,
        )
    if all(track.mute for track in animation.nla_tracks):
        return
    if animation.action_blend_type not in ("REPLACE", "ADD") or animation.action_influence != 1.0:
        raise UserError(
            "The action of '{name}' blends with its NLA strips, and so would its bake. Set its "
            "Blending to Replace or Add and its Influence to 1, or push it down first and then "
            "set them.",
            name=obj.name,
        )


def sample(context: bpy.types.Context, obj: bpy.types.Object, start: int, end: int) -> np.ndarray:
    """Return the values (F, E) of a face's expressions at each frame, as they are evaluated.

    Raises
    ------
    UserError
        When a bake acts there that the one of the current action would not replace.
    """
    expressions = list(shape_keys.own_keys(obj).values())
    lasting = [] if _overrides(obj) else _idle(obj)
    for key in lasting:
        key.value = 0.0  # of a take that is not played any more
    keys = [*expressions, *lasting]
    scene, depsgraph = context.scene, context.evaluated_depsgraph_get()
    now = scene.frame_current, scene.frame_subframe
    values = np.empty((end - start + 1, len(keys)), np.float32)
    with _still(scene):
        for row, at in enumerate(range(start, end + 1)):
            scene.frame_set(at)
            values[row] = [0.0 if key.mute else _evaluated(key, depsgraph) for key in keys]
    scene.frame_set(now[0], subframe=now[1])
    if values[:, len(expressions) :].any():
        raise UserError(
            "An NLA strip of '{name}' plays a bake within frames {start} to {end}. Use Remove "
            "Bake first, or bake other frames.",
            name=obj.name,
            start=start,
            end=end,
        )
    return values[:, : len(expressions)]


def _evaluated(key: bpy.types.ShapeKey, depsgraph: bpy.types.Depsgraph) -> float:
    """Return a shape key's value, which is its own in a scene that is in a window alone."""
    keys: Any = key.id_data.evaluated_get(depsgraph)
    return keys.key_blocks[key.name].value


@contextmanager
def _still(scene: bpy.types.Scene) -> Iterator[None]:
    """Let all faces show one shape key alone: to move their meshes takes ten times as long as to
    evaluate the values by which they move."""
    moving = [o for o in scene.objects if faces.is_face(o) and not o.show_only_shape_key]
    for face in moving:
        face.show_only_shape_key = True
    try:
        yield
    finally:
        for face in moving:
            face.show_only_shape_key = False


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
    faces.check_vertices(obj, basis_mm)
    check_editable(obj)
    kept = _make_room(obj, range(knots[0], knots[-1] + 1))
    around = [knots[0] - 1, *knots, knots[-1] + 1]
    needed = [i for i, offset in enumerate(offsets_mm) if np.abs(offset).max() > SMALLEST_MM]
    made = _add(obj, [f"{NAME} {knots[i]}" for i in needed])
    owner = mesh_of(obj).shape_keys
    for i, key in zip(needed, made, strict=True):
        before, knot, after = around[i : i + 3]
        hat = np.interp(np.arange(before, after + 1), [before, knot, after], [0.0, 1.0, 0.0])
        keyframes.write(owner, key, before, "value", hat)
        keyframes.reach(takes.current(owner), _path(key.name), knots[0], knots[-1])
    if made:
        keyframes.gather(takes.current(owner), _paths(made), GROUP)
    shape_keys.write_offsets(obj, made, offsets_mm[needed])
    of_mesh(mesh_of(obj)).in_betweens = json.dumps([key.name for key in (*kept, *made)])
    rest(obj)
    return len(made)


def _expressions_in(take: takes.Take, obj: bpy.types.Object) -> set[str]:
    """Return the paths of a face's expressions that a take, if there is one, animates."""
    if take is None:
        return set()
    return _paths(shape_keys.own_keys(obj).values()) & takes.paths(take)


def _is_only_face(obj: bpy.types.Object) -> bool:
    """Tell whether no other face of the file has expressions that a take could be meant for."""
    own = mesh_of(obj)
    return not any(
        mesh != own and mesh.users and of_mesh(mesh).shape_keys for mesh in bpy.data.meshes
    )


def _overrides(obj: bpy.types.Object) -> bool:
    """Tell whether a face's action alone says what the face does, whatever its NLA strips play."""
    owner = mesh_of(obj).shape_keys
    now = takes.current(owner)
    if not _expressions_in(now, obj):
        return False
    animation = owner.animation_data
    return animation.action_blend_type == "REPLACE" and animation.action_influence == 1.0


def _idle(obj: bpy.types.Object) -> list[bpy.types.ShapeKey]:
    """Return the in-between shapes that do not act in the current action."""
    now = takes.current(mesh_of(obj).shape_keys)
    keys = own_keys(obj)
    acting = keyframes.acting(now, _paths(keys)) if now is not None else set()
    return [key for key in keys if _path(key.name) not in acting]


def _check_unshared(obj: bpy.types.Object) -> None:
    """Raise UserError when other faces' in-between shapes follow the same F-curves."""
    owner = mesh_of(obj).shape_keys
    now = takes.current_id(owner)
    names = {key.name for key in own_keys(obj)}
    for twin, theirs in _twins(obj).items():
        if now in takes.played(twin) and names & theirs:
            raise UserError(
                "'{name}' and '{other}' follow the same bake in one action. Give one of them an "
                "action of its own, or remove its bake, and bake again.",
                name=obj.name,
                other=_object_of(twin).name,
            )


def _names(mesh: bpy.types.Mesh) -> list[str]:
    """Return the names that in-between shape keys were given, those that the user deleted too."""
    return json.loads(of_mesh(mesh).in_betweens or "[]")


def _path(name: str) -> str:
    """Return the path of a shape key's value, whether or not there is such a key."""
    return f'key_blocks["{bpy.utils.escape_identifier(name)}"].value'


def _paths(keys: Iterable[bpy.types.ShapeKey]) -> set[str]:
    return {_path(key.name) for key in keys}


def _add(obj: bpy.types.Object, names: list[str]) -> list[bpy.types.ShapeKey]:
    """Add shape keys under names, numbered where need be, that no action animates yet."""
    animated = takes.animated_paths()
    blocks = mesh_of(obj).shape_keys.key_blocks
    keys = []
    for name in names:
        numbered = chain([name], (f"{name}.{i:03}" for i in count(1)))
        free = (each for each in numbered if each not in blocks and _path(each) not in animated)
        keys.append(shape_keys.add(obj, next(free)))
    return keys


def _make_room(obj: bpy.types.Object, frames: range) -> list[bpy.types.ShapeKey]:
    """Let the in-between shapes do nothing within frames; return those that act elsewhere."""
    owner = mesh_of(obj).shape_keys
    now = takes.current(owner)
    paths = _paths(own_keys(obj))
    if now is not None:
        for path in paths:
            keyframes.silence(now, path, frames)
    acting = {
        path for take in takes.playable(owner).values() for path in keyframes.acting(take, paths)
    }
    kept = [key.name for key in own_keys(obj) if _path(key.name) in acting]
    _remove(obj, [name for name in _names(mesh_of(obj)) if name not in kept])
    return [owner.key_blocks[name] for name in kept]


def _remove(obj: bpy.types.Object, names: list[str]) -> None:
    """Remove in-between shape keys, and those of their F-curves that no other face needs."""
    owner = mesh_of(obj).shape_keys
    own = takes.playable(owner)
    needed = [(theirs, takes.playable(twin)) for twin, theirs in _twins(obj).items()]
    keys = {key.name: key for key in own_keys(obj)}
    for name in names:
        if name in keys:
            obj.shape_key_remove(keys[name])
        if name in owner.key_blocks:  # the user deleted ours and gave one of hers its name
            continue
        spared = {at for theirs, playable in needed if name in theirs for at in playable}
        for at in own.keys() - spared:
            keyframes.remove(own[at], _path(name))


def _twins(obj: bpy.types.Object) -> dict[bpy.types.Key, set[str]]:
    """Return the shape keys of other faces, and the names of their in-between shapes."""
    own = mesh_of(obj)
    return {
        mesh.shape_keys: set(_names(mesh))
        for mesh in bpy.data.meshes
        if mesh != own and mesh.shape_keys is not None and of_mesh(mesh).in_betweens
    }


def _object_of(keys: bpy.types.Key) -> bpy.types.ID:
    """Return an object that has the shape keys, or their mesh where none does."""
    meshes = (obj for obj in bpy.data.objects if obj.data == keys.user)
    return next(meshes, keys.user)
