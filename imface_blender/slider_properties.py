# SPDX-License-Identifier: GPL-3.0-or-later
"""The sliders as properties of a face's mesh: `mesh.imface_sliders.noseLength`.

They have no storage: they show the mesh's record, and to set one is to move the mesh. Hence a
slider can neither stand at a value that the mesh does not show, nor be animated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy
from bpy.props import BoolProperty, FloatProperty, PointerProperty

from . import face_shape, sliders
from .errors import UserError
from .jobs import show_error
from .slider_names import GROUPS, LOCK, LOCK_MEANING, NAMES, UNIT, title

GROUP = "imface_sliders"
USUAL_VALUE = 3.0


def lock_name(name: str) -> str:
    """Return the property that locks a slider or a group of them."""
    return f"lock_{name}"


def _getter(name: str) -> Callable[[Any], float]:
    return lambda group: sliders.values_of(group.id_data).get(name, 0.0)


def _setter(name: str) -> Callable[[Any, float], None]:
    def move(group: Any, value: float) -> None:
        try:
            face_shape.move(_face_of(group.id_data), {name: value})
        except UserError as error:  # which Blender writes to the console alone
            show_error(str(error))
            raise

    return move


def _face_of(mesh: bpy.types.Mesh) -> bpy.types.Object:
    face = sliders.face_of(mesh)
    if face is None:
        raise UserError("'{name}' is not the mesh of a face. Select a face.", name=mesh.name)
    return face


def _slider(name: str, meaning: str) -> Any:
    return FloatProperty(
        name=title(name),
        description=f"{meaning.capitalize()}. {UNIT}",
        min=-sliders.LARGEST_VALUE,
        max=sliders.LARGEST_VALUE,
        soft_min=-USUAL_VALUE,
        soft_max=USUAL_VALUE,
        step=10,
        options=set(),
        get=_getter(name),
        set=_setter(name),
    )


def _lock(name: str) -> Any:
    return BoolProperty(
        name=LOCK.format(slider=title(name)),
        description=LOCK_MEANING.format(slider=title(name)),
        options=set(),
    )


class FaceSliders(bpy.types.PropertyGroup):
    """The sliders of a face's shape, and their locks; `register` adds them."""


CLASSES = (FaceSliders,)


def sliders_of(mesh: bpy.types.Mesh) -> Any:
    """Return a mesh's sliders."""
    return mesh.imface_sliders  # type: ignore[attr-defined]


def unlocked(mesh: bpy.types.Mesh) -> list[str]:
    """Return the sliders that neither their own lock nor their group's holds."""
    group = sliders_of(mesh)
    return [
        name
        for region, names in GROUPS.items()
        for name in names
        if not (getattr(group, lock_name(region)) or getattr(group, lock_name(name)))
    ]


def register() -> None:
    """Give meshes their sliders.

    Not as annotations: Blender 4.2 as a module crashes at exit after a class that had properties
    with functions, unless these were taken away one by one.
    """
    for name, meaning in (item for group in GROUPS.values() for item in group.items()):
        setattr(FaceSliders, name, _slider(name, meaning))
    for name in (*GROUPS, *NAMES):
        setattr(FaceSliders, lock_name(name), _lock(name))
    setattr(bpy.types.Mesh, GROUP, PointerProperty(type=FaceSliders))  # type: ignore[func-returns-value]


def unregister() -> None:
    """Take the sliders away; what files store stays there."""
    delattr(bpy.types.Mesh, GROUP)
    for name in NAMES:
        delattr(FaceSliders, name)
    for name in (*GROUPS, *NAMES):
        delattr(FaceSliders, lock_name(name))
