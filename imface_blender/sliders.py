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

from . import applied, faces, jobs, mesh_io
from .errors import UserError
from .job_operators import NOT_IN_OBJECT_MODE
from .properties import of_key, of_mesh, of_object
from .slider_names import NAMES
from .translations import label, say
from .wire import Arrays

LARGEST_VALUE = 5.0
SURFACES_KEPT = 64  # 0.3 MB each
SECONDS_UNTIL_EXACT = 0.5
NOT_LOADED = "Press Edit Face Shape first"

Values = dict[str, float]  # by name, without zeros


class Record(NamedTuple):
    """Where a datablock's coordinates come from."""

    values: Values  # of the sliders
    exact: Values  # those of the surface that the preview starts from


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
_waiting: set[int] = set()  # session_uids of the faces that shall become ready and exact
_asked: dict[int, str] = {}  # of those that were asked for: why not, once that is known


def values_of(mesh: bpy.types.Mesh) -> Values:
    """Return the values of a mesh's sliders."""
    return _record(of_mesh(mesh).sliders).values


def is_exact(mesh: bpy.types.Mesh) -> bool:
    """Tell whether the mesh is no preview."""
    record = _record(of_mesh(mesh).sliders)
    return record.values == record.exact


def exact_values_of(mesh: bpy.types.Mesh) -> Values:
    """Return the values of the surface from which a mesh's preview starts."""
    return _record(of_mesh(mesh).sliders).exact


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


def load(obj: bpy.types.Object, exact: Values, values: Mapping[str, Any], arrays: Arrays) -> None:
    """Keep what the worker says of the sliders, and the surface of the values `exact`, where this
    face's preview started when the worker was asked; the scene stays as it is."""
    preview = Preview.from_answer(values, arrays)
    _keep_surface(obj, exact, mesh_io.metres_from_mm(arrays["vertices_mm"]))
    _previews[_model_key(obj)] = preview
    _arrive(obj)


def move(obj: bpy.types.Object, values: Values) -> None:
    """Set some sliders of a face, whose mesh follows at once; values beyond the limits stop there.

    Raises
    ------
    UserError
        When the face's sliders do not move; nothing has been changed then.
    """
    reason = why_not(obj)
    if reason:
        raise UserError("{reason}.", reason=reason)
    if not np.isfinite(list(values.values())).all():
        raise UserError("A slider's value is not a number. Choose -5 to 5.")
    before = _record(of_mesh(mesh_io.mesh_of(obj)).sliders)
    if before.values == before.exact:  # a drag begins: to look each time would slow it down
        faces.check_vertices(obj, _shape(obj, before))
    wanted = {
        name: min(max(value, -LARGEST_VALUE), LARGEST_VALUE)
        for name, value in (before.values | values).items()
    }
    _bring(obj, Record(_without_zeros(wanted), before.exact))
    jobs.status.freed = False
    _wait(obj)


def refine(obj: bpy.types.Object, exact: Values, vertices_mm: np.ndarray) -> None:
    """Let a face's preview start from the exact surface (V, 3) [mm] of the given values, whatever
    the sliders stand at by now; UserError when the face has changed."""
    reason = why_not(obj)
    if reason:
        raise UserError("{reason}.", reason=reason)
    _keep_surface(obj, exact, mesh_io.metres_from_mm(vertices_mm))
    _bring(obj, Record(values_of(mesh_io.mesh_of(obj)), exact))
    _arrive(obj)


def _arrive(obj: bpy.types.Object) -> None:
    """Go on with a face that has got what was asked for, in case it lacks more by now."""
    _asked.pop(obj.session_uid, None)
    if not is_exact(mesh_io.mesh_of(obj)):
        _wait(obj)


