# SPDX-License-Identifier: GPL-3.0-or-later
"""Named expressions: ARKit's 52 in Apple's spelling."""

from collections.abc import Mapping

import numpy as np
import torch

from ..checkpoint import FaceModel
from ..errors import BackendError

# fmt: off
ARKIT_NAMES = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft",
    "eyeSquintLeft", "eyeWideLeft", "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight",
    "eyeLookOutRight", "eyeLookUpRight", "eyeSquintRight", "eyeWideRight", "jawForward", "jawLeft",
    "jawRight", "jawOpen", "mouthClose", "mouthFunnel", "mouthPucker", "mouthLeft", "mouthRight",
    "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight", "mouthDimpleLeft",
    "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight", "mouthRollLower",
    "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft", "mouthPressRight",
    "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft", "noseSneerRight",
    "tongueOut",
)
# fmt: on


def ict_names(name: str, available: tuple[str, ...]) -> list[int]:
    """Return the indices of the ICT shapes that make up an ARKit expression, none if absent."""
    stem = name.removesuffix("Left").removesuffix("Right")
    side = {"Left": "_L", "Right": "_R"}.get(name[len(stem) :], "")
    # jawLeft is one shape; browInnerUp is split into two.
    wanted = {name} if name in available else {stem + side, name + "_L", name + "_R"}
    return [i for i, candidate in enumerate(available) if candidate in wanted]


def absent_names(model: FaceModel) -> list[str]:
    """Return the ARKit names that this model cannot make."""
    return [name for name in ARKIT_NAMES if name not in model.expression_names]


def check_names(model: FaceModel, names: list[str]) -> None:
    """Raise BackendError if an expression is unknown or absent."""
    for name in names:
        if name in model.expression_names:
            continue
        if name in ARKIT_NAMES:
            raise BackendError(f"This model has no expression '{name}'. Leave it out.")
        raise BackendError(
            f"There is no expression '{name}'. Use ARKit's names, such as jawOpen or eyeBlinkLeft."
        )


def expression_code(model: FaceModel, weights: Mapping[str, float]) -> np.ndarray | None:
    """Return the code (D,) of a mix of named expressions; None (neutral) if all weights are 0.

    Parameters
    ----------
    weights : mapping
        Name -> strength, 0 to 1.

    Raises
    ------
    BackendError
        If a name is unknown.
    """
    check_names(model, list(weights))
    if not any(weights.values()):
        return None
    values = torch.tensor(
        [float(weights.get(name, 0.0)) for name in model.expression_names], device=model.device
    )
    return (model.neutral_expression + values @ model.expression_directions).cpu().numpy()
