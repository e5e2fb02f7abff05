# SPDX-License-Identifier: GPL-3.0-or-later
"""Dense keyframes, one per frame, many at once.

Ours are marked with Blender's own keyframe type Generated, so that they are told from an
artist's in any file and after any undo: they are replaced, the artist's never are. As one that an
artist changes or inserts over ours stays of that type, ours have their value a second time, in a
setting of another interpolation than theirs (`back`), where nobody changes it along.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

import bpy
import numpy as np

from . import takes
from .errors import UserError
from .takes import Owner
from .translations import say

_PAIRS = ("co", "handle_left", "handle_right")
_DTYPES = {"ENUM": np.int32, "BOOLEAN": np.bool_, "FLOAT": np.float32}
_SAME_FRAME = 0.01  # Blender's own: nearer than this two keyframes are one


@dataclass
class LeftOut:
    """Names of what gets no keyframe, because it takes none or because it would not act."""

    locked: list[str] = field(default_factory=list)
    driven: list[str] = field(default_factory=list)
    sampled: list[str] = field(default_factory=list)

    def notes(self, names: Sequence[str], owner: Owner, struct: Any, name: str) -> bool:
        """Take up names if their property is locked, driven or sampled; tell whether it is."""
        if _is_driven(owner, struct, name):
            self.driven += names
        elif is_locked(owner, struct, name):
            self.locked += names
        elif is_sampled(owner, struct, name):
            self.sampled += names
        else:
            return False
        return True

    def names(self) -> list[str]:
        """Return all of them."""
        return [*self.locked, *self.driven, *self.sampled]

    def sentences(self) -> list[str]:
        """Return what to tell the user."""
        told = []
        if self.locked:
            names = ", ".join(self.locked)
            told.append(say("Without a keyframe, as they are locked: {names}", names=names))
        if self.driven:
            names = ", ".join(self.driven)
            told.append(say("Without a keyframe, as drivers move them: {names}", names=names))
        if self.sampled:
            names = ", ".join(self.sampled)
            told.append(say("Without a keyframe, as they have samples: {names}", names=names))
        return told


def why_not_timed(scene: bpy.types.Scene, *owners: Owner) -> str:
    """Return why frames of the scene are not those of keyframes, or an empty string."""
    if scene.render.frame_map_old != scene.render.frame_map_new:
        return say(
            "The scene stretches time. Set Old and New of Time Stretching to the same number, and "
            "set them back afterwards"
        )
    if any(_is_retimed(owner.animation_data) for owner in owners):
        return say(
            "The NLA strip in tweak mode plays at other frames than those of its action. Leave "
            "tweak mode first"
        )
    return ""


def check_editable(*owners: Owner) -> None:
    """Raise UserError when a datablock's action cannot take keyframes."""
    for owner in owners:
        action = owner.animation_data.action if owner.animation_data is not None else None
        if action is not None and not action.is_editable:
            raise UserError(
                "The action '{name}' is linked from another file. Make it local first.",
                name=action.name,
            )


def write(owner: Owner, struct: Any, first: int, name: str, values: np.ndarray) -> int:
    """Keyframe a property at each frame, replacing our earlier keyframes in that range.

    Parameters
    ----------
    owner : Object or Key
        The datablock whose action gets the keyframes.
    struct : bpy_struct
        What has the property; the owner itself or a part of it.
    first : int
        Frame of the first value.
    name : str
        Of the property.
    values : ndarray
        (F,), or (F, C) of a property with C components.

    Returns
    -------
    int
        How many keyframes of the artist's lie in the range; they stay, and ours give way.
    """
    columns = values[:, None] if values.ndim == 1 else values
    kept = 0
    for index, column in enumerate(columns.T):
        curve = _curve(owner, struct, name, index if values.ndim == 2 else -1, first)
        kept += _replace(curve, first, column)
    return kept


def read(owner: Owner, struct: Any, name: str, frames: range) -> np.ndarray:
    """Return the values (F, C) that a property has at frames: of its F-curves, or as it is now."""
    columns = []
    for index, now in enumerate(getattr(struct, name)):
        curve = _find(owner, struct, name, index)
        still = curve is None or curve.mute
        columns.append([now if still else curve.evaluate(frame) for frame in frames])
    return np.array(columns).T


