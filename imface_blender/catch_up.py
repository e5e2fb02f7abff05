# SPDX-License-Identifier: GPL-3.0-or-later
"""Faces catch up by themselves: their sliders get ready, and previews become exact.

A drag, an undo, a redo or a file leaves a preview; a panel that is drawn shows sliders that are not
ready yet. What such a face lacks is asked for once its sliders have come to rest; what failed is
told beside them, and asked for again by the user alone.
"""

from __future__ import annotations

from typing import Any

import bpy

from . import faces, jobs, mesh_io, sliders
from .slider_names import NAMES
from .translations import label, say

SECONDS_UNTIL_EXACT = 0.5

_waiting: set[int] = set()  # session_uids of the faces that shall become ready and exact
_asked: dict[int, str] = {}  # of those that were asked for: why not, once that is known


def wait(obj: bpy.types.Object) -> None:
    """Bring a face up to date once its sliders have come to rest; scripts ask themselves."""
    _asked.pop(obj.session_uid, None)
    _waiting.add(obj.session_uid)
    if bpy.app.background:
        return
    _forget_timer()
    bpy.app.timers.register(bring_up_to_date, first_interval=SECONDS_UNTIL_EXACT)


def go_on(obj: bpy.types.Object) -> None:
    """Go on with a face that has got what was asked for, in case it lacks more by now."""
    _asked.pop(obj.session_uid, None)
    if not sliders.is_exact(mesh_io.mesh_of(obj)):
        wait(obj)


def get_ready(obj: bpy.types.Object) -> None:
    """Let a face's sliders get ready by themselves, once; not after the user ended the worker."""
    uid = obj.session_uid
    if not (_can_change(obj) and _what_lacks(obj)):
        return
    if not (uid in _waiting or uid in _asked or jobs.status.freed):
        wait(obj)


def news(obj: bpy.types.Object) -> str:
    """Return why a face's sliders do not move, or why its mesh stays a preview; an empty string
    when all is well."""
    reason, failure = sliders.why_not(obj), _asked.get(obj.session_uid)
    if reason == say(sliders.NOT_LOADED):
        soon = label("The sliders are being made ready")
        return soon if _is_under_way(obj) else failure or reason
    if not reason and failure and _what_lacks(obj):
        return label("The shape is a preview: {reason}", reason=failure)
    return reason


def remedy(obj: bpy.types.Object) -> str:
    """Return the operator that would bring a face up to date; an empty string when nothing is
    lacking, or is on its way."""
    return "" if _is_under_way(obj) else _what_lacks(obj)


def give_up(session_uid: int, reason: str) -> None:
    """Remember why a face, asked for by itself, has not become ready or exact; one that was hidden
    meanwhile waits until it is shown."""
    face = faces.look_up(session_uid)
    _asked.pop(session_uid, None)
    if face is not None and face.visible_get():
        _asked[session_uid] = reason
    elif face is not None:
        wait(face)


def _is_under_way(obj: bpy.types.Object) -> bool:
    return obj.session_uid in _waiting or _asked.get(obj.session_uid) == ""


def _forget_timer() -> None:
    if bpy.app.timers.is_registered(bring_up_to_date):
        bpy.app.timers.unregister(bring_up_to_date)


def bring_up_to_date() -> float | None:
    """Ask for what the faces that wait lack, whichever is active by now; return when to try again
    [s] if some have to wait: for another job, for Object Mode, or until a window shows them."""
    if jobs.status.freed:
        _waiting.clear()
    there = {obj.session_uid: obj for obj in bpy.data.objects if _can_change(obj)}
    _waiting.intersection_update(there)
    for uid in sorted(_waiting):
        operator = _what_lacks(there[uid])
        if not operator:
            _waiting.discard(uid)
        else:
            _ask(there[uid], operator)
    return SECONDS_UNTIL_EXACT if _waiting else None


def _can_change(obj: bpy.types.Object) -> bool:
    """Tell whether an object is a face whose mesh may become another one, now or later."""
    if not (faces.is_face(obj) and obj.is_editable and mesh_io.mesh_of(obj).is_editable):
        return False
    preview = sliders.preview_of(obj)
    changed = preview and faces.why_not_vertices(obj, len(preview.offsets[NAMES[0]]))
    return not (changed or faces.why_not_kept(obj))


def _what_lacks(face: bpy.types.Object) -> str:
    """Return the operator that brings a face further; an empty string if it is up to date."""
    if sliders.preview_of(face) is None:
        return "imface.edit_shape"
    return "" if sliders.is_exact(mesh_io.mesh_of(face)) else "imface.refine_shape"


def _ask(face: bpy.types.Object, operator: str) -> None:
    """Start a job for a face, unless it has to wait."""
    window = _window_with(face)
    if window is None or jobs.status.job is not None or jobs.status.line:
        return
    with bpy.context.temp_override(window=window):
        if jobs.user_is_busy(bpy.context):
            return
        with bpy.context.temp_override(object=face, active_object=face):
            start = getattr(bpy.ops.imface, operator.partition(".")[2])  # type: ignore[attr-defined]
            if start.poll():
                _waiting.discard(face.session_uid)
                _asked[face.session_uid] = ""
                start("INVOKE_DEFAULT", by_itself=True)


def _window_with(face: bpy.types.Object) -> bpy.types.Window | None:
    """Return a window that shows the face's scene; None without any."""
    windows = bpy.context.window_manager.windows
    return next((w for w in windows if any(o == face for o in w.view_layer.objects)), None)


@bpy.app.handlers.persistent
def _look_for_previews(*_: Any) -> None:
    """Undo, redo and files bring back the previews that they hold; what was asked for already is
    not asked for again."""
    for obj in bpy.data.objects:
        is_new = obj.session_uid not in _asked and _can_change(obj)
        if is_new and not sliders.is_exact(mesh_io.mesh_of(obj)):
            wait(obj)


@bpy.app.handlers.persistent
def _after_load(*_: Any) -> None:
    """Forget the last file's faces."""
    _waiting.clear()
    _asked.clear()
    _look_for_previews()


def _handlers() -> tuple[tuple[Any, Any], ...]:
    handlers = bpy.app.handlers
    return (
        (handlers.undo_post, _look_for_previews),
        (handlers.redo_post, _look_for_previews),
        (handlers.load_post, _after_load),
    )


def register() -> None:
    """Look out for undo, redo and files."""
    for calls, handler in _handlers():
        calls.append(handler)


def unregister() -> None:
    """Ask for no face any more."""
    for calls, handler in _handlers():
        calls.remove(handler)
    _forget_timer()
    _waiting.clear()
    _asked.clear()
