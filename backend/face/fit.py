# SPDX-License-Identifier: GPL-3.0-or-later
"""Fitting: the codes, and the pose, of the face in a scan."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..checkpoint import FaceModel
from ..codes import Codes
from ..errors import ScanError
from ..mesh import Mesh, check_scan
from ..model.imface import UNIT_MM
from ..scan.align import Similarity
from ..scan.pose import NO_FACE, find_pose
from ..scan.sampling import NearestTriangle, SdfSamples, sample_sdf
from ..scan.watertight import make_watertight
from .extract import ExtractConfig, extract_mesh, face_sdf
from .generate import face_of

Report = Callable[[float, str], None]

#: Distances are measured inside this radius [model units]: outside are hair, ears and collar.
MEASURED_RADIUS = 0.9


@dataclass(frozen=True)
class FitConfig:
    """How codes and pose are searched."""

    steps: int = 220  #: Adam steps
    points: int = 2500  #: points per step
    learning_rate: float = 0.06  #: of the whitened codes
    pose_rate: float = 0.003  #: of rotation [rad], translation [model units] and log scale
    prior: float = 2e-4  #: weight of the Gaussian prior
    expression_rate: float = 0.03  #: of the expression weights
    expression_prior: float = 0.02  #: weight of the expression weights' sum
    robust_mm: float = 3.0  #: residuals beyond this grow only as their logarithm
    offset_mm: float = 2.0  #: spread of the points off the surface
    seed: int = 0  #: of the points drawn


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


@dataclass
class _Pose:
    """A small similarity on top of the first pose, as parameters."""

    rotation: Tensor = field(default_factory=lambda: torch.zeros(3))
    translation: Tensor = field(default_factory=lambda: torch.zeros(3))
    log_scale: Tensor = field(default_factory=lambda: torch.zeros(1))

    def parameters(self) -> list[Tensor]:
        return [self.rotation, self.translation, self.log_scale]

    def matrix(self) -> Tensor:
        x, y, z = self.rotation
        zero = torch.zeros_like(x)
        skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).view(3, 3)
        return self.log_scale.exp() * torch.linalg.matrix_exp(skew)

    def apply(self, points: Tensor) -> Tensor:
        return points @ self.matrix().T + self.translation

    def similarity(self) -> Similarity:
        matrix = self.matrix().detach().cpu().double().numpy()
        scale = float(np.exp(self.log_scale.item()))
        return Similarity(scale, matrix / scale, self.translation.detach().cpu().double().numpy())


def fit_scan(
    model: FaceModel,
    scan: Mesh,
    config: FitConfig = FitConfig(),
    report: Report = lambda fraction, message: None,
) -> FitResult:
    """Fit a scan of any orientation and unit; no landmarks.

    Raises
    ------
    ScanError
        If the mesh cannot be a scan, or no face is found in it.
    """
    check_scan(scan.vertices, scan.polygons)
    clock = _Clock()
    report(0.02, "Looking for the face")
    pose, error = find_pose(scan, mean_face(model))
    if error > NO_FACE:
        raise ScanError(
            f"No face was found in the scan (the best match has an error of {error:.2f}, a face "
            f"less than {NO_FACE}). Select one that shows eyes, nose and mouth, and cut away the "
            "rest of the body."
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


def mean_face(model: FaceModel) -> Mesh:
    """Return the model's mean face, coarsely, in model space."""
    mean = Codes(model.identity_prior.mean.cpu().numpy(), None, model.hash_prefix)
    sdf = face_sdf(face_of(model, mean), model.device)
    return extract_mesh(sdf, ExtractConfig(resolution=64))


def fit_samples(
    model: FaceModel,
    samples: SdfSamples,
    config: FitConfig = FitConfig(),
    report: Report = lambda fraction, message: None,
) -> tuple[Codes, Similarity]:
    """Search the codes, and a correction of the pose, that put samples on the zero level set.

    The identity code is whitened by the Gaussian of the training codes, which is also its prior.
    The expression is a mix of the named ones with weights in [0, 1], few of them if few will do:
    a free code would fit the surface as well, but mean nothing to the forward map. Residuals
    beyond a few millimetres (hair, noise) count only as their logarithm.

    Returns
    -------
    codes : Codes
    pose : Similarity
        The samples' space -> model space.
    """
    rng = np.random.default_rng(config.seed)
    pose = _Pose(*(t.to(model.device).requires_grad_() for t in _Pose().parameters()))
    whitened = torch.zeros(len(model.identity_prior.mean), device=model.device).requires_grad_()
    weights = torch.zeros(len(model.expression_names), device=model.device).requires_grad_()
    rates = (config.learning_rate, config.expression_rate, config.pose_rate)
    searched = ([whitened], [weights], pose.parameters())
    optimizer = torch.optim.Adam(
        [{"params": part, "lr": rate} for part, rate in zip(searched, rates, strict=True)]
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.steps)
    for step in range(config.steps):
        optimizer.zero_grad()
        points, wanted = _draw(samples, config, rng, model.device)
        residual = _residual(model, whitened, weights, pose, points, wanted)
        loss = _robust(residual, config.robust_mm).mean()
        loss = loss + config.prior * whitened.square().sum()
        (loss + config.expression_prior * weights.sum()).backward()
        optimizer.step()
        weights.data.clamp_(0, 1)
        schedule.step()
        if step % 10 == 9:
            median = float(residual.detach().abs().median())
            report((step + 1) / config.steps, f"Fitting: {median:.2f} mm")
    identity, expression = _codes(model, whitened.detach(), weights.detach())
    codes = Codes(identity.cpu().numpy(), expression.cpu().numpy(), model.hash_prefix)
    return codes, pose.similarity()


def _residual(
    model: FaceModel,
    whitened: Tensor,
    weights: Tensor,
    pose: _Pose,
    points: Tensor,
    wanted: Tensor,
) -> Tensor:
    """Return how far (N,) points (N, 3) are from their wanted distance, in the scan's own mm: in
    the model's, a scan that shrinks would fit better and better."""
    identity, expression = _codes(model, whitened, weights)
    face = model.imface.face(identity[None], expression[None])
    sdf = face.query(pose.apply(points)[None]).sdf[0]
    return (sdf / pose.log_scale.exp() - wanted) * UNIT_MM


def _draw(
    samples: SdfSamples, config: FitConfig, rng: np.random.Generator, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Draw surface points (N, 3), every second moved along its normal, and their distance (N,)."""
    rows = rng.integers(0, samples.surface, config.points)
    distance = rng.normal(0, config.offset_mm / UNIT_MM, config.points)
    distance[::2] = 0
    points = samples.points[rows] + distance[:, None] * samples.gradients[rows]
    return torch.from_numpy(points).float().to(device), torch.from_numpy(distance).float().to(
        device
    )


def _codes(model: FaceModel, whitened: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    expression = model.neutral_expression + weights @ model.expression_directions
    return model.identity_prior.code(whitened), expression


def _robust(residual: Tensor, limit: float) -> Tensor:
    """Absolute value up to the limit, growing as its logarithm beyond; smooth at both ends."""
    size = (residual.square() + 0.01).sqrt()
    return torch.where(size < limit, size, limit * (1 + (size.clamp(min=limit) / limit).log()))


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
    return points[np.linalg.norm(points, axis=1) < MEASURED_RADIUS]


class _Clock:
    """Notes how long each stage took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = round(now - self._last, 3)
        self._last = now
