# SPDX-License-Identifier: GPL-3.0-or-later
"""A portrait studio: clay skin, three lights, an 80 mm lens, Cycles on the CPU, a contact sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import bpy
from mathutils import Matrix, Vector
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[float, float, float]

SAMPLES = 16
LENS_MM = 80
SENSOR_MM = 36
YAW_DEGREES = 22  # of the camera around the head: three quarters show more than the front
# The part of a bust that a portrait shows: its height, and how far its middle is below the crown.
PORTRAIT_HEIGHT = 0.90
PORTRAIT_MIDDLE = 0.425
# Lights in portrait heights around the middle of a head that looks along -Y. They turn with the
# camera, so that all pictures are lit alike.
LIGHTS: dict[str, tuple[Colour, float, float, Colour]] = {
    # name: (place, diameter, power [W] at a portrait height of 1 m, colour)
    "Key": ((-1.9, -2.0, 1.5), 1.3, 78.0, (1.0, 0.95, 0.88)),
    "Fill": ((2.4, -2.6, -0.3), 2.4, 8.0, (0.84, 0.92, 1.0)),
    "Rim": ((2.2, 1.6, 1.2), 1.0, 50.0, (0.86, 0.93, 1.0)),
}
AMBIENT: Colour = (0.06, 0.064, 0.07)


class Look(NamedTuple):
    """What a material looks like."""

    colour: Colour
    roughness: float
    subsurface: float = 0.1
    alpha: float = 1.0


CLAY = Look((0.57, 0.315, 0.23), 0.5)
MOUTH = Look((0.40, 0.12, 0.11), 0.35)
HIDDEN = Look((1.0, 1.0, 1.0), 0.0, subsurface=0.0, alpha=0.0)  # cards without their textures
LOOKS = {
    "ImFace Skin": CLAY,
    "ImFace Mouth": MOUTH,
    "ImFace Teeth": Look((0.70, 0.66, 0.58), 0.25),
    "ImFace Eyes": Look((0.55, 0.50, 0.46), 0.08, subsurface=0.0),
    "ImFace Eye Sockets": MOUTH,
    "ImFace Eye Fluid": HIDDEN,
    "ImFace Lashes": HIDDEN,
}
# Distance from the pupil in an eyeball's UV square, and the colour there.
IRIS: tuple[tuple[float, Colour], ...] = (
    (0.050, (0.004, 0.004, 0.004)),
    (0.062, (0.13, 0.07, 0.035)),
    (0.115, (0.22, 0.12, 0.06)),
    (0.142, (0.03, 0.018, 0.012)),
    (0.158, LOOKS["ImFace Eyes"].colour),
)

MARGIN_PX = 12
CAPTION_PX = 44
WALL = (51, 54, 59)  # sRGB, behind the head
PAPER = (14, 15, 17)
INK = (214, 214, 210)


class Studio:
    """Lights and a camera in the open scene, to take portraits of one object at a time."""

    def __init__(self) -> None:
        scene = bpy.context.scene
        self.scene = scene
        self.stand = bpy.data.objects.new("Studio", None)
        scene.collection.objects.link(self.stand)
        self.lights = [self._light(name) for name in LIGHTS]
        self.camera = self._camera()
        scene.camera = self.camera
        scene.world = bpy.data.worlds.new("Studio")
        _node(scene.world, "Background").inputs["Color"].default_value = (*AMBIENT, 1.0)
        _use_cycles(scene)

    def _light(self, name: str) -> bpy.types.Object:
        place, diameter, _, colour = LIGHTS[name]
        data = bpy.data.lights.new(name, "AREA")
        data.shape = "DISK"
        data.size = diameter
        data.color = colour
        return self._mount(name, data, Vector(place))

    def _camera(self) -> bpy.types.Object:
        data = bpy.data.cameras.new("Portrait")
        data.lens = LENS_MM
        data.sensor_fit = "VERTICAL"
        data.sensor_height = SENSOR_MM
        return self._mount("Portrait", data, Vector((0.0, -LENS_MM / SENSOR_MM, 0.05)))

    def _mount(
        self, name: str, data: bpy.types.Light | bpy.types.Camera, place: Vector
    ) -> bpy.types.Object:
        obj = bpy.data.objects.new(name, data)
        obj.parent = self.stand
        obj.location = place
        obj.rotation_euler = (-place).to_track_quat("-Z", "Y").to_euler()
        self.scene.collection.objects.link(obj)
        return obj

    def aim(self, bust: bpy.types.Object) -> None:
        """Turn lights and camera to the head of a bust that looks along -Y."""
        corners = [bust.matrix_world @ Vector(corner) for corner in bust.bound_box]
        low = Vector([min(axis) for axis in zip(*corners, strict=True)])
        high = Vector([max(axis) for axis in zip(*corners, strict=True)])
        height = high.z - low.z
        middle = (low + high) / 2
        middle.z = high.z - PORTRAIT_MIDDLE * height
        size = PORTRAIT_HEIGHT * height
        yaw = Matrix.Rotation(math.radians(YAW_DEGREES), 3, "Z").to_quaternion()
        self.stand.matrix_world = Matrix.LocRotScale(middle, yaw, Vector((size, size, size)))
        for light in self.lights:
            light.data.energy = LIGHTS[light.name][2] * size**2
        self.camera.data.clip_start = 0.01 * size

    def shoot(self, subject: bpy.types.Object, path: Path, width: int, height: int) -> None:
        """Render one object alone, on transparent ground, to a PNG of that size [pixels]."""
        for obj in self.scene.objects:
            if obj.type == "MESH":
                obj.hide_render = obj != subject
        render = self.scene.render
        render.resolution_x, render.resolution_y = width, height
        render.filepath = str(path)
        bpy.ops.render.render(write_still=True)


def _use_cycles(scene: bpy.types.Scene) -> None:
    scene.render.engine = "CYCLES"
    scene.cycles.device = "CPU"
    scene.cycles.samples = SAMPLES
    scene.cycles.max_bounces = 3
    scene.cycles.use_denoising = True
    scene.cycles.denoiser = "OPENIMAGEDENOISE"
    scene.cycles.denoising_prefilter = "FAST"
    scene.view_settings.look = "AgX - Medium High Contrast"
    scene.render.film_transparent = True
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGBA"


def dress(objects: Sequence[bpy.types.Object]) -> None:
    """Colour the add-on's materials by their names, and show what has none in clay."""
    clay = bpy.data.materials.new("Clay")
    for obj in objects:
        if not obj.data.materials:
            obj.data.materials.append(clay)
    for material in {material for obj in objects for material in obj.data.materials}:
        _paint(material, LOOKS.get(material.name, CLAY))
        if material.name == "ImFace Eyes":
            _paint_iris(material)


