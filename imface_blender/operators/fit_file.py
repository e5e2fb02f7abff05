# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit a scan that is still a file: chosen, or dropped into the viewport."""

from pathlib import Path

import bpy
from bpy.props import StringProperty

from ..errors import UserError
from ..job_operators import FileOperator, Outcome
from ..jobs import refuse_while_busy
from ..properties import FitChoice, MeshChoice, of_scene
from ..translations import say

EXTENSIONS = (".obj", ".ply", ".stl", ".glb")
CHOICES = ("topology", "resolution", "refine")


class IMFACE_OT_fit_file(FitChoice, MeshChoice, FileOperator):
    """Import a scan file and make a face that matches it; the scan is imported as it is"""

    bl_idname = "imface.fit_file"
    bl_label = "Fit Face to File"

    filepath: StringProperty(
        name="Scan",
        description="An OBJ, PLY, STL or GLB file, in any unit and lying anyhow",
        subtype="FILE_PATH",
        options={"SKIP_SAVE"},
    )
    filter_glob: StringProperty(
        default=";".join(f"*{extension}" for extension in EXTENSIONS),
        options={"HIDDEN", "SKIP_SAVE"},
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Outcome:
        """Take what the panel shows for what the caller has not chosen: a dropped file brings no
        choices."""
        complete(self.properties, context.scene)
        return super().invoke(context, event)

    def work(self, context: bpy.types.Context) -> Outcome:
        """Import the scan, an undo step of its own, and start the fit."""
        if self._how == "EXEC_DEFAULT":
            refuse_while_busy()
        scan = import_scan(context, Path(bpy.path.abspath(self.filepath)))
        self.report({"INFO"}, say("Imported '{name}'", name=scan.name))
        bpy.ops.ed.undo_push(message="Import Scan")
        choices = {name: getattr(self, name) for name in CHOICES}
        return self.start(bpy.ops.imface.fit_scan, **choices)  # type: ignore[attr-defined]


def complete(choices: bpy.types.OperatorProperties, scene: bpy.types.Scene) -> None:
    """Set the choices that nobody has made to what the panel shows."""
    for name in CHOICES:
        if not choices.is_property_set(name):
            setattr(choices, name, getattr(of_scene(scene), name))


def import_scan(context: bpy.types.Context, path: Path) -> bpy.types.Object:
    """Import a file with Blender's importers and make its meshes, joined, the active object.

    Raises
    ------
    UserError
        If there is no such file, its kind is unknown, or no mesh came of it.
    """
    importers = dict(
        zip(
            EXTENSIONS,
            (
                bpy.ops.wm.obj_import,
                bpy.ops.wm.ply_import,
                bpy.ops.wm.stl_import,
                bpy.ops.import_scene.gltf,
            ),
            strict=True,
        )
    )
    importer = importers.get(path.suffix.lower())
    if importer is None:
        raise UserError("{file} is no scan file. Use OBJ, PLY, STL or GLB.", file=path.name)
    if not path.is_file():
        raise UserError("There is no file {path}. Check the path.", path=path)
    before = set(bpy.data.objects)
    try:
        importer(filepath=str(path))
    except (RuntimeError, AttributeError) as error:  # the importer says why
        raise UserError(
            "{file} cannot be imported: {reason}. Export it again.", file=path.name, reason=error
        ) from error
    made = [obj for obj in context.view_layer.objects if obj not in before and obj.type == "MESH"]
    if not made:
        raise UserError("{file} has no mesh in it. Choose another file.", file=path.name)
    scan = max(made, key=lambda obj: len(obj.data.vertices))
    for obj in context.selected_objects:
        obj.select_set(False)
    for obj in made:
        obj.select_set(True)
    context.view_layer.objects.active = scan
    if len(made) > 1:
        bpy.ops.object.join()
    return scan


class IMFACE_FH_scan(bpy.types.FileHandler):
    """Offers a fit when a scan file is dropped into the viewport"""

    bl_idname = "IMFACE_FH_scan"
    bl_label = "Fit Face to Scan"
    bl_import_operator = IMFACE_OT_fit_file.bl_idname
    bl_file_extensions = ";".join(EXTENSIONS)

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        """Tell whether files may be dropped here."""
        return context.area is not None and context.area.type == "VIEW_3D"
