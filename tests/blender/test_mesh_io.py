# SPDX-License-Identifier: GPL-3.0-or-later
"""Axes, units and meshes, by answers worked out by hand."""

import bpy
import numpy as np
import pytest
from mathutils import Matrix, Vector

from imface_blender import mesh_io
from imface_blender.errors import UserError


def depsgraph():
    return bpy.context.evaluated_depsgraph_get()


def test_up_and_forward():
    up, forward, right = np.eye(3)[[1, 2, 0]]  # of the backend
    assert mesh_io.blender_from_backend(up).tolist() == [0, 0, 1]
    assert mesh_io.blender_from_backend(forward).tolist() == [0, -1, 0]
    assert mesh_io.blender_from_backend(right).tolist() == [1, 0, 0]


def test_there_and_back_is_exact():
    points = np.random.default_rng(0).normal(size=(100, 3))
    there = mesh_io.blender_from_backend(points)
    assert (mesh_io.backend_from_blender(there) == points).all()
    assert mesh_io.metres_from_mm(np.array([1000.0, 2000.0, 3000.0])).tolist() == [1, -3, 2]


def test_a_pose_puts_each_vertex_where_the_backend_has_it():
    rng = np.random.default_rng(0)
    points_mm = rng.normal(scale=100, size=(20, 3))
    turn = np.array(Matrix.Rotation(0.7, 3, Vector((1, 2, 3))))
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = 0.3 * turn, [5, -6, 7]
    expected = mesh_io.blender_from_backend(points_mm @ pose[:3, :3].T + pose[:3, 3])
    place = np.array(mesh_io.place_from_pose(pose.tolist()))
    world = mesh_io.metres_from_mm(points_mm) @ place[:3, :3].T + place[:3, 3]
    np.testing.assert_allclose(world, expected, atol=1e-4)


@pytest.mark.parametrize("pose", [None, np.eye(3), np.full((4, 4), np.nan)])
def test_a_bad_pose_is_refused(pose):
    with pytest.raises(UserError, match="Reinstall"):
        mesh_io.place_from_pose(pose)


def test_a_scan_is_read_with_its_place(make_mesh):
    scan = make_mesh()
    scan.matrix_world = Matrix.Translation((1, 2, 3)) @ Matrix.Diagonal((2, 3, 4, 1))
    arrays = mesh_io.scan_arrays(scan, depsgraph())
    assert arrays["vertices"].dtype == np.float64
    assert arrays["vertices"].tolist() == [[1, 3, -2], [3, 3, -2], [1, 7, -2]]
    assert arrays["triangles"].tolist() == [[0, 1, 2]]


def test_a_mirrored_scan_keeps_its_outside(make_mesh):
    scan = make_mesh()
    scan.scale = (-1, 1, 1)
    arrays = mesh_io.scan_arrays(scan, depsgraph())
    a, b, c = arrays["vertices"][arrays["triangles"][0]]
    # Blender shows the triangle from -Y, which is +Z in the backend, mirrored or not.
    assert np.cross(b - a, c - a).tolist() == [0, 0, 1]


def test_a_scan_follows_its_parent(make_mesh):
    scan = make_mesh()
    scan.parent = bpy.data.objects.new("Parent", None)
    bpy.context.scene.collection.objects.link(scan.parent)
    scan.parent.location.x = 10
    assert mesh_io.scan_arrays(scan, depsgraph())["vertices"][:, 0].tolist() == [10, 11, 10]


def test_a_scan_is_read_with_its_modifiers(make_mesh):
    scan = make_mesh()
    scan.modifiers.new("Array", "ARRAY").use_relative_offset = True
    assert len(mesh_io.scan_arrays(scan, depsgraph())["vertices"]) == 6
    assert len(scan.data.vertices) == 3


def test_polygons_become_triangles(make_mesh):
    square = [(0, 0, 0), (1, 0, 0), (1, 0, 1), (0, 0, 1)]
    scan = make_mesh(vertices=square, faces=[(0, 1, 2, 3)])
    assert len(mesh_io.scan_arrays(scan, depsgraph())["triangles"]) == 2


TRIANGLE = {
    "vertices_mm": np.eye(3, dtype=np.float32),
    "polygons": np.array([[0, 1, 2, -1]], np.int32),
    "material_index": np.array([0], np.int32),
    "group_sizes": np.array([1, 2], np.int32),
    "group_vertices": np.array([0, 1, 2], np.int32),
    "group_weights": np.ones(3, np.float32),
}
SAID = {"materials": ["Skin"], "groups": ["Face", "Region Nose"]}
UV = {
    "uv": np.zeros((3, 2), np.float32),
    "uv_polygons": TRIANGLE["polygons"],
}


@pytest.mark.parametrize(
    "change",
    [
        {"vertices_mm": np.full((3, 3), np.inf, np.float32)},
        {"vertices_mm": np.eye(3, 2, dtype=np.float32)},
        {"vertices_mm": np.ones(3, np.float32)},
        {"polygons": np.array([[0, 1, 3, -1]], np.int32)},
        {"polygons": np.array([[0, 1, -1, -1]], np.int32)},
        {"polygons": np.empty((0, 4), np.int32)},
        {"polygons": np.array([0, 1, 2], np.int32)},
        UV | {"uv_polygons": np.array([[0, 1, 3, -1]], np.int32)},
        UV | {"uv_polygons": np.array([[0, 1, 2, -1]] * 2, np.int32)},
        UV | {"uv": np.zeros((3, 3), np.float32)},
        {"material_index": np.array([1], np.int32)},
        {"material_index": np.array([-1], np.int32)},
        {"material_index": np.array([0, 0], np.int32)},
        {"error_mm": np.zeros(2, np.float32)},
        {"texture": np.zeros((4, 8), np.uint8)},
        {"texture": np.zeros((4, 8, 4), np.uint8)},
        {"group_vertices": np.array([0, 1, 3], np.int32)},
        {"group_vertices": np.array([0, 1, -1], np.int32)},
        {"group_weights": np.ones(2, np.float32)},
        {"group_sizes": np.array([3], np.int32)},
    ],
)
def test_an_answer_that_would_crash_blender_is_refused(change):
    assert mesh_io.FaceMesh.from_answer(SAID, TRIANGLE)
    with pytest.raises(UserError, match="not a mesh"):
        mesh_io.FaceMesh.from_answer(SAID, TRIANGLE | change)


@pytest.mark.parametrize("name", TRIANGLE)
def test_an_answer_that_lacks_something_is_refused(name):
    arrays = {known: array for known, array in TRIANGLE.items() if known != name}
    with pytest.raises(UserError, match="not a mesh"):
        mesh_io.FaceMesh.from_answer(SAID, arrays)