def _node(owner: bpy.types.Material | bpy.types.World, name: str) -> bpy.types.Node:
    return owner.node_tree.nodes[name]


def _paint(material: bpy.types.Material, look: Look) -> None:
    inputs = _node(material, "Principled BSDF").inputs
    inputs["Base Color"].default_value = (*look.colour, 1.0)
    inputs["Roughness"].default_value = look.roughness
    inputs["Alpha"].default_value = look.alpha
    inputs["Subsurface Weight"].default_value = look.subsurface
    inputs["Subsurface Scale"].default_value = 0.004  # [m]
    inputs["Subsurface Radius"].default_value = (1.0, 0.4, 0.25)


def _paint_iris(material: bpy.types.Material) -> None:
    """Draw pupil and iris around the middle of the eyeball's UV square."""
    nodes, link = material.node_tree.nodes, material.node_tree.links.new
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
    link(uv.outputs["UV"], square.inputs[0])
    link(square.outputs["Vector"], distance.inputs[0])
    link(distance.outputs["Value"], ramp.inputs["Fac"])
    link(ramp.outputs["Color"], _node(material, "Principled BSDF").inputs["Base Color"])


def width_in_row(row: int, pictures: int) -> int:
    """Return how wide each of so many pictures is in a row of a sheet [pixels]."""
    return (row - MARGIN_PX * (pictures - 1)) // pictures


def contact_sheet(rows: Sequence[Sequence[tuple[Path, str]]], path: Path) -> None:
    """Put captioned pictures together, row by row; the pictures of a row have one height."""
    tiles = [[_tile(file, caption) for file, caption in row] for row in rows]
    width = max(sum(tile.width + MARGIN_PX for tile in row) for row in tiles) + MARGIN_PX
    height = sum(row[0].height + MARGIN_PX for row in tiles) + MARGIN_PX
    sheet = Image.new("RGB", (width, height), PAPER)
    top = MARGIN_PX
    for row in tiles:
        left = MARGIN_PX
        for tile in row:
            sheet.paste(tile, (left, top))
            left += tile.width + MARGIN_PX
        top += row[0].height + MARGIN_PX
    sheet.save(path, optimize=True)


def _tile(file: Path, caption: str) -> Image.Image:
    picture = Image.open(file).convert("RGBA")
    ground = _wall(picture.width, picture.height)
    ground.alpha_composite(picture)
    tile = Image.new("RGB", (picture.width, picture.height + CAPTION_PX), PAPER)
    tile.paste(ground.convert("RGB"))
    middle = (picture.width / 2, picture.height + CAPTION_PX / 2)
    font = ImageFont.load_default(size=21)
    ImageDraw.Draw(tile).text(middle, caption, fill=INK, font=font, anchor="mm")
    return tile


def _wall(width: int, height: int) -> Image.Image:
    """Return a studio wall: brightest behind the head, dark at the corners."""
    bright = Image.new("RGBA", (width, height), WALL)
    dark = Image.new("RGBA", (width, height), PAPER)
    distance = Image.radial_gradient("L").resize((width, height))  # black in the middle
    return Image.composite(dark, bright, distance)
