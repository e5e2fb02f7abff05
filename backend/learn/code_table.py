# SPDX-License-Identifier: GPL-3.0-or-later
"""The codes of the training scans: what is known of a scan, mapped linearly, plus a free part."""

import torch
from torch import Tensor, nn


class CodeTable(nn.Module):
    """code = coefficients @ directions + free.

    An auto-decoder learns a row per scan from that scan alone. Where numbers are known that made
    the scan (expression weights, principal components), the directions they move the code in are
    learned from every scan at once; what they do not explain is left to the free part, which the
    loss keeps small. Without such numbers this is the paper's plain embedding.

    Parameters
    ----------
    coefficients : Tensor (N, K)
        K may be 0.
    dim : int
        Length D of a code.
    scale : float
        Of the directions at the start: orthogonal ones, so that the codes' distances are those
        of the coefficients.
    """

    coefficients: Tensor

    def __init__(self, coefficients: Tensor, dim: int, scale: float) -> None:
        super().__init__()
        rows, known = coefficients.shape
        self.register_buffer("coefficients", coefficients)
        self.directions = nn.Parameter(torch.empty(known, dim))
        self.free = nn.Parameter(torch.zeros(rows, dim))
        if known:
            nn.init.orthogonal_(self.directions, gain=scale)
        else:
            nn.init.normal_(self.free, std=0.01)

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes (B, D) and their free parts (B, D)."""
        free = self.free[rows]
        return self.coefficients[rows] @ self.directions + free, free
