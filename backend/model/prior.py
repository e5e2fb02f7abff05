# SPDX-License-Identifier: GPL-3.0-or-later
"""The Gaussian that the training codes form: for drawing new codes and for fitting."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class CodePrior:
    """z = mean + factor u with u ~ N(0, 1).

    Attributes
    ----------
    mean : Tensor (D,)
    factor : Tensor (D, D)
    """

    mean: Tensor
    factor: Tensor

    def code(self, whitened: Tensor) -> Tensor:
        """Return codes (..., D) for whitened ones (..., D)."""
        return self.mean + whitened @ self.factor.T

    def to(self, device: torch.device) -> "CodePrior":
        """Return the prior on another device."""
        return CodePrior(self.mean.to(device), self.factor.to(device))


def fit_prior(codes: Tensor) -> CodePrior:
    """Fit the Gaussian to codes (N, D), its axes ordered from most to least spread."""
    codes = codes.double()
    mean = codes.mean(0)
    covariance = (codes - mean).T @ (codes - mean) / max(len(codes) - 1, 1)
    values, axes = torch.linalg.eigh(covariance)
    factor = axes.flip(1) * values.flip(0).clamp(min=1e-12).sqrt()
    return CodePrior(mean.float(), factor.float())
