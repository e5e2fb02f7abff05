# SPDX-License-Identifier: GPL-3.0-or-later
"""Landmarks: five empties, children of a scan, that show where its face is."""

from __future__ import annotations

import bpy
import numpy as np
from mathutils import Matrix, Vector

from . import faces, mesh_io
from .errors import UserError
from .properties import LANDMARKS, of_object
from .wire import Arrays

#: Where a viewer sees them, to the right and up [100 mm], on a face of usual size.
SEEN = {
    "right_eye": (-0.45, 0.3),
    "left_eye": (0.45, 0.3),
    "nose": (0.0, 0.0),
    "right_mouth": (-0.25, -0.4),
    "left_mouth": (0.25, -0.4),
}
HEAD_WIDTH = 2.0  # that a scan is guessed to have [100 mm]
MARK_SIZE = 0.02  # of an empty, as a share of the scan's size
FRONT = Matrix(((1, 0, 0), (0, 0, -1), (0, 1, 0)))  # view to world, of the front view


def scan_of(obj: bpy.types.Object | None) -> bpy.types.Object | None:
    """Return the scan that a landmark belongs to, or to which a face was fitted if that is still in
    the file by its name, and any other object itself. A pointer instead of the name would carry the
    scan along into every file that the face is appended to."""
    if obj is None:
        return None
    if of_object(obj).landmark and obj.parent:
        obj = obj.parent
    scan: bpy.types.Object | None = bpy.data.objects.get(of_object(obj).scan)
    return scan if scan is not None and scan.users_scene else obj


def of_scan(context: bpy.types.Context, scan: bpy.types.Object) -> dict[str, bpy.types.Object]:
    """Return the scan's landmarks that are in the scene; UserError when one is there twice."""
    found: dict[str, bpy.types.Object] = {}
    for child in scan.children:
        name = of_object(child).landmark
        if name not in LANDMARKS or child.name not in context.view_layer.objects:
            continue
        if name in found:
            raise UserError(
                "'{scan}' has the landmark {landmark} twice. Delete one.",
                scan=scan.name,
                landmark=LANDMARKS[name],
            )
        found[name] = child
    return found


def arrays(context: bpy.types.Context, scan: bpy.types.Object) -> Arrays:
    """Read where a scan's landmarks are.

    Returns
    -------
    dict
        `landmarks` (5, 3) float64 in backend axes and the scene's unit; nothing if there are none.

    Raises
    ------
    UserError
        When some are missing, or still where Mark Landmarks has put them.
    """
    marks = of_scan(context, scan)
    if not marks:
        return {}
    missing = [label for name, label in LANDMARKS.items() if name not in marks]
    if missing:
        raise UserError(
            "'{scan}' lacks landmarks: {landmarks}. Press Mark Landmarks to add what is missing, "
            "or delete the others.",
            scan=scan.name,
            landmarks=", ".join(missing),
        )
    guessed = [label for name, label in LANDMARKS.items() if _is_guess(marks[name])]
    if guessed:
        raise UserError(
            "Landmarks of '{scan}' have not been moved yet: {landmarks}. Drag them onto the face, "
            "or delete all five.",
            scan=scan.name,
            landmarks=", ".join(guessed),
        )
    world = [_world(context, marks[name]).translation for name in LANDMARKS]
    return {"landmarks": mesh_io.backend_from_blender(np.array(world, dtype=np.float64))}


def _world(context: bpy.types.Context, obj: bpy.types.Object) -> Matrix:
    """Return an object's place in the world, its parents' and constraints' part included."""
    return obj.evaluated_get(context.evaluated_depsgraph_get()).matrix_world


def _is_guess(mark: bpy.types.Object) -> bool:
    settings = of_object(mark)
    return settings.is_property_set("guess") and Vector(settings.guess) == mark.location


def place(
    context: bpy.types.Context, scan: bpy.types.Object, places: dict[str, Vector]
) -> list[bpy.types.Object]:
    """Put landmarks to places in the world; those missing that have none, to a guess.

    Returns
    -------
    list of Object
        The new ones and those that were moved.
    """
    marks = of_scan(context, scan)
    to_scan = _world(context, scan).inverted_safe()
    changed = []
    for name, label in LANDMARKS.items():
        if name in places:
            mark = marks.get(name) or _add(context, scan, name, label)
            mark.matrix_parent_inverse.identity()
            mark.location = to_scan @ places[name]
        elif name not in marks:
            mark = _add(context, scan, name, label)
            mark.location = _guess(context, scan, name)
            of_object(mark).guess = mark.location
        else:
            continue
        changed.append(mark)
    return changed


def _add(
    context: bpy.types.Context, scan: bpy.types.Object, name: str, label: str
) -> bpy.types.Object:
    mark = bpy.data.objects.new(label, None)
    of_object(mark).landmark = name
    mark.parent = scan
    mark.empty_display_type = "SPHERE"
    mark.empty_display_size = MARK_SIZE * float(np.ptp(np.array(scan.bound_box), axis=0).max())
    mark.show_in_front = mark.show_name = True
    faces.link(context, mark)
    return mark


def _guess(context: bpy.types.Context, scan: bpy.types.Object, name: str) -> Vector:
    """Return a place on the scan, in its own space, where a viewer may see the landmark."""
    view = _view(context).to_4x4()
    to_view = view.inverted() @ _world(context, scan)
    box = np.array([to_view @ Vector(corner) for corner in scan.bound_box])
    low, high = box.min(axis=0), box.max(axis=0)
    middle, (width, height, depth) = (low + high) / 2, high - low
    right, up = middle[:2] + np.array(SEEN[name]) * min(width, height) / HEAD_WIDTH
    to_scan = to_view.inverted_safe()
    before, behind = (to_scan @ Vector((right, up, z)) for z in (high[2] + depth, low[2] - depth))
    hit, there, _normal, _face = scan.ray_cast(
        before, behind - before, depsgraph=context.evaluated_depsgraph_get()
    )
    return there if hit else to_scan @ Vector((right, up, middle[2]))


def _view(context: bpy.types.Context) -> Matrix:
    """Return the turn from the viewport's right, up and towards the viewer to the world."""
    space = context.space_data
    if isinstance(space, bpy.types.SpaceView3D) and space.region_3d is not None:
        return space.region_3d.view_rotation.to_matrix()
    return FRONT
