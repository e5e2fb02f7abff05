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
from ..face.fit import MEASURED_RADIUS
from ..mesh import Mesh, sample_surface, triangle_normals
from ..model.imface import UNIT_MM
from ..scan.align import IDENTITY, Similarity
from ..scan.sampling import NearestTriangle
from ..scan.watertight import PIXEL, depth_map, make_watertight, visible_from_front

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

#: Points drawn on each surface for the strict figures.
STRICT_SAMPLES = 100_000
#: Points drawn on each surface by the paper's procedure.
PAPER_SAMPLES = 150_000
#: Samples by which nearest triangles are found for the strict figures; a face compared with itself
#: is 0.02 mm off on average.
_COVER = 300_000
_PAPER_ICP_SAMPLES = 8000
_PAPER_ICP_ROUNDS = 60
#: A point this near [model units] to a surface's open border lies on it.
_BORDER = 0.002
#: Errors from here on [mm] have the heat map's last colour.
_HEAT_MM = 3.0
#: Unit vector to the light of the shaded views.
_LIGHT = np.array([0.36, 0.48, 0.8])
_NO_SURFACE = (
    "No surface lies where the face should be. Check the mesh, its orientation and its pose."
)


@dataclass(frozen=True)
class SurfaceFigures:
    """How two surfaces agree over the face region.

    Attributes
    ----------
    chamfer_mm : float
        Mean of the two one-way mean distances, not squared.
    f_score_1mm : float
        Harmonic mean of precision and recall at 1 mm, in percent.
    normal_consistency : float
        Mean |cos| between the normals at nearest points, mean of both ways.
    scan_to_fit_mean_mm, scan_to_fit_p95_mm : float
        Mean and 95th percentile of the distances from the scan to the fit.
    """

    chamfer_mm: float
    f_score_1mm: float
    normal_consistency: float
    scan_to_fit_mean_mm: float
    scan_to_fit_p95_mm: float


