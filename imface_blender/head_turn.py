# SPDX-License-Identifier: GPL-3.0-or-later
"""A recorded head's angles as a face object's delta rotation.

Blender adds the delta rotation to the object's own: a fitted face keeps standing as its scan
does, and the artist's keyframes on the rotation stay.
"""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from mathutils import Euler, Matrix, Quaternion

from . import keyframes
from .errors import UserError


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
        axes = [Quaternion(row).normalized().to_matrix() for row in own]
        return "delta_rotation_quaternion", _quaternions(_turns(axes, angles))
    own = keyframes.read(obj, obj, "rotation_euler", frames)
    axes = [Euler(row, mode).to_matrix() for row in own]
    return "delta_rotation_euler", _eulers(_turns(axes, angles), mode)


def _turns(axes: list[Matrix], angles: np.ndarray) -> list[Matrix]:
    """Return what turns the object about its own axes when applied after its own rotations."""
    turns = [_turn(*row) for row in angles.tolist()]
    return [own @ turn @ own.transposed() for own, turn in zip(axes, turns, strict=True)]


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
