# SPDX-License-Identifier: GPL-3.0-or-later
"""Blending by region: the eyes of one face, the nose of another, in one face.

The regions of two faces, mixed smoothly vertex by vertex on the common topology, are seldom a face
that anybody has. What is made is the person nearest to that mixture: a single identity code and a
single expression code. So there is no seam to hide, and everything that can be done with a face can
be done with the blend. Training on mixtures of people taught the codes to tell regions apart.
"""

from collections.abc import Collection
from dataclasses import replace
from functools import cache

import torch

from ..checkpoint import FaceModel
from ..codes import Codes
from ..errors import BackendError
from ..model.forward_map import HeadTemplate
from ..model.imface import UNIT_MM
from ..model.prior import CodePrior
from ..scan.compare import in_face_region
from .blend import What, blend, check_blend
from .correspondence import require_head
from .generate import code_tensors

#: Region -> its landmarks among the 68.
_LANDMARKS = {
    "brows": slice(17, 27),
    "eyes": slice(36, 48),
    "nose": slice(27, 36),
    "mouth": slice(48, 68),
    "jaw": slice(0, 17),
}
REGIONS = tuple(_LANDMARKS)
#: A vertex this far from a region's landmarks has lost most of its share [model units].
_REACH = 0.15
#: A vertex twice that far from every landmark belongs to no region.
_NOWHERE = 2 * _REACH
#: Weight of the prior [mm^2] beside the mean squared distance from the mixture.
_RIDGE = 1e-3


def blend_regions(
    model: FaceModel,
    a: Codes,
    b: Codes,
    weight: float,
    what: What = "both",
    regions: Collection[str] = (),
) -> Codes:
    """Mix face ``b`` into regions of face ``a``; elsewhere, and what is not blended, stays a's,
    and so do a's surface, residual and detail.

    Parameters
    ----------
    weight : float
        0 leaves a, 1 gives b's regions.
    what : {"identity", "expression", "both"}
    regions : collection of str
        Of ``REGIONS``; none is the whole face, as in ``face.blend.blend``.

    Raises
    ------
    BackendError
        If a word or the weight is out of range, the codes belong to other weights, or the model
        has no common topology.
    """
    if not regions:
        return blend(model, a, b, weight, what)
    check_blend(model, a, b, weight, what)
    for name in regions:
        if name not in REGIONS:
            raise BackendError(
                "There is no region '{name}'. Choose {regions}.",
                name=name,
                regions=", ".join(REGIONS),
            )
    forward = require_head(model).forward_map
    rows, shares = region_shares(require_head(model).template)
    share = weight * shares[[REGIONS.index(name) for name in set(regions)]].sum(0)
    (identity, expression), (other, shown) = code_tensors(model, a), code_tensors(model, b)
    if what != "expression":
        offsets = _offsets(forward.identity_linear, forward.identity_basis[:, rows])
        identity = _moved(identity, other, model.identity_prior, offsets, share)
    if what != "identity" and not (expression is None and shown is None):
        offsets = _offsets(forward.expression_linear, forward.expression_basis[:, rows])
        neutral = model.neutral_expression
        first, second = (neutral if code is None else code for code in (expression, shown))
        expression = _moved(first, second, model.expression_prior, offsets, share)
    return replace(
        a,
        identity=identity.cpu().numpy(),
        expression=None if expression is None else expression.cpu().numpy(),
    )


@cache
def region_shares(template: HeadTemplate) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the vertices (N,) of the face, and the share (R, N) that each region has of them:
    smooth, and with what belongs to no region they sum to one."""
    vertices = template.vertices.cpu().double()
    first, end, _, _ = template.parts["face"]
    rows = torch.arange(first, end)[in_face_region(vertices[first:end].numpy())]
    landmarks = vertices[template.landmarks.cpu()]
    apart = [torch.cdist(vertices[rows], landmarks[marks]).amin(1) for marks in _LANDMARKS.values()]
    apart.append(torch.full((len(rows),), _NOWHERE, dtype=torch.float64))
    shares = torch.softmax(-0.5 * (torch.stack(apart) / _REACH) ** 2, dim=0)[:-1]
    return rows.to(template.vertices.device), shares.to(template.vertices.device)


def _offsets(linear: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """Return how far [mm] each number of a code moves the vertices, (D, N, 3)."""
    return torch.tensordot(linear, basis.float(), 1).double() * UNIT_MM


def _moved(
    code: torch.Tensor,
    other: torch.Tensor,
    prior: CodePrior,
    offsets: torch.Tensor,
    share: torch.Tensor,
) -> torch.Tensor:
    """Return the code (D,) moved so that each vertex follows the other code by its share (N,):
    least squares over the vertices, the step weighed by the prior."""
    factor, count = prior.factor.double(), len(share)
    wanted = torch.tensordot((other - code).double(), offsets, 1) * share[:, None]
    spread = (factor.T @ offsets.flatten(1)).to(code.device)  # of the whitened code
    normal = spread @ spread.T / count
    normal += _RIDGE * torch.eye(len(spread), dtype=normal.dtype, device=code.device)
    step = torch.linalg.solve(normal, spread @ wanted.flatten() / count)
    return code + (factor @ step).float()
