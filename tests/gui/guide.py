# SPDX-License-Identifier: GPL-3.0-or-later
"""What the pictures of the artists' guide show, step by step, in a real Blender window.

`blender --enable-event-simulate --python guide.py -- ZIP SCAN OUT LIMIT`, as drive.py does; the
picture after each step has its name. Operators are called as the panel's buttons call them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path

import bpy
from bpy_extras.view3d_utils import region_2d_to_location_3d
from mathutils import Euler, Vector

sys.path.insert(0, str(Path(__file__).parent))

import drive
from artist import PACKAGE, STANDSTILL_S, Session
from hand import SETTLE_S, Hand, Steps, check, until

SEED = 7
APART_M = 0.36  # between the middles of heads that stand side by side
TURN_DEGREES = 25
BEHIND_DEGREES = 155
LENS_MM = 135  # a head beside the middle does not look turned
SMILE = {
    "mouthSmileLeft": 0.9,
    "mouthSmileRight": 0.9,
    "cheekSquintLeft": 0.7,
    "cheekSquintRight": 0.7,
    "mouthDimpleLeft": 0.3,
    "mouthDimpleRight": 0.3,
}
#: Frame -> the expression there.
TAKE: dict[int, Mapping[str, float]] = {
    1: {},
    12: SMILE,
    24: {**SMILE, "jawOpen": 0.5, "browInnerUp": 0.6},
    36: {"mouthPucker": 0.9, "eyeBlinkRight": 1},
    48: {},
}
SHOWN_FRAME = 21
POPOVER_PLACE = (850, 640)
TIMELINE_PX = 110  # more than it has at first


def new_scene(session: Session, *sections: str) -> Steps:
    """Empty the scene; the sidebar shows the panel with these sections alone open."""
    classes = sys.modules[f"{PACKAGE}.panels.sections"].CLASSES
    for section in classes:
        bpy.utils.unregister_class(section)
    for section in classes:
        section.bl_options = set() if section.bl_label in sections else {"DEFAULT_CLOSED"}
        bpy.utils.register_class(section)
    bpy.ops.wm.read_homefile(use_factory_startup=True)
    yield SETTLE_S
    session.hand = hand = Hand()
    bpy.data.batch_remove(bpy.data.objects)
    hand.area.spaces.active.show_region_ui = True
    hand.area.spaces.active.lens = LENS_MM
    hand.area.spaces.active.overlay.show_cursor = False
    yield SETTLE_S
    hand.region("UI").active_panel_category = "Generate Face"
    yield SETTLE_S


def do(session: Session, operator: str, **values: object) -> Steps:
    """Call an operator with a job, and wait for what comes of it."""
    with session.hand.at():
        getattr(bpy.ops.imface, operator)("INVOKE_DEFAULT", **values)
    yield from session.start_job()
    yield from session.finish_job()


def generate(session: Session, seed: int = SEED) -> Steps:
    """Make a face."""
    bpy.context.scene.imface.seed = seed
    yield from do(session, "generate", seed=seed)


def select(*objects: bpy.types.Object) -> None:
    """Select these objects alone; the last is the active one."""
    bpy.ops.object.select_all(action="DESELECT")
    for obj in objects:
        obj.select_set(True)
        bpy.context.view_layer.objects.active = obj


def look(
    session: Session, *objects: bpy.types.Object, turn: float = TURN_DEGREES, nearer: float = 1.1
) -> Steps:
    """Look at objects, in the middle of what the sidebar leaves of the viewport."""
    active, selected = bpy.context.object, bpy.context.selected_objects
    select(*objects)
    hand = session.hand
    view, sidebar = hand.region("WINDOW"), hand.region("UI")
    eye = hand.area.spaces.active.region_3d
    eye.view_rotation = Euler((math.radians(85), 0, math.radians(turn))).to_quaternion()
    yield from hand.key("NUMPAD_PERIOD")
    eye.view_distance /= nearer
    eye.update()
    middle = Vector((view.width / 2, view.height / 2))
    aside = middle + Vector((sidebar.width / 2, 0))
    here, there = (
        region_2d_to_location_3d(view, eye, place, eye.view_location) for place in (middle, aside)
    )
    eye.view_location += there - here
    select(*(obj for obj in selected if obj != active), active)
    yield SETTLE_S


def express(face: bpy.types.Object, values: Mapping[str, float]) -> None:
    """Set a face's expressions."""
    for name, value in values.items():
        face.data.shape_keys.key_blocks[name].value = value


def gallery(session: Session) -> Steps:
    """Nine faces to choose from; the middle one is selected."""
    yield from new_scene(session, "Generate")
    yield from do(session, "random_gallery", seed=1)
    faces = [obj for obj in bpy.context.scene.objects if obj.imface.codes]
    yield from look(session, *faces, turn=0, nearer=1.0)


