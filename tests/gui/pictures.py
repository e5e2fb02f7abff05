# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures of the artists' guide anew: docs/screenshots.

`python -m tests.gui.pictures BLENDER`, a Blender of which a window can be opened.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image

from build import ROOT
from tests.gui import session

FOLDER = ROOT / "docs" / "screenshots"
LIMIT_S = 1800
#: Left, top, right and bottom of parts of the window [pixels].
VIEWPORT = (0, 28, 1057, 718)
TO_THE_STATUS_BAR = (0, 28, 1057, 800)
#: The step after which a picture is taken -> what of the window it shows.
PARTS = {
    "gallery": VIEWPORT,
    "fit": VIEWPORT,
    "blend": VIEWPORT,
    "shape": VIEWPORT,
    "expressions": VIEWPORT,
    "animate": TO_THE_STATUS_BAR,
    "materials": VIEWPORT,
    "error": VIEWPORT,
}


def keep(window: session.Window, name: str) -> None:
    """Cut the picture after a step and keep it, small."""
    shown = Image.open(session.OUT / window.step(name)["picture"]["file"]).convert("RGB")
    shown.crop(PARTS[name]).save(FOLDER / f"{name}.png", optimize=True)


def main(blender: str) -> str | None:
    """Make all pictures; return what went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(__file__).with_name("guide.py")
        window = session.drive(blender, LIMIT_S, Path(folder), script)
    for step in window.report["steps"]:
        if step["error"]:
            return f"{step['name']}: {step['error']}"
    for name in PARTS:
        keep(window, name)
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
