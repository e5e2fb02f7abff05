# SPDX-License-Identifier: GPL-3.0-or-later
"""Meshes in every topology, and expressions as shape keys on one of them."""

import numpy as np
import pytest
import trimesh

from backend.checkpoint import FaceModel
from backend.codes import Codes
from backend.errors import BackendError
from backend.face.correspondence import require_head
from backend.face.generate import generate
from backend.face.shapes import ShapeKeys, build_mesh, materials, shape_keys
from backend.mesh import triangulate
from backend.model.imface import UNIT_MM

NAMES = ["mouthSmileLeft", "jawOpen"]


@pytest.fixture(scope="module")
def codes(bundled: FaceModel) -> Codes:
    """Return a random person with an expression."""
    return generate(bundled, 2, expressions={"browInnerUp": 1.0})


@pytest.mark.parametrize(
    ("topology", "vertices"), [("narrow", 6706), ("face", 9409), ("skin", 11248), ("head", 26719)]
)
def test_a_fixed_topology_has_quads_and_uvs(
    bundled: FaceModel, codes: Codes, topology: str, vertices: int
) -> None:
    mesh = build_mesh(bundled, codes, topology, 0)
    assert mesh.vertices.shape == (vertices, 3)
    assert mesh.polygons.shape[1] == 4
    assert mesh.polygons.max() == vertices - 1
    assert mesh.uv is not None
    assert mesh.uv_polygons is not None
    assert mesh.uv_polygons.shape == mesh.polygons.shape
    assert mesh.uv_polygons.max() < len(mesh.uv)
    assert ((mesh.uv_polygons < 0) == (mesh.polygons < 0)).all()


def test_the_surface_is_the_zero_level_set(bundled: FaceModel, codes: Codes) -> None:
    mesh = build_mesh(bundled, codes, "surface", 32)
    assert mesh.polygons.shape[1] == 3
    assert mesh.uv is None
    assert np.linalg.norm(mesh.vertices, axis=1).max() <= 1 + 1e-6


def test_an_unknown_topology_is_one_sentence(bundled: FaceModel, codes: Codes) -> None:
    with pytest.raises(BackendError, match="There is no topology 'hair'. Choose one"):
        build_mesh(bundled, codes, "hair", 64)


def test_materials_cover_every_polygon(bundled: FaceModel) -> None:
    polygons = len(require_head(bundled).template.polygons)
    names, index = materials(bundled, polygons)
    assert names[0] == "Skin"
    assert {"Teeth", "Eyes", "Mouth", "Lashes"} <= set(names)
    assert index.shape == (polygons,)
    parts = require_head(bundled).template.parts
    for part, name in (("face", "Skin"), ("teeth", "Teeth"), ("eye_socket_left", "Eye Sockets")):
        assert (index[slice(*parts[part][2:])] == names.index(name)).all()


@pytest.mark.parametrize("part", ["eyeball_left", "eyeball_right"])
def test_pupil_and_iris_show_in_the_front_of_the_eyes(bundled: FaceModel, part: str) -> None:
    """Behind the outermost layer of an eyeball there are others."""
    template = require_head(bundled).template
    names, index = materials(bundled, len(template.polygons))
    own = slice(*template.parts[part][2:])
    polygons, slots = template.polygons.cpu().numpy()[own], index[own]
    triangles = triangulate(polygons)
    slots = np.repeat(slots, 1 + (polygons[:, 3] >= 0))
    vertices = template.vertices.double().cpu().numpy() * UNIT_MM
    eye = trimesh.Trimesh(vertices, triangles, process=False)
    front = vertices[np.unique(triangles)]
    front = front[np.argmax(front[:, 2])] + [0.01, 0.02, 10]
    rays = front + np.array([[r, 0, 0] for r in (0, 1.5, 5, 9)])
    hit = eye.ray.intersects_first(rays, np.tile([0, 0, -1.0], (len(rays), 1)))
    assert [names[slot] for slot in slots[hit]] == ["Pupil", "Pupil", "Iris", "Eyes"]


def test_the_face_alone_is_skin(bundled: FaceModel) -> None:
    names, index = materials(bundled, require_head(bundled).template.parts["face"][3])
    assert names == ["Skin"]
    assert (index == 0).all()


@pytest.fixture(scope="module")
def keys(bundled: FaceModel, codes: Codes) -> tuple[ShapeKeys, list[tuple[float, str]]]:
    """Return two shape keys and the progress that was reported."""
    told: list[tuple[float, str]] = []
    made = shape_keys(bundled, codes, NAMES, "face", lambda *news: told.append(news))
    return made, told


def test_shape_keys_share_one_neutral_basis(
    bundled: FaceModel, codes: Codes, keys: tuple[ShapeKeys, list[tuple[float, str]]]
) -> None:
    made, told = keys
    assert made.basis_mm.shape == (9409, 3)
    assert made.vertices_mm.shape == (2, 9409, 3)
    assert made.polygons.shape == (9230, 4)
    neutral = build_mesh(bundled, Codes(codes.identity, None, codes.weights), "face", 0)
    np.testing.assert_allclose(made.basis_mm, neutral.vertices * UNIT_MM, atol=1e-3)
    assert [text for _, text in told] == ["Expression mouthSmileLeft", "Expression jawOpen"]


def test_a_key_moves_what_it_should(
    bundled: FaceModel, keys: tuple[ShapeKeys, list[tuple[float, str]]]
) -> None:
    made, _ = keys
    marks = require_head(bundled).template.landmarks.numpy()
    smile, jaw = (made.vertices_mm - made.basis_mm)[:, marks]
    assert jaw[8, 1] < -5  # the chin goes down
    assert np.linalg.norm(jaw[27]) < 2  # the bridge of the nose stays
    # The person's left corner of the mouth (landmark 54) goes up, the other hardly moves.
    assert smile[54, 1] > 2
    assert np.linalg.norm(smile[48]) < 0.5 * np.linalg.norm(smile[54])


def test_an_unknown_expression_is_one_sentence(bundled: FaceModel, codes: Codes) -> None:
    with pytest.raises(BackendError, match="There is no expression 'wink'"):
        shape_keys(bundled, codes, ["jawOpen", "wink"], "face", lambda *_: None)
