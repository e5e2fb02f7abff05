# SPDX-License-Identifier: GPL-3.0-or-later
"""A scan's colours, carried onto another mesh's UV map."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import trimesh
from scipy.ndimage import distance_transform_edt, map_coordinates
from scipy.spatial import cKDTree

from ..mesh import Mesh, triangle_normals, triangulate
from .sampling import NearestTriangle
from .watertight import covered_pixels

#: Colours (N, 3), 0 to 255, at points of a surface: its triangles (N,) and barycentric (N, 3).
Colors = Callable[[np.ndarray, np.ndarray], np.ndarray]
#: A triangle with less than this share of the mean area has none.
_NO_AREA = 1e-9


@dataclass(frozen=True)
class CornerColors:
    """Colours (T, 3, 3), 0 to 255, of the corners of a scan's triangles."""

    corners: np.ndarray

    def __call__(self, triangle: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
        """Return the colours (N, 3) at points of the surface."""
        colors: np.ndarray = np.einsum("nk,nkc->nc", barycentric, self.corners[triangle])
        return colors


@dataclass(frozen=True)
class ImageColors:
    """An image (H, W, 3) uint8, its first row at the top, at the UVs (T, 3, 2) of corners."""

    uv: np.ndarray
    image: np.ndarray

    def __call__(self, triangle: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
        """Return the colours (N, 3) at points of the surface, bilinear."""
        height, width, _ = self.image.shape
        u, v = np.einsum("nk,nkc->cn", barycentric, self.uv[triangle])
        place = [(1 - v % 1) * height - 0.5, u % 1 * width - 0.5]
        channels = (self.image[..., channel] for channel in range(3))
        return np.stack(
            [map_coordinates(c, place, np.float64, order=1, mode="grid-wrap") for c in channels],
            axis=1,
        )


@dataclass(frozen=True)
class PointColors:
    """Colours (N, 3), 0 to 255, of points (N, 3), on the triangles of a surface that joins them."""

    points: np.ndarray
    colors: np.ndarray
    surface: Mesh

    def __call__(self, triangle: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
        """Return the colours (N, 3) at points of the surface, of the nearer points more."""
        corners = self.surface.vertices[self.surface.polygons[triangle]]
        at = np.einsum("nk,nkc->nc", barycentric, corners)
        distance, nearest = self._tree.query(at, 3, workers=-1)
        weight = 1 / np.maximum(distance, 1e-300)
        weight /= weight.sum(1, keepdims=True)
        colors: np.ndarray = np.einsum("nk,nkc->nc", weight, self.colors[nearest])
        return colors

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self.points)


def bake_colors(
    fitted: Mesh,
    scan: Mesh,
    colors: Colors,
    *,
    reach: float | np.ndarray,
    fade: float,
    tiles: int = 1,
    size: int = 1024,
) -> np.ndarray:
    """Paint a mesh's UV map with the colours of the nearest points of a scan.

    Parameters
    ----------
    fitted : Mesh
        With UVs; in the scan's space.
    scan : Mesh
        Triangles.
    colors : Colors
        Of the scan's triangles.
    reach : float or ndarray (V,)
        Where the scan is farther away than this, it does not show what is there.
    fade : float
        Beyond that, its colours fade into their median over so much more, so that they do the
        same on both sides of a seam of the UV map.
    tiles : int
        Unit squares of UV space, side by side, that the picture shows.
    size : int
        Pixels of a tile's side.

    Returns
    -------
    ndarray (size, tiles * size, 3) uint8
        First row at the top. Between the parts of the UV map, the nearest colour; black if the
        scan shows nothing.
    """
    image, beyond = _nearest_colors(fitted, scan, colors, reach, (size, tiles * size))
    if not (beyond < 0).any():
        return np.zeros(image.shape, np.uint8)
    share = np.exp(-np.maximum(beyond, 0) / fade)[..., None]
    image = share * image + (1 - share) * np.median(image[beyond < 0], axis=0)
    row, column = distance_transform_edt(
        np.isinf(beyond), return_distances=False, return_indices=True
    )
    return np.clip(np.round(image[row, column]), 0, 255).astype(np.uint8)


def _nearest_colors(
    fitted: Mesh,
    scan: Mesh,
    colors: Colors,
    reach: float | np.ndarray,
    shape: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture (H, W, 3), first row at the top, of the scan's nearest colours, and how much
    farther than the reach the scan is from each pixel (H, W); infinite between the parts of the UV
    map."""
    assert fitted.uv is not None
    assert fitted.uv_polygons is not None
    height, width = shape
    triangles, uv_triangles = fitted.triangles, triangulate(fitted.uv_polygons)
    _, areas = triangle_normals(scan.vertices, scan.triangles)
    solid = np.flatnonzero(areas > _NO_AREA * areas.mean())  # on others a point has no coordinates
    nearest = NearestTriangle(Mesh(scan.vertices, scan.triangles[solid]))
    corners_of_scan = scan.vertices[scan.triangles[solid]]
    reach = np.broadcast_to(reach, len(fitted.vertices))
    image, beyond = np.zeros((*shape, 3)), np.full(shape, np.inf)
    for owner, x, y, barycentric in covered_pixels(
        fitted.uv[uv_triangles] * height - 0.5, width, height
    ):
        points = np.einsum("nk,nkc->nc", barycentric, fitted.vertices[triangles[owner]])
        triangle, closest, distance = nearest(points)
        at = trimesh.triangles.points_to_barycentric(corners_of_scan[triangle], closest)
        image[height - 1 - y, x] = colors(solid[triangle], at)
        beyond[height - 1 - y, x] = distance - (barycentric * reach[triangles[owner]]).sum(1)
    return image, beyond
