# SPDX-License-Identifier: GPL-3.0-or-later
"""Faces as small texts, in files and on the clipboard: write a face's codes, and make a face of
codes."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, StringProperty

from .. import faces
from ..errors import UserError
from ..job_operators import FileOperator, JobOperator, Outcome, QuickOperator
from ..jobs import Request
from ..properties import MeshChoice, mesh_params
from ..translations import say
from ..worker_client import Job

EXTENSION = ".codes.json"


class CodesFile:
    """A file of codes, as the command line writes and reads it."""

    filepath: StringProperty(
        name="File", description="A face's codes", subtype="FILE_PATH", options={"SKIP_SAVE"}
    )
    filter_glob: StringProperty(default="*.json", options={"HIDDEN", "SKIP_SAVE"})


class _OfFace(QuickOperator):
    """Does something with the active face."""

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return why there is no face."""
        return super().why_not(context) or faces.why_not_face(context.object)


class IMFACE_OT_export_codes(CodesFile, _OfFace):
    """Write the active face's codes to a small file, which Load Face and the command line read"""

    bl_idname = "imface.export_codes"
    bl_label = "Save Face"

    check_existing: BoolProperty(
        name="Check Existing",
        description="Ask before a file is replaced",
        default=True,
        options={"HIDDEN", "SKIP_SAVE"},
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Outcome:
        """Ask for the file."""
        folder = Path(bpy.data.filepath).parent if bpy.data.filepath else Path.home()
        name = bpy.path.clean_name(context.object.name)
        self.filepath = self.filepath or str(folder / (name + EXTENSION))
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def check(self, context: bpy.types.Context) -> bool:
        """Keep the name's ending, which Load Face looks for."""
        before = self.filepath
        if not before.endswith(".json"):
            self.filepath = bpy.path.ensure_ext(before, EXTENSION)
        return self.filepath != before

    def work(self, context: bpy.types.Context) -> Outcome:
        """Write the file."""
        path = Path(bpy.path.abspath(self.filepath))
        if not path.name:
            raise UserError("No file is named. Choose one.")
        write(path, json.dumps(faces.codes_of(context.object)))
        self.report({"INFO"}, say("Wrote {file}", file=path.name))
        return {"FINISHED"}


def write(path: Path, text: str) -> None:
    """Write a file; one that is there stays as it is until all of the new one is on the disk."""
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(text)
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise UserError(
            "{path} cannot be written: {reason}. Choose another.", path=path, reason=error.strerror
        ) from error


class IMFACE_OT_copy_codes(_OfFace):
    """Copy the active face's codes to the clipboard, for Paste Face in this Blender or another"""

    bl_idname = "imface.copy_codes"
    bl_label = "Copy Face"

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return why nothing can be copied."""
        reason = super().why_not(context)
        if not reason and bpy.app.background:
            return say("Blender has no clipboard without a window. Use imface.export_codes")
        return reason

    def work(self, context: bpy.types.Context) -> Outcome:
        """Copy."""
        face = context.object
        context.window_manager.clipboard = json.dumps(faces.codes_of(face))
        self.report({"INFO"}, say("Copied '{name}'", name=face.name))
        return {"FINISHED"}


class _FaceOfCodes(MeshChoice, JobOperator):
    """Makes a face of a text of codes, at the 3D cursor; the worker tells what is wrong with it."""

    label = "Making a face of its codes"

    def prepare(self, context: bpy.types.Context) -> Request:
        """Send the codes."""
        return Request("mesh", {"codes": self.codes(context)} | mesh_params(self), {})

    def codes(self, context: bpy.types.Context) -> Any:
        """Return the codes; UserError when the text is no JSON."""
        raise NotImplementedError

    def face_name(self) -> str:
        """Return what the face is called."""
        return "Face"

    def finish(self, context: bpy.types.Context, job: Job) -> str:
        """Add the face, life-size."""
        place = faces.life_size_at_cursor(context.scene)
        face = faces.add_face(context, self.face_name(), self.topology, place, job)
        return say("Made '{name}'", name=face.name)


class IMFACE_OT_paste_codes(_FaceOfCodes):
    """Make a face of the codes on the clipboard, at the 3D cursor"""

    bl_idname = "imface.paste_codes"
    bl_label = "Paste Face"

    def codes(self, context: bpy.types.Context) -> Any:
        """Read the clipboard."""
        try:
            return json.loads(context.window_manager.clipboard)
        except ValueError as error:
            raise UserError(
                "There is no face on the clipboard. Copy one with Copy Face."
            ) from error


class IMFACE_OT_import_codes(CodesFile, MeshChoice, FileOperator):
    """Make a face of a file of codes, at the 3D cursor"""

    bl_idname = "imface.import_codes"
    bl_label = "Load Face"

    def work(self, context: bpy.types.Context) -> Outcome:
        """Start it."""
        choices = {name: getattr(self, name) for name in ("topology", "resolution", "filepath")}
        return self.start(bpy.ops.imface.load_codes, **choices)  # type: ignore[attr-defined]


class IMFACE_OT_load_codes(CodesFile, _FaceOfCodes):
    """Make a face of a file of codes, at the 3D cursor"""

    bl_idname = "imface.load_codes"
    bl_label = "Make Face of Codes"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}  # noqa: RUF012 - Blender only reads it

    def codes(self, context: bpy.types.Context) -> Any:
        """Read the file."""
        path = Path(bpy.path.abspath(self.filepath))
        try:
            return json.loads(path.read_text())
        except OSError as error:
            raise UserError(
                "{path} cannot be read: {reason}. Choose a {extension} file.",
                path=path,
                reason=error.strerror,
                extension=EXTENSION,
            ) from error
        except ValueError as error:
            raise UserError(
                "{file} is no file of codes. Choose a {extension} file.",
                file=path.name,
                extension=EXTENSION,
            ) from error

    def face_name(self) -> str:
        """Return the file's name."""
        return (
            Path(self.filepath).name.removesuffix(".json").removesuffix(".codes")
            or super().face_name()
        )
