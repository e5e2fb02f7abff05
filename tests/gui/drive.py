# SPDX-License-Identifier: GPL-3.0-or-later
"""What an artist does, step by step, in a real Blender window.

`blender --enable-event-simulate --python drive.py -- ZIP SCAN OUT LIMIT`: goes through `STEPS`,
looks at the scene after each, and leaves pictures and report.json in OUT. LIMIT seconds end a
session that would not: the step that they cut off has failed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import bpy
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from artist import DRAG_PX, PACKAGE, STANDSTILL_S, Session
from hand import PAGES, SETTLE_S, Hand, Missed, Steps, check, until

Step = Callable[[Session], Steps]

EXPRESSIONS = 51
CANCEL_LIMIT_S = 15
ASIDE_M = 0.5  # more than a head is wide
WATCH_S = 5  # the drawing itself takes time from the worker where no GPU does it
FRAMES = 24
MOST_UNDOS = 32  # Blender keeps no more
#: Of each section that is closed at first: what comes before it, and what it has first.
CLOSED = (
    ("imface.mark_landmarks", "weight"),
    ("method", "names"),
    ("imface.neutralize", "imface.keyframe_expression"),
)


def points(data: object) -> np.ndarray:
    """Return a mesh's or a shape key's coordinates (V, 3)."""
    values = np.empty(len(data) * 3, np.float32)
    data.foreach_get("co", values)
    return values.reshape(-1, 3)


def objects() -> set[str]:
    """Return the names of the scene's objects."""
    return {obj.name for obj in bpy.context.scene.objects}


def install(session: Session) -> Steps:
    """Install the zip by the preferences' operator, and look at the preferences."""
    hand = session.hand
    with hand.at():
        bpy.ops.extensions.package_install_files(
            filepath=str(session.archive), repo="user_default", enable_on_install=True
        )
    check(PACKAGE in bpy.context.preferences.addons, "The extension is not enabled.")
    hand.area.type = "PREFERENCES"
    bpy.context.preferences.active_section = "ADDONS"
    bpy.context.window_manager.addon_search = "ImFace"
    bpy.ops.preferences.addon_expand(module=PACKAGE)
    yield 2 * SETTLE_S


def open_tab(session: Session) -> Steps:
    """Empty the scene and open the sidebar's tab, with all its sections."""
    hand = session.hand
    hand.area.type = "VIEW_3D"
    hand.area.spaces.active.show_region_ui = True
    yield SETTLE_S
    hand.region("UI").active_panel_category = "Generate Face"
    yield SETTLE_S
    yield from hand.key("A")
    yield from hand.key("DEL")
    check(not objects(), f"Del has left {objects()}.")
    for before, within in CLOSED:
        yield from hand.open_section(before, within)
    yield from hand.turn_pages(-PAGES)


def generate(session: Session) -> Steps:
    """Press Generate Face."""
    yield from session.hand.press("imface.generate", "seed=1")
    yield from session.start_job()
    yield from session.finish_job()
    session.head("Face")
    yield from session.frame()
    end = time.monotonic() + WATCH_S
    yield from session.watch_redraws("redraws at rest", lambda: time.monotonic() < end)


def shape(session: Session) -> Steps:
    """Drag a slider, undo and redo it."""
    hand, face = session.hand, session.head("Face")
    before = points(face.data.vertices)
    yield from session.drag_nose("slider, no shape keys")
    yield from session.rest()
    value, moved = face.data.imface_sliders.noseLength, points(face.data.vertices)
    check(value > 0.5, f"A drag over {DRAG_PX} pixels has moved the slider to {value:.2f}.")
    check(np.abs(moved - before).max() > 1e-3, "The slider has not moved the mesh.")
    yield from hand.key("Z", ctrl=True)
    yield from session.rest()
    face = session.head("Face")
    check(face.data.imface_sliders.noseLength == 0, "Undo has left the slider where it was.")
    check(np.allclose(points(face.data.vertices), before, atol=1e-6), "Undo has left the mesh.")
    yield from hand.key("Z", ctrl=True, shift=True)
    yield from session.rest()
    face = session.head("Face")
    check(abs(face.data.imface_sliders.noseLength - value) < 1e-5, "Redo: another value.")
    check(np.allclose(points(face.data.vertices), moved, atol=1e-4), "Redo: another mesh.")


