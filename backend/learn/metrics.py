# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a fitted surface is from a scan, in mm: strictly, and as the ImFace paper measures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import trimesh
from scipy.spatial import cKDTree

from ..errors import ScanError
from ..mesh import Mesh
from ..model.imface import UNIT_MM
from ..scan.align import IDENTITY, Similarity
from ..scan.compare import (
    NO_SURFACE,
    FrontSurface,
    SurfaceFigures,
    cosines,
    front_surface,
    inside,
    surface_figures,
)
from ..scan.sampling import NearestTriangle
from ..scan.watertight import PIXEL, depth_map, make_watertight

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

#: Points drawn on each surface by the paper's procedure.
PAPER_SAMPLES = 150_000
_PAPER_ICP_SAMPLES = 8000
_PAPER_ICP_ROUNDS = 60
#: Errors from here on [mm] have the heat map's last colour.
_HEAT_MM = 3.0
#: Unit vector to the light of the shaded views.
_LIGHT = np.array([0.36, 0.48, 0.8])

Figures = dict[str, float]


def mean_figures(rows: Sequence[Figures]) -> Figures:
    """Return the mean of each figure over the rows."""
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def compare_as_paper(scan: Mesh, pose: Similarity, fitted: Mesh) -> SurfaceFigures:
    """Compare a fit with the pseudo-watertight scan after rigid ICP, between sampled points.

    As ImFace's released code: truth is the preprocessed sheet, closed mouth and nostrils included;
    the fit, as far as the front sees it, is first moved onto the sheet by rigid ICP; distances are
    from each of 150,000 points to the nearest point of the other 150,000. They do not go to zero:
    two samples of one face are about 0.3 mm apart. Points between ``MEASURED_RADIUS`` and the
    ball's rim are found but do not ask. Where the front sees into a scan's cavities (empty eye
    sockets, a mouth), the sheet has steep walls that no face has, and they dominate the mean.

    Parameters
    ----------
    scan, pose, fitted
        As in ``compare_strict``.

    Raises
    ------
    ScanError
        If the scan, or the fit, has no surface in the face region.
    """
    truth = _thinned(front_surface(make_watertight(scan, pose)), seed=0)
    made, made_normals = _thinned(front_surface(fitted), seed=1)
    motion = _rigid_icp(made, truth[0])
    moved = motion.apply(made), made_normals @ motion.rotation.T
    asking, there, cosines_there = _nearest_samples(*truth, *moved)
    _, back, cosines_back = _nearest_samples(*moved, *truth)
    known = np.ones(len(back), bool)
    return surface_figures(asking, there, back, cosines_there, cosines_back, known)


