# SPDX-License-Identifier: GPL-3.0-or-later
"""Fitting: the codes, and the pose, of the face in a scan."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np

from ..checkpoint import FaceModel
from ..codes import Codes
from ..errors import NoFaceError
from ..mesh import Mesh, check_scan
from ..scan.align import Similarity
from ..scan.clean import faced_out, wound_alike
from ..scan.cloud import squares_of_points, visible_surface
from ..scan.compare import FrontSurface, compare_strict, front_surface
from ..scan.floating import without_floating_bits
from ..scan.pose import NO_FACE, find_faces, find_pose_by_landmarks
from ..scan.watertight import visible_points
from .extract import ExtractConfig, extract_mesh, face_sdf
from .fit_codes import FitConfig, Report, Show, fit_points
from .generate import face_of
from .refine import RefineConfig, fit_detail

#: Points that a fit is measured at.
_MEASURED = 30_000


@dataclass(frozen=True)
class FitResult:
    """A fitted face.

    Attributes
    ----------
    codes : Codes
    pose : Similarity
        Scan space -> model space.
    surface : Mesh
        What was fitted, scan space: the scan without what floats in the air around its face, or
        of points without faces their visible sheet.
    seconds : dict
        Time per stage.
    landmarks_used : bool or None
        Whether the face is where landmarks show it; None if there were none.
    other_faces : bool
        Whether the scan shows another face, which was not looked for if there were landmarks.
    """

    codes: Codes
    pose: Similarity
    surface: Mesh
    seconds: dict[str, float]
    landmarks_used: bool | None = None
    other_faces: bool = False

    @cached_property
    def visible(self) -> FrontSurface:
        """What the front sees of the fitted surface, model space."""
        return front_surface(self.surface, self.pose)


def fit_scan(
    model: FaceModel,
    scan: Mesh,
    config: FitConfig = FitConfig(),
    report: Report = lambda fraction, message: None,
    landmarks: np.ndarray | None = None,
    show: Show = lambda codes, pose: None,
) -> FitResult:
    """Fit a scan of any orientation and unit, or points without faces.

    Parameters
    ----------
    landmarks : ndarray (K, 3), optional
        Where the face is, scan space, see ``scan.landmarks``; none are needed. Those that are
        plainly wrong are left out.
    show : callable
        Gets codes and pose (scan space -> model space) now and then, as far as they are found.

    Raises
    ------
    ScanError
        If the mesh cannot be a scan.
    LandmarkError
        If the landmarks cannot be this scan's.
    NoFaceError
        If no face is found in it.
    """
    check_scan(scan.vertices, scan.triangles)
    clock = Clock()
    report(0.02, "Looking for the face")
    is_cloud = len(scan.polygons) == 0
    scan = squares_of_points(scan.vertices) if is_cloud else _facing_out(scan)
    pose, landmarks_used, other_faces = _place(model, scan, landmarks)
    clock.lap("pose")
    report(0.1, "Looking at what is visible")
    scan = without_floating_bits(scan, pose)
    if is_cloud:
        scan = visible_surface(scan, pose)
    drawn = visible_points(scan, pose, seed=config.seed)
    clock.lap("visible")
    codes, change = fit_points(
        model,
        drawn,
        config,
        lambda share, text: report(0.15 + 0.8 * share, text),
        lambda codes, change: show(codes, change.after(pose)),
    )
    clock.lap("codes")
    pose = change.after(pose)
    return FitResult(codes, pose, scan, clock.seconds, landmarks_used, other_faces)


def _facing_out(scan: Mesh) -> Mesh:
    """Return a scan of triangles of which all, as far as they show it, have the same side out."""
    alike = wound_alike(scan.vertices, scan.triangles)
    return replace(scan, polygons=faced_out(scan.vertices, alike))


def _place(
    model: FaceModel, scan: Mesh, landmarks: np.ndarray | None
) -> tuple[Similarity, bool | None, bool]:
    """Return where the face is, whether landmarks, if there are any, show it there, and whether
    another one was found."""
    if landmarks is None:
        (pose, error), *others = find_faces(scan, mean_face(model))
        if error <= NO_FACE:
            return pose, None, len(others) > 0
        raise NoFaceError(
            "No face was found in the scan (the best match has an error of {error}, a face "
            "less than {limit}). Select one that shows eyes, nose and mouth, cut away the rest of "
            "the body, or show the face by landmarks.",
            error=f"{error:.2f}",
            limit=NO_FACE,
        )
    mean = model.imface.template_landmarks.cpu().double().numpy()
    pose, error, used = find_pose_by_landmarks(scan, mean_face(model), landmarks, mean)
    if error > NO_FACE and not used:
        raise NoFaceError(
            "The landmarks do not lie as those of a face, and without them none was found. Check "
            "their order and places."
        )
    return pose, used, False


@cache
def mean_face(model: FaceModel) -> Mesh:
    """Return the model's mean face, coarsely, in model space."""
    mean = Codes(model.identity_prior.mean.cpu().numpy(), None, model.hash_prefix)
    sdf = face_sdf(face_of(model, mean), model.device)
    return extract_mesh(sdf, ExtractConfig(resolution=64))


def report_fit(result: FitResult, fitted: Mesh) -> dict[str, Any]:
    """Tell how well a fit went.

    Parameters
    ----------
    fitted : Mesh
        The fitted face as triangles, model space.

    Returns
    -------
    dict
        ``face_found``, ``landmarks_used``, ``other_faces``, ``pose`` (4, 4) from scan to model
        space, ``scale``, ``seconds`` per stage and the figures of ``scan.compare.SurfaceFigures``
        over the visible face.
    """
    figures = compare_strict(result.visible, fitted, samples=_MEASURED)
    return {
        "face_found": True,
        "landmarks_used": result.landmarks_used,
        "other_faces": result.other_faces,
        "pose": result.pose.matrix().tolist(),
        "scale": result.pose.scale,
        "seconds": dict(result.seconds),
        **asdict(figures),
    }


def refine_fit(
    model: FaceModel,
    result: FitResult,
    config: RefineConfig = RefineConfig(),
    report: Report = lambda fraction, message: None,
) -> FitResult:
    """Return a fit whose codes carry the detail of its scan too; see ``fit_detail``."""
    detail = fit_detail(model, result.codes, result.visible, config, report)
    return replace(result, codes=replace(result.codes, detail=detail))


def report_refined(result: FitResult, fitted: Mesh) -> dict[str, Any]:
    """Return what a refined fit adds to ``report_fit``: ``refined``, the same figures of the
    refined face (triangles, model space)."""
    return {"refined": asdict(compare_strict(result.visible, fitted, samples=_MEASURED))}


class Clock:
    """Notes how long [s] each stage took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Count the time since the last stage to this one."""
        now = time.perf_counter()
        self.seconds[stage] = round(self.seconds.get(stage, 0.0) + now - self._last, 3)
        self._last = now

    def add(self, seconds: Mapping[str, float]) -> None:
        """Take over the stages of what has just ended, which had a clock of its own."""
        self.seconds |= seconds
        self._last = time.perf_counter()

    def total(self) -> dict[str, float]:
        """Return the stages and their ``total``."""
        return self.seconds | {"total": round(sum(self.seconds.values()), 3)}
