# SPDX-License-Identifier: GPL-3.0-or-later
"""Mesh arithmetic by hand, files read back as they were written, bad scans refused."""

from pathlib import Path

import numpy as np
import pytest
import trimesh

from backend.errors import BackendError, ScanError
from backend.mesh import (
    MIN_POINTS,
    MIN_TRIANGLES,
    Mesh,
    check_scan,
    load_scan,
    sample_surface,
    save_mesh,
    triangle_normals,
    triangulate,
    vertex_normals,
)

#: A unit square of one quad, and a triangle beside it.
VERTICES = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [2, 0, 0]])
POLYGONS = np.array([[0, 1, 2, 3], [1, 4, 2, -1]])


def test_a_quad_gives_two_triangles_in_order() -> None:
    np.testing.assert_array_equal(triangulate(POLYGONS), [[0, 1, 2], [0, 2, 3], [1, 4, 2]])
    np.testing.assert_array_equal(Mesh(VERTICES, POLYGONS).triangles, triangulate(POLYGONS))
    np.testing.assert_array_equal(triangulate(POLYGONS[:, :3]), POLYGONS[:, :3])


def test_normals_and_areas() -> None:
    corners = np.array([[0, 1, 2], [0, 2, 1], [0, 1, 1]])
    normals, areas = triangle_normals(VERTICES, corners)
    np.testing.assert_allclose(normals, [[0, 0, 1], [0, 0, -1], [0, 0, 0]])
    np.testing.assert_allclose(areas, [0.5, 0.5, 0])


def test_vertex_normals_are_weighted_by_area() -> None:
    vertices = np.array([[0.0, 0, 0], [2, 0, 0], [0, 1, 0], [0, 0, 1]])
    normals = vertex_normals(vertices, np.array([[0, 1, 2], [0, 2, 3]]))  # areas 1 and 1/2
    np.testing.assert_allclose(normals[1], [0, 0, 1])
    np.testing.assert_allclose(normals[3], [1, 0, 0])
    np.testing.assert_allclose(normals[0], np.array([1, 0, 2]) / np.sqrt(5))


def test_points_are_drawn_by_area() -> None:
    vertices = np.array([[0.0, 0, 0], [3, 0, 0], [0, 1, 0], [9, 9, 9], [9, 10, 9], [9, 9, 10]])
    triangles = np.array([[0, 1, 2], [3, 4, 5]])  # areas 3/2 and 1/2
    points, face, bary = sample_surface(vertices, triangles, 8000, np.random.default_rng(0))
    assert (face == 0).sum() == pytest.approx(6000, abs=2)
    np.testing.assert_allclose(bary.sum(1), 1)
    assert bary.min() >= 0
    np.testing.assert_allclose(np.einsum("nk,nkc->nc", bary, vertices[triangles[face]]), points)
    np.testing.assert_allclose(points[face == 0].mean(0), [1, 1 / 3, 0], atol=0.02)


@pytest.mark.parametrize("extension", [".obj", ".ply", ".glb", ".stl"])
def test_a_mesh_comes_back_as_it_was_saved(tmp_path: Path, sphere: Mesh, extension: str) -> None:
    path = tmp_path / f"ball{extension}"
    save_mesh(sphere, path)
    back = load_scan(path)
    assert back.polygons.shape == sphere.polygons.shape
    corners = back.vertices[back.polygons]  # an STL file repeats its vertices
    np.testing.assert_allclose(corners, sphere.vertices[sphere.polygons], atol=1e-6)
    if extension != ".stl":
        np.testing.assert_array_equal(back.polygons, sphere.polygons)


def test_an_obj_file_keeps_quads_and_uvs(tmp_path: Path) -> None:
    path = tmp_path / "quad.obj"
    save_mesh(Mesh(VERTICES, POLYGONS), path)
    lines = path.read_text().splitlines()
    assert lines[1] == "v 1.000000 0.000000 0.000000"
    assert lines[-2:] == ["f 1 2 3 4", "f 2 5 3"]
    uv = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1], [0.5, 0.25]])
    save_mesh(Mesh(VERTICES, POLYGONS, uv, POLYGONS[:, [0, 1, 2, 3]]), path)
    lines = path.read_text().splitlines()
    assert lines[9] == "vt 0.500000 0.250000"
    assert lines[-2:] == ["f 1/1 2/2 3/3 4/4", "f 2/2 5/5 3/3"]


def test_a_quad_is_saved_as_triangles_elsewhere(tmp_path: Path) -> None:
    squares = np.tile(VERTICES[None, :4], (250, 1, 1)) + np.arange(250)[:, None, None]
    polygons = np.arange(1000).reshape(250, 4)
    save_mesh(Mesh(squares.reshape(-1, 3), polygons), tmp_path / "quads.ply")
    np.testing.assert_array_equal(load_scan(tmp_path / "quads.ply").polygons, triangulate(polygons))


