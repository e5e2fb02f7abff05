# SPDX-License-Identifier: GPL-3.0-or-later
"""What the fake worker's sliders do to a face.

They move every vertex by known offsets, and the exact surface is off that preview by a tenth of
the square of the values, in millimetres, at the last vertex.
"""

import json

import numpy as np

from imface_blender.slider_names import NAMES

BASE_MM = np.array(
    [[-50, -100, 10], [50, -100, 10], [50, 100, 10], [-50, 100, 10], [0, 150, -30]], np.float32
)
OFFSETS_MM = 0.3 * np.random.default_rng(0).normal(size=(len(NAMES), 5, 3))


def in_blender(points_mm):
    x, y, z = np.moveaxis(points_mm, -1, 0)
    return np.stack([x, -z, y], axis=-1) / 1000


def linear(values):
    amounts = np.array([values.get(name, 0.0) for name in NAMES])
    return np.tensordot(amounts, OFFSETS_MM, 1)


def moved(**values):
    """Return where sliders move the face from where it was made (V, 3), in metres."""
    return in_blender(BASE_MM + linear(values))


def exact(values):
    """Return what the fake computes (V, 3), in metres as Blender has it."""
    surface = BASE_MM + linear(values)
    surface[4, 1] += 0.1 * sum(value**2 for value in values.values())
    return in_blender(surface)


def preview(text):
    """Return the vertices (V, 3) that a stored record stands for."""
    record = json.loads(text or '{"values": {}, "exact": {}}')
    return exact(record["exact"]) + in_blender(linear(record["values"]) - linear(record["exact"]))


def set_slider(face, **values):
    for name, value in values.items():
        setattr(face.data.imface_sliders, name, value)
