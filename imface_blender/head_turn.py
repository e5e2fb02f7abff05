# SPDX-License-Identifier: GPL-3.0-or-later
"""A recorded head's angles as a face object's delta rotation.

Blender adds the delta rotation to the object's own: a fitted face keeps standing as its scan
does, and the artist's keyframes on the rotation stay.
"""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

from .errors import UserError


def delta_rotation(obj: bpy.types.Object, angles: np.ndarray) -> tuple[str, np.ndarray]:
    """Return the property that turns an object in its rotation mode, and its values (F, C).

    Parameters
    ----------
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
            f"'{obj.name}' has the rotation mode Axis Angle, which cannot take a head's rotation. "
            "Set the mode to XYZ Euler, or leave Head Rotation off."
        )
    in_quaternions = mode == "QUATERNION"
    own = (obj.rotation_quaternion if in_quaternions else obj.rotation_euler).to_matrix()
    turns = [own @ _turn(*row) @ own.transposed() for row in angles.tolist()]
    values: list[Any] = []
    for turn in turns:
        if in_quaternions:
            values.append(turn.to_quaternion())
            values[-1].make_compatible(values[-2] if values[1:] else values[-1])
        else:
            values.append(turn.to_euler(mode, *values[-1:]))
    name = "delta_rotation_quaternion" if in_quaternions else "delta_rotation_euler"
    return name, np.array(values)


def _turn(yaw: float, pitch: float, roll: float) -> Matrix:
    """Return the rotation (3, 3) of a head that looks along -Y, its left at +X, its top at +Z."""
    about_x, about_y = Matrix.Rotation(-pitch, 3, "X"), Matrix.Rotation(-roll, 3, "Y")
    return Matrix.Rotation(-yaw, 3, "Z") @ about_x @ about_y
