# SPDX-License-Identifier: GPL-3.0-or-later
"""The sliders' names by region, what each measures, and the words about them. No bpy.

Blender wants them before any worker runs, so they stand here and in the backend; a test compares.
"""

import re

AXES = 10
UNIT = "In standard deviations among people: 0 is the face as it was made, 2 is rare"
LOCK = "Lock {slider}"
LOCK_MEANING = "Random and Reset leave {slider} as it is"

#: Region -> slider -> what grows with it.
GROUPS: dict[str, dict[str, str]] = {
    "Face": {
        "faceWidth": "cheekbone to cheekbone",
        "faceHeight": "root of the nose to chin",
        "cheekbones": "cheekbones before the corners of eyes and mouth",
    },
    "Forehead": {
        "foreheadHeight": "brows to the top of the forehead",
        "foreheadForward": "forehead before the root of the nose",
        "browRidge": "brows before the outer corners of the eyes",
    },
    "Jaw": {
        "jawWidth": "angle to angle of the jaw",
        "chinHeight": "lower lip to the bottom of the chin",
        "chinForward": "chin before the corners of the mouth",
    },
    "Eyes": {
        "eyeSize": "width and opening of an eye",
        "eyeSpacing": "eye to eye",
    },
    "Nose": {
        "noseLength": "root to base of the nose",
        "noseWidth": "nostril to nostril",
        "noseBridge": "bridge before the inner corners of the eyes",
    },
    "Mouth": {
        "lipFullness": "height of both lips",
        "mouthWidth": "corner to corner of the mouth",
    },
    "Axes": {
        f"axis{k:02}": f"number {k} of the ways in which people differ most"
        for k in range(1, AXES + 1)
    },
}
NAMES = tuple(name for sliders in GROUPS.values() for name in sliders)


def title(name: str) -> str:
    """Return a slider's or a region's name as words."""
    return re.sub(r"([A-Z]|\d+)", r" \1", name).strip().title()


def short_title(region: str, name: str) -> str:
    """Return a slider's name as it stands below its region's: Length, below Nose."""
    return title(name).removeprefix(region.removesuffix("s") + " ")
