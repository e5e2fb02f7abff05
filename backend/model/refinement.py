# SPDX-License-Identifier: GPL-3.0-or-later
"""The refinement displacement field of ImFace++ (arXiv 2312.04028): what codes cannot express."""

from dataclasses import dataclass

import torch
from torch import Tensor

#: The surface moves by less than this [model units]: 5 mm.
MAX_HEIGHT = 0.05
#: Distance [model units] over which the detail fades away. The paper's 0.02 would let a surface
#: move by 2.2 mm at most: it would fade away under its own detail.
_FADE = 0.1


@dataclass(frozen=True)
class Detail:
    """How far the surface stands out, as a function of its place in template space.

    A face is one sheet over x and y there, so these two tell every place on it. Between control
    heights a quadratic B-spline leads: its slopes are continuous, and it never leaves their range.

    Attributes
    ----------
    heights : Tensor (S, S)
        Control heights [model units] over [-1, 1]^2, rows are y; none beyond ``MAX_HEIGHT``.
    """

    heights: Tensor

    def __call__(self, template_points: Tensor) -> Tensor:
        """Return the heights (...) [model units] at points (..., 3) in template space."""
        nodes, weights = spline(template_points, len(self.heights))
        return (self.heights.flatten()[nodes] * weights).sum(-1)


def spline(places: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Return the control heights that a place (..., 3) depends on, and by how much.

    Returns
    -------
    nodes : Tensor (..., 9) int64
        Into the flattened (side, side) control heights.
    weights : Tensor (..., 9)
        None is negative, and they sum to one.
    """
    steps = ((places[..., :2] + 1) * ((side - 1) / 2)).clamp(0.5, side - 1.5)
    middle = steps.detach().round().clamp(1, side - 2)
    off = steps - middle
    along = torch.stack([(0.5 - off).square() / 2, 0.75 - off.square(), (0.5 + off).square() / 2])
    x, y = along.movedim(0, -1).unbind(-2)
    near = torch.arange(-1, 2, device=places.device)
    column, row = (middle.long().unsqueeze(-1) + near).unbind(-2)
    nodes = row.unsqueeze(-1) * side + column.unsqueeze(-2)
    return nodes.flatten(-2), (y.unsqueeze(-1) * x.unsqueeze(-2)).flatten(-2)


def refine(sdf: Tensor, height: Tensor) -> Tensor:
    """Return the signed distance (...) to the surface that stands out by ``height`` (...).

    The paper evaluates the field again at x + r n with r = -height; a distance grows by r there,
    which saves the gradient and the second evaluation.
    """
    return sdf - height / (1 + (sdf / _FADE) ** 4)


def wanted_height(sdf: Tensor) -> Tensor:
    """Return the heights (...) that put points at signed distances (...) on the surface."""
    return sdf * (1 + (sdf / _FADE) ** 4)
