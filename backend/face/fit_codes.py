# SPDX-License-Identifier: GPL-3.0-or-later
"""Levenberg-Marquardt for the codes and the pose that put samples on the zero level set."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import lsq_linear
from scipy.spatial import cKDTree
from torch import Tensor

from ..checkpoint import FaceModel
from ..codes import Codes
from ..model.imface import UNIT_MM, pieces
from ..scan.align import Similarity
from ..scan.sampling import SdfSamples

Report = Callable[[float, str], None]

#: Parts whose vertices the scan's surface can be near to.
_SEEN_PARTS = ("face", "eyeball_left", "eyeball_right")
#: Rotation, translation, log scale.
_POSE = 7


@dataclass(frozen=True)
class FitConfig:
    """How codes and pose are searched."""

    rounds: int = 30  #: steps tried
    curved_rounds: int = 6  #: of them with curvature from the forward map; later ones learn it
    points: int = 4000  #: points they are judged by
    prior: float = 2e-4  #: weight of the Gaussian prior
    expression_prior: float = 0.02  #: weight of the expression weights' sum
    robust_mm: float = 3.0  #: residuals beyond this grow only as their logarithm
    offset_mm: float = 2.0  #: spread of the points off the surface
    seed: int = 0  #: of the points drawn


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

    Notes
    -----
    The gradient is the field's own. The curvature is Gauss-Newton's, with the derivative of the
    distance by the codes taken from the forward map: where a vertex moves by dx, the distance at
    a place near it changes by -n . dx. That costs a table look-up instead of one pass through
    the hypernetworks per entry of the codes. Residuals are in the scan's own millimetres:
    measured in the model's, a scan that shrinks would fit better and better.
    """
    objective = _Objective(model, samples, config)
    here = torch.zeros(objective.unknowns)
    value, slope, seen = objective(here)
    curvature = _Curvature(model)
    hessian, damping = curvature(seen, objective), 0.1
    for done in range(config.rounds):
        step = _step(hessian, slope, damping, objective.room(here))
        tried = objective(here + step)
        change, moved = tried[1] - slope, step.double().numpy()
        promised = -(slope @ moved + 0.5 * moved @ hessian @ moved)
        kept = (value - tried[0]) / max(promised, 1e-12)
        damping *= 4 if kept < 0.1 else 1.5 if kept < 0.4 else 0.6 if kept < 0.8 else 0.3
        if tried[0] < value:
            here, (value, slope, seen) = here + step, tried
        hessian = (
            curvature(seen, objective)
            if done < config.curved_rounds
            else _learned(hessian, moved, change)
        )
        _tell(report, (done + 1) / config.rounds, seen)
    identity, expression = objective.codes(here)
    codes = Codes(identity.cpu().numpy(), expression.cpu().numpy(), model.hash_prefix)
    return codes, objective.pose(here)


