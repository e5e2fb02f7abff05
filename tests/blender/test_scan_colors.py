# SPDX-License-Identifier: GPL-3.0-or-later
"""A scan's colours reach the worker, and its answer becomes the fitted face's skin."""

import bpy
import numpy as np
import pytest

from imface_blender import mesh_io, scan_colors

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


def give_material(obj, image, through=()):
    """Return the node of an image that reaches the shader through nodes of these types."""
    material = bpy.data.materials.new("Photo")
    if material.node_tree is None:
        material.use_nodes = True
    obj.data.materials.append(material)
    if image is None:
        return None
    nodes = material.node_tree.nodes
    texture = nodes.new("ShaderNodeTexImage")
    texture.image = image
    shown = texture
    for kind in through:
        node = nodes.new(kind)
        if kind == "ShaderNodeMix":
            node.data_type = "RGBA"
        connect(shown, colour_inputs(node)[0])
        shown = node
    shader = next(node for node in nodes if node.type == "BSDF_PRINCIPLED")
    connect(shown, shader.inputs["Base Color"])
    return texture


def connect(source, socket):
    """Link a node's first output."""
    output = next(output for output in source.outputs if output.enabled)
    source.id_data.links.new(output, socket)


def colour_inputs(node):
    return [socket for socket in node.inputs if socket.enabled and socket.type == "RGBA"]


def give_uv_map(obj, name):
    """Add a UV map that has all corners at one place, which becomes the active one."""
    layer = obj.data.uv_layers.new(name=name)
    layer.uv.foreach_set("vector", np.full(2 * len(layer.uv), 0.25, np.float32))
    obj.data.uv_layers.active = layer


def is_one_place(corner_uv):
    return bool((corner_uv == 0.25).all())


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


def test_a_very_large_file_is_read_smaller(scan, tmp_path):
    """Its pixels would take 16 bytes each; what was painted is in no file."""
    image_of(5000, 4).save(filepath=str(tmp_path / "wide.png"))
    image = bpy.data.images.load(str(tmp_path / "wide.png"))
    give_material(scan, image)
    before = list(bpy.data.images)
    sent = arrays_of(scan)["image"]
    assert sent.shape == (3, 4096, 3)
    assert (sent[0] == 64).all()  # half as much where half is to be seen through
    assert sent[2, 0, 0] > 100
    assert list(bpy.data.images) == before
    assert tuple(image.size) == (5000, 4)
    image.pixels[:] = [1.0] * (5000 * 4 * 4)
    assert (arrays_of(scan)["image"] == 255).all()


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


def test_vertex_colours_of_an_obj_may_be_bytes(tmp_path):
    rows = "".join(f"v {x} {y} {z} {200 + 10 * x} {3 * y} 90\n" for x, y, z in SQUARE)
    path = tmp_path / "bytes.obj"
    path.write_text(rows + "f 1 2 3\nf 1 3 4\n")
    bpy.ops.wm.obj_import(filepath=str(path))
    sent = arrays_of(bpy.context.object)["corner_colors"]
    wanted = [[200 + 10 * SQUARE[i][0], 3 * SQUARE[i][1], 90] for i in (0, 1, 2, 0, 2, 3)]
    np.testing.assert_allclose(sent.reshape(6, 3).astype(int), wanted, atol=1)


@pytest.mark.parametrize("mirrored", [False, True])
def test_colours_of_points_without_faces_are_sent(make_mesh, tmp_path, mirrored):
    """As Blender's importer leaves them."""
    rows = "".join(f"{i} {i % 7} 0 {i % 256} 10 20\n" for i in range(2000))
    path = tmp_path / "points.ply"
    path.write_text(
        "ply\nformat ascii 1.0\nelement vertex 2000\nproperty float x\nproperty float y\n"
        "property float z\nproperty uchar red\nproperty uchar green\nproperty uchar blue\n"
        f"end_header\n{rows}"
    )
    bpy.ops.wm.ply_import(filepath=str(path))
    points = bpy.context.object
    points.scale.x = -1 if mirrored else 1
    bpy.context.view_layer.update()
    arrays = arrays_of(points)
    assert set(arrays) == {"vertices", "triangles", "point_colors"}
    wanted = [[i % 256, 10, 20] for i in range(2000)]
    np.testing.assert_allclose(arrays["point_colors"].astype(int), wanted, atol=1)


def test_a_mirrored_scan_keeps_its_colours_in_place(scan):
    give_material(scan, image_of())
    scan.scale = (-1, 1, 1)
    bpy.context.view_layer.update()
    arrays = arrays_of(scan)
    place = arrays["vertices"][arrays["triangles"]][..., :2] * [-1, 1]
    np.testing.assert_allclose(arrays["corner_uv"], place, atol=1e-6)


def colours_at(arrays, share=(0.6, 0.3, 0.1)):
    """Return the image's colours (T, 3) at a point within each triangle."""
    u, v = np.einsum("k,tkc->ct", share, arrays["corner_uv"].astype(float))
    height, width, _ = arrays["image"].shape
    row, column = np.floor((1 - v) % 1 * height), np.floor(u % 1 * width)
    return arrays["image"][row.astype(int), column.astype(int)]


