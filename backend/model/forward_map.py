# SPDX-License-Identifier: GPL-3.0-or-later
"""The forward map: from codes straight to the vertices of the template's fixed topology.

A backward warp takes places to places, so it can neither part lips that touch in template space
nor close lids. The forward map knows the vertex, not its place: which lip it belongs to.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .pieces import by_pieces

#: Vectors of a basis that are made single precision at a time.
_PIECE = 16


@dataclass(frozen=True, eq=False)  # hashed by identity: what follows from it can be cached
class HeadTemplate:
    """The fixed topology of a head.

    Attributes
    ----------
    vertices : Tensor (V, 3)
        Mean head, template space.
    polygons, uv_polygons : Tensor (F, 4) int32
        -1 pads a triangle.
    uv : Tensor (U, 2)
    landmarks : Tensor (68,) int64
    parts : dict
        Part name -> (first vertex, end vertex, first polygon, end polygon).
    """

    vertices: Tensor
    polygons: Tensor
    uv: Tensor
    uv_polygons: Tensor
    landmarks: Tensor
    parts: dict[str, tuple[int, int, int, int]]

    def part_rows(self, names: Iterable[str]) -> np.ndarray:
        """Return the vertices (N,) of the named parts."""
        return np.concatenate([np.arange(*self.parts[name][:2]) for name in names])

    def part_polygons(self, names: tuple[str, ...]) -> np.ndarray:
        """Return the polygons (N, 4) of the named parts."""
        return torch.cat([self.polygons[slice(*self.parts[n][2:])] for n in names]).cpu().numpy()


@dataclass(frozen=True)
class ForwardMap:
    """vertices = mean + (z_id - id_mean) A_id B_id + r s B_r + (z_exp - z_neutral) A_exp B_exp.

    What the codes leave of the training people has principal components of its own: a scan tells
    more of a person's vertices than the field's code has room for.

    Attributes
    ----------
    identity_mean, neutral_expression : Tensor (D,)
    identity_linear, expression_linear : Tensor (D, K)
    identity_basis, expression_basis : Tensor (K, V, 3)
        Orthonormal over the vertices.
    residual_basis : Tensor (R, V, 3) int8
        Of the residual r.
    residual_scale : Tensor (R,)
        What a step of its basis is [model units], for r of unit variance.
    mean : Tensor (V, 3)
        The mean person's neutral head.
    """

    identity_mean: Tensor
    neutral_expression: Tensor
    identity_linear: Tensor
    expression_linear: Tensor
    identity_basis: Tensor
    expression_basis: Tensor
    residual_basis: Tensor
    residual_scale: Tensor
    mean: Tensor

    def neutral(self, identity: Tensor, residual: Tensor | None = None) -> Tensor:
        """Return a neutral head's vertices (V, 3) [model units] for a code (D,) and a residual
        (R,)."""
        amounts = (identity - self.identity_mean) @ self.identity_linear
        vertices = self.mean + _sum(amounts, self.identity_basis)
        if residual is not None:
            vertices += _sum(residual * self.residual_scale, self.residual_basis)
        return vertices

    def expressed(self, expression: Tensor) -> Tensor:
        """Return what an expression's code (D,) adds to a neutral head's vertices (V, 3)."""
        amounts = (expression - self.neutral_expression) @ self.expression_linear
        return _sum(amounts, self.expression_basis)


def _sum(amounts: Tensor, basis: Tensor) -> Tensor:
    """Return the sum (V, 3) of amounts (K,) of a basis (K, V, 3); each core has vertices of its
    own."""
    by_vertex = basis.transpose(0, 1)
    return torch.cat(by_pieces(lambda part: _own_sum(amounts, part), by_vertex, len(by_vertex)))


def _own_sum(amounts: Tensor, by_vertex: Tensor) -> Tensor:
    """Return the sum (V, 3) of amounts (K,) of vectors (V, K, 3), made single precision in pieces
    that stay in the processor's cache."""
    total = amounts.new_zeros(by_vertex[:, 0].shape)
    for some, part in zip(amounts.split(_PIECE), by_vertex.split(_PIECE, 1), strict=True):
        total += torch.tensordot(some, part.transpose(0, 1).to(some), 1)
    return total


def ridge(inputs: Tensor, targets: Tensor, strength: float) -> Tensor:
    """Return the (D, K) matrix that takes inputs (N, D) to targets (N, K), least squares with a
    ridge of ``strength`` times the mean variance of the inputs."""
    inputs, targets = inputs.double(), targets.double()
    gram = inputs.T @ inputs
    gram += strength * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    return torch.linalg.solve(gram, inputs.T @ targets).float()


def in_steps(basis: Tensor) -> tuple[Tensor, Tensor]:
    """Return a basis (R, V, 3) in steps, int8, and how large a step is in each direction (R,)."""
    sizes = basis.flatten(1).abs().amax(1).clamp(min=1e-12) / 127
    return (basis / sizes[:, None, None]).round().to(torch.int8), sizes


def factored(by_code: Tensor) -> tuple[Tensor, Tensor]:
    """Split what each number of a code adds to the vertices, (D, V, 3), into a linear map (D, K)
    and an orthonormal basis (K, V, 3), the strongest direction first; K is the rank."""
    turned, sizes, basis = torch.linalg.svd(by_code.flatten(1), full_matrices=False)
    rank = int((sizes > sizes[0] * 1e-5).sum())
    return (turned * sizes)[:, :rank], basis[:rank].unflatten(1, by_code.shape[1:])