@pytest.mark.parametrize("away", [0.0, 4e5, 5.5e6])
def test_a_mesh_far_from_the_origin_keeps_its_shape(
    tmp_path: Path, sphere: Mesh, away: float
) -> None:
    far = sphere.vertices + np.array([away, -away, 30.0])
    save_mesh(Mesh(far, sphere.polygons), tmp_path / "far.ply")
    np.testing.assert_allclose(load_scan(tmp_path / "far.ply").vertices, far, rtol=0, atol=3e-6)


def test_an_unknown_extension_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"face\.txt has no known extension. Use .obj"):
        save_mesh(Mesh(VERTICES, POLYGONS), tmp_path / "face.txt")
    (tmp_path / "face.txt").write_text("v 0 0 0")
    with pytest.raises(ScanError, match=r"face\.txt is not a mesh file. Use OBJ"):
        load_scan(tmp_path / "face.txt")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match=r"There is no file .*no\.obj. Check the path"):
        load_scan(tmp_path / "no.obj")


def _grid(triangles: int) -> str:
    """Return the text of an OBJ file with a strip of so many triangles."""
    rows = [f"v {i / 2} {i % 2} 0" for i in range(triangles + 2)]
    return "\n".join(rows + [f"f {i + 1} {i + 2} {i + 3}" for i in range(triangles)]) + "\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Dear diary,\ntoday I met a vertex.\n", "The scan has no faces. Select a mesh"),
        ("", "The scan has no faces|is damaged"),
        (_grid(600).split("f ")[0], "The scan has no faces. Select a mesh"),
        (_grid(5), "The scan has only 5 triangles. Select a mesh with at least 500"),
        (_grid(600).replace("v 3.0 0 0", "v nan 0 0"), "1 vertices of the scan have no valid"),
        (_grid(600).replace("v 3.0 0 0", "v 3.0 inf 0"), "1 vertices of the scan have no valid"),
        (_grid(600).replace("v 3.0 0 0", "v 3.0 x 0"), "is damaged or is not the kind of file"),
        (_grid(600) + "f 1 2 99999\n", "is damaged or is not the kind of file"),
    ],
    ids=["text", "empty", "no faces", "5 triangles", "NaN", "infinite", "no number", "index"],
)
@pytest.mark.filterwarnings("ignore:string or file:DeprecationWarning")
def test_a_bad_scan_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "scan.obj"
    path.write_text(text)
    with pytest.raises(ScanError, match=sentence):
        load_scan(path)


@pytest.mark.parametrize("extension", [".ply", ".stl", ".glb"])
def test_noise_is_no_mesh(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"scan{extension}"
    path.write_bytes(np.random.default_rng(0).bytes(3000))
    with pytest.raises(ScanError, match=r"is damaged or .* Export it again\."):
        load_scan(path)


def test_500_triangles_are_enough(tmp_path: Path) -> None:
    path = tmp_path / "scan.obj"
    path.write_text(_grid(MIN_TRIANGLES))
    assert len(load_scan(path).polygons) == 500
    path.write_text(_grid(MIN_TRIANGLES - 1))
    with pytest.raises(ScanError, match="only 499 triangles"):
        load_scan(path)


def test_a_cloud_of_points_is_a_scan(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(MIN_POINTS, 3))
    trimesh.PointCloud(points).export(tmp_path / "scan.ply")
    cloud = load_scan(tmp_path / "scan.ply")
    np.testing.assert_allclose(cloud.vertices, points, atol=1e-6)
    assert cloud.polygons.shape == (0, 3)
    trimesh.PointCloud(points[1:]).export(tmp_path / "few.ply")
    with pytest.raises(ScanError, match="or at least 2000 points"):
        load_scan(tmp_path / "few.ply")


@pytest.mark.parametrize("index", [600, -1])
def test_faces_of_vertices_that_are_not_there_are_refused(index: int) -> None:
    vertices, triangles = np.random.default_rng(0).random((600, 3)), np.tile([0, 1, 2], (500, 1))
    check_scan(vertices, triangles)
    triangles[7, 2] = index
    with pytest.raises(ScanError, match="name vertices that it does not have"):
        check_scan(vertices, triangles)


def test_a_scan_without_extent_is_refused() -> None:
    with pytest.raises(ScanError, match="All vertices of the scan lie in one point"):
        check_scan(np.ones((3, 3)), np.tile([0, 1, 2], (500, 1)))


def test_the_bundled_scan_is_a_scan(lee_perry_smith: Path) -> None:
    scan = load_scan(lee_perry_smith)
    assert len(np.unique(scan.vertices, axis=0)) == 8844  # texture seams repeat some
    assert scan.polygons.shape == (17684, 3)
