# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender meshes to the backend's arrays and back: the one place for axes and units.

The backend has +X to the image's right, +Y up, +Z out of the face, and faces in millimetres.
Blender has +Z up, a face looks along -Y, and a face's mesh is in metres.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import bpy
import numpy as np
from mathutils import Matrix

from . import fit_error, scan_colors
from .errors import UserError
from .materials import material_for, textured_skin
from .wire import Arrays

MM_PER_METRE = 1000.0
MIN_POINTS = 2000  # of a scan without faces
UV_LAYER = "UVMap"
NOT_A_MESH = (
    "The worker's answer is not a mesh that Blender can show. "
    "Reinstall the add-on so that all its parts have the same version."
)


def blender_from_backend(points: np.ndarray) -> np.ndarray:
    """Turn backend axes (..., 3) into Blender axes (..., 3); the unit stays."""
    return np.stack([points[..., 0], -points[..., 2], points[..., 1]], axis=-1)


def backend_from_blender(points: np.ndarray) -> np.ndarray:
    """Turn Blender axes (..., 3) into backend axes (..., 3); the unit stays."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], axis=-1)


def metres_from_mm(points_mm: np.ndarray) -> np.ndarray:
    """Turn face space [mm] (..., 3) into a face's mesh coordinates [m] (..., 3) float32."""
    return (blender_from_backend(points_mm) / MM_PER_METRE).astype(np.float32)


