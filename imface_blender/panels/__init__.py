# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel "Generate Face" in the 3D viewport's sidebar, and our entries in Blender's menus."""

from . import main, menus, sections

CLASSES = (main.IMFACE_PT_main, *sections.CLASSES)
MENUS = (*sections.MENUS, *menus.CLASSES)