@dataclass(frozen=True)
class FrontSurface:
    """What a viewer at +z sees of a mesh, in model space.

    Attributes
    ----------
    mesh : Mesh
        The triangles that are seen, at least in part, and reach into the ball.
    depth : ndarray (H, H)
        The z-buffer of the whole mesh, which hides what is behind it.
    """

    mesh: Mesh
    depth: np.ndarray

    def sample(
        self, count: int, radius: float = MEASURED_RADIUS, seed: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw points evenly by area; keep those that are seen and inside a radius.

        Returns
        -------
        points, normals : ndarray (N, 3)
            N is smaller than ``count``; normals are those of the triangles.

        Raises
        ------
        ScanError
            If none is left.
        """
        vertices, triangles = self.mesh.vertices, self.mesh.polygons
        points, face, _ = sample_surface(vertices, triangles, count, np.random.default_rng(seed))
        normals = triangle_normals(vertices, triangles)[0][face]
        kept = visible_from_front(points, normals, self.depth) & _inside(points, radius)
        if not kept.any():
            raise ScanError(_NO_SURFACE)
        return points[kept], normals[kept]


def front_surface(
    mesh: Mesh, pose: Similarity = IDENTITY, mask: np.ndarray | None = None
) -> FrontSurface:
    """Return what the front sees of a mesh.

    Triangles that are turned away are left out: they are the inside of a head, seen through the
    holes of eyes, mouth or a torn scan. Which side is out is what most of the seen area says.

    Parameters
    ----------
    mesh : Mesh
        Any space and unit.
    pose : Similarity
        That space -> model space.
    mask : ndarray (T,) bool, optional
        The triangles (``mesh.triangles``) that count; the others still hide what is behind them.

    Raises
    ------
    ScanError
        If there is none in the ball.
    """
    vertices, triangles = pose.apply(mesh.vertices), mesh.triangles
    depth = depth_map(vertices, triangles)
    corners = vertices[triangles]
    normals, areas = triangle_normals(vertices, triangles)
    probes = np.concatenate([corners, corners.mean(1, keepdims=True)], axis=1)
    seen = visible_from_front(probes.reshape(-1, 3), np.repeat(normals, 4, axis=0), depth)
    seen = seen.reshape(-1, 4).any(1) & (np.linalg.norm(corners, axis=2).min(1) < 1)
    outward = normals[:, 2] * np.sign((areas * normals[:, 2])[seen].sum())
    kept = seen & (outward > 0) & (areas > 0)
    if mask is not None:
        kept &= mask
    if not kept.any():
        raise ScanError(_NO_SURFACE)
    return FrontSurface(Mesh(vertices, triangles[kept]), depth)


def compare_strict(
    scan: Mesh, pose: Similarity, fitted: Mesh, mask: np.ndarray | None = None
) -> SurfaceFigures:
    """Compare a fit with the original scan: no ICP, nothing closed or smoothed.

    Truth is the scan's own surface inside ``MEASURED_RADIUS``, as far as the front sees it;
    distances are from points to triangles. A point of the fit counts if the front sees it and if
    the nearest point of the scan's visible surface is not on the open border of that: where the
    scan ends, has a hole (an open mouth, an eye socket, a nostril) or goes out of sight, nothing is
    known of the fit. Each such point is left out, however far away it is. Of raw scans with hair
    and clothes use ``scan_to_fit_*`` alone.

    Parameters
    ----------
    scan : Mesh
        Scan space.
    pose : Similarity
        Scan space -> model space. Millimetres are the model's: a scale that is 1 % too small
        makes every distance 1 % smaller.
    fitted : Mesh
        Model space.
    mask : ndarray (T,) bool, optional
        The triangles (``scan.triangles``) that are truth; the others only hide.

    Raises
    ------
    ScanError
        If the scan, or the fit, has no surface in the face region.
    """
    truth, made = front_surface(scan, pose, mask), front_surface(fitted)
    fit_triangles = NearestTriangle(Mesh(fitted.vertices, fitted.triangles), _COVER)
    scan_triangles = NearestTriangle(truth.mesh, _COVER)
    points, normals = truth.sample(STRICT_SAMPLES)
    face, _, there = fit_triangles(points)
    cosines_there = _cosines(normals, fit_triangles.normals[face])
    points, normals = made.sample(STRICT_SAMPLES)
    face, closest, back = scan_triangles(points)
    known = ~_on_border(truth.mesh, closest)
    if not known.any():
        raise ScanError(_NO_SURFACE)
    cosines_back = _cosines(normals, scan_triangles.normals[face])
    return _figures(there, back[known], cosines_there, cosines_back[known])


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
    there, cosines_there = _nearest_samples(*truth, *moved)
    back, cosines_back = _nearest_samples(*moved, *truth)
    return _figures(there, back, cosines_there, cosines_back)


def _thinned(surface: FrontSurface, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the paper's number of points (N, 3) and normals (N, 3) in the whole ball."""
    points, normals = surface.sample(2 * PAPER_SAMPLES, radius=1.0, seed=seed)
    rows = np.random.default_rng(seed).permutation(len(points))[:PAPER_SAMPLES]
    return points[rows], normals[rows]


def _rigid_icp(moving: np.ndarray, fixed: np.ndarray) -> Similarity:
    """Return the rigid motion that takes points (N, 3) onto others (M, 3)."""
    asking = moving[_inside(moving)]
    asking = asking[:: max(len(asking) // _PAPER_ICP_SAMPLES, 1)]
    if len(asking) < 3:
        raise ScanError(_NO_SURFACE)
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
) -> tuple[np.ndarray, np.ndarray]:
    """Return distance (N,) and |cos| (N,) from each inner point to the nearest other one."""
    inner = _inside(points)
    distance, nearest = cKDTree(others).query(points[inner], workers=-1)
    return distance, _cosines(normals[inner], other_normals[nearest])


def _figures(
    there: np.ndarray, back: np.ndarray, cosines_there: np.ndarray, cosines_back: np.ndarray
) -> SurfaceFigures:
    there, back = there * UNIT_MM, back * UNIT_MM
    recall, precision = (there < 1).mean(), (back < 1).mean()
    return SurfaceFigures(
        chamfer_mm=float((there.mean() + back.mean()) / 2),
        f_score_1mm=float(200 * precision * recall / max(precision + recall, 1e-12)),
        normal_consistency=float((cosines_there.mean() + cosines_back.mean()) / 2),
        scan_to_fit_mean_mm=float(there.mean()),
        scan_to_fit_p95_mm=float(np.percentile(there, 95)),
    )


def in_face_region(vertices: np.ndarray) -> np.ndarray:
    """Tell which vertices (V, 3) of a head in model space are measured: not its back."""
    return _inside(vertices) & (vertices[:, 2] > 0)


def _inside(points: np.ndarray, radius: float = MEASURED_RADIUS) -> np.ndarray:
    return np.linalg.norm(points, axis=1) < radius


def _cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs((a * b).sum(1))


def _on_border(mesh: Mesh, points: np.ndarray) -> np.ndarray:
    """Tell which points (N, 3) of a mesh's surface lie on the edges of one triangle only."""
    triangles = mesh.polygons
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    # Files repeat a vertex at every seam of their UV map: what is in one place is one vertex.
    _, welded = np.unique(np.round(mesh.vertices, 6), axis=0, return_inverse=True)
    ends = np.sort(welded.reshape(-1)[edges], axis=1)
    _, first, count = np.unique(ends, axis=0, return_index=True, return_counts=True)
    open_edges = edges[first[count == 1]]
    if len(open_edges) == 0:
        return np.zeros(len(points), bool)
    distance, _ = cKDTree(_along(mesh.vertices[open_edges])).query(points, workers=-1)
    return distance < _BORDER


def _along(edges: np.ndarray) -> np.ndarray:
    """Return points (N, 3) along edges (E, 2, 3), at most ``_BORDER`` apart."""
    length = np.linalg.norm(edges[:, 1] - edges[:, 0], axis=1)
    steps = np.ceil(length / _BORDER).astype(int) + 1
    owner = np.repeat(np.arange(len(edges)), steps)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(steps) - steps, steps)
    share = (place / np.maximum(steps - 1, 1)[owner])[:, None]
    return (1 - share) * edges[owner, 0] + share * edges[owner, 1]


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
    inner = _inside(points)
    _, _, distance = NearestTriangle(Mesh(fitted.vertices, fitted.triangles))(points[inner])
    image = np.full(depth.shape, np.nan)
    image[row[inner], column[inner]] = distance * UNIT_MM
    return image
