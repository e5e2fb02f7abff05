# SPDX-License-Identifier: GPL-3.0-or-later
"""ImFace for Blender: generate, fit, blend and animate faces."""

import bpy

from . import (
    catch_up,
    command_line,
    jobs,
    operators,
    panels,
    preferences,
    properties,
    slider_properties,
    translations,
)

CLASSES = (
    *properties.CLASSES,
    *slider_properties.CLASSES,
    *preferences.CLASSES,
    *operators.CLASSES,
    *operators.FILE_HANDLERS,
    *panels.CLASSES,
    *panels.MENUS,
)


def register() -> None:
    """Make the add-on known to Blender."""
    blender = bpy.app.translations
    blender.register(__package__, translations.dictionary())  # type: ignore[arg-type]
    translations.use(blender.pgettext_rpt, blender.pgettext_iface)
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    properties.register()
    slider_properties.register()
    catch_up.register()
    panels.menus.register()
    command_line.register()


def unregister() -> None:
    """End the worker and take the add-on out of Blender."""
    jobs.close_worker()
    command_line.unregister()
    panels.menus.unregister()
    catch_up.unregister()
    slider_properties.unregister()
    properties.unregister()
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
    bpy.app.translations.unregister(__package__)
