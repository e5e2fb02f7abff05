# SPDX-License-Identifier: GPL-3.0-or-later
"""How a deformation field's output moves points."""

import math
from functools import cache

import torch
from torch import Tensor

WARP_CHANNELS = {"se3": 6, "translation": 3}


#: Taylor coefficients in t^2 of sin(t)/t, (1 - cos(t))/t^2 and (t - sin(t))/t^3, power by power.
_TAYLOR = [
    [(-1) ** power / math.factorial(2 * power + first) for first in (1, 2, 3)] for power in range(5)
]


def se3_coefficients(theta_squared: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return sin(t)/t, (1 - cos(t))/t^2 and (t - sin(t))/t^3, smooth through t = 0.

    Parameters
    ----------
    theta_squared : Tensor (..., 1)
        Squared rotation angle [rad^2].
    """
    small = theta_squared < 0.25
    # torch.where differentiates both branches: each gets an argument that is safe for it.
    s = torch.where(small, theta_squared, torch.zeros_like(theta_squared))
    t2 = torch.where(small, torch.ones_like(theta_squared), theta_squared)
    t = t2.sqrt()
    sin = t.sin()
    exact = torch.cat([sin / t, (1 - t.cos()) / t2, (t - sin) / (t2 * t)], dim=-1)
    *others, series = _taylor(s.dtype, s.device)
    for coefficients in reversed(others):
        series = torch.addcmul(coefficients, s, series)
    a, b, c = torch.where(small, series, exact).split(1, dim=-1)
    return a, b, c


@cache
def _taylor(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, ...]:
    return torch.tensor(_TAYLOR, dtype=dtype, device=device).unbind()


def warp(points: Tensor, deformation: Tensor) -> Tensor:
    """Move points by a field's output: SE(3) screw motions or plain translations.

    Parameters
    ----------
    points : Tensor (..., N, 3)
    deformation : Tensor (..., N, 6) or (..., N, 3)
        (w, v) of the exponential map, or a translation [model units].

    Returns
    -------
    Tensor (..., N, 3)

    Notes
    -----
    ImFace section 3.2. x' = R x + p with R = I + a [w] + b [w]^2 and p = v + b [w] v + c [w]^2 v,
    written with cross products only: no 4x4 matrices, no division by the angle.
    """
    if deformation.shape[-1] == 3:
        return points + deformation
    w, v = deformation[..., :3], deformation[..., 3:6]
    a, b, c = se3_coefficients((w * w).sum(-1, keepdim=True))
    w_x = torch.linalg.cross(w, points)
    w_v = torch.linalg.cross(w, v)
    return points + v + a * w_x + torch.linalg.cross(w, b * (w_x + v) + c * w_v)
