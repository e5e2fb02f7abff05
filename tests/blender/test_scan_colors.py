# SPDX-License-Identifier: GPL-3.0-or-later
"""A scan's colours reach the worker, and its answer becomes the fitted face's skin."""

import bpy
import numpy as np
import pytest

from imface_blender import mesh_io

SQUARE = ((0, 0, 0), (1, 0, 0), (1, 0, 1), (0, 0, 1))


@pytest.fixture
def scan(make_mesh):
    """Return an object of two triangles with UVs: the corners of the unit square."""
    obj = make_mesh("Anna", SQUARE, ((0, 1, 2), (0, 2, 3)))
    layer = obj.data.uv_layers.new(name="UVMap")
    layer.uv.foreach_set("vector", np.float32([0, 0, 1, 0, 1, 1, 0, 0, 1, 1, 0, 1]))
    return obj


def arrays_of(obj):
    return mesh_io.scan_arrays(obj, bpy.context.evaluated_depsgraph_get())


def image_of(width=2, height=2, is_float=False):
    """Return an image whose lower left pixel is red and whose other ones are grey."""
    image = bpy.data.images.new("Photo", width, height, float_buffer=is_float)
    pixels = np.full((height, width, 4), 0.5, np.float32)
    pixels[0, 0] = (1, 0, 0, 1)
    image.pixels.foreach_set(pixels.ravel())
    return image


def give_material(obj, image):
    material = bpy.data.materials.new("Photo")
    if material.node_tree is None:
        material.use_nodes = True
    nodes = material.node_tree.nodes
    if image is not None:
        texture = nodes.new("ShaderNodeTexImage")
        texture.image = image
        shader = next(node for node in nodes if node.type == "BSDF_PRINCIPLED")
        material.node_tree.links.new(texture.outputs["Color"], shader.inputs["Base Color"])
    obj.data.materials.append(material)


def give_vertex_colours(obj, domain):
    colours = obj.data.color_attributes.new("Col", "BYTE_COLOR", domain)
    count = len(colours.data)
    values = np.ones((count, 4), np.float32)
    values[:, 0] = np.arange(count) / 10
    colours.data.foreach_set("color_srgb", values.ravel())
    obj.data.color_attributes.active_color_name = "Col"


def test_of_a_very_large_image_only_some_pixels_are_sent(scan):
    give_material(scan, image_of(5000, 4))
    image = arrays_of(scan)["image"]
    assert image.shape == (2, 2500, 3)
    assert (image == 128).all()  # the first row is the image's uppermost


def test_a_scan_without_colours_sends_none(scan):
    give_material(scan, None)
    assert set(arrays_of(scan)) == {"vertices", "triangles"}


def test_the_material_s_image_is_sent_with_the_corners_uvs(scan):
    give_material(scan, image_of())
    give_vertex_colours(scan, "POINT")  # the image comes first
    arrays = arrays_of(scan)
    assert set(arrays) == {"vertices", "triangles", "image", "corner_uv"}
    assert arrays["image"].shape == (2, 2, 3)
    assert arrays["image"][1, 0].tolist() == [255, 0, 0]  # the last row is the lowest
    assert arrays["image"][0, 0].tolist() == [128, 128, 128]
    place = arrays["vertices"][arrays["triangles"]][..., :2]  # x, y in backend axes
    np.testing.assert_allclose(arrays["corner_uv"], place, atol=1e-6)


def test_an_image_of_light_is_sent_as_it_is_shown(scan):
    give_material(scan, image_of(is_float=True))
    assert arrays_of(scan)["image"][0, 0].tolist() == [188, 188, 188]


@pytest.mark.parametrize("domain", ["POINT", "CORNER"])
def test_vertex_colours_are_sent_for_each_corner(scan, domain):
    give_vertex_colours(scan, domain)
    colours = arrays_of(scan)["corner_colors"]
    assert colours.shape == (2, 3, 3)
    index = [[0, 1, 2], [0, 2, 3]] if domain == "POINT" else [[0, 1, 2], [3, 4, 5]]
    np.testing.assert_allclose(colours[..., 0], 25.5 * np.array(index), atol=1)
    assert (colours[..., 1:] == 255).all()


def test_a_mirrored_scan_keeps_its_colours_in_place(scan):
    give_material(scan, image_of())
    scan.scale = (-1, 1, 1)
    bpy.context.view_layer.update()
    arrays = arrays_of(scan)
    place = arrays["vertices"][arrays["triangles"]][..., :2] * [-1, 1]
    np.testing.assert_allclose(arrays["corner_uv"], place, atol=1e-6)


def test_an_image_that_is_not_there_or_one_of_several_is_not_sent(scan):
    missing = bpy.data.images.new("Missing", 1, 1)
    missing.source = "FILE"
    missing.filepath = "//nowhere.png"
    give_material(scan, missing)
    assert "image" not in arrays_of(scan)
    scan.data.materials.clear()
    give_material(scan, image_of())
    give_material(scan, image_of())
    scan.data.polygons[1].material_index = 1
    assert "image" not in arrays_of(scan)


def test_coloured_points_without_faces_can_be_sent(make_mesh):
    points = np.random.default_rng(0).random((mesh_io.MIN_POINTS, 3))
    cloud = make_mesh("Cloud", points.tolist(), ())
    give_vertex_colours(cloud, "POINT")
    arrays = arrays_of(cloud)
    assert len(arrays["vertices"]) == mesh_io.MIN_POINTS
    assert len(arrays["triangles"]) == len(arrays["corner_colors"]) == 0


def test_the_error_of_an_earlier_fit_is_no_colour(scan):
    bpy.ops.imface.fit_scan()
    fitted = bpy.context.object
    fitted.data.color_attributes.active_color_name = "Fit Error"
    assert set(arrays_of(fitted)) == {"vertices", "triangles"}


def test_the_face_gets_a_skin_of_its_own(scan):
    give_vertex_colours(scan, "POINT")
    bpy.ops.imface.fit_scan()
    face = bpy.context.object
    skin, eyes = face.data.materials
    assert (skin.name, eyes.name) == ("Anna Face Skin", "ImFace Eyes")
    picture = next(node for node in skin.node_tree.nodes if node.type == "TEX_IMAGE")
    image = picture.image
    assert tuple(image.size) == (8, 4)
    assert image.packed_file is not None
    top_left = (4 - 1) * 8 * 4
    np.testing.assert_allclose(image.pixels[top_left : top_left + 4], [1, 0.2, 0, 1], atol=0.01)
    tiles = picture.inputs["Vector"].links[0].from_node
    assert (tiles.type, tiles.vector_type) == ("MAPPING", "POINT")
    assert tuple(tiles.inputs["Scale"].default_value) == (0.5, 1, 1)
    assert tiles.inputs["Vector"].links[0].from_socket.name == "UV"
    shader = picture.outputs["Color"].links[0].to_node
    assert shader.type == "BSDF_PRINCIPLED"


def test_without_colours_the_face_has_the_common_skin(scan):
    bpy.ops.imface.fit_scan()
    assert bpy.context.object.data.materials[0].name == "ImFace Skin"
