# SPDX-License-Identifier: GPL-3.0-or-later
"""A little picture of a mesh object, for the asset browser. Drawn here: Blender's own previews come
later, by a job of theirs, and not at all without a window."""

from __future__ import annotations

import bpy
import numpy as np
from mathutils import Matrix

from .mesh_io import read

SIZE = 256  # pixels
MARGIN = 0.04  # of the picture, on each side
YAW_DEGREES = -25.0  # three quarters
LIGHT = (-0.45, -0.75, 0.5)
AMBIENT = 0.2
AS_MADE = Matrix.Identity(4)
SAMPLES = 600_000  # on what faces the viewer: a dozen on each pixel, none is left out


def draw(
    obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph, pose: Matrix = AS_MADE
) -> np.ndarray:
    """Return a picture (S, S, 4) float32 of an object as it is seen, turned to look along -Y after
    the pose that was applied to its mesh is taken off; rows from the bottom, the ground
    transparent."""
    evaluated = obj.evaluated_get(depsgraph)
    mesh = evaluated.to_mesh()
    try:
        mesh.transform(_without_mirror(pose).inverted_safe())
        mesh.calc_loop_triangles()
        if not mesh.loop_triangles:
            return np.zeros((SIZE, SIZE, 4), np.float32)
        points, normals, colors = _surface(mesh)
    finally:
        evaluated.to_mesh_clear()
    return _splat(points, _lit(normals, colors))


def _without_mirror(pose: Matrix) -> Matrix:
    """Return a pose that leaves the outsides of faces outside."""
    return pose @ Matrix.Scale(-1.0, 4, (1.0, 0.0, 0.0)) if pose.is_negative else pose


def _surface(mesh: bpy.types.Mesh) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Turn the mesh and return points (N, 3) on what then faces the viewer, their normals (N, 3)
    and colours (N, 3)."""
    corners = read(mesh.loop_triangles, "vertices", 3, np.int32)
    material = read(mesh.loop_triangles, "material_index", 1, np.int32)[:, 0]
    vertices = read(mesh.vertices, "co", 3, np.float32)
    normals = read(mesh.vertices, "normal", 3, np.float32)
    turn = np.array(Matrix.Rotation(np.radians(YAW_DEGREES), 3, "Z"))
    vertices, normals = vertices @ turn.T, normals @ turn.T
    a, b, c = (vertices[corners[:, i]] for i in range(3))
    colors = _colors(mesh)[material]
    area = np.maximum(-np.cross(b - a, c - a)[:, 1], 0)  # as it is seen, along +Y
    area = np.where(colors[:, 3] > 0, area, 0).cumsum()
    rng = np.random.default_rng(0)
    owner = np.searchsorted(area, rng.random(SAMPLES) * area[-1])
    weights = rng.dirichlet((1, 1, 1), SAMPLES)
    points, normals = (
        np.einsum("sk,skc->sc", weights, of[corners[owner]]) for of in (vertices, normals)
    )
    return points, normals, colors[owner, :3]


def _colors(mesh: bpy.types.Mesh) -> np.ndarray:
    """Return the viewport colour of each material slot (M, 4), grey for an empty one."""
    grey = (0.8, 0.8, 0.8, 1.0)
    slots = [m.diffuse_color[:] if m else grey for m in mesh.materials] or [grey]
    return np.array(slots, np.float32)


def _lit(normals: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Return colours (N, 3), sRGB, in the light."""
    light = np.array(LIGHT) / np.linalg.norm(LIGHT)
    length = np.maximum(np.linalg.norm(normals, axis=1), 1e-9)
    shade = AMBIENT + (1 - AMBIENT) * np.maximum(normals @ light / length, 0)
    srgb: np.ndarray = np.clip(colors * shade[:, None], 0, 1) ** (1 / 2.2)
    return srgb


def _splat(points: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Put points (N, 3) into the picture, seen along +Y, the nearest ones on top."""
    picture = np.zeros((SIZE, SIZE, 4), np.float32)
    plan = points[:, [0, 2]]
    low, high = plan.min(0), plan.max(0)
    scale = (1 - 2 * MARGIN) * SIZE / max(float((high - low).max()), 1e-9)
    pixel = ((plan - (low + high) / 2) * scale + SIZE / 2).astype(int)
    far_to_near = np.argsort(-points[:, 1], kind="stable")
    column, row = pixel[far_to_near].T
    picture[row, column, :3] = colors[far_to_near]
    picture[row, column, 3] = 1
    return picture
