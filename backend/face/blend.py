# SPDX-License-Identifier: GPL-3.0-or-later
"""Blending faces by their codes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from ..checkpoint import FaceModel
from ..codes import Codes
from ..errors import BackendError
from .generate import check_codes

What = Literal["identity", "expression", "both"]


def blend(model: FaceModel, a: Codes, b: Codes, weight: float, what: What = "both") -> Codes:
    """Mix face ``a`` with face ``b``; what is not blended stays a's.

    The surface, the residual and the detail of a scan belong to who it is: they are mixed with the
    identity, and a face that has no detail is smooth.

    Parameters
    ----------
    weight : float
        0 gives a, 1 gives b.
    what : {"identity", "expression", "both"}

    Raises
    ------
    BackendError
        If the weight or ``what`` is out of range, or codes belong to other weights.
    """
    check_blend(model, a, b, weight, what)
    mixed = a
    if what != "expression":
        mixed = replace(
            mixed,
            identity=np.asarray((1 - weight) * a.identity + weight * b.identity, np.float32),
            detail=mix_detail(a.detail, b.detail, weight),
            surface=_mix(a.surface, b.surface, weight),
            residual=_mix(a.residual, b.residual, weight),
        )
    if what != "identity":
        mixed = replace(mixed, expression=_blend_expression(model, a, b, weight))
    return mixed


def average(model: FaceModel, faces: Sequence[Codes]) -> Codes:
    """Return the mean of one face or more; of one it is that face.

    Raises
    ------
    BackendError
        If codes belong to other weights.
    """
    mean = faces[0]
    for count, face in enumerate(faces[1:], 2):
        mean = blend(model, mean, face, 1 / count)
    return mean


def mix_detail(
    a: np.ndarray | None, b: np.ndarray | None, weight: float | np.ndarray
) -> np.ndarray | None:
    """Return detail between that of two scans, by one weight or by that of each control height."""
    mixed = _mix(a, b, weight)
    return None if mixed is None else np.round(mixed).astype(np.int16)


def _mix(
    a: np.ndarray | None, b: np.ndarray | None, weight: float | np.ndarray
) -> np.ndarray | None:
    for end, own in enumerate((a, b)):  # an end has that face's very own, none included
        if np.all(weight == end):
            return own
    if a is None and b is None:
        return None
    mixed = (1 - weight) * (0 if a is None else a) + weight * (0 if b is None else b)
    return np.asarray(mixed, np.float32)


def check_blend(model: FaceModel, a: Codes, b: Codes, weight: float, what: str) -> None:
    """Raise BackendError if two faces cannot be blended so."""
    if not 0 <= weight <= 1:
        raise BackendError(
            "The blend weight {weight} is out of range. Choose 0 to 1.", weight=weight
        )
    if what not in ("identity", "expression", "both"):
        raise BackendError(
            "'{what}' cannot be blended. Choose identity, expression or both.", what=what
        )
    check_codes(model, a)
    check_codes(model, b)


def _blend_expression(model: FaceModel, a: Codes, b: Codes, weight: float) -> np.ndarray | None:
    if weight == 0 or weight == 1:  # an end is that face's very code, neutral included
        return a.expression if weight == 0 else b.expression
    if a.expression is None and b.expression is None:
        return None
    neutral = model.neutral_expression.cpu().numpy()
    first = neutral if a.expression is None else a.expression
    second = neutral if b.expression is None else b.expression
    return np.asarray((1 - weight) * first + weight * second, np.float32)
