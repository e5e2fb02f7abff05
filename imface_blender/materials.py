# SPDX-License-Identifier: GPL-3.0-or-later
"""The materials of a head: each is made once, and from then on belongs to the artist."""

from __future__ import annotations

from typing import Any, NamedTuple

import bpy
import numpy as np

Colour = tuple[float, float, float]

SUBSURFACE_SCALE_M = 0.004
SUBSURFACE_RADIUS = (1.0, 0.4, 0.25)  # of red, green and blue light, as in skin
NODE_SPACING = 200  # in the node editor


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
    "Eyes": Look((0.55, 0.50, 0.46), 0.08, subsurface=0.0),
    "Eye Sockets": MOUTH,
    "Eye Fluid": HIDDEN,
    "Lashes": HIDDEN,
}
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
        if part == "Eyes":
            _paint_iris(material)
    return material


def textured_skin(name: str, texture: np.ndarray) -> bpy.types.Material:
    """Return a skin of its own, coloured by a picture (H, W, 3) uint8 that is packed in the file.

    The picture shows square tiles of UV space side by side, its first row at the top.
    """
    height, width, _ = texture.shape
    image = bpy.data.images.new(f"{name} Skin", width, height)
    pixels = np.ones((height, width, 4), np.float32)
    pixels[..., :3] = texture[::-1] / 255
    image.pixels.foreach_set(pixels.ravel())  # type: ignore[attr-defined]
    image.update()
    image.pack()
    material = bpy.data.materials.new(f"{name} Skin")
    _paint(material, SKIN)
    nodes: Any = material.node_tree.nodes
    link = material.node_tree.links.new
    # The only nodes for this that the exporters of glTF, FBX and USD all know.
    uv, tiles = nodes.new("ShaderNodeTexCoord"), nodes.new("ShaderNodeMapping")
    tiles.inputs["Scale"].default_value = (height / width, 1.0, 1.0)
    picture = nodes.new("ShaderNodeTexImage")
    picture.image = image
    shader = _shader(material)
    link(uv.outputs["UV"], tiles.inputs["Vector"])
    link(tiles.outputs["Vector"], picture.inputs["Vector"])
    link(picture.outputs["Color"], shader.inputs["Base Color"])
    _line_up(shader, picture, tiles, uv)
    return material


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


def _paint_iris(material: bpy.types.Material) -> None:
    """Draw pupil and iris around the middle of the eyeball's UV square."""
    nodes: Any = material.node_tree.nodes
    link = material.node_tree.links.new
    uv = nodes.new("ShaderNodeUVMap")
    square = nodes.new("ShaderNodeVectorMath")
    square.operation = "FRACTION"  # any tile of the UV space serves
    distance = nodes.new("ShaderNodeVectorMath")
    distance.operation = "DISTANCE"
    distance.inputs[1].default_value = (0.5, 0.5, 0.0)
    ramp = nodes.new("ShaderNodeValToRGB")
    stops = ramp.color_ramp.elements
    while len(stops) < len(IRIS):
        stops.new(1.0)
    for stop, (position, colour) in zip(stops, IRIS, strict=True):
        stop.position, stop.color = position, (*colour, 1.0)
    shader = _shader(material)
    link(uv.outputs["UV"], square.inputs[0])
    link(square.outputs["Vector"], distance.inputs[0])
    link(distance.outputs["Value"], ramp.inputs["Fac"])
    link(ramp.outputs["Color"], shader.inputs["Base Color"])
    _line_up(shader, ramp, distance, square, uv)
