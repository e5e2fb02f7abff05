# SPDX-License-Identifier: GPL-3.0-or-later
"""The materials of a head: each is made once, and from then on belongs to the artist."""

from __future__ import annotations

from typing import Any, NamedTuple

import bpy
import numpy as np
from mathutils import Color

Colour = tuple[float, float, float]

SUBSURFACE_SCALE_M = 0.004
SUBSURFACE_RADIUS = (1.0, 0.4, 0.25)  # of red, green and blue light, as in skin
NODE_SPACING = 200  # in the node editor
IRIS_PIXELS = 512  # a side of the picture of an eyeball


class Look(NamedTuple):
    """What a material looks like."""

    colour: Colour  # scene linear
    roughness: float
    subsurface: float = 0.1
    alpha: float = 1.0


SKIN = Look((0.57, 0.315, 0.23), 0.5)
MOUTH = Look((0.40, 0.12, 0.11), 0.35)
HIDDEN = Look((1.0, 1.0, 1.0), 0.0, subsurface=0.0, alpha=0.0)  # cards that need a texture
LOOKS = {
    "Skin": SKIN,
    "Mouth": MOUTH,
    "Teeth": Look((0.70, 0.66, 0.58), 0.25),
    "Eyes": Look((0.552, 0.503, 0.462), 0.08, subsurface=0.0),  # as a byte picture has it
    "Eye Sockets": MOUTH,
    "Eye Fluid": HIDDEN,
    "Lashes": HIDDEN,
    # Rings of the eyeballs that show in the solid viewport; their picture has them too.
    "Iris": Look((0.19, 0.10, 0.05), 0.08, subsurface=0.0),
    "Pupil": Look((0.004, 0.004, 0.004), 0.08, subsurface=0.0),
}
EYES = ("Eyes", "Iris", "Pupil")
# Distance from the pupil in an eyeball's UV square, and the colour there.
IRIS: tuple[tuple[float, Colour], ...] = (
    (0.050, (0.004, 0.004, 0.004)),
    (0.062, (0.13, 0.07, 0.035)),
    (0.115, (0.22, 0.12, 0.06)),
    (0.142, (0.03, 0.018, 0.012)),
    (0.158, LOOKS["Eyes"].colour),
)


def material_for(part: str) -> bpy.types.Material:
    """Return the material "ImFace <part>", made with its look unless the file has it already.

    One that is there stays as it is: what the artist did to it serves all faces. A part of no
    known look becomes skin.
    """
    name = f"ImFace {part}"
    material: bpy.types.Material | None = bpy.data.materials.get((name, None))  # of this file
    if material is None:
        material = bpy.data.materials.new(name)
        _paint(material, LOOKS.get(part, SKIN))
        if part in EYES:
            _line_up(_shader(material), _show_picture(material, _eye_picture()))
    return material


def textured_skin(name: str, texture: np.ndarray) -> bpy.types.Material:
    """Return a skin of its own, coloured by a picture (H, W, 3) uint8 that is packed in the file.

    The picture shows square tiles of UV space side by side, its first row at the top.
    """
    height, width, _ = texture.shape
    material = bpy.data.materials.new(f"{name} Skin")
    _paint(material, SKIN)
    picture = _show_picture(material, _picture(material.name, texture[::-1] / 255))
    # The only nodes for this that the exporters of glTF, FBX and USD all know.
    nodes: Any = material.node_tree.nodes
    uv, tiles = nodes.new("ShaderNodeTexCoord"), nodes.new("ShaderNodeMapping")
    tiles.inputs["Scale"].default_value = (height / width, 1.0, 1.0)
    material.node_tree.links.new(uv.outputs["UV"], tiles.inputs["Vector"])
    material.node_tree.links.new(tiles.outputs["Vector"], picture.inputs["Vector"])
    _line_up(_shader(material), picture, tiles, uv)
    return material


def _show_picture(material: bpy.types.Material, image: bpy.types.Image) -> Any:
    """Colour a material by a picture; return its node."""
    picture: Any = material.node_tree.nodes.new("ShaderNodeTexImage")
    picture.image = image
    material.node_tree.links.new(picture.outputs["Color"], _shader(material).inputs["Base Color"])
    return picture


def _picture(name: str, colours: np.ndarray) -> bpy.types.Image:
    """Make a picture that is packed in the file.

    Parameters
    ----------
    colours : ndarray (H, W, 3)
        As they are shown (sRGB), from 0 to 1; the first row is the lowest.
    """
    height, width, _ = colours.shape
    image = bpy.data.images.new(name, width, height)
    pixels = np.ones((height, width, 4), np.float32)
    pixels[..., :3] = colours
    image.pixels.foreach_set(pixels.ravel())  # type: ignore[attr-defined]
    image.update()
    image.pack()
    return image


def _line_up(shader: Any, *nodes: Any) -> None:
    """Put nodes to the left of the shader, the nearest first."""
    for steps, node in enumerate(nodes, 2):
        node.location = (shader.location.x - steps * NODE_SPACING, shader.location.y)


def _paint(material: bpy.types.Material, look: Look) -> None:
    if material.node_tree is None:  # before 5.0; there it is always on and setting it warns
        material.use_nodes = True
    inputs = _shader(material).inputs
    inputs["Base Color"].default_value = (*look.colour, 1.0)
    inputs["Roughness"].default_value = look.roughness
    inputs["Alpha"].default_value = look.alpha
    inputs["Subsurface Weight"].default_value = look.subsurface
    inputs["Subsurface Scale"].default_value = SUBSURFACE_SCALE_M
    inputs["Subsurface Radius"].default_value = SUBSURFACE_RADIUS
    material.diffuse_color = (*look.colour, look.alpha)  # of the solid viewport


def _shader(material: bpy.types.Material) -> Any:  # the stubs know no socket's value
    # By type, because Blender may translate the names of new nodes.
    return next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")


def _eye_picture() -> bpy.types.Image:
    """Return pupil and iris around the middle of the UV square, as a picture: exporters know it.

    It is made once: what the artist paints on it serves all eyes.
    """
    name = "ImFace Eyes"
    image: bpy.types.Image | None = bpy.data.images.get((name, None))  # of this file
    if image is not None:
        return image
    middle = (np.arange(IRIS_PIXELS) + 0.5) / IRIS_PIXELS - 0.5
    distance = np.hypot(middle, middle[:, None])
    rings = [place for place, _ in IRIS]
    shown = np.array([Color(colour).from_scene_linear_to_srgb() for _, colour in IRIS])
    channels = [np.interp(distance, rings, channel) for channel in shown.T]
    return _picture(name, np.stack(channels, axis=-1))
