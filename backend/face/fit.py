# SPDX-License-Identifier: GPL-3.0-or-later
"""Fitting: the codes, and the pose, of the face in a scan."""

import time
from dataclasses import dataclass

import numpy as np

from ..checkpoint import FaceModel
from ..codes import Codes
from ..errors import ScanError
from ..mesh import Mesh, check_scan
from ..model.imface import UNIT_MM
from ..scan.align import Similarity, find_pose
from ..scan.sampling import NearestTriangle, sample_sdf
from ..scan.watertight import front_points, make_watertight
from .extract import ExtractConfig, extract_mesh, face_sdf
from .fit_codes import FitConfig, Report, fit_samples
from .generate import face_of

#: A scan this far [model units] from the mean face, trimmed mean, holds no upright face.
_NO_FACE = 0.08
#: Distances are measured inside this radius [model units]: outside are hair, ears and collar.
_MEASURED_RADIUS = 0.9


@dataclass(frozen=True)
class FitResult:
    """A fitted face.

    Attributes
    ----------
    codes : Codes
    pose : Similarity
        Scan space -> model space.
    seconds : dict
        Time per stage.
    """

    codes: Codes
    pose: Similarity
    seconds: dict[str, float]


def fit_scan(
    model: FaceModel,
    scan: Mesh,
    config: FitConfig = FitConfig(),
    report: Report = lambda fraction, message: None,
) -> FitResult:
    """Fit an upright scan that faces +z, in any unit; no landmarks.

    Raises
    ------
    ScanError
        If the mesh cannot be a scan, or no face is found in it.
    """
    check_scan(scan.vertices, scan.polygons)
    clock = _Clock()
    report(0.02, "Looking for the face")
    pose, error = find_pose(front_points(scan, 12_000), mean_face_points(model))
    if error > _NO_FACE:
        raise ScanError(
            f"No face was found in the scan (the best match is {error * UNIT_MM:.0f} mm off). "
            "Turn it upright so that the face looks forward."
        )
    clock.lap("pose")
    report(0.1, "Closing the visible surface")
    sheet = make_watertight(scan, pose)
    samples = sample_sdf(sheet, surface=60_000, near=0, uniform=0, seed=config.seed)
    clock.lap("watertight")
    codes, change = fit_samples(
        model, samples, config, lambda share, text: report(0.15 + 0.8 * share, text)
    )
    clock.lap("codes")
    return FitResult(codes, change.after(pose), clock.seconds)


def mean_face_points(model: FaceModel, count: int = 1500) -> np.ndarray:
    """Return points (N, 3) spread over the model's mean face, model space."""
    mean = Codes(model.identity_prior.mean.cpu().numpy(), None, model.hash_prefix)
    sdf = face_sdf(face_of(model, mean), model.device)
    mesh = extract_mesh(sdf, ExtractConfig(resolution=64))
    rows = np.random.default_rng(0).permutation(len(mesh.vertices))[:count]
    return mesh.vertices[rows]


def measure_fit(scan: Mesh, pose: Similarity, fitted: Mesh) -> dict[str, float]:
    """Compare a fit with its scan over the visible face.

    Parameters
    ----------
    scan : Mesh
        Scan space.
    pose : Similarity
        Scan space -> model space.
    fitted : Mesh
        Triangles, model space.

    Returns
    -------
    dict
        ``scan_to_fit_mean_mm``, ``scan_to_fit_p95_mm``, ``chamfer_mm`` (mean of both ways) and
        ``coverage``, the share of the fit within 5 mm of the scan.
    """
    sheet = make_watertight(scan, pose)
    seen = _inner(sheet.vertices)
    made = _inner(NearestTriangle(fitted).cover)
    _, _, there = NearestTriangle(fitted)(seen)
    _, _, back = NearestTriangle(sheet)(made)
    return {
        "scan_to_fit_mean_mm": float(there.mean() * UNIT_MM),
        "scan_to_fit_p95_mm": float(np.percentile(there, 95) * UNIT_MM),
        "chamfer_mm": float((there.mean() + back.mean()) / 2 * UNIT_MM),
        "coverage": float((back * UNIT_MM < 5).mean()),
    }


def _inner(points: np.ndarray) -> np.ndarray:
    return points[np.linalg.norm(points, axis=1) < _MEASURED_RADIUS]


class _Clock:
    """Notes how long each stage took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = round(now - self._last, 3)
        self._last = now