def remove(take: takes.Take, path: str) -> None:
    """Remove a property's F-curve with all keyframes from a take, if that is possible, and the
    group that it was the last one of."""
    curve = take.fcurves.find(path)
    if curve is not None and take.id_data.is_editable:
        name = curve.group.name if curve.group is not None else ""
        take.fcurves.remove(curve)
        group = take.groups.get(name)  # gone already in newer Blenders
        if group is not None and not len(group.channels):
            take.groups.remove(group)


def rest(take: takes.Take, paths: set[str], group: str) -> None:
    """Keyframe properties at 0 in a take that does not animate them, if that is possible."""
    if take.id_data.is_editable:
        still = paths - takes.paths(take)
        for path in sorted(still):
            _insert(take.fcurves.new(path), take.id_data.frame_range[0], 0.0)
        gather(take, still, group)


def gather(take: takes.Take, paths: set[str], name: str) -> None:
    """Put the F-curves of properties into a group, so that they fill one line of an editor."""
    if curves := [curve for curve in take.fcurves if curve.data_path in paths]:
        group = take.groups.get(name) or take.groups.new(name)
        for curve in curves:
            curve.group = group


def reach(take: takes.Take, path: str, first: int, last: int) -> None:
    """Let a property's keyframes, of which the outermost are 0, reach from a first frame to a last
    one: what repeats them, such as Make Cyclic, then repeats all of them alike."""
    curve = take.fcurves.find(path)
    start, end = curve.range()
    for at in [at for at in (first, last) if not start <= at <= end]:
        _insert(curve, at, 0.0)


def silence(take: takes.Take, path: str, frames: range) -> None:
    """Let a property be 0 at frames, and at all others what it is, also where its keyframes were
    deleted, moved or repeated since they were written."""
    curve = take.fcurves.find(path)
    if curve is None:
        return
    before, after = frames[0] - 1, frames[-1] + 1
    wanted = {at: curve.evaluate(at) for at in (before, after)} | {frames[0]: 0.0, frames[-1]: 0.0}
    points = curve.keyframe_points
    places = _read(points, "co")
    places[_within(places[:, 0], frames), 1] = 0.0
    points.foreach_set("co", places.ravel())
    curve.update()
    if any(curve.evaluate(at) != value for at, value in wanted.items()):
        for at, value in wanted.items():
            _insert(curve, at, value)


def _insert(curve: bpy.types.FCurve, frame: float, value: float) -> None:
    """Insert a keyframe of ours; Blender 4.3 does so only if it is told the type afterwards."""
    point = curve.keyframe_points.insert(frame, value)
    point.type, point.interpolation = "GENERATED", "LINEAR"


def acting(take: takes.Take, paths: set[str]) -> set[str]:
    """Return which of these properties have a keyframe, or sample, in a take that is not 0."""
    curves = (curve for curve in take.fcurves if curve.data_path in paths)
    points = {c.data_path: (*c.keyframe_points, *c.sampled_points) for c in curves}
    return {path for path, theirs in points.items() if any(point.co[1] for point in theirs)}


def is_locked(owner: Owner, struct: Any, name: str) -> bool:
    """Tell whether any of a property's F-curves, or its group, is locked."""
    curves = _curves(owner, struct, name)
    return any(curve.lock or (curve.group is not None and curve.group.lock) for curve in curves)


def is_sampled(owner: Owner, struct: Any, name: str) -> bool:
    """Tell whether any of a property's F-curves has samples, beside which it takes no keyframes."""
    return any(len(curve.sampled_points) for curve in _curves(owner, struct, name))


def _curves(owner: Owner, struct: Any, name: str) -> list[bpy.types.FCurve]:
    """Return the F-curves of a property's components, of those that have one."""
    components = range(np.size(getattr(struct, name)))
    curves = (_find(owner, struct, name, index) for index in components)
    return [curve for curve in curves if curve is not None]


def _is_driven(owner: Owner, struct: Any, name: str) -> bool:
    """Tell whether a driver sets any of a property's components, whatever their keyframes say."""
    animation = owner.animation_data
    if animation is None:
        return False
    path = struct.path_from_id(name)
    return any(driver.data_path == path and not driver.mute for driver in animation.drivers)


