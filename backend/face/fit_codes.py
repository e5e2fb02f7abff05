# SPDX-License-Identifier: GPL-3.0-or-later
"""The codes and the pose that put a surface's points on the zero level set.

First the forward map, a linear model, is fitted by closest points: it tells person, expression and
pose. From there a quasi-Newton search follows the field's own gradient to the surface.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor

from ..checkpoint import FaceModel
from ..codes import Codes
from ..model.imface import UNIT_MM
from ..model.pieces import by_pieces
from ..model.sensitivity import sdf_changes
from ..scan.align import IDENTITY, Similarity
from ..scan.drawing import DrawnPoints, evenly_drawn
from ..texts import Text
from .fit_forward_map import fit_forward_map
from .linear_fit import bounded_minimum

#: Gets how much is done and what is done now; true if what is found by now will do.
Report = Callable[[float, str], bool | None]
#: Gets the codes so far, and the pose: from the points' or the scan's space
#: to model space.
Show = Callable[[Codes, Similarity], None]

#: What points draw chances for: whether they are used to start, and to search; whether they are
#: moved off the surface, and how far.
_TO_START, _TO_SEARCH, _WHETHER_OFF, _HOW_FAR = range(4)
#: Rotation, translation, log scale.
_POSE = 7
#: Differences that the curvature is measured by: of whitened codes and weights, of the pose.
_CODE_STEP, _POSE_STEP = 0.1, 0.005
_FIRST_DAMPING = 0.01
#: Before these steps the curvature is measured: the first ones lead to where it is another.
_CURVED_STEPS = (0, 3)
#: By how much the prior is stronger where nothing of the face is seen: what there is would be
#: fitted at the cost of the rest.
_UNSEEN_PRIOR = 20.0
#: A face is shown after every so-maniest step.
_SHOWN_STEPS = 3


@dataclass(frozen=True)
class FitConfig:
    """How codes and pose are searched."""

    start_points: int = 6000  #: points that the forward map is fitted to
    rounds: int = 12  #: steps tried on the field
    points: int = 5000  #: points they are judged by
    curved_points: int = 1200  #: of them that the curvature is measured at
    prior: float = 6e-6  #: weight of the Gaussian about the start, for a face seen as a whole
    expression_prior: float = 0.006  #: weight of the expression weights' sum, without a forward map
    robust_mm: float = 1.5  #: residuals beyond this hardly count
    offset_mm: float = 2.0  #: spread of the points off the surface
    seed: int = 0  #: of the points drawn


def fit_points(
    model: FaceModel,
    drawn: DrawnPoints,
    config: FitConfig = FitConfig(),
    report: Report = lambda fraction, message: None,
    show: Show = lambda codes, pose: None,
) -> tuple[Codes, Similarity]:
    """Search the codes, and a correction of the pose, that put points on the zero level set.

    The forward map tells the identity, the expression and the pose; the search on the field only
    what the surface asks for beyond: a network has errors of its own, and an identity that makes up
    for them says less well where each vertex is along the surface. Without a forward map, the
    search finds everything.

    The identity code is whitened by the Gaussian of the training codes, which is also its prior.
    The expression is a mix of the named ones with weights in [0, 1], few of them if few will do:
    a free code would fit the surface as well, but mean nothing to the forward map. Large
    residuals (hair, noise, sockets without an eyeball) hardly count.

    Parameters
    ----------
    drawn : DrawnPoints
        On what the front sees of a surface, model space but for a small motion; n_z >= 0.

    Returns
    -------
    codes : Codes
    pose : Similarity
        The points' space -> model space.
    """
    codes, pose = np.zeros(len(model.identity_prior.mean) + len(model.expression_names)), IDENTITY
    residual = None
    if model.head is not None:
        some = evenly_drawn(drawn, config.start_points, _TO_START)
        placed, pose, coverage = fit_forward_map(model, some.points, some.normals)
        codes, residual = placed[: len(codes)], placed[len(codes) :].astype(np.float32)
        config = replace(config, prior=config.prior * (1 + _UNSEEN_PRIOR * (1 - coverage)))
        report(0.3, "Fitting: placed")
    start = torch.from_numpy(np.append(codes, np.zeros(_POSE))).float()
    objective = _Objective(model, drawn, config, pose, start)

    def found(x: Tensor) -> tuple[Codes, Similarity]:
        person, expression = (code.cpu().numpy() for code in objective.codes(x.to(model.device)))
        codes = Codes(person, expression, model.hash_prefix)
        if model.head is not None:
            identity = objective.codes(start.to(model.device))[0].cpu().numpy()
            codes = replace(codes, identity=identity, surface=person - identity, residual=residual)
        return codes, objective.motion(x).after(pose)

    return found(_search(objective, start, config, report, lambda x: show(*found(x))))


def _search(
    objective: "_Objective",
    x: Tensor,
    config: FitConfig,
    report: Report,
    show: Callable[[Tensor], None],
) -> Tensor:
    """Minimise the objective from x by damped quasi-Newton steps."""
    value, slope = objective(x)
    damping = _FIRST_DAMPING
    for done in range(config.rounds):
        if done in _CURVED_STEPS:
            hessian = objective.curvature(x)
        low, high = objective.room(x)
        damped = hessian + damping * np.diag(np.diag(hessian)) + 1e-9 * np.eye(len(slope))
        moved = bounded_minimum(damped, slope, low, high)
        there = x + torch.from_numpy(moved).float()
        tried = objective(there)
        kept = (tried[0] - value) / min(slope @ moved + 0.5 * moved @ hessian @ moved, -1e-12)
        damping *= 4 if kept < 0.1 else 1.5 if kept < 0.4 else 0.6 if kept < 0.8 else 0.3
        hessian = _learned(hessian, moved, tried[1] - slope)
        if tried[0] < value:
            x, (value, slope) = there, tried
        if done % _SHOWN_STEPS == 0:
            show(x)
        text = Text("Fitting: {median} mm", median=f"{objective.median_mm:.2f}")
        if report(0.3 + 0.7 * (done + 1) / config.rounds, text):
            break
    return x


def _learned(hessian: np.ndarray, step: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Correct second derivatives by what a step did to the gradient (BFGS)."""
    along = hessian @ step
    if step @ change <= 1e-8 * (step @ along):
        return hessian
    grown = np.outer(change, change) / (step @ change)
    corrected: np.ndarray = hessian + grown - np.outer(along, along) / (step @ along)
    return corrected


