# SPDX-License-Identifier: GPL-3.0-or-later
"""Named expressions: ARKit's 52 in Apple's spelling, and FaceScape's 20 as mixes of them."""

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


def _both(**weights: float) -> dict[str, float]:
    """Give shapes by their stem to the left and the right side."""
    return {stem + side: weight for stem, weight in weights.items() for side in ("Left", "Right")}


#: FaceScape's 20 expressions as mixes of ARKit's; the mixes are ours, after its description.
FACESCAPE: dict[str, dict[str, float]] = {
    "neutral": {},
    "smile": _both(mouthSmile=0.8, cheekSquint=0.5, eyeSquint=0.3),
    "mouth_stretch": {"jawOpen": 0.9} | _both(mouthStretch=0.3),
    "anger": _both(browDown=0.9, noseSneer=0.6, eyeSquint=0.5, mouthPress=0.4, mouthFrown=0.3),
    "jaw_left": {"jawLeft": 1.0},
    "jaw_right": {"jawRight": 1.0},
    "jaw_forward": {"jawForward": 1.0},
    "mouth_left": {"mouthLeft": 1.0},
    "mouth_right": {"mouthRight": 1.0},
    "dimpler": _both(mouthDimple=1.0),
    "chin_raiser": {"mouthShrugLower": 1.0, "mouthShrugUpper": 0.5},
    "lip_puckerer": {"mouthPucker": 1.0},
    "lip_funneler": {"mouthFunnel": 1.0},
    "sadness": {"browInnerUp": 0.9, "mouthShrugLower": 0.3} | _both(mouthFrown=0.8),
    "lip_roll": {"mouthRollLower": 1.0, "mouthRollUpper": 1.0},
    "grin": _both(
        mouthSmile=0.6, mouthUpperUp=0.6, mouthLowerDown=0.6, mouthStretch=0.3, cheekSquint=0.4
    ),
    "cheek_blowing": {"cheekPuff": 1.0},
    "eye_closed": _both(eyeBlink=1.0),
    "brow_raiser": {"browInnerUp": 1.0} | _both(browOuterUp=1.0),
    "brow_lower": _both(browDown=1.0),
}


def ict_names(name: str, available: tuple[str, ...]) -> list[int]:
    """Return the indices of the ICT shapes that make up an ARKit expression, none if absent."""
    stem = name.removesuffix("Left").removesuffix("Right")
    side = {"Left": "_L", "Right": "_R"}.get(name[len(stem) :], "")
    # jawLeft is one shape; browInnerUp is split into two.
    wanted = {name} if name in available else {stem + side, name + "_L", name + "_R"}
    return [i for i, candidate in enumerate(available) if candidate in wanted]


def ict_weights(weights: Mapping[str, float], available: tuple[str, ...]) -> np.ndarray:
    """Return the weights (len(available),) of the ICT shapes for a mix of ARKit expressions."""
    row = np.zeros(len(available))
    for name, weight in weights.items():
        row[ict_names(name, available)] = weight
    return row


def absent_names(model: FaceModel) -> list[str]:
    """Return the ARKit names that this model cannot make."""
    return [name for name in ARKIT_NAMES if name not in model.expression_names]


def set_names(model: FaceModel, kind: str) -> list[str]:
    """Return the expressions of "arkit", or of "facescape" all but the neutral one, that this
    model can make."""
    if kind == "arkit":
        return list(model.expression_names)
    known = set(model.expression_names)
    return [name for name, mix in FACESCAPE.items() if mix and mix.keys() <= known]


def check_names(model: FaceModel, names: list[str]) -> None:
    """Raise BackendError if expressions are unknown or absent; it names all of them."""
    known = set(model.expression_names)
    missing = [name for name in names if not set(FACESCAPE.get(name, {name: 1.0})) <= known]
    unknown = [name for name in missing if name not in ARKIT_NAMES and name not in FACESCAPE]
    if unknown:
        raise BackendError(
            "There is no expression '{name}'. Use ARKit's names, such as jawOpen or "
            "eyeBlinkLeft, or FaceScape's, such as smile or lip_puckerer.",
            name="', '".join(unknown),
        )
    if missing:
        raise BackendError(
            "This model has no expression '{name}'. Leave it out.", name="', '".join(missing)
        )


def arkit_mix(weights: Mapping[str, float]) -> dict[str, float]:
    """Return a mix in ARKit's names alone: FaceScape's expressions are added to it, up to 1."""
    mix: dict[str, float] = {}
    for name, strength in weights.items():
        for part, weight in FACESCAPE.get(name, {name: 1.0}).items():
            mix[part] = min(mix.get(part, 0.0) + strength * weight, 1.0)
    return mix


def expression_code(model: FaceModel, weights: Mapping[str, float]) -> np.ndarray | None:
    """Return the code (D,) of a mix of named expressions; None (neutral) if all weights are 0.

    Parameters
    ----------
    weights : mapping
        Name -> strength, 0 to 1; ARKit's or FaceScape's names.

    Raises
    ------
    BackendError
        If a name is unknown.
    """
    check_names(model, list(weights))
    mix = arkit_mix(weights)
    if not any(mix.values()):
        return None
    values = torch.tensor(
        [float(mix.get(name, 0.0)) for name in model.expression_names], device=model.device
    )
    return (model.neutral_expression + values @ model.expression_directions).cpu().numpy()