def show(scene: bpy.types.Scene) -> None:
    """Let the current frame be evaluated with keyframes that are new."""
    scene.frame_set(scene.frame_current, subframe=scene.frame_subframe)


def _is_retimed(animation: bpy.types.AnimData | None) -> bool:
    """Tell whether the NLA strip in tweak mode, if there is one, is moved, scaled or reversed."""
    if animation is None:
        return False
    to_scene = animation.nla_tweak_strip_time_to_scene
    return any(abs(to_scene(frame) - frame) > _SAME_FRAME for frame in (0, 1000))


def _curve(owner: Owner, struct: Any, name: str, index: int, frame: int) -> bpy.types.FCurve:
    """Find the property's F-curve, or make one without keyframes."""
    curve = _find(owner, struct, name, max(index, 0))
    if curve is None:
        # In every Blender this makes action, slot, layer, strip and curve, as far as they lack.
        struct.keyframe_insert(name, index=index, frame=frame)
        curve = _find(owner, struct, name, max(index, 0))
        curve.keyframe_points.clear()
        owner.update_tag()  # or an action that is new beside NLA strips is not seen
    return curve


def _find(owner: Owner, struct: Any, name: str, index: int = 0) -> Any:
    """Return the F-curve of a property, or of one of its components; None without one."""
    take = takes.current(owner)
    if take is None:
        return None
    return take.fcurves.find(struct.path_from_id(name), index=index)


def _replace(curve: bpy.types.FCurve, first: int, values: np.ndarray) -> int:
    """Put values (F,) on a curve; return how many keyframes of the artist's stay among them."""
    points = curve.keyframe_points
    before = {name: _read(points, name) for name in _attributes()}
    at = before["co"][:, 0]
    inside = _within(at, range(first, first + len(values)))
    unchanged = before["back"] == before["co"][:, 1]
    kept = ~(inside & unchanged & (before["type"] == _enum("type", "GENERATED")))
    frames = _free_frames(first, len(values), at[kept])
    new = {
        "co": np.column_stack([frames, values[frames - first]]),
        "back": values[frames - first],
        "type": _enum("type", "GENERATED"),
        "interpolation": _enum("interpolation", "LINEAR"),
    }
    order = np.argsort(np.concatenate([at[kept], frames]))
    place = np.argsort(order)  # of the kept ones, then of the new ones
    points.clear()
    points.add(len(order))
    for name, old in before.items():
        column = _read(points, name)
        column[place[: kept.sum()]] = old[kept]
        if name in new:
            column[place[kept.sum() :]] = new[name]
        points.foreach_set(name, column.ravel())
    curve.update()
    return int((inside & kept).sum())


def _within(at: np.ndarray, frames: range) -> np.ndarray:
    """Tell which keyframes (N,) lie within frames, of which there is at least one."""
    return (at > frames[0] - _SAME_FRAME) & (at < frames[-1] + _SAME_FRAME)


def _free_frames(first: int, count: int, taken: np.ndarray) -> np.ndarray:
    """Return the frames, of `count` from the first, that no keyframe (N,) stands on."""
    frames = np.arange(first, first + count)
    nearest = np.rint(taken)
    return np.setdiff1d(frames, nearest[np.abs(taken - nearest) < _SAME_FRAME]).astype(np.int64)


@cache
def _attributes() -> tuple[str, ...]:
    """Return all that makes a keyframe; `co_ui` is `co` once more."""
    properties = bpy.types.Keyframe.bl_rna.properties
    return tuple(p.identifier for p in properties if not p.is_readonly and p.identifier != "co_ui")


def _enum(attribute: str, item: str) -> int:
    """Return the number by which `foreach_set` knows an item."""
    known = cast(bpy.types.EnumProperty, bpy.types.Keyframe.bl_rna.properties[attribute])
    return known.enum_items[item].value


def _read(points: Any, name: str) -> np.ndarray:
    """Return an attribute of all keyframes, (N,) or for coordinates (N, 2)."""
    dtype = _DTYPES[bpy.types.Keyframe.bl_rna.properties[name].type]
    width = 2 if name in _PAIRS else 1
    values: np.ndarray = np.empty(len(points) * width, dtype)
    points.foreach_get(name, values)
    return values.reshape(-1, 2) if width == 2 else values