def fit(session: Session) -> Steps:
    """Fit a scan file as if it had been dropped into the viewport."""
    bpy.data.objects["Face"].location.x = -ASIDE_M
    with session.hand.at():
        bpy.ops.imface.fit_file("INVOKE_DEFAULT", filepath=str(session.scan))
    yield from session.start_job()
    end = time.monotonic() + WATCH_S
    yield from session.watch_redraws(
        "redraws during a fit", lambda: session.status.job and time.monotonic() < end
    )
    yield from session.finish_job()
    name = f"{session.scan.stem} Face"
    face = session.head(name)
    check(session.scan.stem in objects(), "The scan is gone.")
    error = json.loads(face.imface.report)["scan_to_fit_mean_mm"]
    check(error < 1, f"The fit is {error:.2f} mm off.")
    bpy.data.objects[session.scan.stem].hide_set(True)
    yield from session.frame()
    yield from session.hand.turn_pages(-PAGES)


def start_fit(session: Session) -> Steps:
    """Start another fit to the scan."""
    scan = bpy.data.objects[session.scan.stem]
    scan.hide_set(False)
    bpy.ops.object.select_all(action="DESELECT")
    scan.select_set(True)
    bpy.context.view_layer.objects.active = scan
    yield SETTLE_S
    yield from session.hand.press("imface.fit_scan")
    yield from session.start_job()


def settle(session: Session) -> Steps:
    """Keep the first face that another fit shows, and undo that."""
    before, hand = objects(), session.hand
    yield from start_fit(session)
    yield from hand.turn_pages(-PAGES)  # the hand finds the button before the fit is done
    shown = lambda: session.status.job.preview is not None  # noqa: E731
    yield from until(shown, "A face to keep", STANDSTILL_S)
    yield from hand.press("imface.settle_job")
    start = time.monotonic()
    yield from session.finish_job()
    session.figures["Keep Fit So Far to the face"] = {"s": round(time.monotonic() - start, 2)}
    (kept,) = objects() - before
    error = json.loads(session.head(kept).imface.report)["scan_to_fit_mean_mm"]
    check(error < 1, f"The fit that was kept is {error:.2f} mm off.")
    yield from hand.key("Z", ctrl=True)
    yield from session.rest()
    check(objects() == before, f"Undo has left {objects() - before}.")


def cancel(session: Session) -> Steps:
    """Start another fit and press Esc."""
    before, hand = objects(), session.hand
    yield from start_fit(session)
    yield from until(lambda: session.status.job.fraction > 0.05, "Progress", STANDSTILL_S)
    start = time.monotonic()
    yield from hand.key("ESC")
    yield from until(lambda: session.status.job is None, "The fit's end", CANCEL_LIMIT_S)
    session.figures["Esc to the fit's end"] = {"s": round(time.monotonic() - start, 2)}
    check(objects() == before, f"A cancelled fit has left {objects() - before}.")


def blend(session: Session) -> Steps:
    """Blend the two faces."""
    first, second = bpy.data.objects["Face"], bpy.data.objects[f"{session.scan.stem} Face"]
    bpy.data.objects[session.scan.stem].hide_set(True)
    bpy.ops.object.select_all(action="DESELECT")
    for face in (first, second):
        face.select_set(True)
    bpy.context.view_layer.objects.active = first
    yield SETTLE_S
    yield from session.hand.press("imface.blend")
    yield from session.start_job()
    yield from session.finish_job()
    session.head("Blend")
    yield from session.frame()


def paste(session: Session) -> Steps:
    """Copy a face to the clipboard and paste it twice at once: the second waits in line."""
    before, codes = objects(), session.head("Blend").imface.codes
    with session.hand.at():
        bpy.ops.imface.copy_codes()
        for _ in range(2):
            bpy.ops.imface.paste_codes("INVOKE_DEFAULT")
    check(len(session.status.line) == 1, f"{len(session.status.line)} jobs wait in line.")
    yield from until(
        lambda: len(objects() - before) > 1 or session.status.error, "The second", STANDSTILL_S
    )
    yield from session.finish_job()
    pasted = objects() - before
    check(len(pasted) == 2, f"Pasted twice, there are {pasted}.")
    for name in pasted:
        check(bpy.data.objects[name].imface.codes == codes, f"{name} is another face.")
        bpy.data.objects[name].select_set(True)
    yield from session.hand.key("DEL")
    face = bpy.data.objects["Blend"]
    face.select_set(True)
    bpy.context.view_layer.objects.active = face
    yield SETTLE_S