def plain_image(colour, width=2, height=2):
    """Return an image of one colour."""
    image = bpy.data.images.new("Plain", width, height)
    image.pixels.foreach_set(np.tile(np.float32([*colour, 1]), width * height))
    return image


def missing_image():
    image = bpy.data.images.new("Missing", 1, 1)
    image.source = "FILE"
    image.filepath = "//nowhere.png"
    return image


def test_an_image_that_is_not_there_is_not_sent_nor_are_others(scan):
    give_material(scan, missing_image())
    assert "image" not in arrays_of(scan)
    give_material(scan, image_of())
    scan.data.polygons[1].material_index = 1
    assert "image" not in arrays_of(scan)
    assert scan_colors.are_lost(scan, scan.data, arrays_of(scan))


@pytest.mark.parametrize("repeated", [0, 3])
def test_each_material_s_image_is_sent(scan, repeated):
    give_material(scan, image_of(6, 2))
    give_material(scan, plain_image((0, 1, 0), 2, 4))
    layer = scan.data.uv_layers["UVMap"].uv
    values = np.empty(2 * len(layer), np.float32)
    layer.foreach_get("vector", values)
    layer.foreach_set("vector", values + repeated)
    scan.data.polygons[1].material_index = 1
    arrays = arrays_of(scan)
    assert arrays["image"].shape == (6, 6, 3)
    assert colours_at(arrays).tolist() == [[128, 128, 128], [0, 255, 0]]
    at_first = colours_at(arrays, (0.9, 0.1, 0.0))  # beside the red pixel's corner
    assert at_first.tolist() == [[255, 0, 0], [0, 255, 0]]


def test_materials_without_an_image_have_their_viewport_colours(make_mesh):
    scan = make_mesh("Anna", SQUARE, [(0, 1, 2)] * 4 + [(0, 2, 3)] * 2)
    scan.data.uv_layers.new(name="UVMap")
    for image in (plain_image((0, 1, 0)), None):
        give_material(scan, image)
    scan.data.materials[1].diffuse_color = (1, 0.2140, 0, 1)  # light: half as bright as shown
    scan.data.materials.append(None)
    scan.data.polygons.foreach_set("material_index", [0, 0, 0, 0, 1, 2])
    colours = colours_at(arrays_of(scan)).tolist()
    assert colours == [[0, 255, 0]] * 4 + [[255, 127, 0], [231, 231, 231]]


def test_the_image_of_a_small_part_is_not_the_scan_s_colours(scan):
    give_material(scan, None)
    give_material(scan, image_of())
    scan.data.polygons[1].material_index = 1
    assert set(arrays_of(scan)) == {"vertices", "triangles"}
    assert not scan_colors.are_lost(scan, scan.data, {})


def test_an_image_of_two_materials_is_sent_once(scan):
    image = image_of()
    for slot in range(2):
        give_material(scan, image)
        scan.data.polygons[slot].material_index = slot
    assert arrays_of(scan)["image"].shape == (2, 2, 3)


@pytest.mark.parametrize(
    "through",
    [
        ("ShaderNodeMix",),
        ("NodeReroute",),
        ("ShaderNodeGamma", "NodeReroute", "ShaderNodeMix"),
    ],
)
def test_an_image_is_found_behind_other_nodes(scan, through):
    give_material(scan, image_of(), through)
    assert arrays_of(scan)["image"][1, 0].tolist() == [255, 0, 0]


def test_the_image_of_an_unlit_scan_is_sent(scan):
    texture = give_material(scan, image_of())
    tree = texture.id_data
    tree.nodes.remove(texture.outputs["Color"].links[0].to_node)
    emission, mix = tree.nodes.new("ShaderNodeEmission"), tree.nodes.new("ShaderNodeMixShader")
    connect(texture, emission.inputs["Color"])
    connect(emission, mix.inputs[2])
    connect(mix, tree.get_output_node("ALL").inputs["Surface"])
    assert arrays_of(scan)["image"][1, 0].tolist() == [255, 0, 0]


def test_the_image_of_a_scan_that_glows_is_sent_if_it_has_no_other(scan):
    texture = give_material(scan, image_of())
    tree = texture.id_data
    shader = texture.outputs["Color"].links[0].to_node
    connect(texture, shader.inputs["Emission Color"])
    tree.links.remove(shader.inputs["Base Color"].links[0])
    assert arrays_of(scan)["image"][1, 0].tolist() == [255, 0, 0]
    base = tree.nodes.new("ShaderNodeTexImage")
    base.image = image_of(4, 4)
    connect(base, shader.inputs["Base Color"])
    assert arrays_of(scan)["image"].shape == (4, 4, 3)


