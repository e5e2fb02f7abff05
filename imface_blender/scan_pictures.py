# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures that a scan's materials show, as one image."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import bpy
import numpy as np
from mathutils import Matrix

from .wire import Arrays

SHADER_COLOURS = ("Base Color", "Color")
GLOW = ("Emission Color",)  # of scans that are to look alike in any light
# Pixels a side of one picture, and of each of four; of larger ones some are left out: a face has
# fewer by far.
LARGEST_IMAGE = 4096
NO_MATERIAL = (0.8, 0.8, 0.8)
FIRST_TILE, TILES_IN_A_ROW = 1001, 10


class Picture(NamedTuple):
    """An image, and how a node places it."""

    image: bpy.types.Image
    layer: str  # the UV map; empty for the one of renders
    placed: tuple[tuple[float, ...], ...]  # (4, 4), of the UV map's coordinates to the image's


Look = frozenset[Picture] | tuple[float, ...]  # what a material shows: pictures, or a plain colour


class Part(NamedTuple):
    """The triangles that show one picture, or one tile of it."""

    rows: np.ndarray  # (N,)
    uv: np.ndarray  # (N, 3, 2)
    pixels: Callable[[int], np.ndarray | None]  # of so many a side at most; None without its file


def read(scan: bpy.types.Object, mesh: bpy.types.Mesh, corners: np.ndarray) -> Arrays:
    """Read the pictures of a scan's materials, one above the other.

    Parameters
    ----------
    corners : ndarray (T, 3)
        The loops of the mesh's loop triangles.

    Returns
    -------
    dict
        `corner_uv` (T, 3, 2) float32 and `image` (H, W, 3) uint8, first row at the top. Nothing if
        most faces show no picture, if the file of one is not there, or if a material mixes several.
    """
    slots = _slots(mesh.loop_triangles)
    looks = _looks(scan, slots)
    if not _show_pictures(looks, slots):
        return {}
    parts = []
    for look in dict.fromkeys(looks.values()):
        rows = np.flatnonzero(np.isin(slots, [slot for slot in looks if looks[slot] == look]))
        parts += _parts(mesh, look, rows, corners[rows])
    limit = LARGEST_IMAGE // math.ceil(math.sqrt(len(parts)) / 2)
    images = []
    for part in parts:
        image = part.pixels(limit)
        if image is None:
            return {}
        images.append(image)
    return _stacked(parts, images, len(corners))


def are_there(scan: bpy.types.Object, mesh: bpy.types.Mesh) -> bool:
    """Tell whether most of a scan's faces show pictures."""
    slots = _slots(mesh.polygons)
    return _show_pictures(_looks(scan, slots), slots)


def _show_pictures(looks: dict[int, Look], slots: np.ndarray) -> bool:
    """Tell whether most faces show pictures: those of eyes alone are not a scan's colours."""
    pictured = [slot for slot, look in looks.items() if isinstance(look, frozenset)]
    return bool(np.isin(slots, pictured).sum() > len(slots) / 2)


def _slots(faces: Any) -> np.ndarray:
    """Return the material slot (F,) of each polygon or loop triangle."""
    slots = np.empty(len(faces), np.int32)
    faces.foreach_get("material_index", slots)
    return slots


def _looks(scan: bpy.types.Object, slots: np.ndarray) -> dict[int, Look]:
    """Return what each material slot shows that faces have."""
    each = scan.material_slots
    used = np.unique(slots).tolist()
    return {slot: _look(each[slot].material if slot < len(each) else None) for slot in used}


def _look(material: bpy.types.Material | None) -> Look:
    if material is None:
        return NO_MATERIAL
    return _pictures(material) or tuple(material.diffuse_color)[:3]


def _parts(mesh: bpy.types.Mesh, look: Look, rows: np.ndarray, corners: np.ndarray) -> list[Part]:
    """Return the parts of the triangles that look so."""
    uv = np.full((*corners.shape, 2), 0.5)
    if not isinstance(look, frozenset):
        colour = as_bytes(as_shown(np.array([[look]])))
        return [Part(rows, uv, lambda limit: colour)]
    picture, *others = look
    layer = _uv_layer(mesh, picture.layer)
    if others or layer is None:
        return [Part(rows, uv, lambda limit: None)]
    values = np.empty(len(mesh.loops) * 2, np.float32)
    layer.uv.foreach_get("vector", values)
    placed = np.array(picture.placed)
    uv = values.reshape(-1, 2)[corners] @ placed[:2, :2].T + placed[:2, 3]
    if picture.image.source != "TILED":
        return [Part(rows, uv, partial(_pixels, picture.image))]
    tile = (np.floor(uv.mean(1)) @ [1, TILES_IN_A_ROW]).astype(int) + FIRST_TILE
    return [
        Part(rows[tile == number], uv[tile == number], partial(_tile, picture.image, number))
        for number in np.unique(tile).tolist()
    ]


