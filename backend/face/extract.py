# SPDX-License-Identifier: GPL-3.0-or-later
"""The zero level set as a mesh: coarse-to-fine marching cubes inside the model's ball."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from skimage.measure import marching_cubes

from ..errors import BackendError
from ..mesh import Mesh
from ..model.imface import Face, query_sdf

#: sdf at points (N, 3) in model space, as (N,) float32.
SdfFunction = Callable[[np.ndarray], np.ndarray]

#: Of a cell; and where the eight halves of a block begin.
CORNERS = np.array(list(np.ndindex(2, 2, 2)))


@dataclass(frozen=True)
class ExtractConfig:
    """How the surface is meshed; a resolution out of range raises BackendError."""

    resolution: int = 256  #: grid points per axis over [-1, 1]
    slope: float = 1.0  #: of the field where a piece of the surface is looked for
    coarsest: int = 16  #: cells per side of the first blocks; pieces of a quarter of it are found

    def __post_init__(self) -> None:
        if not 16 <= self.resolution <= 512:
            raise BackendError(
                "The resolution {resolution} is out of range. Choose 16 to 512, usually 256.",
                resolution=self.resolution,
            )


def face_sdf(face: Face, device: torch.device) -> SdfFunction:
    """Return a face's signed distance as a function of NumPy points."""

    def sdf(points: np.ndarray) -> np.ndarray:
        on_device = torch.from_numpy(np.ascontiguousarray(points, np.float32)).to(device)
        return query_sdf(face, on_device).cpu().numpy()

    return sdf


def extract_mesh(sdf: SdfFunction, config: ExtractConfig = ExtractConfig()) -> Mesh:
    """Return the largest piece of what ``extract_all_pieces`` finds."""
    return largest_component(extract_all_pieces(sdf, config))


def extract_all_pieces(sdf: SdfFunction, config: ExtractConfig = ExtractConfig()) -> Mesh:
    """Mesh the zero level set inside the unit ball.

    A piece is found where it passes by the middle of a block of cells, and followed from there
    from cell to cell: hardly any of the grid is evaluated that is not beside the surface, 1.5 % at
    resolution 256.

    Returns
    -------
    Mesh
        Triangles in model space, normals towards + (out of the face), cut at the ball.

    Raises
    ------
    BackendError
        If there is no surface in the ball.
    """
    known = GridValues(sdf, config.resolution)
    return mesh_cells(known, surface_cells(known, config), config.resolution)


