# SPDX-License-Identifier: GPL-3.0-or-later
"""A sheet of twelve random heads, each neutral and with four expressions, from the front and at
three quarters: does a person want to work with them?

`python -m tests.demo.heads [SHEET.jpg]`; IMFACE_PYTHON names the worker's Python, if it is not this
one.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

HOME = tempfile.TemporaryDirectory()
for variable in ("BLENDER_USER_RESOURCES", "XDG_CACHE_HOME"):
    os.environ[variable] = HOME.name
os.environ.setdefault("IMFACE_PYTHON", sys.executable)

import bpy  # noqa: E402

import imface_blender  # noqa: E402
from tests.demo import studio  # noqa: E402

SHEET = Path(__file__).parents[2] / "docs" / "heads.jpg"
HEADS = 12
LOOKS: dict[str, dict[str, float]] = {
    "neutral": {},
    "smile": {"mouthSmileLeft": 1, "mouthSmileRight": 1, "cheekPuff": 0.2},
    "jaw open": {"jawOpen": 1},
    "eyes shut": {"eyeBlinkLeft": 1, "eyeBlinkRight": 1, "mouthPucker": 0.6},
    "sneer": {"noseSneerLeft": 1, "noseSneerRight": 1, "browInnerUp": 0.8},
}
NAMES = sorted({name for look in LOOKS.values() for name in look})
YAWS_DEGREES = (0, 35)
TILE_PX = (150, 186)


def shoot_head(room: studio.Studio, seed: int, folder: Path) -> list[tuple[Path, str]]:
    """Make a random head and take all pictures of it."""
    bpy.ops.imface.generate(seed=seed)
    head = bpy.context.object
    bpy.ops.imface.add_expressions(names=", ".join(NAMES))
    pictures = []
    for yaw in YAWS_DEGREES:
        room.aim(head, yaw)
        for title, look in LOOKS.items():
            for name in NAMES:
                head.data.shape_keys.key_blocks[name].value = look.get(name, 0)
            path = folder / f"{seed}-{yaw}-{title}.png"
            room.shoot(head, path, *TILE_PX)
            pictures.append((path, title))
    return pictures


def main(sheet: Path) -> None:
    """Make the sheet."""
    imface_blender.register()
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    room = studio.Studio()
    with tempfile.TemporaryDirectory() as folder:
        rows = [shoot_head(room, seed, Path(folder)) for seed in range(1, HEADS + 1)]
        studio.contact_sheet(rows, sheet)
    imface_blender.unregister()


main(Path(sys.argv[1]) if len(sys.argv) > 1 else SHEET)