def _stacked(parts: list[Part], images: list[np.ndarray], triangles: int) -> Arrays:
    """Put images one above the other, and the corners of the triangles into their places."""
    width, height = max(image.shape[1] for image in images), sum(map(len, images))
    uv, top = np.empty((triangles, 3, 2), np.float32), 0
    for part, image in zip(parts, images, strict=True):
        u, v = np.moveaxis(part.uv, -1, 0)
        if len(parts) > 1:  # a picture that is repeated would reach into the next one
            v = v - np.floor(v.mean(1, keepdims=True))
        uv[part.rows] = np.stack([u, 1 - (top + len(image) * (1 - v)) / height], axis=-1)
        top += len(image)
    wide = [image[:, np.arange(width) * image.shape[1] // width] for image in images]
    return {"corner_uv": uv, "image": np.concatenate(wide)}


def _pictures(material: bpy.types.Material) -> frozenset[Picture]:
    """Return the pictures that a material shows as its colour."""
    tree: Any = material.node_tree
    output = tree.get_output_node("ALL") if tree is not None else None
    if output is None:
        return frozenset()
    return _pictures_into(output, SHADER_COLOURS) or _pictures_into(output, GLOW)


def _pictures_into(output: Any, names: tuple[str, ...]) -> frozenset[Picture]:
    """Return the pictures that reach the sockets of these names of an output's shaders."""
    nodes = _upstream(output, lambda node, socket: _is_colour(node, socket, names))
    images = [node for node in nodes if node.type == "TEX_IMAGE" and node.image is not None]
    return frozenset(Picture(node.image, *_place(node)) for node in images)


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


def _pixels(image: bpy.types.Image, limit: int) -> np.ndarray | None:
    """Return an image's colours (H, W, 3) uint8, first row at the top; None without its file."""
    if 0 in image.size:
        return None
    if max(image.size) <= limit or image.source != "FILE" or image.is_dirty:
        return _read(image, limit)
    smaller = image.copy()  # read from its file again, which knows nothing of what was painted
    try:
        smaller.scale(*(max(side * limit // max(image.size), 1) for side in image.size))
        return _read(smaller, limit)
    finally:
        bpy.data.images.remove(smaller)


def _read(image: bpy.types.Image, limit: int) -> np.ndarray:
    """Read an image's colours, 16 bytes for each of its pixels; some of more than the limit."""
    width, height = image.size
    values = np.empty(width * height * image.channels, np.float32)
    image.pixels.foreach_get(values)  # type: ignore[attr-defined]
    step = -(-max(width, height) // limit)
    rgb = values.reshape(height, width, image.channels)[::-step, ::step, :3]
    shown = as_shown(rgb) if image.is_float else rgb
    return as_bytes(np.broadcast_to(shown, (*rgb.shape[:2], 3)))


def _tile(image: bpy.types.Image, number: int, limit: int) -> np.ndarray | None:
    """Return the colours of a UDIM tile: Blender gives only those of the first."""
    path = bpy.path.abspath(image.filepath, library=image.library)
    try:
        tile = bpy.data.images.load(path.replace("<UDIM>", str(number)))
    except RuntimeError:  # there is no such file
        return None
    try:
        return _pixels(tile, limit)
    finally:
        bpy.data.images.remove(tile)


def as_shown(colours: np.ndarray) -> np.ndarray:
    """Turn amounts of light into colours as they are shown (sRGB)."""
    steep = 1.055 * np.abs(colours) ** (1 / 2.4) - 0.055
    shown: np.ndarray = np.where(colours <= 0.0031308, 12.92 * colours, steep)
    return shown


def as_bytes(values: np.ndarray) -> np.ndarray:
    """Turn colours from 0 to 1 into bytes."""
    return np.round(255 * np.clip(values, 0, 1)).astype(np.uint8)
