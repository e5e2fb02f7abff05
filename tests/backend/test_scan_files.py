# SPDX-License-Identifier: GPL-3.0-or-later
"""Legal files that trimesh reads wrongly or not at all are read right, or refused for what they
are."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import trimesh

from backend.errors import ScanError
from backend.mesh import Mesh, load_scan, save_mesh
from backend.scan_files import readable


def _corners(mesh: Mesh) -> np.ndarray:
    """Return the corners (T, 9) of a mesh's triangles, sorted."""
    corners = mesh.vertices[mesh.polygons].reshape(-1, 9)
    return corners[np.lexsort(corners.T)]


def _ply(mesh: Mesh, order: str, joined: int, with_flags: bool) -> bytes:
    """Return a binary PLY with texture coordinates and with faces of four corners as long as so
    many triangles last, else of three."""
    name = {"<": "little", ">": "big"}[order]
    flags = "property uchar flags\n" if with_flags else ""
    a, b, c = mesh.polygons[:joined].T
    # A triangle and one that is folded over its edge: as a fan, the two of them again.
    faces = [*np.stack([a, b, c, b], 1), *mesh.polygons[joined:]]
    header = (
        f"ply\nformat binary_{name}_endian 1.0\ncomment a face\nelement vertex "
        f"{len(mesh.vertices)}\nproperty float x\nproperty float y\nproperty float z\n"
        f"property float s\nproperty float t\nelement face {len(faces)}\n{flags}"
        "property list uchar uint vertex_indices\nend_header\n"
    )
    vertices = np.column_stack([mesh.vertices, np.zeros((len(mesh.vertices), 2))])
    rows = [
        (b"\7" if with_flags else b"") + struct.pack(f"{order}B{len(f)}I", len(f), *f)
        for f in faces
    ]
    return header.encode() + vertices.astype(f"{order}f4").tobytes() + b"".join(rows)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("with_flags", [False, True])
def test_a_binary_ply_of_triangles_and_quads(
    tmp_path: Path, sphere: Mesh, order: str, with_flags: bool
) -> None:
    (tmp_path / "scan.ply").write_bytes(_ply(sphere, order, 100, with_flags))
    a, b, c = sphere.polygons[:100].T
    second = np.stack([a, c, b], axis=1)
    wanted = Mesh(sphere.vertices, np.concatenate([sphere.polygons, second]))
    read = load_scan(tmp_path / "scan.ply")
    np.testing.assert_allclose(_corners(read), _corners(wanted), atol=1e-6)


@pytest.mark.parametrize("joined", [0, 100_000])
def test_a_ply_of_faces_that_are_alike_is_left_as_it_is(sphere: Mesh, joined: int) -> None:
    content = _ply(sphere, "<", joined, with_flags=False)
    assert readable(content, "ply") is content


def test_an_obj_whose_faces_count_back(tmp_path: Path, sphere: Mesh) -> None:
    lines = ["# each face after its own vertices"]
    for corners in sphere.vertices[sphere.polygons]:
        lines += [f"v {x} {y} {z}" for x, y, z in corners]
        lines += ["vt 0 0", "f -3/-1 -2/-1 \\", " -1/-1 # a face"]
    (tmp_path / "scan.obj").write_text("\n".join(lines))
    np.testing.assert_allclose(_corners(load_scan(tmp_path / "scan.obj")), _corners(sphere))


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("space", [" ", "\t"])
def test_an_obj_may_have_tabs_and_a_mark_of_its_encoding(
    tmp_path: Path, sphere: Mesh, mark: str, space: str
) -> None:
    rows = [("v", *point) for point in sphere.vertices] + [("f", *i) for i in sphere.polygons + 1]
    lines = [space.join(map(str, row)) for row in rows]
    (tmp_path / "scan.obj").write_text(mark + "\n".join(lines), "utf-8")
    read = load_scan(tmp_path / "scan.obj")
    np.testing.assert_allclose(read.vertices[read.polygons], sphere.vertices[sphere.polygons])


def test_a_ply_that_names_its_picture_is_read_without_a_word(
    tmp_path: Path, sphere: Mesh, caplog: pytest.LogCaptureFixture
) -> None:
    save_mesh(sphere, tmp_path / "scan.ply")
    content = (tmp_path / "scan.ply").read_bytes()
    named = content.replace(b"\nelement", b"\ncomment TextureFile skin.png\nelement", 1)
    (tmp_path / "scan.ply").write_bytes(named)
    assert len(load_scan(tmp_path / "scan.ply").polygons) == len(sphere.polygons)
    assert not caplog.records


def test_triangles_of_an_obj_stay_in_order_whatever_their_materials(
    tmp_path: Path, sphere: Mesh
) -> None:
    lines = [f"v {x} {y} {z}" for x, y, z in sphere.vertices]
    for i, (a, b, c) in enumerate(sphere.polygons + 1):
        lines += [f"usemtl {'ab'[i % 2]}", f"f {a} {b} {c}"]
    (tmp_path / "scan.obj").write_text("\n".join(lines))
    read = load_scan(tmp_path / "scan.obj")
    np.testing.assert_allclose(read.vertices[read.polygons], sphere.vertices[sphere.polygons])


