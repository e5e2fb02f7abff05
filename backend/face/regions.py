# SPDX-License-Identifier: GPL-3.0-or-later
"""Blending by region: the eyes of one face, the nose of another, in one face.

The regions of two faces, mixed smoothly vertex by vertex on the common topology, are seldom a face
that anybody has. What is made is the face nearest to that mixture that codes can express: an
identity code, a residual for what it leaves, and an expression code. So there is no seam to hide,
and everything that can be done with a face can be done with the blend. Training on mixtures of
people taught the codes to tell regions apart. Detail is a function of template space, and is mixed
there place by place.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree
from scipy.special import softmax
from torch import Tensor

from ..checkpoint import FaceModel
from ..codes import DETAIL_SIDE, Codes
from ..errors import BackendError
from ..model.forward_map import HeadTemplate
from ..model.imface import UNIT_MM
from ..scan.compare import in_face_region
from .blend import What, blend, check_blend, mix_detail
from .correspondence import require_head
from .skin import skin

#: Region -> its landmarks among the 68.
_LANDMARKS = {
    "brows": slice(17, 27),
    "eyes": slice(36, 48),
    "nose": slice(27, 36),
    "mouth": slice(48, 68),
    "jaw": slice(0, 17),
}
REGIONS = tuple(_LANDMARKS)
#: Shares are of unnormalised Gaussians of this spread around a region's landmarks [model units]:
#: the core of a region is the other face's by more than 95 %.
_SPREAD = 0.087
#: A vertex so far from every landmark [model units] belongs to no region.
_NOWHERE = 0.3
#: Weight of the prior [mm^2] beside the mean squared distance from the mixture.
_RIDGE = 1e-4
#: A vertex that is wholly a region's counts by so much more: regions are small.
_EMPHASIS = 3.0
#: Outside the face, one vertex in so many is held as well, and how much each of them counts beside
#: one of the face: a nose that is free to would move the neck by a centimetre.
_AROUND_STEP = 4
_AROUND_WEIGHT = 0.03
#: Skin is free where more than this of it belongs to regions: between jaw and neck it follows.
_FREE = 0.05
#: Vertices that tell the share of a place in template space.
_NEIGHBOURS = 8


def blend_regions(
    model: FaceModel,
    a: Codes,
    b: Codes,
    weight: float,
    what: What = "both",
    regions: Collection[str] = (),
) -> Codes:
    """Mix face ``b`` into regions of face ``a``; elsewhere, and what is not blended, stays a's.

    The surface, the residual and the detail of a scan are mixed with the identity.

    Parameters
    ----------
    weight : float
        0 leaves a, 1 gives b's regions.
    what : {"identity", "expression", "both"}
    regions : collection of str
        Of ``REGIONS``; none or all are the whole face, as in ``face.blend.blend``.

    Raises
    ------
    BackendError
        If a word or the weight is out of range, the codes belong to other weights, or the model
        has no common topology.
    """
    for name in regions:
        if name not in REGIONS:
            raise BackendError(
                "There is no region '{name}'. Choose {regions}.",
                name=name,
                regions=", ".join(REGIONS),
            )
    if set(regions) in (set(), set(REGIONS)):
        return blend(model, a, b, weight, what)
    check_blend(model, a, b, weight, what)
    template = require_head(model).template
    chosen = [REGIONS.index(name) for name in set(regions)]
    if weight == 0:
        return a
    rows, counts = _measured(template)
    share = _shares(template, rows)[chosen].sum(0)
    counts = counts * (1 + _EMPHASIS * share)
    share *= weight
    mixed = a
    if what != "expression":
        in_detail = weight * _detail_shares(template)[chosen].sum(0)
        mixed = replace(
            mixed,
            **_mixed_identity(model, a, b, share, counts),
            detail=mix_detail(a.detail, b.detail, in_detail),
        )
    if what != "identity" and not (a.expression is None and b.expression is None):
        mixed = replace(mixed, expression=_mixed_expression(model, a, b, share, counts))
    return mixed


@cache
def region_shares(template: HeadTemplate) -> tuple[np.ndarray, np.ndarray]:
    """Return the vertices (N,) of the face, and the share (R, N) that each region has of them:
    smooth, and with what belongs to no region they sum to one."""
    first, end, _, _ = template.parts["face"]
    rows = np.arange(first, end)[in_face_region(_vertices(template)[first:end])]
    return rows, _shares(template, rows)


def _vertices(template: HeadTemplate) -> np.ndarray:
    return template.vertices.cpu().double().numpy()


def _shares(template: HeadTemplate, rows: np.ndarray) -> np.ndarray:
    """Return the share (R, N) that each region has of vertices (N,)."""
    vertices = _vertices(template)
    landmarks = vertices[template.landmarks.cpu().numpy()]
    apart = [cKDTree(landmarks[marks]).query(vertices[rows])[0] for marks in _LANDMARKS.values()]
    apart.append(np.full(len(rows), _NOWHERE))
    shares: np.ndarray = softmax(-0.5 * (np.stack(apart) / _SPREAD) ** 2, axis=0)[:-1]
    return shares


@cache
def _detail_shares(template: HeadTemplate) -> np.ndarray:
    """Return the share (R, S, S) that each region has of the control heights of detail."""
    rows = skin(template)
    along = np.linspace(-1, 1, DETAIL_SIDE)
    places = np.stack(np.meshgrid(along, along), axis=-1)
    apart, near = cKDTree(_vertices(template)[rows, :2]).query(places, _NEIGHBOURS)
    nearness = 1 / (apart + along[1] - along[0])
    near_shares = _shares(template, rows)[:, near]
    shares: np.ndarray = (near_shares * nearness).sum(-1) / nearness.sum(-1)
    return shares


@cache
def _measured(template: HeadTemplate) -> tuple[np.ndarray, np.ndarray]:
    """Return the vertices (N,) at which mixtures are compared, and how much each counts (N,)."""
    face, _ = region_shares(template)
    skin_around = np.setdiff1d(template.part_rows(("face", "head_and_neck")), face)
    held = _shares(template, skin_around).sum(0) < _FREE
    eyes = template.part_rows(("eyeball_left", "eyeball_right"))
    around = np.concatenate([skin_around[held], eyes])[::_AROUND_STEP]
    counts = np.repeat([1.0, _AROUND_WEIGHT * _AROUND_STEP], [len(face), len(around)])
    return np.concatenate([face, around]), counts / len(face)


@dataclass(frozen=True)
class _Moves:
    """What the numbers of a code do to the measured vertices.

    Attributes
    ----------
    offsets : ndarray (D, 3 N) float32
        Of each number [mm].
    factor : ndarray (D, K)
        Takes independent normal numbers to codes.
    """

    offsets: np.ndarray
    factor: np.ndarray

    @classmethod
    def by(cls, template: HeadTemplate, basis: Tensor, linear: Tensor, factor: Tensor) -> "_Moves":
        """Find them for a basis (B, V, 3) that numbers (D,) reach by a linear map (D, B)."""
        rows = torch.from_numpy(_measured(template)[0]).to(basis.device)
        offsets = linear @ basis[:, rows].float().flatten(1) * UNIT_MM
        return cls(offsets.cpu().numpy(), factor.cpu().double().numpy())

    def of(self, step: np.ndarray) -> np.ndarray:
        """Return the offsets (N, 3) [mm] that a step (D,) of the code makes."""
        return (step.astype(np.float32) @ self.offsets).reshape(-1, 3)

    def step(self, offsets: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Return the step (D,) of the code that comes nearest to offsets (N, 3) [mm]: least
        squares over the vertices, which count (N,), the step weighed by the prior."""
        counted = self.offsets * np.repeat(counts, 3).astype(np.float32)
        slope = self.factor.T @ (counted @ offsets.ravel().astype(np.float32))
        normal = self.factor.T @ (counted @ self.offsets.T).astype(np.float64) @ self.factor
        step = self.factor @ np.linalg.solve(normal + _RIDGE * np.eye(len(normal)), slope)
        return step.astype(np.float32)


