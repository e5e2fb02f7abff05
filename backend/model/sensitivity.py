# SPDX-License-Identifier: GPL-3.0-or-later
"""How the signed distance at a point changes from a face to its neighbours in code space."""

from dataclasses import replace

import torch
from torch import Tensor

from .blend_field import Field
from .imface import Face
from .pieces import by_pieces

#: Points differentiated together: each has a copy of what the codes write.
_POINTS = 500


def sdf_changes(face: Face, others: Face, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return signed distances, and to first order how they differ on other faces.

    A code reaches a point only through the layers that it writes. One backward pass tells how each
    point's distance follows them, for all codes at once: no face but one is evaluated.

    Parameters
    ----------
    face : Face
        A single one.
    others : Face
        A batch of B > 1, near it.
    points : Tensor (N, 3)

    Returns
    -------
    sdf : Tensor (N,)
    gradients : Tensor (N, 3)
    changes : Tensor (B, N)
        The other faces' distances less this one's.
    """
    found = by_pieces(lambda piece: _changes(face, others, piece), points, _POINTS)
    sdf, gradients, changes = zip(*found, strict=True)
    return torch.cat(sdf), torch.cat(gradients), torch.cat(changes, dim=1)


def _changes(face: Face, others: Face, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    own, theirs = _written(face), _written(others)
    with torch.enable_grad():
        points = points[:, None].detach().requires_grad_()
        copies = [
            a if len(b) == 1 else a.detach().expand(len(points), *a.shape[1:]).clone()
            for a, b in zip(own, theirs, strict=True)
        ]
        free = [i for i, b in enumerate(theirs) if len(b) > 1]
        for i in free:
            copies[i].requires_grad_()
        sdf = _with(face, copies).query(points).sdf[:, 0]
        gradients, *slopes = torch.autograd.grad(sdf.sum(), [points, *(copies[i] for i in free)])
    changes = points.new_zeros(max(map(len, theirs)), len(points))
    for i, slope in zip(free, slopes, strict=True):
        changes += (theirs[i] - own[i]).flatten(1) @ slope.flatten(1).T
    return sdf.detach(), gradients[:, 0], changes


def _written(face: Face) -> list[Tensor]:
    """Return the weights and biases of a face's deformations."""
    fields = [field for field in (face.expression, face.identity) if field is not None]
    return [tensor for field in fields for layer in field.layers for tensor in layer]


def _with(face: Face, written: list[Tensor]) -> Face:
    """Return a face with other weights and biases, in the order of ``_written``."""
    rest = iter(written)

    def field(old: Field) -> Field:
        return Field([(next(rest), next(rest)) for _ in old.layers], old.fusion)

    expression = None if face.expression is None else field(face.expression)
    return replace(face, expression=expression, identity=field(face.identity))