def _thinned(surface: FrontSurface, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the paper's number of points (N, 3) and normals (N, 3) in the whole ball."""
    points, normals = surface.sample(2 * PAPER_SAMPLES, radius=1.0, seed=seed)
    rows = np.random.default_rng(seed).permutation(len(points))[:PAPER_SAMPLES]
    return points[rows], normals[rows]


def _rigid_icp(moving: np.ndarray, fixed: np.ndarray) -> Similarity:
    """Return the rigid motion that takes points (N, 3) onto others (M, 3)."""
    asking = moving[inside(moving)]
    asking = asking[:: max(len(asking) // _PAPER_ICP_SAMPLES, 1)]
    if len(asking) < 3:
        raise ScanError(NO_SURFACE)
    matrix, _, _ = trimesh.registration.icp(
        asking,
        fixed,
        threshold=1e-9,
        max_iterations=_PAPER_ICP_ROUNDS,
        reflection=False,
        scale=False,
    )
    return Similarity(1.0, matrix[:3, :3], matrix[:3, 3])


def _nearest_samples(
    points: np.ndarray, normals: np.ndarray, others: np.ndarray, other_normals: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the inner points (N, 3), and of each the distance (N,) and |cos| (N,) to the nearest
    other one."""
    inner = inside(points)
    distance, nearest = cKDTree(others).query(points[inner], workers=-1)
    return points[inner], distance, cosines(normals[inner], other_normals[nearest])


@dataclass(frozen=True)
class HeatPanel:
    """One row of a heat map.

    Attributes
    ----------
    title : str
    scan : Mesh
        Scan space.
    fits : mapping of str to (Similarity, Mesh)
        Per method, where it has put the scan (scan space -> model space) and its surface there.
    """

    title: str
    scan: Mesh
    fits: Mapping[str, tuple[Similarity, Mesh]]


def heat_map(path: Path, panels: Sequence[HeatPanel]) -> None:
    """Draw a row per face: the scan, then each fit and how far from it the scan is, in mm.

    Parameters
    ----------
    path : Path
        Of the picture; its extension tells the format.
    """
    # Late: the worker has no matplotlib.
    from matplotlib.figure import Figure

    columns = 1 + 2 * max(len(panel.fits) for panel in panels)
    figure = Figure(figsize=(2.6 * columns + 0.9, 2.8 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for row, panel in zip(axes, panels, strict=True):
        (pose, _), *_ = panel.fits.values()
        _draw(row[0], panel.title, _shaded(panel.scan, pose), cmap="gray")
        for column, (name, (pose, fitted)) in enumerate(panel.fits.items()):
            _draw(row[1 + 2 * column], name, _shaded(fitted, IDENTITY), cmap="gray")
            errors = _error_image(panel.scan, pose, fitted)
            heat = _draw(row[2 + 2 * column], "", errors, cmap="turbo", vmax=_HEAT_MM)
    figure.colorbar(heat, ax=axes, label="from scan to fit [mm]", extend="max", shrink=0.7)
    figure.savefig(path, dpi=100)


def contact_sheet(path: Path, faces: Sequence[Mesh], columns: int = 8) -> None:
    """Draw the front views of faces in model space, row by row, as one picture."""
    from matplotlib import image

    views = [np.flipud(_shaded(face, IDENTITY))[::2, ::2] for face in faces]
    views += [np.full_like(views[0], np.nan)] * (-len(views) % columns)
    rows = np.stack(views).reshape(-1, columns, *views[0].shape)
    sheet = np.nan_to_num(rows.transpose(0, 2, 1, 3).reshape(-1, columns * len(views[0])), nan=1)
    image.imsave(path, sheet, cmap="gray", vmin=0, vmax=1)


def _draw(axis: "Axes", title: str, image: np.ndarray, cmap: str, vmax: float = 1.0) -> "AxesImage":
    axis.set_title(title, fontsize=9)
    return axis.imshow(image, cmap=cmap, vmin=0, vmax=vmax, origin="lower", interpolation="none")


def _shaded(mesh: Mesh, pose: Similarity) -> np.ndarray:
    """Return the front view's brightness (H, W) in [0, 1], NaN where nothing is."""
    depth = depth_map(pose.apply(mesh.vertices), mesh.triangles)
    depth[np.isinf(depth)] = np.nan
    along_y, along_x = np.gradient(depth, PIXEL)
    normals = np.stack([-along_x, -along_y, np.ones_like(depth)])
    normals /= np.linalg.norm(normals, axis=0)
    return 0.1 + 0.9 * np.clip(np.tensordot(_LIGHT, normals, 1), 0, 1)


def _error_image(scan: Mesh, pose: Similarity, fitted: Mesh) -> np.ndarray:
    """Return the distance [mm] (H, W) from the scan's seen face to the fit, NaN elsewhere."""
    truth = front_surface(scan, pose)
    depth = depth_map(truth.mesh.vertices, truth.mesh.polygons)
    row, column = np.nonzero(np.isfinite(depth) & (depth == truth.depth))
    points = np.stack([(column + 0.5) * PIXEL - 1, (row + 0.5) * PIXEL - 1, depth[row, column]], 1)
    inner = inside(points)
    _, _, distance = NearestTriangle(Mesh(fitted.vertices, fitted.triangles))(points[inner])
    image = np.full(depth.shape, np.nan)
    image[row[inner], column[inner]] = distance * UNIT_MM
    return image
