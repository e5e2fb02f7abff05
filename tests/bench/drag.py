# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints how long one update of a slider takes [s]: the property alone, which moves the mesh, and
until Blender has evaluated the head, as it does before it draws; then both with shape keys.

Run by `run_bench`, in a process of its own: Blender and PyTorch are kept apart.
"""

import os
import tempfile
import time

HOME = tempfile.TemporaryDirectory()
for variable in ("BLENDER_USER_RESOURCES", "XDG_CACHE_HOME"):
    os.environ[variable] = HOME.name

import bpy  # noqa: E402
import numpy as np  # noqa: E402

import imface_blender  # noqa: E402

UPDATES = 60
SHAPE_KEYS = 51


def drag(face: bpy.types.Object) -> tuple[float, float]:
    """Return median times [s] of an update: of the property alone, and until the head with its
    shape keys is as it will be drawn."""
    took = []
    for value in np.linspace(0, 2, UPDATES):
        start = time.perf_counter()
        face.data.imface_sliders.noseLength = value
        stored = time.perf_counter()
        bpy.context.view_layer.update()
        took.append((stored - start, time.perf_counter() - start))
    alone, evaluated = np.median(took, axis=0)
    return float(alone), float(evaluated)


imface_blender.register()
bpy.ops.imface.generate()
head = bpy.context.object
bpy.ops.imface.edit_shape()
plain = drag(head)
for _ in range(1 + SHAPE_KEYS):
    head.shape_key_add(from_mix=False).value = 0.1
print(*plain, *drag(head))
imface_blender.unregister()