def express(session: Session) -> Steps:
    """Add the expressions, then drag a slider with them there."""
    face = session.head("Blend")
    yield from session.finish_job()
    yield from session.hand.turn_pages(PAGES)
    yield from session.hand.press("imface.add_expressions")
    yield from session.start_job()
    yield from session.finish_job()
    count = len(face.data.shape_keys.key_blocks)
    check(count == 1 + EXPRESSIONS, f"There are {count} shape keys.")
    yield from session.hand.turn_pages(-1)
    yield from session.drag_nose(f"slider, {EXPRESSIONS} shape keys")
    yield from session.rest()
    value = face.data.imface_sliders.noseLength
    check(value > 0.5, f"A drag over {DRAG_PX} pixels has moved the slider to {value:.2f}.")


def animate(session: Session) -> Steps:
    """Keyframe all expressions, bake, and drag over the timeline before and after."""
    hand, scene, face = session.hand, bpy.context.scene, session.head("Blend")
    scene.frame_end = FRAMES
    scene.frame_set(1)
    yield from hand.press("imface.keyframe_expression")
    yield SETTLE_S
    scene.frame_set(FRAMES)
    scene.imface.expressions = "jawOpen=1"
    yield SETTLE_S
    yield from hand.press("imface.keyframe_expression", "jawOpen=1")
    yield SETTLE_S
    keys = face.data.shape_keys.key_blocks
    yield from session.scrub(f"timeline, {EXPRESSIONS} keyframed expressions", FRAMES, 1)
    check(keys["jawOpen"].value == 0, "The mouth is open at the first frame.")
    yield from hand.press("imface.bake_animation")
    yield from session.start_job()
    yield from session.finish_job()
    baked = len(keys) - 1 - EXPRESSIONS
    check(baked > 0, "No in-between shapes have been baked.")
    yield from session.scrub(f"timeline, and {baked} in-between shapes", 1, FRAMES)
    check(keys["jawOpen"].value == 1, "The mouth is not open at the last frame.")
    yield from session.hand.turn_pages(-PAGES)


def shapes() -> dict[str, np.ndarray]:
    """Return the coordinates of all faces and of their shape keys, and their sliders' values."""
    found = {}
    for face in (obj for obj in bpy.context.scene.objects if obj.imface.codes):
        sliders = face.data.imface_sliders
        names = [name for name, kind in sliders.bl_rna.properties.items() if kind.type == "FLOAT"]
        found[face.name] = points(face.data.vertices)
        found[f"{face.name}, sliders"] = np.array([getattr(sliders, name) for name in names])
        for key in face.data.shape_keys.key_blocks if face.data.shape_keys else ():
            found[f"{face.name}, {key.name}"] = points(key.data)
    return found


def check_shapes(before: dict[str, np.ndarray]) -> None:
    """Raise Missed unless the scene's shapes are what they were."""
    after = shapes()
    check(after.keys() == before.keys(), f"Not the same shapes: {after.keys() ^ before.keys()}.")
    far = [name for name in before if not np.allclose(before[name], after[name], atol=1e-4)]
    check(not far, f"Other values than before: {', '.join(far)}.")


def undo_and_redo_all(session: Session) -> Steps:
    """Undo until the scene is as empty as at the beginning, then redo everything."""
    before, count = shapes(), 0
    while objects() and count < MOST_UNDOS:
        yield from session.hand.key("Z", ctrl=True)
        session.check_no_error()
        count += 1
    check(not objects(), f"{count} times Ctrl-Z has left {objects()}.")
    for _ in range(count):
        yield from session.hand.key("Z", ctrl=True, shift=True)
        session.check_no_error()
    yield from session.rest()
    session.figures["undone and redone"] = {"steps": count}
    check_shapes(before)


