# SPDX-License-Identifier: GPL-3.0-or-later
"""The F-curves that datablocks play, or could play again.

A take is what an action holds for a datablock: in Blender 4.4 and later for one of its slots.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bpy

Owner = bpy.types.Object | bpy.types.Key
TakeId = tuple[int, int]  # the action's session_uid, the slot's handle
Take = Any  # has `fcurves`: an action or, in Blender 4.4 and later, an ActionChannelbag


def current(owner: Owner) -> Take:
    """Return the take of a datablock's action; None without one."""
    at = current_id(owner)
    return dict(_takes([owner.animation_data.action])).get(at) if at is not None else None


def current_id(owner: Owner) -> TakeId | None:
    """Return which take a datablock's action holds for it; None without an action."""
    animation = owner.animation_data
    if animation is None or animation.action is None:
        return None
    return _take_id(animation)


def playable(owner: bpy.types.Key) -> dict[TakeId, Take]:
    """Return the takes that shape keys play, and those that nothing plays at present."""
    foreign = set().union(*map(played, bpy.data.shape_keys)) - played(owner)
    return {at: take for at, take in _takes(bpy.data.actions) if at not in foreign}


def played(owner: Owner) -> set[TakeId]:
    """Return which takes a datablock plays: of its action and of its NLA strips."""
    animation: Any = owner.animation_data
    if animation is None:
        return set()
    strips = [strip for track in animation.nla_tracks for strip in _flat(track.strips)]
    return {_take_id(user) for user in (animation, *strips) if user.action is not None}


def paths(take: Take) -> set[str]:
    """Return the paths of all properties that a take animates."""
    return {curve.data_path for curve in take.fcurves}


def animated_paths() -> set[str]:
    """Return the paths of all properties that any action of the file animates."""
    return set().union(*(paths(take) for _, take in _takes(bpy.data.actions)))


def _flat(strips: Any) -> Iterator[Any]:
    """Yield strips and those within Meta strips."""
    for strip in strips:
        yield strip
        yield from _flat(strip.strips)


def _take_id(user: Any) -> TakeId:
    """Return what a datablock's animation data, or an NLA strip, plays."""
    slot = getattr(user, "action_slot", None)
    return user.action.session_uid, slot.handle if slot is not None else 0


def _takes(actions: Any) -> Iterator[tuple[TakeId, Take]]:
    for action in actions:
        if not hasattr(action, "layers"):  # before Blender 4.4
            yield (action.session_uid, 0), action
            continue
        for strip in (strip for layer in action.layers for strip in layer.strips):
            for bag in strip.channelbags:
                yield (action.session_uid, bag.slot_handle), bag
