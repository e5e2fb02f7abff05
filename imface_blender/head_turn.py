# SPDX-License-Identifier: GPL-3.0-or-later
"""A recorded head's angles as a face object's delta rotation.

Blender adds the delta rotation to the object's own: a fitted face keeps standing as its scan
does, and the artist's keyframes on the rotation stay.
"""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from mathutils import Euler, Matrix, Quaternion, Vector

from . import keyframes
from .errors import UserError
from .mesh_io import mesh_of, read_points

LANDMARKS = "Landmarks"  # a vertex group: landmark i, counted from 0, has the weight (i + 1) / 68
LANDMARK_COUNT = 68
CHIN, BRIDGE, RIGHT_EYE, LEFT_EYE = 8, 27, 36, 45  # bridge of the nose, outer corners of the eyes
SMALLEST_APPLIED_TURN = np.radians(15)  # less is how people's landmarks differ, up to about 10


def delta_rotation(obj: bpy.types.Object, first: int, angles: np.ndarray) -> tuple[str, np.ndarray]:
    """Return the property that turns an object in its rotation mode, and its values (F, C).

    Parameters
    ----------
    first : int
        Frame of the first angles; the object may be animated.
    angles : ndarray (F, 3)
        Yaw to the person's right, pitch up and roll to the person's right [radians]; roll is
        applied first.

    Raises
    ------
    UserError
        In the mode Axis Angle, for which Blender has no such property.
    """
    mode = obj.rotation_mode
    if mode == "AXIS_ANGLE":
        raise UserError(
            "'{name}' has the rotation mode Axis Angle, which cannot take a head's rotation. "
            "Set the mode to XYZ Euler, or leave Head Rotation off.",
            name=obj.name,
        )
    frames = range(first, first + len(angles))
    if mode == "QUATERNION":
        own = keyframes.read(obj, obj, "rotation_quaternion", frames)
        rotations = [Quaternion(row).normalized().to_matrix() for row in own]
        return "delta_rotation_quaternion", _quaternions(_turns(obj, rotations, angles))
    own = keyframes.read(obj, obj, "rotation_euler", frames)
    rotations = [Euler(row, mode).to_matrix() for row in own]
    return "delta_rotation_euler", _eulers(_turns(obj, rotations, angles), mode)


def _turns(obj: bpy.types.Object, own: list[Matrix], angles: np.ndarray) -> list[Matrix]:
    """Return what turns the head about its own axes when applied after the object's rotations."""
    head = _head_in_mesh(obj)
    axes = [rotation @ head for rotation in own]
    turns = [_turn(*row) for row in angles.tolist()]
    return [axis @ turn @ axis.transposed() for axis, turn in zip(axes, turns, strict=True)]


def _head_in_mesh(obj: bpy.types.Object) -> Matrix:
    """Return how a head is turned in its mesh (3, 3): not at all, but after Apply Rotation."""
    at = _landmarks(obj)
    if not {CHIN, BRIDGE, RIGHT_EYE, LEFT_EYE} <= at.keys():
        return Matrix.Identity(3)
    x = (at[LEFT_EYE] - at[RIGHT_EYE]).normalized()
    y: Any = (at[BRIDGE] - at[CHIN]).cross(x).normalized()  # the stubs doubt that it is a vector
    z: Any = x.cross(y)
    head = Matrix((x[:], y[:], z[:])).transposed()
    return head if head.to_quaternion().angle > SMALLEST_APPLIED_TURN else Matrix.Identity(3)


def _landmarks(obj: bpy.types.Object) -> dict[int, Vector]:
    """Return where a face's landmarks are in its mesh, which has shape keys, without these."""
    mesh = mesh_of(obj)
    group: Any = obj.vertex_groups.get(LANDMARKS)
    if group is None:
        return {}
    points = read_points(mesh.shape_keys.reference_key.data)
    return {
        round(LANDMARK_COUNT * member.weight) - 1: Vector(points[vertex.index])
        for vertex in mesh.vertices
        for member in vertex.groups
        if member.group == group.index
    }


def _quaternions(turns: list[Matrix]) -> np.ndarray:
    """Return (F, 4), of the two signs of each the one nearer to its neighbour's."""
    values = np.array([turn.to_quaternion() for turn in turns])
    flips = (values[1:] * values[:-1]).sum(axis=1) < 0
    values[1:][np.cumsum(flips) % 2 == 1] *= -1
    return values


def _eulers(turns: list[Matrix], order: Any) -> np.ndarray:
    """Return (F, 3) that do not jump where an angle passes half a turn."""
    values: list[Euler] = []
    for turn in turns:
        values.append(turn.to_euler(order, *values[-1:]))
    return np.array(values)


def _turn(yaw: float, pitch: float, roll: float) -> Matrix:
    """Return the rotation (3, 3) of a head that looks along -Y, its left at +X, its top at +Z."""
    about_x, about_y = Matrix.Rotation(-pitch, 3, "X"), Matrix.Rotation(-roll, 3, "Y")
    return Matrix.Rotation(-yaw, 3, "Z") @ about_x @ about_y
