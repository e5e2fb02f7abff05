# SPDX-License-Identifier: GPL-3.0-or-later
"""A gallery of faces: write a face, with its picture, into an asset library of the user's."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy
from bpy.props import StringProperty

from .. import faces, portrait
from ..errors import UserError
from ..job_operators import Outcome, QuickOperator
from ..translations import say
from .gallery import in_gallery

FOLDER = "ImFace"
TAG = "ImFace"


class IMFACE_OT_save_asset(QuickOperator):
    """Write the active face, with its shape keys and a picture, for the asset browser"""

    bl_idname = "imface.save_asset"
    bl_label = "Save Face to Library"

    library: StringProperty(
        name="Library", description="Name of the asset library; empty for the first one"
    )

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Return why there is no face to write."""
        reason = super().why_not(context) or faces.why_not_face(context.object)
        return reason or faces.why_not_editable(context.object)

    def work(self, context: bpy.types.Context) -> Outcome:
        """Write a file of its own for the face; the scene stays as it is."""
        face = context.object
        path = _free_path(_library_folder(self.library), bpy.path.clean_name(face.name))
        is_asset, is_kept = face.asset_data is not None, face.use_fake_user
        face.asset_mark()
        try:
            face.asset_data.tags.new(TAG, skip_if_exists=True)
            _set_preview(face, context.evaluated_depsgraph_get())
            with _off_the_wall(face):
                _write(face, path)
        finally:
            if not is_asset:
                face.asset_clear()
                face.use_fake_user = is_kept  # Blender takes it with the mark
        if not bpy.app.background:  # within an operator a refresh comes to nothing
            bpy.app.timers.register(_refresh_asset_browsers, first_interval=0.1)
        self.report({"INFO"}, say("Wrote {file}", file=path))
        return {"FINISHED"}


def _library_folder(name: str) -> Path:
    libraries = bpy.context.preferences.filepaths.asset_libraries
    for library in libraries:
        if library.path and name in ("", library.name):
            return Path(bpy.path.abspath(library.path)) / FOLDER
    if name:
        raise UserError(
            "There is no asset library '{name}'. Choose another, or add it in the preferences, "
            "under File Paths.",
            name=name,
        )
    raise UserError("Blender has no asset library. Add one in the preferences, under File Paths.")


def _free_path(folder: Path, name: str) -> Path:
    """Return a path at which there is no file yet."""
    numbers = (f"_{number}" if number else "" for number in range(10_000))
    return next(p for n in numbers if not (p := folder / f"{name}{n}.blend").exists())


def _set_preview(face: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> None:
    preview = face.preview_ensure()
    preview.image_size = (portrait.SIZE, portrait.SIZE)
    pixels: Any = preview.image_pixels_float
    picture = portrait.draw(face, depsgraph, faces.pose(face).matrix())
    pixels.foreach_set(picture.ravel())


@contextmanager
def _off_the_wall(face: bpy.types.Object) -> Iterator[None]:
    """Let a face stand where it is without its gallery, which would be written with it."""
    if not in_gallery(face):
        yield
        return
    gallery, place = face.parent, face.matrix_world.copy()
    within = face.matrix_parent_inverse.copy(), face.matrix_basis.copy()
    face.parent = None
    face.matrix_world = place
    try:
        yield
    finally:
        face.parent = gallery
        face.matrix_parent_inverse, face.matrix_basis = within


def _write(face: bpy.types.Object, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        bpy.data.libraries.write(
            str(path), {face}, path_remap="ABSOLUTE", fake_user=True, compress=True
        )
    except (OSError, RuntimeError) as error:
        raise UserError(
            "{path} cannot be written: {reason}. Choose another.", path=path, reason=error
        ) from error


def _refresh_asset_browsers() -> None:
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.ui_type == "ASSETS":
                with bpy.context.temp_override(window=window, area=area):
                    bpy.ops.asset.library_refresh()
