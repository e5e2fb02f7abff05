# SPDX-License-Identifier: GPL-3.0-or-later
"""The colours of a scan: its material's image, or else its vertex colours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import bpy
import numpy as np
from mathutils import Matrix

from . import fit_error
from .wire import Arrays

SHADER_COLOURS = ("Base Color", "Color")
GLOW = ("Emission Color",)  # of scans that are to look alike in any light
LARGEST_IMAGE = 4096  # pixels a side; of a larger one some are left out: a face has fewer by far


class Picture(NamedTuple):
    """An image, and how a node places it."""

    image: bpy.types.Image
    layer: str  # the UV map; empty for the one of renders
    placed: tuple[tuple[float, ...], ...]  # (4, 4), of the UV map's coordinates to the image's


def read(scan: bpy.types.Object, mesh: bpy.types.Mesh) -> Arrays:
    """Read the colours of a mesh's loop triangles, or of its vertices if it has none of those;
    nothing if it has no colours.

    Returns
    -------
    dict
        `corner_uv` (T, 3, 2) float32 and `image` (H, W, 3) uint8, first row at the top; or
        `corner_colors` (T, 3, 3) uint8; or `point_colors` (V, 3) uint8; or nothing.
        Colours are as they are shown (sRGB).
    """
    corners = np.empty(len(mesh.loop_triangles) * 3, np.int32)
    mesh.loop_triangles.foreach_get("loops", corners)
    picture = _only_picture(scan, mesh)
    pixels = _pixels(picture.image) if picture else None
    places = _uv_layer(mesh, picture.layer) if picture else None
    if picture and pixels is not None and places is not None:
        values = np.empty(len(mesh.loops) * 2, np.float32)
        places.uv.foreach_get("vector", values)
        placed = np.array(picture.placed)
        uv = values.reshape(-1, 2)[corners] @ placed[:2, :2].T + placed[:2, 3]
        return {"corner_uv": uv.reshape(-1, 3, 2).astype(np.float32), "image": pixels}
    colours: Any = mesh.color_attributes.active_color
    if colours is None or colours.name == fit_error.COLOURS:
        return {}
    values = np.empty(len(colours.data) * 4, np.float32)
    colours.data.foreach_get("color_srgb", values)
    if len(mesh.loop_triangles) == 0:
        is_each = colours.domain == "POINT"
        return {"point_colors": _as_bytes(values.reshape(-1, 4)[:, :3])} if is_each else {}
    if colours.domain == "POINT":
        vertices = np.empty(len(mesh.loops), np.int32)
        mesh.loops.foreach_get("vertex_index", vertices)
        corners = vertices[corners]
    return {"corner_colors": _as_bytes(values.reshape(-1, 4)[corners, :3]).reshape(-1, 3, 3)}


def are_lost(scan: bpy.types.Object, mesh: bpy.types.Mesh, arrays: Arrays) -> bool:
    """Tell whether a scan's faces show pictures, but no colours are among what was read of it."""
    if "image" in arrays or "corner_colors" in arrays:
        return False
    return any(map(_pictures, _materials(scan, mesh)))


def _only_picture(scan: bpy.types.Object, mesh: bpy.types.Mesh) -> Picture | None:
    """Return the picture that colours the whole scan; none if there are several."""
    each = [_pictures(material) for material in _materials(scan, mesh)]
    pictures = set().union(*each)
    return pictures.pop() if len(pictures) == 1 and all(each) else None


def _materials(scan: bpy.types.Object, mesh: bpy.types.Mesh) -> set[bpy.types.Material | None]:
    """Return the materials that a scan's faces have."""
    used = np.empty(len(mesh.polygons), np.int32)
    mesh.polygons.foreach_get("material_index", used)
    slots = scan.material_slots
    return {slots[i].material for i in np.unique(used) if i < len(slots)}


def _pictures(material: bpy.types.Material | None) -> set[Picture]:
    """Return the pictures that a material shows as its colour."""
    tree: Any = material.node_tree if material is not None else None
    output = tree.get_output_node("ALL") if tree is not None else None
    if output is None:
        return set()
    return _pictures_into(output, SHADER_COLOURS) or _pictures_into(output, GLOW)


def _pictures_into(output: Any, names: tuple[str, ...]) -> set[Picture]:
    """Return the pictures that reach the sockets of these names of an output's shaders."""
    nodes = _upstream(output, lambda node, socket: _is_colour(node, socket, names))
    images = [node for node in nodes if node.type == "TEX_IMAGE" and node.image is not None]
    return {Picture(node.image, *_place(node)) for node in images}


def _is_colour(node: Any, socket: Any, names: tuple[str, ...]) -> bool:
    """Tell whether a node passes on the colour that comes into a socket; a shader does so for the
    sockets of these names."""
    if socket.type == "SHADER":
        return True
    if any(output.type == "SHADER" for output in node.outputs):
        return socket.name in names
    return bool(socket.type == "RGBA")


def _place(picture: Any) -> tuple[str, tuple[tuple[float, ...], ...]]:
    """Return the UV map that a picture's node asks for, empty for the one of renders, and what
    becomes of its coordinates on the way."""
    nodes = _upstream(picture, lambda *_: True)
    placed: Any = Matrix()
    for node in nodes:
        if node.type == "MAPPING":
            placed = placed @ _mapping(node)
    layer = next((node.uv_map for node in nodes if node.type == "UVMAP"), "")
    return layer, tuple(tuple(row) for row in placed)


def _mapping(node: Any) -> Matrix:
    """Return what a Mapping node does to coordinates."""
    turn, scale = (node.inputs[name].default_value for name in ("Rotation", "Scale"))
    moves = node.vector_type in ("POINT", "TEXTURE")  # other kinds lack the socket
    shift = node.inputs["Location"].default_value if moves else None
    matrix = Matrix.LocRotScale(shift, turn, scale)
    return matrix.inverted_safe() if node.vector_type == "TEXTURE" else matrix


def _upstream(node: Any, follows: Callable[[Any, Any], bool]) -> list[Any]:
    """Return a node and those that it is fed by, through the sockets that are to be followed."""
    reached = [node]
    for node in reached:
        sockets = [socket for socket in node.inputs if follows(node, socket)]
        sources = [link.from_node for socket in sockets for link in socket.links]
        reached += [source for source in sources if source not in reached]
    return reached


def _uv_layer(mesh: bpy.types.Mesh, name: str) -> bpy.types.MeshUVLoopLayer | None:
    """Return the UV map of this name, else the one that renders take; None if there is none."""
    rendered = (layer for layer in mesh.uv_layers if layer.active_render)
    return mesh.uv_layers.get(name) or next(rendered, None)


def _pixels(image: bpy.types.Image | None) -> np.ndarray | None:
    """Return an image's colours (H, W, 3) uint8, first row at the top.

    None without its file, and of UDIM tiles, which are several pictures.
    """
    if image is None or image.source == "TILED" or 0 in image.size:
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