class _Objective:
    """The loss over x = (whitened identity, expression weights, rotation, translation, log scale)
    and its derivatives, on points that are drawn once.

    Residuals are in the scan's own millimetres: measured in the model's, a scan that shrinks
    would fit better and better.
    """

    def __init__(
        self,
        model: FaceModel,
        drawn: DrawnPoints,
        config: FitConfig,
        pose: Similarity,
        start: Tensor,
    ) -> None:
        drawn = evenly_drawn(drawn, config.points, _TO_SEARCH)
        distance = ndtri(drawn.chance(_HOW_FAR)) * config.offset_mm / UNIT_MM
        distance *= drawn.chance(_WHETHER_OFF) < 0.5
        points = drawn.points + distance[:, None] * drawn.normals
        self._model, self._config, self._scale = model, config, pose.scale
        samples = np.column_stack([pose.apply(points), pose.scale * distance])
        self._samples = torch.from_numpy(samples).float().to(model.device)
        self._people = len(model.identity_prior.mean)
        self._start = start[: self._people].to(model.device)
        self._weights = slice(self._people, self._people + len(model.expression_names))
        self.median_mm = float("nan")  #: of the residuals' sizes, last time

    def codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return identity and expression codes (..., D) of x (..., U)."""
        weights = x[..., self._weights]
        expression = self._model.neutral_expression + weights @ self._model.expression_directions
        return self._model.identity_prior.code(x[..., : self._people]), expression

    def motion(self, x: Tensor) -> Similarity:
        """Return the similarity from the first pose to the last."""
        matrix, shift = (t.detach().cpu().double().numpy() for t in _motion(x))
        scale = float(np.exp(x[-1].item()))
        return Similarity(scale, matrix / scale, shift)

    def room(self, x: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return how far each unknown may move down and up: expression weights stay in [0, 1];
        weights and pose stay as a forward map found them."""
        low, high = np.full(len(x), -np.inf), np.full(len(x), np.inf)
        low[self._weights] = -x[self._weights].numpy()
        high[self._weights] = 1 - x[self._weights].numpy()
        if self._model.head is not None:
            low[self._people :], high[self._people :] = 0, 0
        return low, high

    def __call__(self, x: Tensor) -> tuple[float, np.ndarray]:
        """Return the loss at x (U,) and its gradient."""
        x = x.detach().to(self._model.device, copy=True).requires_grad_()
        matrix, shift = _motion(x)
        face = self._model.imface.face(*self.codes(x[None]))

        def misfit(samples: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            sdf = face.query((samples[:, :3] @ matrix.T + shift)[None]).sdf[0]
            residual = self._residuals(x, sdf, samples[:, 3])
            loss = _robust(residual, self._config.robust_mm).sum() / len(self._samples)
            return residual.detach(), *_with_slope(loss, x)

        residuals, losses, slopes = zip(*by_pieces(misfit, self._samples), strict=True)
        prior = self._config.prior * (x[: self._people] - self._start).square().sum()
        prior = prior + self._config.expression_prior * x[self._weights].sum()
        loss, slope = _with_slope(prior, x)
        self.median_mm = float(torch.cat(residuals).abs().median())
        return float(sum(losses, loss)), sum(slopes, slope).cpu().double().numpy()

    @torch.no_grad()
    def curvature(self, x: Tensor) -> np.ndarray:
        """Return Gauss-Newton's second derivatives (U, U) at x, as some of the points have them."""
        x = x.to(self._model.device)
        points, distance = self._samples[: self._config.curved_points].split([3, 1], dim=1)
        unit = torch.eye(len(x), device=x.device)
        codes, moved = x + _CODE_STEP * unit[:-_POSE], x + _POSE_STEP * unit[-_POSE:]
        matrix, shift = _motion(torch.cat([x[None], moved]))
        placed = points @ matrix.mT + shift[:, None]
        sdf, slopes, changes = sdf_changes(
            self._model.imface.face(*self.codes(x[None])),
            self._model.imface.face(*self.codes(codes)),
            placed[0],
        )
        by_pose = ((placed[1:] - placed[0]) * slopes).sum(-1) / _POSE_STEP
        by_pose[-1] -= sdf
        jacobian = self._residuals(x, torch.cat([changes / _CODE_STEP, by_pose]))
        size, limit = _size(self._residuals(x, sdf, distance[:, 0])), self._config.robust_mm
        weights = (limit / size).clamp(max=1).square() / size / len(size)
        hessian: np.ndarray = ((jacobian * weights) @ jacobian.T).cpu().double().numpy()
        hessian[range(self._people), range(self._people)] += 2 * self._config.prior
        return hessian

    def _residuals(self, x: Tensor, sdf: Tensor, distance: Tensor | float = 0.0) -> Tensor:
        """Return how far [mm] in the scan points are whose signed distances (N,) in model space
        ought to be the given ones (N,), for the scale of x (U,)."""
        return (sdf / x[-1].exp() - distance) * (UNIT_MM / self._scale)


def _motion(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the matrix (..., 3, 3), scale included, and the shift (..., 3) of x (..., U)."""
    a, b, c = x[..., -7:-4].unbind(-1)
    zero = torch.zeros_like(a)
    skew = torch.stack([zero, -c, b, c, zero, -a, -b, a, zero], dim=-1).unflatten(-1, (3, 3))
    return x[..., -1, None, None].exp() * torch.linalg.matrix_exp(skew), x[..., -4:-1]


def _with_slope(loss: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return a loss and its gradient in x; what it was computed from stays for other losses."""
    (slope,) = torch.autograd.grad(loss, x, retain_graph=True)
    return loss.detach(), slope


def _size(residual: Tensor) -> Tensor:
    """Absolute value, smooth at 0."""
    return (residual.square() + 0.01).sqrt()


def _robust(residual: Tensor, limit: float) -> Tensor:
    """Absolute value up to the limit, growing less and less beyond, up to twice the limit."""
    size = _size(residual)
    return torch.where(size < limit, size, limit * (2 - limit / size))
