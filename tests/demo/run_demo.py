# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo: install the zip as an artist would, then use every operator on real input.

`python -m tests.demo.run_demo ZIP SCAN OUT`, in an environment that has bpy; build.py sets the
variables that keep the user's own Blender out of it.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import bpy

from build import step
from tests.demo import studio

MODULE = "bl_ext.user_default.imface_blender"
EXPRESSIONS = (
    "jawOpen,mouthSmileLeft,mouthSmileRight,mouthFunnel,mouthPucker,cheekPuff,"
    "cheekSquintLeft,cheekSquintRight,eyeBlinkLeft,eyeBlinkRight,browInnerUp,"
    "browDownLeft,browDownRight,noseSneerLeft,noseSneerRight"
)
ANIMATION = {
    1: ("neutral", ""),
    25: (
        "smile",
        "mouthSmileLeft=1,mouthSmileRight=1,cheekSquintLeft=0.6,cheekSquintRight=0.6",
    ),
    50: ("open jaw", "jawOpen=1"),
}
PICTURE_HEIGHT_PX = 600
ROW_WIDTH_PX = 1920
LINE_UP_STEP_M = 0.5
Picture = tuple[Path, str]


def call(operator: Callable[..., set[str]], **arguments: object) -> None:
    """Run an operator; RuntimeError, with what it reported, when it does not finish."""
    result = operator(**arguments)
    if result != {"FINISHED"}:
        raise RuntimeError(f"{operator} answered {result} instead of finishing.")


@contextmanager
def installed(archive: Path) -> Iterator[None]:
    """Install and enable the extension, and disable it at the end: Blender hangs otherwise."""
    try:
        with step("Installing the zip in Blender " + bpy.app.version_string):
            call(
                bpy.ops.extensions.package_install_files,
                filepath=str(archive),
                repo="user_default",
                enable_on_install=True,
            )
            call(bpy.ops.preferences.addon_enable, module=MODULE)
        yield
    finally:
        bpy.ops.preferences.addon_disable(module=MODULE)


def select(*objects: bpy.types.Object) -> None:
    """Select these objects alone; the first is the active one."""
    bpy.ops.object.select_all(action="DESELECT")
    for obj in objects:
        obj.select_set(True)
    bpy.context.view_layer.objects.active = objects[0]


def generate() -> bpy.types.Object:
    """Generate a random face."""
    with step("Generating a face, seed 1"):
        call(bpy.ops.imface.generate, seed=1)
    return bpy.context.object


def import_scan(path: Path) -> bpy.types.Object:
    """Import the scan as an artist does, through Blender's own importer."""
    with step(f"Importing {path.name}"):
        call(bpy.ops.wm.obj_import, filepath=str(path))
    scan = bpy.context.object
    if scan.name != path.stem:
        raise RuntimeError(f"{path} holds no mesh. Restore the file from the repository.")
    return scan


def fit(scan: bpy.types.Object) -> bpy.types.Object:
    """Fit a face to the scan and say how near it came."""
    with step("Fitting a face to the scan"):
        select(scan)
        call(bpy.ops.imface.fit_scan)
    face = bpy.context.object
    scan.data.materials.clear()
    scan.data.materials.append(face.data.materials[0])  # skin for both, so that shapes compare
    report = json.loads(face.imface.report)
    print(
        f"   Chamfer distance {report['chamfer_mm']:.2f} mm, scan to fit: "
        f"mean {report['scan_to_fit_mean_mm']:.2f} mm, 95 % {report['scan_to_fit_p95_mm']:.2f} mm"
    )
    return face


def blend(first: bpy.types.Object, second: bpy.types.Object) -> bpy.types.Object:
    """Blend two faces into a third."""
    with step("Blending the two faces"):
        select(first, second)
        call(bpy.ops.imface.blend, weight=0.5, what="IDENTITY")
    return bpy.context.object


def animate(face: bpy.types.Object) -> None:
    """Give the face its expressions and keyframe an animation."""
    with step("Adding expressions as shape keys"):
        select(face)
        call(bpy.ops.imface.add_expressions, names=EXPRESSIONS)
    with step("Keyframing neutral, smile and open jaw"):
        for frame, (_, values) in ANIMATION.items():
            call(bpy.ops.imface.keyframe_expression, expressions=values, frame=frame)
    bpy.context.scene.frame_end = max(ANIMATION)


def portraits(
    generated: bpy.types.Object,
    scan: bpy.types.Object,
    fitted: bpy.types.Object,
    blended: bpy.types.Object,
    folder: Path,
) -> list[list[Picture]]:
    """Render the pictures of the contact sheet: four people, three frames of the animation."""
    lights = studio.Studio()

    def shoot(subject: bpy.types.Object, caption: str, in_row: int) -> Picture:
        path = folder / f"{caption}.png"
        width = studio.width_in_row(ROW_WIDTH_PX, in_row)
        with step(f"Rendering: {caption}"):
            lights.shoot(subject, path, width, PICTURE_HEIGHT_PX)
        return path, caption

    people = []
    bpy.context.scene.frame_set(min(ANIMATION))
    for subject, place, caption in (
        (generated, generated, "generated, seed 1"),
        (scan, fitted, "scan of a real head"),  # framed like its fit, so that the two compare
        (fitted, fitted, "fit to the scan"),
        (blended, blended, "blend of the two"),
    ):
        lights.aim(place)
        people.append(shoot(subject, caption, in_row=4))
    frames = []
    for frame, (expression, _) in ANIMATION.items():
        bpy.context.scene.frame_set(frame)
        frames.append(shoot(blended, f"frame {frame}, {expression}", in_row=len(ANIMATION)))
    return [people, frames]


def line_up(objects: Sequence[bpy.types.Object]) -> None:
    """Stand the objects in a row, for whoever opens the file; the last stays where it is."""
    for steps, obj in enumerate(reversed(objects)):
        obj.location.x = objects[-1].location.x - steps * LINE_UP_STEP_M


def run(archive: Path, scan_file: Path, out: Path) -> None:
    """Go through the whole demo and leave demo.png and demo.blend in `out`."""
    out.mkdir(parents=True, exist_ok=True)
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    with installed(archive), tempfile.TemporaryDirectory() as folder:
        generated = generate()
        scan = import_scan(scan_file)
        fitted = fit(scan)
        blended = blend(generated, fitted)  # with the first one's expression: eyes open
        animate(blended)
        rows = portraits(generated, scan, fitted, blended, Path(folder))
        with step(f"Writing demo.png and demo.blend to {out}"):
            studio.contact_sheet(rows, out / "demo.png")
            line_up([generated, scan, fitted, blended])
            bpy.context.scene.frame_set(min(ANIMATION))
            bpy.context.scene.render.filepath = "//animation/"
            call(bpy.ops.wm.save_as_mainfile, filepath=str(out / "demo.blend"))


def main(arguments: Sequence[str]) -> int:
    """Run the demo; return 1, and say why, when an operator refuses."""
    sys.stdout.reconfigure(line_buffering=True)  # in order with what Blender itself prints
    archive, scan_file, out = map(Path, arguments)
    start = time.monotonic()
    try:
        run(archive, scan_file, out)
    except RuntimeError as error:
        print(f"The demo stopped. {error}", file=sys.stderr)
        return 1
    print(f"== The demo took {time.monotonic() - start:.0f} s: {out / 'demo.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
