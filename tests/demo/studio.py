# SPDX-License-Identifier: GPL-3.0-or-later
"""A portrait studio: three lights, an 80 mm lens, Cycles on the CPU, a contact sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

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
        background = scene.world.node_tree.nodes["Background"]
        background.inputs["Color"].default_value = (*AMBIENT, 1.0)
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

    def aim(self, bust: bpy.types.Object, yaw_degrees: float = YAW_DEGREES) -> None:
        """Turn lights and camera to the head of a bust that looks along -Y."""
        corners = [bust.matrix_world @ Vector(corner) for corner in bust.bound_box]
        low = Vector([min(axis) for axis in zip(*corners, strict=True)])
        high = Vector([max(axis) for axis in zip(*corners, strict=True)])
        height = high.z - low.z
        middle = (low + high) / 2
        middle.z = high.z - PORTRAIT_MIDDLE * height
        size = PORTRAIT_HEIGHT * height
        yaw = Matrix.Rotation(math.radians(yaw_degrees), 3, "Z").to_quaternion()
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
    scene.cycles.transparent_max_bounces = 32  # shut lids fold the lashes' cards up
    scene.cycles.use_denoising = True
    scene.cycles.denoiser = "OPENIMAGEDENOISE"
    scene.cycles.denoising_prefilter = "FAST"
    scene.view_settings.look = "AgX - Medium High Contrast"
    scene.render.film_transparent = True
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGBA"


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
