# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a recorded performance onto a face."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from bpy.props import BoolProperty, FloatProperty, IntProperty, StringProperty

from .. import face_capture, faces, head_turn, in_betweens, keyframes, shape_keys, takes
from ..errors import UserError
from ..face_capture import HEAD_ANGLES, Capture
from ..job_operators import Outcome, QuickOperator
from ..keyframes import LeftOut
from ..mesh_io import mesh_of
from ..translations import say


class IMFACE_OT_import_capture(QuickOperator):
    """Keyframe the active face's expressions from a face capture."""

    bl_idname = "imface.import_capture"
    bl_label = "Import Face Capture"
    bl_description = (
        "Keyframe the active face's expressions from a CSV file: Live Link Face, or a header of "
        "ARKit names. Importing again replaces what was imported within the new take's frames; "
        "earlier keyframes outside them and your own stay"
    )
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012 - Blender only reads it

    filepath: StringProperty(name="File", description="The CSV file", subtype="FILE_PATH")
    filter_glob: StringProperty(default="*.csv", options={"HIDDEN"})
    start: IntProperty(
        name="Start Frame", description="Frame of the file's first row", default=1, subtype="TIME"
    )
    capture_fps: FloatProperty(
        name="Capture Rate",
        description=(
            "Rows per second in the file, or frames per second of its timecodes; "
            "0 takes what the file says, or 60"
        ),
        default=0.0,
        min=0.0,
        max=1000.0,
    )
    strength: FloatProperty(
        name="Strength",
        description="Factor on all expressions; values stay within the shape keys' ranges",
        default=1.0,
        min=0.0,
        soft_max=2.0,
        subtype="FACTOR",
    )
    smoothing: FloatProperty(
        name="Smoothing",
        description="Standard deviation, in frames, of a Gaussian average over time; 0 is none",
        default=0.0,
        min=0.0,
        max=100.0,
        soft_max=5.0,
    )
    head: BoolProperty(
        name="Head Rotation",
        description=(
            "Also keyframe the object's delta rotation from HeadYaw, HeadPitch and HeadRoll; "
            "its own rotation stays as it is"
        ),
        default=False,
    )

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return why the active object has no expressions to keyframe."""
        face = context.object
        reason = super().why_not(context) or faces.why_not_face(face) or shape_keys.why_none(face)
        return reason or keyframes.why_not_timed(context.scene, face, mesh_of(face).shape_keys)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Outcome:
        """Let the user choose the file."""
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def work(self, context: bpy.types.Context) -> Outcome:
        """Read the file and keyframe what it holds."""
        self.report({"INFO"}, self._import(context))
        return {"FINISHED"}

    def _import(self, context: bpy.types.Context) -> str:
        face, scene = context.object, context.scene
        if not np.isfinite([self.capture_fps, self.strength, self.smoothing]).all():
            raise UserError(
                "Capture Rate, Strength or Smoothing is not a number. Choose 0 or more."
            )
        keyframes.check_editable(face, mesh_of(face).shape_keys)
        keys = shape_keys.own_keys(face)
        wanted = [*keys, *(HEAD_ANGLES if self.head else ())]
        path = Path(bpy.path.abspath(self.filepath))
        capture = face_capture.read(path, wanted, self.capture_fps)
        fps = scene.render.fps / scene.render.fps_base
        columns = face_capture.resample(capture, fps, self.smoothing)
        kept = 0
        left_out = LeftOut()
        for names, owner, struct, name, values in self._channels(face, columns):
            if not left_out.notes(names, owner, struct, name):
                kept += keyframes.write(owner, struct, self.start, name, values)
        in_betweens.rest(face)
        keyframes.show(scene)
        last = self.start + len(next(iter(columns.values()))) - 1
        sentence = say(
            "Keyframed {count} expressions of '{name}', frames {start} to {last}, from {source}",
            count=len((keys.keys() & columns.keys()).difference(left_out.names())),
            name=face.name,
            start=self.start,
            last=last,
            source=_source(capture),
        )
        return ". ".join([sentence, *_remarks(capture, wanted, kept, left_out)])

    def _channels(
        self, face: bpy.types.Object, columns: dict[str, np.ndarray]
    ) -> Iterator[tuple[Sequence[str], takes.Owner, Any, str, np.ndarray]]:
        """Yield names of columns, and the datablock, its part and the property that get their
        values."""
        if set(HEAD_ANGLES) <= set(columns):  # first, because it may be refused
            angles = np.stack([columns[name] for name in HEAD_ANGLES], axis=1)
            yield HEAD_ANGLES, face, face, *head_turn.delta_rotation(face, self.start, angles)
        for name, key in shape_keys.own_keys(face).items():
            if name in columns:
                within = np.clip(self.strength * columns[name], key.slider_min, key.slider_max)
                yield [name], mesh_of(face).shape_keys, key, "value", within


def _source(capture: Capture) -> str:
    rows = len(capture.seconds)
    if not capture.fps:
        return say("{rows} rows", rows=rows)
    if capture.assumed:
        return say("{rows} rows at {fps:g} per second (assumed)", rows=rows, fps=capture.fps)
    return say("{rows} rows at {fps:g} per second", rows=rows, fps=capture.fps)


def _remarks(capture: Capture, wanted: list[str], kept: int, left_out: LeftOut) -> list[str]:
    """Return what an artist should know besides, as sentences."""
    missing = [name for name in wanted if name not in capture.columns]
    sentences = []
    if missing:
        sentences.append(say("The file has no {names}", names=", ".join(missing)))
    if capture.unknown:
        sentences.append(say("The face has no {names}", names=", ".join(capture.unknown)))
    if capture.lost:
        sentences.append(say("In {rows} rows no face was seen: bridged", rows=capture.lost))
    sentences += left_out.sentences()
    if kept:
        sentences.append(say("Your own keyframes among them stay: {count}", count=kept))
    return sentences
