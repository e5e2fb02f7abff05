# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes to a face's mesh comes by the numbers of its vertices: they have to be as made."""

import bpy
import numpy as np
import pytest

from imface_blender import faces
from imface_blender.errors import UserError

SENTENCE = "The vertices of '.*' are in another order than its codes give"


@pytest.fixture
def head(points):
    """Return a mesh of two parts, an eye before a cheek, and its vertices as made."""
    bpy.ops.mesh.primitive_uv_sphere_add(segments=16, ring_count=16, radius=0.2)
    eye = bpy.context.object
    bpy.ops.mesh.primitive_uv_sphere_add(segments=32, ring_count=32, location=(0, 0, 2))
    eye.select_set(True)
    bpy.context.view_layer.objects.active = eye
    bpy.ops.object.join()
    return eye, points(eye.data.vertices)


def edit(operator, **choices):
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="SELECT")
    operator(**choices)
    bpy.ops.object.mode_set(mode="OBJECT")


def separate_and_join():
    edit(bpy.ops.mesh.separate, type="LOOSE")
    parts = sorted(bpy.context.selected_objects, key=lambda obj: -len(obj.data.vertices))
    bpy.context.view_layer.objects.active = parts[0]
    bpy.ops.object.join()


def sort():
    edit(bpy.ops.mesh.sort_elements, type="RANDOMIZE", elements={"VERT"})


@pytest.mark.parametrize("change", [separate_and_join, sort])
def test_another_order_is_refused(head, change):
    _, made = head
    change()
    face = bpy.context.object
    with pytest.raises(UserError, match=SENTENCE):
        faces.check_vertices(face, 1000 * made)  # in millimetres


def test_a_few_vertices_in_another_order_are_refused(head):
    face, made = head
    made[[0, 1, 2, 3]], made[[-1, -2, -3, -4]] = made[[-1, -2, -3, -4]], made[[0, 1, 2, 3]]
    with pytest.raises(UserError, match=SENTENCE):
        faces.check_vertices(face, made)


def turned_and_stretched(head):
    bpy.context.object.rotation_euler = (1, 2, 3)
    bpy.context.object.scale = (40, 50, 60)
    bpy.context.view_layer.update()
    bpy.ops.object.transform_apply(location=True, rotation=True, scale=True)


def sculpted(head):
    face, made = head
    pulled = made * (1 + 0.5 * np.clip(made[:, 2:] - 2, 0, 1)) ** 2
    face.data.vertices.foreach_set("co", pulled.astype(np.float32).ravel())
    face.data.update()


def joined_by_long_edges(head):
    face, made = head
    face.data.edges.add(100)
    first, second = np.arange(100), len(made) - 1 - np.arange(100)
    for edge, ends in zip(face.data.edges[-100:], zip(first, second, strict=True), strict=True):
        edge.vertices = [int(end) for end in ends]


def joined_by_long_edges_and_pulled_in(head):
    joined_by_long_edges(head)
    face, made = head
    face.data.vertices.foreach_set("co", (made * (1, 1, 0.8)).astype(np.float32).ravel())


def sewn_by_one_edge(head):
    face, made = head
    face.data.edges.add(1)
    face.data.edges[-1].vertices = (0, len(made) - 1)
    face.data.vertices[0].co = made[-1]


def shrunk_to_a_point(head):
    face, made = head
    shrunk = made.copy()
    shrunk[: len(made) // 4] = made[0]
    face.data.vertices.foreach_set("co", shrunk.ravel())


@pytest.mark.parametrize(
    "change",
    [
        turned_and_stretched,
        sculpted,
        joined_by_long_edges,
        joined_by_long_edges_and_pulled_in,
        sewn_by_one_edge,
        shrunk_to_a_point,
    ],
)
def test_a_changed_shape_is_none(head, change):
    change(head)
    faces.check_vertices(head[0], head[1])


@pytest.mark.parametrize(
    ("operator", "choices"),
    [
        ("set_sliders", {"values": "noseLength=1"}),
        ("add_expressions", {}),
        ("blend_key", {}),
        ("edit_shape", {}),
    ],
)
def test_nothing_comes_to_a_face_in_another_order(
    make_face, monkeypatch, points, operator, choices
):
    other, face = make_face(seed=91), make_face(seed=92)
    if operator == "set_sliders":
        bpy.ops.imface.edit_shape()
    other.select_set(operator == "blend_key")
    before = points(face.data.vertices)
    monkeypatch.setattr(faces, "_has_other_order", lambda *_: True)
    with pytest.raises(RuntimeError, match=SENTENCE):
        getattr(bpy.ops.imface, operator)(**choices)
    assert (points(face.data.vertices) == before).all()
    assert face.data.shape_keys is None
