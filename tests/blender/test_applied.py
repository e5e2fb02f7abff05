# SPDX-License-Identifier: GPL-3.0-or-later
"""What was applied to a mesh is told from what was sculpted, whatever that is."""

import bpy
import numpy as np
import pytest
from mathutils import Matrix

from imface_blender import applied

HEAD = np.random.default_rng(0).normal(size=(2000, 3)).astype(np.float32) * (0.05, 0.06, 0.08)


def turned(points, angle):
    return points @ np.array(Matrix.Rotation(angle, 3, "X")).T


def opened(head):
    """Turn what is below by up to 17 degrees, as a jaw."""
    amount = np.clip(-head[:, 2:] / 0.05, 0, 1)
    return head + amount * (turned(head, 0.3) - head)


def stylised(head):
    amount = np.clip((head[:, 2:] - 0.01) / 0.05, 0, 1)
    return head * (1 + 0.5 * amount)


CHANGES = {"none": lambda head: head, "opened": opened, "stylised": stylised}


@pytest.fixture
def mesh():
    mesh = bpy.data.meshes.new("Head")
    mesh.from_pydata(HEAD.tolist(), [], [])
    applied.remember(mesh, HEAD)
    return mesh


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_face_is_no_transform(mesh, change):
    found = applied.read(mesh, CHANGES[change](HEAD))
    np.testing.assert_array_equal(found.linear, np.eye(3))
    np.testing.assert_array_equal(found.shift, np.zeros(3))


@pytest.mark.parametrize("change", CHANGES)
def test_a_transform_is_found_whatever_else_was_changed(mesh, change):
    shown = 40 * turned(CHANGES[change](HEAD), 1.5) + (1, 2, 3)
    found = applied.read(mesh, shown)
    np.testing.assert_allclose(found.linear / 40, turned(np.eye(3), 1.5), atol=0.01)
    np.testing.assert_allclose(found.shift, (1, 2, 3), atol=0.1)
    np.testing.assert_allclose(found.take_off(found.put_on(HEAD)), HEAD, atol=1e-6)
    matrix = np.array(found.matrix())
    np.testing.assert_allclose(
        HEAD @ matrix[:3, :3].T + matrix[:3, 3], found.put_on(HEAD), atol=1e-5
    )


def test_what_is_remembered_stays_until_another_is_applied(mesh):
    first = turned(HEAD, 1.5)
    applied.remember(mesh, first, applied.read(mesh, first))
    known = applied.read(mesh, first)
    np.testing.assert_allclose(known.linear, turned(np.eye(3), 1.5), atol=1e-4)
    opened_since = applied.read(mesh, turned(opened(HEAD), 1.5))
    np.testing.assert_array_equal(opened_since.linear, known.linear)
    assert np.abs(applied.read(mesh, 2 * first).linear - 2 * known.linear).max() < 1e-4
    np.testing.assert_array_equal(applied.read(mesh, HEAD).linear, np.eye(3))


def test_proportions_are_no_pose(mesh):
    stretched = applied.read(mesh, turned(HEAD * (1.5, 1, 1), 1.5)).pose()
    np.testing.assert_allclose(stretched.linear, turned(np.eye(3), 1.5), atol=1e-4)
    wide = applied.read(mesh, HEAD * (1.5, 1, 1))
    np.testing.assert_array_equal(wide.pose().linear, np.eye(3))


def test_nothing_is_known_of_a_mesh_with_other_vertices(mesh):
    assert applied.read(mesh, 10 * HEAD[:-1]) is applied.NOTHING
