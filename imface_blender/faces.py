# SPDX-License-Identifier: GPL-3.0-or-later
"""Face objects: what makes an object a face, and how a new one enters the scene."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import uuid4

import bpy
import numpy as np
from mathutils import Matrix, Vector

from . import applied
from .errors import UserError
from .mesh_io import FaceMesh, mesh_of, read, read_basis, read_positions
from .properties import SURFACES, of_mesh, of_object
from .translations import label, say
from .wire import Arrays
from .worker_client import Job

EDGES_LOOKED_AT = 5_000
LONG_EDGE = 0.3  # of a face's size, its standard deviation: longer than any of a face as made
TORN = 5.0  # times as long as it is now
MOST_TORN = 0.001  # of all edges; one part out of its place in a head tears ten times as many
LEAST_DISTANCE = 0.8  # of faces that stand side by side, in steps of their row
LANDMARKS_LEFT_OUT = "the landmarks were left out, as without them the face matches plainly better"


def is_face(obj: bpy.types.Object | None) -> bool:
    """Tell whether the object is a mesh that carries codes, its own."""
    carries_codes = obj is not None and obj.type == "MESH" and bool(of_object(obj).codes)
    return carries_codes and not _has_another_s_mesh(obj)


def _has_another_s_mesh(obj: bpy.types.Object) -> bool:
    """Tell whether Blender's Link Object Data gave a face the mesh of another."""
    own, of_its_mesh = of_object(obj).face, of_mesh(mesh_of(obj)).face
    return bool(own and of_its_mesh) and own != of_its_mesh


def codes_of(obj: bpy.types.Object) -> Any:
    """Return a face's codes for the worker, which applies the sliders of the mesh to those that the
    object stores; UserError when they cannot be read."""
    try:
        codes = json.loads(of_object(obj).codes)
        text = of_mesh(mesh_of(obj)).sliders
        return codes | {"sliders": json.loads(text)["values"]} if text else codes
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            "The codes stored on '{name}' are damaged. Generate or fit the face again.",
            name=obj.name,
        ) from error


def why_not_mesh(obj: bpy.types.Object | None) -> str:
    """Return why this object cannot serve as a mesh to read, or an empty string."""
    if obj is None:
        return say("No object is active. Select a mesh object")
    if obj.type != "MESH":
        return say("'{name}' is no mesh. Select a mesh object", name=obj.name)
    if not obj.visible_get():
        return say("'{name}' is hidden. Show it first", name=obj.name)
    return ""


def why_not_face(obj: bpy.types.Object | None) -> str:
    """Return why this object cannot serve as a face, or an empty string."""
    reason = why_not_mesh(obj)
    if not reason and _has_another_s_mesh(obj):
        return say("'{name}' has the mesh of another face. Undo that, or delete it", name=obj.name)
    if not reason and not is_face(obj):
        reason = say(
            "'{name}' is no ImFace face. Select one made by Generate, Fit Scan or Blend",
            name=obj.name,
        )
    return reason


def others(context: bpy.types.Context) -> list[bpy.types.Object]:
    """Return the selected objects but the active one."""
    return [obj for obj in context.selected_objects if obj != context.object]


def why_not_selected(context: bpy.types.Context) -> str:
    """Return that the active object is none of those that are seen to be selected, as after a box
    select, or an empty string."""
    obj, selected = context.object, context.selected_objects
    if obj is None or not selected or obj in selected:
        return ""
    return say(
        "'{name}' is active, but not selected. Shift-click the selected face that is to be active",
        name=obj.name,
    )


def why_not_fixed(obj: bpy.types.Object | None) -> str:
    """Return why this object cannot serve as a face of the fixed topology, or an empty string."""
    reason = why_not_face(obj)
    if not reason and of_object(obj).topology in SURFACES:
        reason = say(
            "'{name}' is a raw surface. Make the face again with the mesh Head or Face",
            name=obj.name,
        )
    return reason


def why_not_editable(face: bpy.types.Object) -> str:
    """Return that a face is another file's, which cannot be changed here, or an empty string."""
    if face.is_editable and mesh_of(face).is_editable:
        return ""
    return say("'{name}' is linked from another file. Make it local first", name=face.name)


def why_not_kept(face: bpy.types.Object) -> str:
    """Return why this face's mesh cannot be changed, or why no file would keep it, or an empty
    string."""
    reason = why_not_editable(face)
    if reason or face.data.override_library is None:
        return reason
    return say(
        "'{name}' is a library override, and files do not store changes to its mesh. Make it local "
        "first",
        name=face.name,
    )