def fit(session: Session) -> Steps:
    """A scan and, beside it, the face that fits it."""
    yield from new_scene(session, "Fit Scan")
    yield from do(session, "fit_file", filepath=str(session.scan))
    scan, face = bpy.data.objects[session.scan.stem], bpy.context.object
    face.location.x += APART_M
    yield from look(session, scan, face, turn=0, nearer=1.3)


def blend(session: Session) -> Steps:
    """Two selected faces, and between them one that is half of each."""
    yield from new_scene(session, "Blend")
    yield from generate(session, 1)
    first = bpy.context.object
    yield from generate(session, SEED)
    second = bpy.context.object
    select(second, first)
    yield from do(session, "blend")
    mixed = bpy.context.object
    for place, face in enumerate((first, mixed, second)):
        face.location = (APART_M * place, 0, 0)
    select(second, first)
    yield from look(session, first, mixed, second, turn=0, nearer=1.25)


def shape(session: Session) -> Steps:
    """A face that some sliders have changed."""
    yield from new_scene(session, "Shape")
    yield from generate(session)
    yield from session.rest()
    sliders = bpy.context.object.data.imface_sliders
    sliders.noseLength, sliders.jawWidth, sliders.lipFullness = 1.5, -1.2, 1.0
    yield from session.rest()
    yield from look(session, bpy.context.object)
    yield from session.hand.scroll(10)


def expressions(session: Session) -> Steps:
    """A face that smiles, and the sliders that a filter lets through."""
    yield from new_scene(session, "Expressions")
    yield from generate(session)
    yield from do(session, "add_expressions")
    express(bpy.context.object, SMILE)
    bpy.context.scene.imface.filter = "mouthS"
    yield from look(session, bpy.context.object)


def animate(session: Session) -> Steps:
    """A baked take: its keyframes in the timeline, and what the bake reports."""
    yield from new_scene(session, "Animate")
    yield from generate(session)
    yield from do(session, "add_expressions")
    face, scene, hand = bpy.context.object, bpy.context.scene, session.hand
    scene.frame_end = max(TAKE)
    for frame, values in TAKE.items():
        words = ", ".join(f"{name}={value}" for name, value in values.items())
        bpy.ops.imface.keyframe_expression(expressions=words, frame=frame)
    scene.frame_set(SHOWN_FRAME)
    (timeline,) = (area for area in hand.window.screen.areas if area.type == "DOPESHEET_EDITOR")
    yield from hand.raise_edge(timeline, TIMELINE_PX)
    region = next(region for region in timeline.regions if region.type == "WINDOW")
    with bpy.context.temp_override(window=hand.window, area=timeline, region=region):
        bpy.ops.action.view_all()
    yield from look(session, face)
    yield from do(session, "bake_animation", start=1, end=scene.frame_end)
    hand.area.tag_redraw()  # the sections move up to where the job's progress was
    yield SETTLE_S


def materials(session: Session) -> Steps:
    """A head in the colours of its materials, and the choice that shows them."""
    yield from new_scene(session)
    yield from generate(session)
    yield from do(session, "add_expressions")
    hand, face = session.hand, bpy.context.object
    express(face, SMILE)
    space = hand.area.spaces.active
    space.show_region_ui = False
    space.shading.color_type = "TEXTURE"
    yield from look(session, face)
    yield from hand.hover(*POPOVER_PLACE)
    with hand.at():
        bpy.ops.wm.call_panel(name="VIEW3D_PT_shading")
    yield SETTLE_S


def error(session: Session) -> Steps:
    """The panel's error about a scan that shows no face: the back of a head."""
    yield from session.hand.key("ESC")  # a popover is still open
    yield from new_scene(session, "Fit Scan")
    with session.hand.at():
        bpy.ops.wm.obj_import(filepath=str(session.scan))
        scan = bpy.context.object
        bpy.ops.object.mode_set(mode="EDIT")
        bpy.ops.mesh.select_all(action="SELECT")
        middle = scan.matrix_world @ (sum((Vector(c) for c in scan.bound_box), Vector()) / 8)
        bpy.ops.mesh.bisect(plane_co=middle, plane_no=(0, -1, 0), clear_outer=True)
        bpy.ops.object.mode_set(mode="OBJECT")
        bpy.ops.imface.fit_scan("INVOKE_DEFAULT")
    yield from until(lambda: session.status.error, "The error", STANDSTILL_S)
    session.known_error = session.status.error
    check("No face was found" in session.known_error, session.known_error)
    yield from session.hand.key("ESC")  # Blender's own message covers the panel
    yield from look(session, scan, turn=BEHIND_DEGREES)


STEPS = (drive.install, fit, gallery, blend, shape, expressions, animate, materials, error)

drive.main(STEPS, *sys.argv[sys.argv.index("--") + 1 :])