@cache
def _identity_moves(model: FaceModel) -> _Moves:
    head = require_head(model)
    forward, factor = head.forward_map, model.identity_prior.factor
    return _Moves.by(head.template, forward.identity_basis, forward.identity_linear, factor)


@cache
def _residual_moves(model: FaceModel) -> _Moves:
    head = require_head(model)
    scale = head.forward_map.residual_scale
    basis = head.forward_map.residual_basis
    return _Moves.by(head.template, basis, scale.diag(), torch.eye(len(scale)))


@cache
def _expression_moves(model: FaceModel) -> _Moves:
    head = require_head(model)
    forward, factor = head.forward_map, model.expression_prior.factor
    return _Moves.by(head.template, forward.expression_basis, forward.expression_linear, factor)


def _mixed_identity(
    model: FaceModel, a: Codes, b: Codes, share: np.ndarray, counts: np.ndarray
) -> dict[str, Any]:
    """Return the codes of who it is, moved so that each vertex, as much as it counts (N,), follows
    ``b`` by its share (N,); the residual takes what the identity leaves."""
    identity, residual = _identity_moves(model), _residual_moves(model)

    def wanted(moves: _Moves, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return share[:, None] * moves.of(second - first)

    beyond, other = (_or_zeros(codes.residual, residual) for codes in (a, b))
    person = wanted(identity, a.identity, b.identity)
    step = identity.step(person, counts)
    left = person - identity.of(step) + wanted(residual, beyond, other)
    mixed = {"identity": a.identity + step, "residual": beyond + residual.step(left, counts)}
    if not (a.surface is None and b.surface is None):
        first, second = (_or_zeros(codes.surface, identity) for codes in (a, b))
        mixed["surface"] = first + identity.step(wanted(identity, first, second), counts)
    return mixed


def _mixed_expression(
    model: FaceModel, a: Codes, b: Codes, share: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Return the expression code, moved likewise."""
    neutral, moves = model.neutral_expression.cpu().numpy(), _expression_moves(model)
    first, second = (neutral if x.expression is None else x.expression for x in (a, b))
    moved: np.ndarray = first + moves.step(share[:, None] * moves.of(second - first), counts)
    return moved


def _or_zeros(code: np.ndarray | None, moves: _Moves) -> np.ndarray:
    return np.zeros(len(moves.offsets), np.float32) if code is None else code