def why_not_changed(obj: bpy.types.Object | None) -> str:
    """Return why a face cannot get another shape or shape keys of the fixed topology, or an empty
    string."""
    return why_not_fixed(obj) or why_not_kept(obj)


def why_not_vertices(obj: bpy.types.Object, count: int) -> str:
    """Return that a face's mesh has another number of vertices than its codes give, or an empty
    string."""
    current = len(mesh_of(obj).vertices)
    if current == count:
        return ""
    return say(
        "'{name}' has {current} vertices, but its codes give {count}. Sliders and expressions need "
        "the mesh as it was made: undo the edit, or make the face again",
        name=obj.name,
        current=current,
        count=count,
    )


def check_vertices(obj: bpy.types.Object, made: np.ndarray) -> None:
    """Raise UserError when a face's mesh has other vertices than its codes give (V, 3), in any
    unit: more or fewer, or in another order."""
    reason = why_not_vertices(obj, len(made))
    if reason:
        raise UserError("{reason}.", reason=reason)
    if _has_other_order(mesh_of(obj), made):
        raise UserError(
            "The vertices of '{name}' are in another order than its codes give, as after Separate "
            "and Join. Undo that, or make the face again.",
            name=obj.name,
        )


def _has_other_order(mesh: bpy.types.Mesh, made: np.ndarray) -> bool:
    """Tell whether edges of a mesh are far longer between the vertices that its codes give (V, 3),
    by their numbers. Those that an artist adds, as to close the neck, are long in both."""
    now, ends = read_positions(mesh), read(mesh.edges, "vertices", 2, np.int32)
    ends = ends[:: 1 + len(ends) // EDGES_LOOKED_AT]
    sizes = [np.linalg.norm(points.std(axis=0)) for points in (made, now)]
    lengths, lengths_now = (
        np.linalg.norm(points[ends[:, 0]] - points[ends[:, 1]], axis=1) / max(size, 1e-9)
        for points, size in zip((made, now), sizes, strict=True)
    )
    torn = (lengths > LONG_EDGE) & (lengths > TORN * lengths_now)
    return bool(np.count_nonzero(torn) > MOST_TORN * len(ends))


def report_of(obj: bpy.types.Object) -> dict[str, Any] | None:
    """Return how well a fitted face matches its scan; None without a report that can be read."""
    try:
        report: dict[str, Any] = json.loads(of_object(obj).report)
        report_line(report)
    except (ValueError, KeyError, TypeError, AttributeError):  # no fit, or of another version
        return None
    return report


def is_poor_fit(report: Mapping[str, Any]) -> bool:
    """Tell whether the worker says that a fitted face was probably put to the wrong place."""
    return bool(report.get("poor"))  # no report of an older version has it


def report_line(report: Mapping[str, Any]) -> str:
    """Return in one line how well a fitted face, with its detail if that was captured, matches its
    scan, and what to do if it does not."""
    figures = report.get("refined", report)
    parts = [
        label(
            "{mean:.2f} mm mean, {within:.0f} % within 2 mm, {unseen:.0f} % of the face not seen",
            mean=figures.get("face_mean_mm", figures["scan_to_fit_mean_mm"]),
            within=100 * figures.get("face_within_2mm", figures["within_2mm"]),
            unseen=100 - 100 * figures["coverage"],
        )
    ]
    if report.get("landmarks_used") is False:  # no report of an older version has it
        parts.append(label(LANDMARKS_LEFT_OUT))
    if report.get("advice"):
        parts.append(label(report["advice"]))
    return "; ".join(parts)


def find(session_uid: int) -> bpy.types.Object:
    """Return the object that was there when a job started; UserError when it was deleted."""
    obj = look_up(session_uid)
    if obj is None:
        raise UserError("The object was deleted while the job ran. Nothing was changed.")
    return obj


def look_up(session_uid: int) -> bpy.types.Object | None:
    """Return an object by its number in this Blender; None when it was deleted."""
    return next((obj for obj in bpy.data.objects if obj.session_uid == session_uid), None)


def life_size_at_cursor(scene: bpy.types.Scene) -> Matrix:
    """Return the place of a new face: at the 3D cursor, life-size in the scene's unit."""
    unit = scene.unit_settings
    metre = 1.0 if unit.system == "NONE" else 1.0 / unit.scale_length
    return Matrix.Translation(scene.cursor.location) @ Matrix.Scale(metre, 4)


class Row(NamedTuple):
    """Places for new faces, side by side."""

    start: Matrix  # where the face stands that they begin beside, with its size and direction
    step: float  # from one to the next, along its x [m]


def beside(obj: bpy.types.Object, other: bpy.types.Object) -> Row:
    """Return the places for a new face next to `obj`, with its size and direction, away from
    `other`, a face too."""
    place = _place(obj)
    width = float(np.ptp(pose(obj).take_off(read_basis(mesh_of(obj)))[:, 0]))
    other_is_right = (place.inverted_safe() @ _place(other)).translation.x > 0.01 * width
    return Row(place, -1.2 * width if other_is_right else 1.2 * width)


def free_place(context: bpy.types.Context, row: Row) -> Matrix:
    """Return the first place of a row at which no face is to be seen."""
    shown = [obj for obj in context.visible_objects if is_face(obj)]
    taken = [_place(face).translation for face in shown]
    places = [
        row.start @ Matrix.Translation((number * row.step, 0.0, 0.0))
        for number in range(1, 2 * len(taken) + 2)  # as each of them is in the way of two at most
    ]
    free = (place for place in places if not any(_is_near(place, t, row.step) for t in taken))
    return next(free, places[0])


def _is_near(place: Matrix, point: Vector, step: float) -> bool:
    return (place.inverted_safe() @ point).length < LEAST_DISTANCE * abs(step)


def _place(obj: bpy.types.Object) -> Matrix:
    """Return where a face stands: its object's place, and the pose that was applied to it."""
    return obj.matrix_world @ pose(obj).matrix()


def pose(obj: bpy.types.Object) -> applied.Applied:
    """Return how a face was turned, sized and moved by what was applied to its mesh."""
    mesh = mesh_of(obj)
    return applied.read(mesh, read_basis(mesh)).pose()


class Answer(NamedTuple):
    """A face as the worker made it: its mesh, and its codes and fit's report as JSON."""

    mesh: FaceMesh
    codes: str
    report: str


def read_answer(values: Mapping[str, Any], arrays: Arrays) -> Answer:
    """Return the face in a job's answer; a bad one raises."""
    report = json.dumps(values["report"]) if "report" in values else ""
    return Answer(FaceMesh.from_answer(values, arrays), json.dumps(values["codes"]), report)


def add_face(
    context: bpy.types.Context, name: str, topology: str, place: Matrix, job: Job
) -> bpy.types.Object:
    """Make a face object from a job's answer; it becomes the active and only selected one.

    A bad answer raises before anything is made.
    """
    return add_answer(context, name, topology, place, read_answer(job.values, job.arrays))


def add_answer(
    context: bpy.types.Context, name: str, topology: str, place: Matrix, answer: Answer
) -> bpy.types.Object:
    """Make a face object from one of several answers; see ``add_face``."""
    mesh = answer.mesh.to_blender(name)
    applied.remember(mesh, answer.mesh.vertices)
    obj = bpy.data.objects.new(name, mesh)
    answer.mesh.add_groups(obj)
    obj.matrix_world = place
    of_object(obj).codes = answer.codes
    of_object(obj).topology = topology
    of_object(obj).report = answer.report
    of_object(obj).face = of_mesh(mesh).face = uuid4().hex
    link(context, obj)
    select_only(context, [obj])
    return obj


def select_only(context: bpy.types.Context, objects: list[bpy.types.Object]) -> None:
    """Select these objects and no others; the first becomes the active one."""
    for selected in context.selected_objects:
        selected.select_set(False)
    for obj in objects:
        obj.select_set(True)
    context.view_layer.objects.active = objects[0]


def link(context: bpy.types.Context, obj: bpy.types.Object) -> None:
    """Link to the active collection, or to the scene's where that one is fixed, hidden or not to
    be selected."""
    collection = context.collection
    if collection.is_editable and collection.override_library is None:
        collection.objects.link(obj)
        if _is_within_reach(context, obj):
            return
        collection.objects.unlink(obj)
    context.scene.collection.objects.link(obj)


def _is_within_reach(context: bpy.types.Context, obj: bpy.types.Object) -> bool:
    """Tell whether the user sees an object and can select it."""
    if not obj.visible_get(view_layer=context.view_layer):
        return False
    obj.select_set(True)
    return obj.select_get()
