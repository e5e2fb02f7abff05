# SPDX-License-Identifier: GPL-3.0-or-later
"""How well a surface matches a scan, over the part of the face that the front sees, in mm."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import trimesh
from scipy.spatial import cKDTree

from ..errors import ScanError
from ..mesh import Mesh, sample_surface, triangle_normals
from ..model.imface import UNIT_MM
from .align import IDENTITY, Similarity
from .clean import welded
from .sampling import NearestTriangle
from .watertight import depth_map, visible_from_front

#: Distances are measured inside this radius [model units]: outside are hair, ears and collar.
MEASURED_RADIUS = 0.9
#: Points drawn on each surface. Nearest triangles are found by three times as many: a face
#: compared with itself is 0.02 mm off on average.
STRICT_SAMPLES = 100_000
#: Inside this radius [model units] are eyes, nose and mouth, before which no hair hangs.
MIDDLE_RADIUS = 0.45
#: A point this near [model units] to a surface's open border lies on it.
_BORDER = 0.002
#: What is farther [mm] from the scan it does not show.
_SHOWN_MM = 5.0
NO_SURFACE = (
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
    within_2mm, middle_within_2mm : float
        Share of the scan within 2 mm of the fit; of its eyes, nose and mouth alone, 0 if it shows
        none of them.
    coverage : float
        Share of the fit that the scan shows, within 5 mm of it.
    face_mean_mm, face_within_2mm : float
        Of that, the mean distance to the scan and the share within 2 mm: hair and hats do not
        count.
    """

    chamfer_mm: float
    f_score_1mm: float
    normal_consistency: float
    scan_to_fit_mean_mm: float
    scan_to_fit_p95_mm: float
    within_2mm: float
    middle_within_2mm: float
    coverage: float
    face_mean_mm: float
    face_within_2mm: float


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
        points, normals, _ = self.draw(count, radius, seed)
        return points, normals

    def draw(
        self, count: int, radius: float, seed: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw points and normals (N, 3) as ``sample`` does, and tell the triangle (N,) of each."""
        vertices, triangles = self.mesh.vertices, self.mesh.polygons
        points, face, _ = sample_surface(vertices, triangles, count, np.random.default_rng(seed))
        normals = triangle_normals(vertices, triangles)[0][face]
        kept = visible_from_front(points, normals, self.depth) & inside(points, radius)
        if not kept.any():
            raise ScanError(NO_SURFACE)
        return points[kept], normals[kept], face[kept]

    def on_border(self, points: np.ndarray) -> np.ndarray:
        """Tell which points (N, 3) of the surface lie on edges of one triangle only."""
        if self._border is None:
            return np.zeros(len(points), bool)
        distance, _ = self._border.query(points, workers=-1)
        near: np.ndarray = distance < _BORDER
        return near

    @cached_property
    def _border(self) -> cKDTree | None:
        """Points along the open edges."""
        triangles = self.mesh.polygons
        edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
        ends = np.sort(welded(self.mesh.vertices)[edges], axis=1)
        open_edges = edges[trimesh.grouping.group_rows(ends, require_count=1)]
        return cKDTree(_along(self.mesh.vertices[open_edges])) if len(open_edges) else None


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
        raise ScanError(NO_SURFACE)
    return FrontSurface(Mesh(vertices, triangles[kept]), depth)


def compare_strict(
    truth: FrontSurface, fitted: Mesh, samples: int = STRICT_SAMPLES
) -> SurfaceFigures:
    """Compare a fit with the original scan: no ICP, nothing closed or smoothed.

    Truth is the scan's own surface inside ``MEASURED_RADIUS``, as far as the front sees it;
    distances are from points to triangles. A point of the fit counts if the front sees it and if
    the nearest point of the scan's visible surface is not on the open border of that: where the
    scan ends, has a hole (an open mouth, an eye socket, a nostril) or goes out of sight, nothing is
    known of the fit. Each such point is left out, however far away it is. Of raw scans with hair
    and clothes use ``scan_to_fit_*`` and ``face_*`` alone.

    Parameters
    ----------
    truth : FrontSurface
        Of the scan. Millimetres are the model's: a scale that is 1 % too small makes every
        distance 1 % smaller.
    fitted : Mesh
        Model space.
    samples : int
        Points drawn on each surface.

    Raises
    ------
    ScanError
        If the scan, or the fit, has no surface in the face region.
    """
    made = front_surface(fitted)
    fit_triangles = NearestTriangle(Mesh(fitted.vertices, fitted.triangles), 3 * samples)
    scan_triangles = NearestTriangle(truth.mesh, 3 * samples)
    asking, normals = truth.sample(samples)
    face, _, there = fit_triangles(asking)
    cosines_there = cosines(normals, fit_triangles.normals[face])
    points, normals = made.sample(samples)
    face, closest, back = scan_triangles(points)
    known = ~truth.on_border(closest)
    if not known.any():
        raise ScanError(NO_SURFACE)
    cosines_back = cosines(normals, scan_triangles.normals[face])
    return surface_figures(asking, there, back, cosines_there, cosines_back, known)


def vertex_errors(truth: FrontSurface, vertices: np.ndarray) -> np.ndarray:
    """Return how far [mm] vertices (V, 3) of a fit, model space, are from the scan, (V,); -1 where
    the scan does not show them."""
    _, closest, distance = NearestTriangle(truth.mesh)(vertices)
    shown = (distance * UNIT_MM < _SHOWN_MM) & inside(vertices) & ~truth.on_border(closest)
    return np.where(shown, distance * UNIT_MM, -1.0)


def surface_figures(
    asking: np.ndarray,
    there: np.ndarray,
    back: np.ndarray,
    cosines_there: np.ndarray,
    cosines_back: np.ndarray,
    known: np.ndarray,
) -> SurfaceFigures:
    """Return the figures of distances [model units] from a scan's points (N, 3) to a fit, (N,), and
    from the fit, (M,), and of the cosines there; of the way back only what is known (M,) counts."""
    there, back = there * UNIT_MM, back * UNIT_MM
    is_shown = known & (back < _SHOWN_MM)
    shown = back[is_shown] if is_shown.any() else np.array([_SHOWN_MM])
    back, cosines_back = back[known], cosines_back[known]
    middle = there[inside(asking, MIDDLE_RADIUS)]
    recall, precision = (there < 1).mean(), (back < 1).mean()
    return SurfaceFigures(
        chamfer_mm=float((there.mean() + back.mean()) / 2),
        f_score_1mm=float(200 * precision * recall / max(precision + recall, 1e-12)),
        normal_consistency=float((cosines_there.mean() + cosines_back.mean()) / 2),
        scan_to_fit_mean_mm=float(there.mean()),
        scan_to_fit_p95_mm=float(np.percentile(there, 95)),
        within_2mm=float((there < 2).mean()),
        middle_within_2mm=float((middle < 2).mean()) if len(middle) else 0.0,
        coverage=float(is_shown.mean()),
        face_mean_mm=float(shown.mean()),
        face_within_2mm=float((shown < 2).mean()),
    )


def in_face_region(vertices: np.ndarray) -> np.ndarray:
    """Tell which vertices (V, 3) of a head in model space are measured: not its back."""
    return inside(vertices) & (vertices[:, 2] > 0)


def inside(points: np.ndarray, radius: float = MEASURED_RADIUS) -> np.ndarray:
    """Tell which points (N, 3) are within a radius of the origin."""
    return np.linalg.norm(points, axis=1) < radius


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return |cos| (N,) between unit normals (N, 3), whichever side is out."""
    return np.abs((a * b).sum(1))


def _along(edges: np.ndarray) -> np.ndarray:
    """Return points (N, 3) along edges (E, 2, 3), at most ``_BORDER`` apart."""
    length = np.linalg.norm(edges[:, 1] - edges[:, 0], axis=1)
    steps = np.ceil(length / _BORDER).astype(int) + 1
    owner = np.repeat(np.arange(len(edges)), steps)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(steps) - steps, steps)
    share = (place / np.maximum(steps - 1, 1)[owner])[:, None]
    return (1 - share) * edges[owner, 0] + share * edges[owner, 1]