def _glb(content: bytes, change: Callable[[dict[str, object]], object]) -> bytes:
    """Return a GLB with another JSON part."""
    (length,) = struct.unpack_from("<I", content, 12)
    document = json.loads(content[20 : 20 + length])
    change(document)
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    rest = content[20 + length :]
    whole = struct.pack("<4sII", b"glTF", 2, 20 + len(text) + len(rest))
    return whole + struct.pack("<I4s", len(text), b"JSON") + text + rest


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(extensionsRequired=["KHR_draco_mesh_compression"]),
        lambda d: d.update(extensionsRequired=["EXT_meshopt_compression"]),
        lambda d: [accessor.update(normalized=True) for accessor in d["accessors"]],
    ],
    ids=["Draco", "meshopt", "quantized"],
)
def test_a_compressed_glb_is_called_so(
    tmp_path: Path, sphere: Mesh, change: Callable[[dict[str, object]], object]
) -> None:
    content = trimesh.Trimesh(sphere.vertices, sphere.polygons).export(file_type="glb")
    (tmp_path / "scan.glb").write_bytes(_glb(content, lambda d: None))
    assert len(load_scan(tmp_path / "scan.glb").polygons) == len(sphere.polygons)
    (tmp_path / "scan.glb").write_bytes(_glb(content, change))
    with pytest.raises(ScanError, match="are compressed. Export it without compression"):
        load_scan(tmp_path / "scan.glb")


def test_a_glb_of_points_is_a_scan(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(3000, 3))
    scene = trimesh.Scene([trimesh.PointCloud(points[:1000])])
    moved = np.eye(4)
    moved[:3, 3] = [1, 2, 3]
    scene.add_geometry(trimesh.PointCloud(points[1000:]), transform=moved)
    scene.export(tmp_path / "scan.glb")
    cloud = load_scan(tmp_path / "scan.glb")
    points[1000:] += [1, 2, 3]
    assert cloud.polygons.shape == (0, 3)
    np.testing.assert_allclose(np.sort(cloud.vertices, 0), np.sort(points, 0), atol=1e-5)


@pytest.mark.parametrize("kind", ["obj", "ply", "stl", "glb"])
@pytest.mark.parametrize("name", ["obj", "ply", "stl", "glb"])
def test_a_file_of_another_kind_is_called_so(
    tmp_path: Path, sphere: Mesh, kind: str, name: str
) -> None:
    save_mesh(sphere, tmp_path / f"scan.{kind}")
    path = (tmp_path / f"scan.{kind}").rename(tmp_path / f"other.{name}")
    if kind == name:
        assert len(load_scan(path).polygons) == len(sphere.polygons)
        return
    sentence = f"The file is named .{name} but holds {kind.upper()}. Rename it to .{kind}."
    with pytest.raises(ScanError, match=sentence):
        load_scan(path)


def test_an_stl_of_text_is_one_and_other_text_is_none(tmp_path: Path, sphere: Mesh) -> None:
    text = trimesh.Trimesh(sphere.vertices, sphere.polygons).export(file_type="stl_ascii")
    (tmp_path / "scan.stl").write_text(text)
    assert len(load_scan(tmp_path / "scan.stl").polygons) == len(sphere.polygons)
    (tmp_path / "scan.stl").write_text("Dear diary, today I met a triangle.\n" * 100)
    with pytest.raises(ScanError, match="holds no STL"):
        load_scan(tmp_path / "scan.stl")


def test_what_follows_the_triangles_of_an_stl_is_left_out(tmp_path: Path, sphere: Mesh) -> None:
    save_mesh(sphere, tmp_path / "scan.stl")
    with (tmp_path / "scan.stl").open("ab") as file:
        file.write(bytes(100))
    assert len(load_scan(tmp_path / "scan.stl").polygons) == len(sphere.polygons)


def test_an_obj_that_was_cut_off_before_its_faces_is_no_cloud(tmp_path: Path, sphere: Mesh) -> None:
    points = "".join(f"v {x} {y} {z}\n" for x, y, z in sphere.vertices)
    (tmp_path / "scan.obj").write_text(points + "vn 0 0 1\n")
    assert len(load_scan(tmp_path / "scan.obj").vertices) == len(sphere.vertices)
    (tmp_path / "scan.obj").write_text(points + "vt 0 0\n")
    with pytest.raises(ScanError, match="it was cut off. Export it again"):
        load_scan(tmp_path / "scan.obj")


@pytest.mark.parametrize("kind", ["obj", "ply", "glb", "stl"])
def test_a_file_of_zeros_is_no_stl(tmp_path: Path, kind: str) -> None:
    """A broken copy leaves such."""
    path = tmp_path / f"scan.{kind}"
    path.write_bytes(bytes(5000))
    with pytest.raises(ScanError) as caught:
        load_scan(path)
    assert "Rename it" not in str(caught.value)
