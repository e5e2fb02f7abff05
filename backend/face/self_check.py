# SPDX-License-Identifier: GPL-3.0-or-later
"""Does this machine compute a known face as it should?"""

import time
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch

from ..checkpoint import FaceModel
from ..errors import BackendError
from ..model.imface import UNIT_MM, query_sdf
from ..scan.sampling import uniform_in_ball
from .generate import code_tensors, face_of, generate

#: More than this [mm] is wrong.
_MOST_MM = 0.05
_POINTS = 4096
_KNOWN_FACE = 1


@dataclass(frozen=True)
class SelfCheck:
    """How a known face came out.

    Attributes
    ----------
    off_mm : float
        Largest difference between the device's signed distances and exact ones.
    points_per_second : float
        Of the device.
    """

    off_mm: float
    points_per_second: float


def self_check(model: FaceModel) -> SelfCheck:
    """Compute a known face on the model's device, and in float64 on the processor.

    Raises
    ------
    BackendError
        If the two differ.
    """
    weights = dict.fromkeys(model.expression_names[:1], 0.5)
    codes = generate(model, _KNOWN_FACE, 1.0, weights)
    points = torch.from_numpy(uniform_in_ball(_POINTS, np.random.default_rng(0)))
    face, on_device = face_of(model, codes), points.float().to(model.device)
    started = time.perf_counter()
    found = query_sdf(face, on_device).cpu()
    seconds = time.perf_counter() - started
    exact = deepcopy(model.imface).cpu().double()
    identity, expression = code_tensors(model, codes)
    expression = None if expression is None else expression.cpu().double()[None]
    with torch.no_grad():
        wanted = query_sdf(exact.face(identity.cpu().double()[None], expression), points)
    off_mm = float((found - wanted).abs().max() * UNIT_MM)
    if not off_mm <= _MOST_MM:  # NaN neither
        raise BackendError(
            "{device} computes a known face wrongly, by {off} mm. Choose another Python in "
            "the preferences, one without that device.",
            device=model.device,
            off=f"{off_mm:.2g}",
        )
    return SelfCheck(off_mm, _POINTS / seconds)
