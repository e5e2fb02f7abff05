# SPDX-License-Identifier: GPL-3.0-or-later
"""Our operators in Blender's menus, where the search (F3) finds them too."""

import bpy

from ..translations import word
from .sections import draw_bake, draw_button

#: In the Object menu, in groups.
OF_OBJECTS = (
    ("fit_scan", "mark_landmarks", "show_fit_error"),
    ("random_gallery", "keep_face", "blend", "blend_key", "morph", "neutralize"),
    ("edit_shape", "randomize_shape", "reset_shape", "refine_shape", "save_preset"),
    ("export_codes", "import_codes", "copy_codes", "paste_codes", "save_asset"),
    ("add_expressions", "reset_expressions", "keyframe_expression", "remove_bake"),
)


class IMFACE_MT_object(bpy.types.Menu):
    """What can be done with faces and scans"""

    bl_label = "Face"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the operators, with the panel's settings."""
        self.layout.operator_context = "INVOKE_REGION_WIN"  # from a shortcut it would be EXEC
        for group in OF_OBJECTS:
            for operator in group:
                draw_button(self.layout, context, f"imface.{operator}")
            self.layout.separator()
        draw_bake(self.layout, context)


def _draw_add(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    draw_button(menu.layout, context, "imface.generate", word("Face"))


def _draw_import(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    menu.layout.operator("imface.fit_file", text="Face Scan (.obj, .ply, .stl, .glb)")
    menu.layout.operator("imface.import_capture", text="Face Capture (.csv)")


def _draw_object(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    menu.layout.separator()
    menu.layout.menu("IMFACE_MT_object", text=word("Face"), translate=False)


PLACES = (
    ("VIEW3D_MT_mesh_add", _draw_add),
    ("TOPBAR_MT_file_import", _draw_import),
    ("VIEW3D_MT_object", _draw_object),
)
CLASSES = (IMFACE_MT_object,)


def register() -> None:
    """Add what we draw to Blender's menus."""
    for menu, draw in PLACES:
        getattr(bpy.types, menu).append(draw)


def unregister() -> None:
    """Take it out again."""
    for menu, draw in PLACES:
        getattr(bpy.types, menu).remove(draw)
