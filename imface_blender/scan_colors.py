# SPDX-License-Identifier: GPL-3.0-or-later
"""The colours of a scan: its material's image, or else its vertex colours."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

from . import fit_error
from .wire import Arrays

LARGEST_IMAGE = 4096  # pixels a side; of a larger one some are left out: a face has fewer by far


def read(scan: bpy.types.Object, mesh: bpy.types.Mesh) -> Arrays:
    """Read the colours of a mesh's loop triangles; nothing if it has none.

    Returns
    -------
    dict
        `corner_uv` (T, 3, 2) float32 and `image` (H, W, 3) uint8, first row at the top; or
        `corner_colors` (T, 3, 3) uint8; or nothing. Colours are as they are shown (sRGB).
    """
    corners = np.empty(len(mesh.loop_triangles) * 3, np.int32)
    mesh.loop_triangles.foreach_get("loops", corners)
    pixels = _pixels(_only_image(scan, mesh))
    if pixels is not None and mesh.uv_layers.active is not None:
        uv = np.empty(len(mesh.loops) * 2, np.float32)
        mesh.uv_layers.active.uv.foreach_get("vector", uv)
        return {"corner_uv": uv.reshape(-1, 2)[corners].reshape(-1, 3, 2), "image": pixels}
    colours: Any = mesh.color_attributes.active_color
    if colours is None or colours.name == fit_error.COLOURS:
        return {}
    values = np.empty(len(colours.data) * 4, np.float32)
    colours.data.foreach_get("color_srgb", values)
    if colours.domain == "POINT":
        vertices = np.empty(len(mesh.loops), np.int32)
        mesh.loops.foreach_get("vertex_index", vertices)
        corners = vertices[corners]
    return {"corner_colors": _as_bytes(values.reshape(-1, 4)[corners, :3]).reshape(-1, 3, 3)}


def _only_image(scan: bpy.types.Object, mesh: bpy.types.Mesh) -> bpy.types.Image | None:
    """Return the image that colours the whole scan; None if there are several, or none."""
    used = np.empty(len(mesh.polygons), np.int32)
    mesh.polygons.foreach_get("material_index", used)
    slots = scan.material_slots
    materials = {slots[i].material for i in np.unique(used) if i < len(slots)}
    images = {_base_image(material) for material in materials}
    return images.pop() if len(images) == 1 else None


def _base_image(material: bpy.types.Material | None) -> bpy.types.Image | None:
    """Return the image that a material's shader gets its colour from."""
    if material is None or material.node_tree is None:
        return None
    for node in material.node_tree.nodes:
        for name in ("Base Color", "Color"):
            socket = node.inputs.get(name) if node.type.startswith("BSDF") else None
            source: Any = socket.links[0].from_node if socket and socket.is_linked else None
            if source is not None and source.type == "TEX_IMAGE" and source.image is not None:
                return source.image
    return None


def _pixels(image: bpy.types.Image | None) -> np.ndarray | None:
    """Return an image's colours (H, W, 3) uint8, first row at the top; None without its file."""
    if image is None or 0 in image.size:
        return None
    width, height = image.size
    values = np.empty(width * height * image.channels, np.float32)
    image.pixels.foreach_get(values)  # type: ignore[attr-defined]
    step = -(-max(width, height) // LARGEST_IMAGE)
    rgb = values.reshape(height, width, image.channels)[::-step, ::step, :3]
    if image.is_float:
        rgb = np.where(rgb <= 0.0031308, 12.92 * rgb, 1.055 * np.abs(rgb) ** (1 / 2.4) - 0.055)
    return _as_bytes(np.broadcast_to(rgb, (*rgb.shape[:2], 3)))


def _as_bytes(values: np.ndarray) -> np.ndarray:
    return np.round(255 * np.clip(values, 0, 1)).astype(np.uint8)