class GridValues:
    """The field at grid points, each evaluated once."""

    def __init__(self, sdf: SdfFunction, resolution: int) -> None:
        self._sdf = sdf
        self._spacing = 2 / (resolution - 1)
        self._values = np.full((resolution,) * 3, np.nan, np.float32)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Return the values (N,) at grid points (N, 3) int."""
        at = np.ravel_multi_index(tuple(points.T), self._values.shape)
        values = self._values.reshape(-1)
        fresh = np.unique(at[np.isnan(values[at])])
        if len(fresh):
            wanted = np.stack(np.unravel_index(fresh, self._values.shape), axis=1)
            values[fresh] = self._sdf(wanted * self._spacing - 1)
        return values[at]


def mesh_cells(known: GridValues, cells: np.ndarray, resolution: int) -> Mesh:
    """Run marching cubes over the given cells (N, 3) of the grid and cut at the ball; some vertices
    are in no triangle."""
    if len(cells) == 0:
        raise no_surface()
    low, high = cells.min(0), cells.max(0) + 2
    corner = np.zeros(high - low, bool)
    active = np.zeros(high - low, bool)
    local = cells - low
    for offset in CORNERS:
        corner[tuple((local + offset).T)] = True
    # scikit-image computes the cube below the masked grid point.
    active[tuple((local + 1).T)] = True
    spacing = 2 / (resolution - 1)
    volume = np.ones(corner.shape, np.float32)
    volume[corner] = known(np.argwhere(corner) + low)
    if not (volume[corner].min() < 0 < volume[corner].max()):
        raise no_surface()
    vertices, triangles, _, _ = marching_cubes(
        volume, 0.0, mask=active, gradient_direction="descent"
    )
    vertices = (vertices + low) * spacing - 1
    vertices, triangles = clip(vertices, triangles, 1 - np.linalg.norm(vertices, axis=1))
    return Mesh(vertices, triangles)


def no_surface() -> BackendError:
    """Return the error of a field that is zero nowhere in the ball."""
    return BackendError("The field has no surface. Choose other codes or other weights.")


def surface_cells(known: GridValues, config: ExtractConfig) -> np.ndarray:
    """Return every cell (N, 3) of the grid that the surface cuts."""
    last = config.resolution - 1
    cells = (_beside_surface(known, config)[:, None] - CORNERS).reshape(-1, 3)
    seen, cut = np.zeros((last,) * 3, bool), [np.zeros((0, 3), int)]
    while len(cells):
        cells = cells[((cells >= 0) & (cells < last)).all(1)]
        cells = cells[_reach_the_ball(cells + 0.5, 1, config)]
        key = np.ravel_multi_index(tuple(cells.T), seen.shape)
        key = np.unique(key[~seen.flat[key]])
        seen.flat[key] = True
        cells = np.stack(np.unravel_index(key, seen.shape), axis=1)
        behind = known((cells[:, None] + CORNERS).reshape(-1, 3)).reshape(-1, 2, 2, 2) < 0
        cut.append(cells[_is_cut(behind)])
        # What is cut in a face goes on in the cell beyond it.
        cells = np.concatenate(
            [
                cells[_is_cut(np.take(behind, side, 1 + axis))] + (2 * side - 1) * unit
                for axis, unit in enumerate(np.eye(3, dtype=int))
                for side in (0, 1)
            ]
        )
    return np.concatenate(cut)


def _beside_surface(known: GridValues, config: ExtractConfig) -> np.ndarray:
    """Return points (N, 3) of the grid within a cell of the surface: some of each piece that does
    not slip between the middles of the smallest blocks."""
    side = np.arange(0, config.resolution - 1, config.coarsest)
    blocks = np.stack(np.meshgrid(side, side, side, indexing="ij"), axis=-1).reshape(-1, 3)
    spacing, size = 2 / (config.resolution - 1), config.coarsest
    while True:
        centers = np.minimum(blocks + size // 2, config.resolution - 1)
        near = _reach_the_ball(centers, size, config)
        blocks, centers = blocks[near], centers[near]
        distance = np.abs(known(centers)) / (config.slope * spacing)
        if 4 * size <= config.coarsest:
            return centers[distance <= 1]
        blocks = blocks[distance <= size * np.sqrt(3) / 2]
        size //= 2
        blocks = (blocks[:, None] + CORNERS * size).reshape(-1, 3)
        blocks = blocks[(blocks < config.resolution - 1).all(1)]


def _reach_the_ball(centers: np.ndarray, size: int, config: ExtractConfig) -> np.ndarray:
    """Tell which blocks of so many cells per side may touch the unit ball, by their centres (N, 3)
    on the grid."""
    spacing = 2 / (config.resolution - 1)
    return np.linalg.norm(centers * spacing - 1, axis=1) <= 1 + spacing * size * np.sqrt(3) / 2


def _is_cut(behind: np.ndarray) -> np.ndarray:
    """Tell of which of N sets of points (N, ...) some are behind the surface, and some are not."""
    corners = tuple(range(1, behind.ndim))
    cut: np.ndarray = behind.any(corners) & ~behind.all(corners)
    return cut


def clip(
    vertices: np.ndarray, triangles: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cut a mesh where ``values`` (V,), linear over each triangle, is 0; keep the part >= 0."""
    inside = values[triangles] >= 0
    count = inside.sum(1)
    whole = triangles[count == 3]
    one = _rotated(triangles[count == 1], inside[count == 1], True)
    two = _rotated(triangles[count == 2], inside[count == 2], False)
    cut_edges = np.concatenate([one[:, [0, 1]], one[:, [0, 2]], two[:, [0, 1]], two[:, [0, 2]]])
    edges, inverse = np.unique(np.sort(cut_edges, axis=1), axis=0, return_inverse=True)
    inverse = inverse.reshape(-1) + len(vertices)
    a, b = values[edges[:, 0]], values[edges[:, 1]]
    share = (a / np.where(a == b, 1, a - b))[:, None]
    new = vertices[edges[:, 0]] * (1 - share) + vertices[edges[:, 1]] * share
    n, m = len(one), len(two)
    e1, e2, e3, e4 = np.split(inverse, np.cumsum([n, n, m]))
    pieces = [
        whole,
        np.stack([one[:, 0], e1, e2], axis=1),
        np.stack([two[:, 1], two[:, 2], e3], axis=1),
        np.stack([two[:, 2], e4, e3], axis=1),
    ]
    return np.concatenate([vertices, new]), np.concatenate(pieces)


def _rotated(triangles: np.ndarray, inside: np.ndarray, odd: bool) -> np.ndarray:
    """Rotate each triangle so that the one corner whose state is ``odd`` comes first."""
    first = (inside == odd).argmax(1)
    order = (first[:, None] + np.arange(3)) % 3
    return np.take_along_axis(triangles, order, axis=1)


def largest_component(mesh: Mesh) -> Mesh:
    """Keep the connected piece with the most polygons, all of as many corners, and only the
    vertices it uses."""
    polygons = mesh.polygons
    before, after = polygons[:, :-1].ravel(), polygons[:, 1:].ravel()
    graph = coo_matrix((np.ones(len(before), bool), (before, after)), (len(mesh.vertices),) * 2)
    _, label = connected_components(graph, directed=False)
    of_polygon = label[polygons[:, 0]]
    keep = of_polygon == np.bincount(of_polygon).argmax()
    used, inverse = np.unique(polygons[keep], return_inverse=True)
    return Mesh(mesh.vertices[used], inverse.reshape(-1, polygons.shape[1]))