def load(session: Session) -> Steps:
    """Load a file while a job runs, which is then given up, and do the next job."""
    path, before = str(Path(bpy.app.tempdir, "faces.blend")), shapes()
    bpy.ops.wm.save_as_mainfile(filepath=path)
    with session.hand.at():
        bpy.ops.imface.fit_file("INVOKE_DEFAULT", filepath=str(session.scan))
    yield from session.start_job()
    fit = session.status.job
    check(fit, "The job is over before the file is loaded.")
    bpy.ops.wm.open_mainfile(filepath=path, load_ui=False)
    yield SETTLE_S
    check(session.status.job is not fit, "The job has outlived its file.")
    check_shapes(before)
    session.hand = Hand()
    known = objects()
    yield from session.hand.press("imface.generate")
    yield from session.start_job()
    yield from session.finish_job()
    session.head(*(objects() - known))
    yield from session.frame()


STEPS = (
    install,
    open_tab,
    generate,
    shape,
    fit,
    settle,
    cancel,
    blend,
    paste,
    express,
    animate,
    undo_and_redo_all,
    load,
)


def rectangle(region: bpy.types.Region) -> list[int]:
    """Return left, top, width and height of a region in a picture of the window."""
    height = bpy.context.window_manager.windows[0].height
    return [region.x, height - region.y - region.height, region.width, region.height]


def take_picture(session: Session, path: Path) -> dict[str, object]:
    """Take a picture of the screen; `screen.screenshot` is black without a window manager."""
    subprocess.run(["import", "-window", "root", path], check=True)
    window = session.hand.window
    area = session.hand.area
    return {
        "file": path.name,
        "window": [window.width, window.height],
        "regions": {region.type: rectangle(region) for region in area.regions},
    }


def in_time(step: Steps, end: float) -> Steps:
    """Go through a step; Missed when the session's time is up."""
    for pause in step:
        check(time.monotonic() < end, "The time for all steps is up.")
        yield pause


def go_through(session: Session, steps: Sequence[Step], out: Path, limit_s: float) -> Steps:
    """Do every step, and write down what came of it; the first failure ends the session."""
    end = time.monotonic() + limit_s
    done: list[dict[str, object]] = []
    for number, step in enumerate(steps):
        start, error = time.monotonic(), ""
        try:
            yield from in_time(step(session), end)
            session.check_no_error()
        except Missed as missed:
            error = str(missed)
        except Exception:
            error = traceback.format_exc()
        entry = {"name": step.__name__, "error": error, "seconds": time.monotonic() - start}
        print(f"== {step.__name__}: {entry['seconds']:.1f} s {error}", flush=True)
        picture = take_picture(session, out / f"{number}_{step.__name__}.png")
        done.append(entry | {"picture": picture})
        write_report(session, done, out)
        if error:
            return


def write_report(session: Session, done: list[dict[str, object]], out: Path) -> None:
    """Write down what is known so far: Blender may crash."""
    content = {"blender": bpy.app.version_string, "steps": done, "figures": session.figures}
    (out / "report.json").write_text(json.dumps(content, indent=1), encoding="utf-8")


def what_is_missing() -> str:
    """Return what this machine lacks, in a sentence; nothing of it is the add-on's fault."""
    if not shutil.which("import"):
        return "ImageMagick's import, which takes pictures of the screen, is not there."
    try:
        subprocess.run([os.environ["IMFACE_PYTHON"], "-c", "pass"], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"The worker's Python does not run beside this Blender: {error}"
    return ""


def main(steps: Sequence[Step], archive: str, scan: str, out: str, limit_s: str) -> None:
    """Follow the steps beside Blender's own loop, and quit."""
    preferences = bpy.context.preferences
    preferences.view.show_splash = False
    preferences.use_preferences_save = False
    preferences.system.viewport_aa = "FXAA"  # the cheapest that looks good, for software drawing
    begun: list[Steps] = []

    def tick() -> float | None:
        if not begun:
            session = Session(Path(archive), Path(scan))
            write_report(session, [], Path(out))
            begun.append(go_through(session, steps, Path(out), float(limit_s)))
        try:
            return next(begun[0])
        except StopIteration:
            bpy.ops.wm.quit_blender()
            return None

    missing = what_is_missing()
    if missing:
        print(missing, flush=True)
        bpy.ops.wm.quit_blender()
    else:
        bpy.app.timers.register(tick, first_interval=SETTLE_S, persistent=True)


if __name__ == "__main__":
    main(STEPS, *sys.argv[sys.argv.index("--") + 1 :])