def _learned(hessian: np.ndarray, step: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Correct second derivatives by what a step did to the gradient (BFGS)."""
    along = hessian @ step
    if step @ change <= 1e-8 * (step @ along):
        return hessian
    return (
        hessian
        + np.outer(change, change) / (step @ change)
        - np.outer(along, along) / (step @ along)
    )


def _tell(report: Report, share: float, seen: "_Seen") -> None:
    report(share, f"Fitting: {float(seen.residual.abs().median()):.2f} mm")


@dataclass(frozen=True)
class _Seen:
    """What the objective met on its way: residuals (N,) [mm] and where the points went (N, 3)."""

    residual: Tensor
    observed: np.ndarray  #: observation space
    template: np.ndarray  #: template space
    normals: np.ndarray  #: of the samples, observation space


class _Objective:
    """The loss over x = (whitened identity, expression weights, rotation, translation, log scale)
    and its gradient, on points that are drawn once."""

    def __init__(self, model: FaceModel, samples: SdfSamples, config: FitConfig) -> None:
        rng = np.random.default_rng(config.seed)
        rows = rng.integers(0, samples.surface, config.points)
        distance = rng.normal(0, config.offset_mm / UNIT_MM, config.points)
        distance[::2] = 0
        points = samples.points[rows] + distance[:, None] * samples.gradients[rows]
        self._model, self._config = model, config
        self._points, self._distance, self._normals = (
            torch.from_numpy(values).float().to(model.device)
            for values in (points, distance, samples.gradients[rows])
        )
        self.people = len(model.identity_prior.mean)
        self.names = len(model.expression_names)

    @property
    def unknowns(self) -> int:
        """Length of x."""
        return self.people + self.names + _POSE

    def codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the identity and the expression code."""
        model = self._model
        weights = x[self.people : self.people + self.names]
        expression = model.neutral_expression + weights @ model.expression_directions
        return model.identity_prior.code(x[: self.people]), expression

    def pose(self, x: Tensor) -> Similarity:
        """Return the similarity from the samples' space to model space."""
        matrix, shift = (t.cpu().double().numpy() for t in self._pose(x))
        scale = float(np.exp(x[-1].item()))
        return Similarity(scale, matrix / scale, shift)

    @staticmethod
    def _pose(x: Tensor) -> tuple[Tensor, Tensor]:
        a, b, c = x[-7:-4]
        zero = torch.zeros_like(a)
        skew = torch.stack([zero, -c, b, c, zero, -a, -b, a, zero]).view(3, 3)
        return x[-1].exp() * torch.linalg.matrix_exp(skew), x[-4:-1]

    def room(self, x: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return how far each unknown may move down and up: expression weights stay in [0, 1]."""
        low, high = np.full(len(x), -np.inf), np.full(len(x), np.inf)
        weights = slice(self.people, self.people + self.names)
        low[weights] = -x[weights].cpu().numpy() - 1e-9
        high[weights] = 1 - x[weights].cpu().numpy() + 1e-9
        return low, high

    def priors(self) -> np.ndarray:
        """Return the priors' second derivatives."""
        curve = np.zeros(self.unknowns)
        curve[: self.people] = 2 * self._config.prior
        return curve

    def weights(self, residual: Tensor) -> Tensor:
        """Return the weights (N,) that make the robust loss a least-squares one."""
        size = _size(residual)
        limit = self._config.robust_mm
        return torch.where(size < limit, 1 / size, limit / size.square()) / len(size)

    def __call__(self, x: Tensor) -> tuple[float, np.ndarray, _Seen]:
        """Return value and gradient at x, and what was met there."""
        x = x.detach().to(self._model.device, copy=True).requires_grad_()
        matrix, shift = self._pose(x)
        observed = self._points @ matrix.T + shift
        identity, expression = self.codes(x)
        face = self._model.imface.face(identity[None], expression[None])
        values = [face.query(piece) for piece in pieces(observed)]
        sdf = torch.cat([v.sdf[0] for v in values])
        residual = (sdf / x[-1].exp() - self._distance) * UNIT_MM
        loss = _robust(residual, self._config.robust_mm).mean()
        loss = loss + self._config.prior * x[: self.people].square().sum()
        faces = x[self.people : self.people + self.names]
        loss = loss + self._config.expression_prior * faces.sum()
        (slope,) = torch.autograd.grad(loss, x)
        template = torch.cat([v.template_points[0] for v in values])
        turned = self._normals @ matrix.T / x[-1].exp()
        arrays = (t.detach().cpu().double().numpy() for t in (observed, template, turned))
        return float(loss.detach()), slope.cpu().double().numpy(), _Seen(residual.detach(), *arrays)


def _size(residual: Tensor) -> Tensor:
    """Absolute value, smooth at 0."""
    return (residual.square() + 0.01).sqrt()


def _robust(residual: Tensor, limit: float) -> Tensor:
    """Absolute value up to the limit, growing as its logarithm beyond; smooth at both ends."""
    size = _size(residual)
    return torch.where(size < limit, size, limit * (1 + (size.clamp(min=limit) / limit).log()))


class _Curvature:
    """Gauss-Newton's second derivatives of the objective, from the forward map."""

    def __init__(self, model: FaceModel) -> None:
        self._moves: np.ndarray | None = None
        if model.head is None:
            return
        template, forward = model.head.template, model.head.forward_map
        rows = np.concatenate([np.arange(*template.parts[n][:2]) for n in _SEEN_PARTS])
        by_identity = model.identity_prior.factor.T @ forward.identity_linear
        by_weight = model.expression_directions @ forward.expression_linear
        moves = torch.cat(
            [
                torch.tensordot(linear, basis[:, rows].float(), 1)
                for linear, basis in (
                    (by_identity, forward.identity_basis),
                    (by_weight, forward.expression_basis),
                )
            ]
        )
        self._moves = moves.permute(1, 2, 0).contiguous().cpu().numpy()
        self._tree = cKDTree(template.vertices[rows].cpu().numpy())

    def __call__(self, seen: _Seen, objective: _Objective) -> np.ndarray:
        if self._moves is None:
            return np.eye(objective.unknowns)
        _, nearest = self._tree.query(seen.template)
        x, n = seen.observed, seen.normals
        by_code = -np.einsum("nc,ncd->nd", n.astype(np.float32), self._moves[nearest])
        by_pose = np.column_stack([np.cross(x, n), n, (x * n).sum(1)])
        jacobian = UNIT_MM * np.column_stack([by_code, by_pose])
        weights = objective.weights(seen.residual).cpu().double().numpy()
        return (jacobian * weights[:, None]).T @ jacobian + np.diag(objective.priors())


def _step(
    hessian: np.ndarray, slope: np.ndarray, damping: float, room: tuple[np.ndarray, np.ndarray]
) -> Tensor:
    """Minimise slope . s + 1/2 s' hessian s, damped, within the room there is."""
    damped = hessian + damping * np.diag(np.diag(hessian)) + 1e-9 * np.eye(len(slope))
    root = np.linalg.cholesky(damped).T
    result = lsq_linear(root, -np.linalg.solve(root.T, slope), room, method="bvls")
    return torch.from_numpy(result.x).float()