@pytest.mark.parametrize(
    ("kind", "first"),
    [
        ("POINT", lambda uv: [0.25 + 0.5 * uv[..., 0], 0.5 - 0.5 * uv[..., 1]]),
        ("VECTOR", lambda uv: [0.5 * uv[..., 0], -0.5 * uv[..., 1]]),
        ("TEXTURE", lambda uv: [2 * (uv[..., 0] - 0.25), -2 * (uv[..., 1] - 0.5)]),
    ],
)
def test_an_image_lies_where_its_mapping_puts_it(scan, kind, first):
    """As Blender's importer of glTF, and the skin of a fitted face, have one."""
    texture = give_material(scan, image_of())
    plain = arrays_of(scan)["corner_uv"]
    nodes = texture.id_data.nodes
    near, far = nodes.new("ShaderNodeMapping"), nodes.new("ShaderNodeMapping")
    far.inputs["Location"].default_value = (0.25, 0.5, 0)
    far.vector_type = kind
    far.inputs["Scale"].default_value = (0.5, -0.5, 1)
    near.inputs["Rotation"].default_value = (0, 0, np.pi / 2)
    near.inputs["Location"].default_value = (1, 0, 0)
    connect(far, near.inputs["Vector"])
    connect(near, texture.inputs["Vector"])
    u, v = first(plain)
    wanted = np.stack([1 - v, u], axis=-1)
    np.testing.assert_allclose(arrays_of(scan)["corner_uv"], wanted, atol=1e-6)


def test_an_image_that_colours_nothing_is_not_sent(scan):
    texture = give_material(scan, image_of())
    tree = scan.data.materials[0].node_tree
    shader = texture.outputs["Color"].links[0].to_node
    tree.links.new(texture.outputs["Color"], shader.inputs["Roughness"])
    tree.links.remove(shader.inputs["Base Color"].links[0])
    assert "image" not in arrays_of(scan)
    assert not scan_colors.are_lost(scan, scan.data, arrays_of(scan))


def test_a_picture_that_no_face_shows_is_not_missed(scan):
    give_material(scan, image_of())
    scan.data.materials.append(None)
    assert not scan_colors.are_lost(scan, scan.data, arrays_of(scan))
    assert scan_colors.are_lost(scan, scan.data, {})
    scan.data.polygons.foreach_set("material_index", [1] * len(scan.data.polygons))
    assert not scan_colors.are_lost(scan, scan.data, {})


def test_two_images_in_one_material_are_not_sent(scan):
    texture = give_material(scan, image_of(), ["ShaderNodeMix"])
    tree = scan.data.materials[0].node_tree
    other = tree.nodes.new("ShaderNodeTexImage")
    other.image = image_of()
    mix = texture.outputs["Color"].links[0].to_node
    connect(other, colour_inputs(mix)[1])
    assert "image" not in arrays_of(scan)


def test_the_uv_map_is_the_one_that_a_render_takes(scan):
    texture = give_material(scan, image_of())
    give_uv_map(scan, "Lightmap")
    assert not is_one_place(arrays_of(scan)["corner_uv"])
    scan.data.uv_layers["Lightmap"].active_render = True
    assert is_one_place(arrays_of(scan)["corner_uv"])
    uv = texture.id_data.nodes.new("ShaderNodeUVMap")
    uv.uv_map = "UVMap"
    connect(uv, texture.inputs["Vector"])
    assert not is_one_place(arrays_of(scan)["corner_uv"])


def test_udim_tiles_are_sent_if_their_files_are_there(scan, tmp_path):
    scan.data.uv_layers["UVMap"].uv.foreach_set(
        "vector", np.float32([0, 0, 1, 0, 1, 1, 1, 1, 2, 1, 2, 2])
    )
    for number, colour in ((1001, (1, 0, 0)), (1012, (0, 1, 0))):
        image = plain_image(colour)
        image.filepath_raw = str(tmp_path / f"skin.{number}.png")
        image.save()
    image.source = "TILED"
    image.filepath = str(tmp_path / "skin.<UDIM>.png")
    image.reload()
    give_material(scan, image)
    images = set(bpy.data.images)
    assert colours_at(arrays_of(scan)).tolist() == [[255, 0, 0], [0, 255, 0]]
    assert set(bpy.data.images) == images
    (tmp_path / "skin.1012.png").unlink()
    assert "image" not in arrays_of(scan)


LEFT_OUT = "The scan's colours were left out"


def test_the_report_says_when_colours_were_left_out(scan, select_only, capfd):
    give_material(scan, image_of())
    bpy.ops.imface.fit_scan()
    assert LEFT_OUT not in capfd.readouterr().out
    select_only(scan)
    give_material(scan, missing_image())
    scan.data.polygons[1].material_index = 1
    bpy.ops.imface.fit_scan()
    assert "% of the face not seen. " + LEFT_OUT in capfd.readouterr().out
    select_only(scan)
    give_vertex_colours(scan, "POINT")
    bpy.ops.imface.fit_scan()
    assert LEFT_OUT not in capfd.readouterr().out


def test_coloured_points_without_faces_can_be_sent(make_mesh):
    points = np.random.default_rng(0).random((mesh_io.MIN_POINTS, 3))
    cloud = make_mesh("Cloud", points.tolist(), ())
    give_vertex_colours(cloud, "POINT")
    arrays = arrays_of(cloud)
    assert len(arrays["vertices"]) == mesh_io.MIN_POINTS
    assert len(arrays["triangles"]) == 0
    assert len(arrays["point_colors"]) == mesh_io.MIN_POINTS


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
