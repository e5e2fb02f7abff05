# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes CSV files as Live Link Face does."""

from collections.abc import Mapping, Sequence
from pathlib import Path

ANGLES = [
    f"{what}{angle}"
    for what in ("Head", "LeftEye", "RightEye")
    for angle in ("Yaw", "Pitch", "Roll")
]
# fmt: off
EXPRESSIONS = [
    "EyeBlinkLeft", "EyeLookDownLeft", "EyeLookInLeft", "EyeLookOutLeft", "EyeLookUpLeft",
    "EyeSquintLeft", "EyeWideLeft", "EyeBlinkRight", "EyeLookDownRight", "EyeLookInRight",
    "EyeLookOutRight", "EyeLookUpRight", "EyeSquintRight", "EyeWideRight", "JawForward",
    "JawRight", "JawLeft", "JawOpen", "MouthClose", "MouthFunnel", "MouthPucker", "MouthRight",
    "MouthLeft", "MouthSmileLeft", "MouthSmileRight", "MouthFrownLeft", "MouthFrownRight",
    "MouthDimpleLeft", "MouthDimpleRight", "MouthStretchLeft", "MouthStretchRight",
    "MouthRollLower", "MouthRollUpper", "MouthShrugLower", "MouthShrugUpper", "MouthPressLeft",
    "MouthPressRight", "MouthLowerDownLeft", "MouthLowerDownRight", "MouthUpperUpLeft",
    "MouthUpperUpRight", "BrowDownLeft", "BrowDownRight", "BrowInnerUp", "BrowOuterUpLeft",
    "BrowOuterUpRight", "CheekPuff", "CheekSquintLeft", "CheekSquintRight", "NoseSneerLeft",
    "NoseSneerRight", "TongueOut",
]
# fmt: on
COLUMNS = [*EXPRESSIONS, *ANGLES]


def timecode(frame: float, fps: int) -> str:
    """Return HH:MM:SS:FF.sss of a frame since midnight, which comes round again."""
    seconds, rest = divmod(frame, fps)
    minutes, seconds = divmod(int(seconds) % 86_400, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}:{rest:06.3f}"


def write(
    path: Path,
    values: Mapping[str, Sequence[float]],
    fps: int = 60,
    start: float = 100_000.25,
    frames: Sequence[float] | None = None,
) -> Path:
    """Write rows of the given columns, all others 0, one row for each of the frames [1/fps s]
    counted from `start`; without frames the rows follow each other."""
    count = len(next(iter(values.values())))
    lines = [",".join(["Timecode", "BlendShapeCount", *COLUMNS])]
    for row in range(count):
        at = timecode(start + (row if frames is None else frames[row]), fps)
        numbers = [f"{values[name][row] if name in values else 0:.10f}" for name in COLUMNS]
        lines.append(",".join([at, "61", *numbers]))
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path
