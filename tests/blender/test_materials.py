# SPDX-License-Identifier: GPL-3.0-or-later
"""Materials: made once with their looks, then the artist's."""

import bpy
import numpy as np
import pytest

from imface_blender.materials import EYES, IRIS, LOOKS, SKIN, material_for

PARTS = ["Skin", "Mouth", "Teeth", "Eyes", "Eye Sockets", "Eye Fluid", "Lashes"]
PARTS += ["Iris", "Pupil"]


def shader(material):
    return material.node_tree.nodes["Principled BSDF"]


def test_every_part_of_the_head_has_a_look():
    assert list(LOOKS) == PARTS


@pytest.mark.parametrize("part", PARTS)
def test_a_material_looks_as_its_part_in_renders_and_in_the_solid_viewport(part):
    material = material_for(part)
    look, inputs = LOOKS[part], shader(material).inputs
    assert material.name == f"ImFace {part}"
    assert inputs["Alpha"].default_value == material.diffuse_color[3] == look.alpha
    assert tuple(inputs["Base Color"].default_value) == pytest.approx((*look.colour, 1))
    assert tuple(material.diffuse_color[:3]) == pytest.approx(look.colour)
    assert inputs["Roughness"].default_value == pytest.approx(look.roughness)
    assert inputs["Subsurface Weight"].default_value == pytest.approx(look.subsurface)
    assert inputs["Subsurface Scale"].default_value == pytest.approx(0.004)
    surface = material.node_tree.nodes["Material Output"].inputs["Surface"]
    assert surface.links[0].from_node == shader(material)


def test_what_would_need_a_texture_is_invisible_and_nothing_else_is():
    invisible = [part for part in PARTS if material_for(part).diffuse_color[3] == 0]
    assert invisible == ["Eye Fluid", "Lashes"]


def test_only_the_eyes_have_a_picture_and_the_same_one():
    for part in PARTS:
        links = shader(material_for(part)).inputs["Base Color"].links
        images = [link.from_node.image.name for link in links]
        assert images == (["ImFace Eyes"] if part in EYES else [])
    assert len(bpy.data.images) == 1


def test_rings_of_the_eyes_have_the_colours_of_their_picture():
    """So the solid viewport shows what renders do."""
    places, colours = zip(*IRIS, strict=True)
    reach = {"Pupil": (0, 0.05), "Iris": (0.062, 0.142)}
    for part, (first, last) in reach.items():
        rings = np.array(colours)[(np.array(places) >= first - 1e-9) & (np.array(places) <= last)]
        colour = LOOKS[part].colour
        if part == "Pupil":
            assert colour == IRIS[0][1]
        assert (rings.min(0) <= colour).all()
        assert (colour <= rings.max(0)).all()


def test_a_material_is_made_once_and_never_overwritten():
    eyes = material_for("Eyes")
    nodes = len(eyes.node_tree.nodes)
    eyes.diffuse_color = (0, 0, 1, 1)
    shader(eyes).inputs["Roughness"].default_value = 0.75
    assert material_for("Eyes") == eyes
    assert tuple(eyes.diffuse_color) == (0, 0, 1, 1)
    assert shader(eyes).inputs["Roughness"].default_value == 0.75
    assert len(eyes.node_tree.nodes) == nodes
    assert len(bpy.data.materials) == 1


def test_another_file_s_material_is_not_taken(tmp_path):
    theirs, path = material_for("Skin"), str(tmp_path / "library.blend")
    bpy.data.libraries.write(path, {theirs})
    bpy.data.materials.remove(theirs)
    with bpy.data.libraries.load(path, link=True) as (_, here):
        here.materials = ["ImFace Skin"]
    own = material_for("Skin")
    assert own.library is None
    assert own.name == "ImFace Skin"
    assert material_for("Skin") == own


def test_a_material_that_the_artist_made_without_nodes_is_taken_as_it_is():
    own = bpy.data.materials.new("ImFace Skin")
    if own.node_tree is not None:
        own.node_tree.nodes.clear()
    assert material_for("Skin") == own
    assert tuple(own.diffuse_color) == pytest.approx((0.8, 0.8, 0.8, 1))
    assert own.node_tree is None or len(own.node_tree.nodes) == 0


def test_an_unknown_part_becomes_skin():
    material = material_for("Horns")
    assert material.name == "ImFace Horns"
    assert tuple(material.diffuse_color[:3]) == pytest.approx(SKIN.colour)


def test_pupil_iris_and_white_lie_in_rings_around_the_middle_of_the_uv_square():
    """Bake the eyes' colour onto a plane and look at it at known distances from the middle."""
    size = 64
    image = bake_colour(material_for("Eyes"), size)
    middle = size // 2
    pupil, iris, white = (image[middle, middle + int(r * size)] for r in (0, 0.1, 0.3))
    assert pupil == pytest.approx(IRIS[0][1], abs=0.01)
    assert (iris > pupil + 0.02).all()
    # The bake leaves out the 4 % of the light that the surface reflects.
    assert white == pytest.approx(np.multiply(0.96, LOOKS["Eyes"].colour), abs=0.001)
    assert image[middle + int(0.3 * size), middle] == pytest.approx(white, abs=0.001)


def bake_colour(material, size):
    """Return the material's base colour (size, size, 3) over the UV square of a plane."""
    bpy.ops.mesh.primitive_plane_add()
    bpy.context.object.data.materials.append(material)
    image = bpy.data.images.new("Bake", size, size, float_buffer=True)
    target = material.node_tree.nodes.new("ShaderNodeTexImage")
    target.image = image
    material.node_tree.nodes.active = target
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.samples = 1
    scene.render.bake.use_pass_direct = scene.render.bake.use_pass_indirect = False
    assert bpy.ops.object.bake(type="DIFFUSE", pass_filter={"COLOR"}, margin=0) == {"FINISHED"}
    pixels = np.empty(size * size * 4, np.float32)
    image.pixels.foreach_get(pixels)
    return pixels.reshape(size, size, 4)[..., :3]