def _bring(obj: bpy.types.Object, after: Record) -> None:
    """Bring mesh and shape keys to a record: each by the difference from its own, so that what an
    artist sculpted stays."""
    mesh, text = mesh_io.mesh_of(obj), json.dumps(after._asdict())
    before, points = _record(of_mesh(mesh).sliders), mesh_io.read_positions(mesh)
    known = applied.read(mesh, points)
    step = _way(obj, before, after) @ known.linear
    if mesh.shape_keys is not None:
        own = of_key(mesh.shape_keys).sliders  # keys that were never moved are at their mesh's
        key_step = _way(obj, _record(own) if own else before, after) @ known.linear
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
    return _shape(obj, after) - _shape(obj, before)


def _shape(obj: bpy.types.Object, record: Record) -> np.ndarray:
    """Return the vertices (V, 3) [m] that a record stands for."""
    surface = _surfaces.get(_surface_key(obj, record.exact))
    if surface is None:
        raise UserError("{reason}.", reason=say(NOT_LOADED))
    beyond = {
        name: record.values.get(name, 0.0) - record.exact.get(name, 0.0)
        for name in record.values | record.exact
    }
    return surface + _previews[_model_key(obj)].offset(_without_zeros(beyond))


def _record(text: str) -> Record:
    known = json.loads(text) if text else {}
    return Record(known.get("values", {}), known.get("exact", {}))


def _without_zeros(values: Values) -> Values:
    return {name: float(value) for name, value in values.items() if value}


def _model_key(obj: bpy.types.Object) -> tuple[str, str]:
    return faces.codes_of(obj)["weights"], of_object(obj).topology


def _surface_key(obj: bpy.types.Object, exact: Values) -> tuple[str, str, str]:
    return of_object(obj).codes, json.dumps(exact, sort_keys=True), of_object(obj).topology


def _keep_surface(obj: bpy.types.Object, exact: Values, vertices: np.ndarray) -> None:
    if not np.isfinite(vertices).all():
        raise UserError(mesh_io.NOT_A_MESH)
    faces.check_vertices(obj, vertices)
    key = _surface_key(obj, exact)
    _surfaces.pop(key, None)  # the newest go last
    _surfaces[key] = vertices
    while len(_surfaces) > SURFACES_KEPT:
        del _surfaces[next(iter(_surfaces))]


def get_ready(obj: bpy.types.Object) -> None:
    """Let a face's sliders get ready by themselves, once; not after the user ended the worker."""
    uid = obj.session_uid
    if not (_can_change(obj) and _what_lacks(obj)):
        return
    if not (uid in _waiting or uid in _asked or jobs.status.freed):
        _wait(obj)


def news(obj: bpy.types.Object) -> str:
    """Return why a face's sliders do not move, or why its mesh stays a preview; an empty string
    when all is well."""
    reason, failure = why_not(obj), _asked.get(obj.session_uid)
    if reason == say(NOT_LOADED):
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
        _wait(face)


def _is_under_way(obj: bpy.types.Object) -> bool:
    return obj.session_uid in _waiting or _asked.get(obj.session_uid) == ""


def _wait(obj: bpy.types.Object) -> None:
    """Bring a face up to date once its sliders have come to rest; scripts ask themselves."""
    _asked.pop(obj.session_uid, None)
    _waiting.add(obj.session_uid)
    if bpy.app.background:
        return
    _forget_timer()
    bpy.app.timers.register(bring_up_to_date, first_interval=SECONDS_UNTIL_EXACT)


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
    preview = preview_of(obj)
    changed = preview and faces.why_not_vertices(obj, len(preview.offsets[NAMES[0]]))
    return not (changed or faces.why_not_kept(obj))


def _what_lacks(face: bpy.types.Object) -> str:
    """Return the operator that brings a face further; an empty string if it is up to date."""
    if preview_of(face) is None:
        return "imface.edit_shape"
    return "" if is_exact(mesh_io.mesh_of(face)) else "imface.refine_shape"


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
        if is_new and not is_exact(mesh_io.mesh_of(obj)):
            _wait(obj)


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