def place_from_pose(pose: Any) -> Matrix:
    """Return the `matrix_world` that puts a face's mesh where its scan stands.

    Parameters
    ----------
    pose : array_like
        (4, 4) similarity from face space [mm] to scan space.

    Raises
    ------
    UserError
        When the pose is no finite (4, 4) matrix.
    """
    matrix = np.asarray(pose, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise UserError(NOT_A_MESH)
    turn = np.eye(4)
    turn[:3, :3] = blender_from_backend(np.eye(3)).T
    mm = np.diag([MM_PER_METRE, MM_PER_METRE, MM_PER_METRE, 1.0])
    return Matrix((turn @ matrix @ turn.T @ mm).tolist())


def scan_arrays(scan: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> Arrays:
    """Read a scan as it is seen: with modifiers and its place in the world.

    Returns
    -------
    dict
        `vertices` (V, 3) float64 in backend axes and the scene's unit, `triangles` (F, 3) int32,
        and its colours, see `scan_colors.read`.

    Raises
    ------
    UserError
        When the mesh has neither faces nor many points, or coordinates that are not finite numbers.
    """
    evaluated = scan.evaluated_get(depsgraph)
    mesh = evaluated.to_mesh()
    try:
        mesh.calc_loop_triangles()
        local = read(mesh.vertices, "co", 3, np.float32).astype(np.float64)
        triangles = read(mesh.loop_triangles, "vertices", 3, np.int32)
        colours = scan_colors.read(evaluated, mesh)
    finally:
        evaluated.to_mesh_clear()
    if len(local) == 0 and any(modifier.type == "NODES" for modifier in scan.modifiers):
        raise UserError(
            "'{scan}' is no mesh behind its geometry nodes. Add Realize Instances or Points to "
            "Vertices to them, or switch them off.",
            scan=scan.name,
        )
    if len(triangles) == 0 and len(local) < MIN_POINTS:
        raise UserError(
            "'{scan}' has no faces. Select a mesh with at least 500 faces, or at least {points} "
            "points.",
            scan=scan.name,
            points=MIN_POINTS,
        )
    if not np.isfinite(local).all():
        raise UserError(
            "'{scan}' has vertices whose coordinates are not numbers (NaN or infinite). "
            "Delete them, or import the scan again.",
            scan=scan.name,
        )
    place = np.array(evaluated.matrix_world, dtype=np.float64)
    world = local @ place[:3, :3].T + place[:3, 3]
    if np.linalg.det(place[:3, :3]) < 0:  # a mirrored object shows its faces from the other side
        triangles = np.ascontiguousarray(triangles[:, ::-1])
        colours = {
            name: np.ascontiguousarray(array[:, ::-1]) if name.startswith("corner") else array
            for name, array in colours.items()
        }
    return {"vertices": backend_from_blender(world), "triangles": triangles} | colours


def mesh_of(obj: bpy.types.Object) -> bpy.types.Mesh:
    """Return the mesh of an object that is known to be one."""
    return cast(bpy.types.Mesh, obj.data)


def read_points(data: Any) -> np.ndarray:
    """Read `co` of vertices or shape-key points as (V, 3) float32."""
    return read(data, "co", 3, np.float32)


def write_points(data: Any, points: np.ndarray) -> None:
    """Write (V, 3) coordinates to `co` of vertices or shape-key points."""
    data.foreach_set("co", np.ascontiguousarray(points, dtype=np.float32).ravel())


def read_basis(mesh: bpy.types.Mesh) -> np.ndarray:
    """Read a mesh's coordinates (V, 3) without any shape key."""
    keys = mesh.shape_keys
    return read_points(mesh.vertices if keys is None else keys.reference_key.data)


def read_positions(mesh: bpy.types.Mesh) -> np.ndarray:
    """Read a mesh's coordinates as (V, 3) float32, hundreds of times faster than `read_points`."""
    return read(_positions(mesh), "vector", 3, np.float32)


def write_positions(mesh: bpy.types.Mesh, points: np.ndarray) -> None:
    """Write a mesh's coordinates (V, 3)."""
    _positions(mesh).foreach_set("vector", np.ascontiguousarray(points, dtype=np.float32).ravel())


def _positions(mesh: bpy.types.Mesh) -> Any:
    return cast(bpy.types.FloatVectorAttribute, mesh.attributes["position"]).data


def read(data: Any, attribute: str, width: int, dtype: type) -> np.ndarray:
    """Read a collection's attribute of so many numbers per element as (N, width)."""
    values: np.ndarray = np.empty(len(data) * width, dtype=dtype)
    data.foreach_get(attribute, values)
    return values.reshape(-1, width)


@dataclass(frozen=True)
class FaceMesh:
    """A checked mesh answer of the worker, in Blender's axes and metres.

    V vertices, F polygons of S corners in all, corner arrays in polygon order.
    """

    vertices: np.ndarray  # (V, 3) float32 [m]
    corners: np.ndarray  # (S,) int32 vertex of each corner
    starts: np.ndarray  # (F,) int32 first corner of each polygon
    corner_uv: np.ndarray | None = None  # (S, 2) float32
    material_index: np.ndarray | None = None  # (F,) int32
    materials: list[str] = field(default_factory=list)
    error_mm: np.ndarray | None = None  # (V,) float32 distance to the scan; -1: not shown there
    texture: np.ndarray | None = None  # (H, W, 3) uint8 of the skin, square tiles side by side
    groups: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    # name -> (N,) int32 vertices, (N,) float32 weights

    @classmethod
    def from_answer(cls, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> FaceMesh:
        """Check and convert a worker's answer; UserError when it is not a mesh."""
        try:
            vertices = metres_from_mm(arrays["vertices_mm"])
            polygons = np.asarray(arrays["polygons"], dtype=np.int32)
            used = polygons >= 0
            corners = polygons[used]
            sizes = used.sum(axis=1)
            corner_uv = None
            if "uv" in arrays:
                corner_uv = np.asarray(arrays["uv"], np.float32)[arrays["uv_polygons"][used]]
            materials = [str(name) for name in values.get("materials", [])]
            index = np.asarray(arrays["material_index"], np.int32) if materials else None
            error_mm = np.asarray(arrays["error_mm"], np.float32) if "error_mm" in arrays else None
            texture = np.asarray(arrays["texture"], np.uint8) if "texture" in arrays else None
            groups = _groups(values.get("groups", []), arrays)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise UserError(NOT_A_MESH) from error
        starts = (np.cumsum(sizes) - sizes).astype(np.int32)
        mesh = cls(
            vertices, corners, starts, corner_uv, index, materials, error_mm, texture, groups
        )
        if not (used[:, :3].all() and mesh._is_sound()):
            raise UserError(NOT_A_MESH)
        return mesh

    def _is_sound(self) -> bool:
        """Blender trusts these numbers and crashes on wrong ones, so look at them first."""
        if self.vertices.ndim != 2 or len(self.starts) == 0:
            return False
        index, groups = self.material_index, self.groups.values()
        return bool(
            np.isfinite(self.vertices).all()
            and self.corners.max() < len(self.vertices)
            and (self.corner_uv is None or self.corner_uv.shape[1] == 2)
            and (self.error_mm is None or self.error_mm.shape == self.vertices.shape[:1])
            and (self.texture is None or (self.texture.ndim, self.texture.shape[-1]) == (3, 3))
            and (index is None or _in_range(index, len(self.starts), len(self.materials)))
            and all(_in_range(rows, len(weights), len(self.vertices)) for rows, weights in groups)
        )

    def to_blender(self, name: str) -> bpy.types.Mesh:
        """Make the mesh datablock: smooth, as Blender has it from the start, with UVs and materials
        where there are any."""
        mesh = bpy.data.meshes.new(name)
        mesh.vertices.add(len(self.vertices))
        mesh.loops.add(len(self.corners))
        mesh.polygons.add(len(self.starts))
        write_points(mesh.vertices, self.vertices)
        mesh.loops.foreach_set("vertex_index", self.corners)
        mesh.polygons.foreach_set("loop_start", self.starts)
        for material in self.materials:
            textured = material == "Skin" and self.texture is not None
            mesh.materials.append(
                textured_skin(name, self.texture) if textured else material_for(material)
            )
        if self.material_index is not None:
            mesh.polygons.foreach_set("material_index", self.material_index)
        if self.corner_uv is not None:
            layer = mesh.uv_layers.new(name=UV_LAYER)
            layer.uv.foreach_set("vector", self.corner_uv.ravel())
        if self.error_mm is not None:
            fit_error.write(mesh, self.error_mm)
        mesh.update(calc_edges=True)
        mesh.validate()
        return mesh

    def add_groups(self, obj: bpy.types.Object) -> None:
        """Give the mesh's object its vertex groups."""
        for name, (rows, weights) in self.groups.items():
            group = obj.vertex_groups.new(name=name)
            for weight in np.unique(weights):
                group.add(rows[weights == weight].tolist(), float(weight), "REPLACE")


def _groups(
    names: list[Any], arrays: Mapping[str, np.ndarray]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    if not names:
        return {}
    ends = np.cumsum(arrays["group_sizes"])[:-1]
    rows = np.split(np.asarray(arrays["group_vertices"], np.int32), ends)
    weights = np.split(np.asarray(arrays["group_weights"], np.float32), ends)
    pairs = zip(rows, weights, strict=True)
    return {str(name): pair for name, pair in zip(names, pairs, strict=True)}


def _in_range(index: np.ndarray, count: int, limit: int) -> bool:
    return index.shape == (count,) and bool(index.min() >= 0) and bool(index.max() < limit)
