# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel "Generate Face" in the 3D viewport's sidebar."""

from . import main, sections

CLASSES = (main.IMFACE_PT_main, *sections.CLASSES)
MENUS = sections.MENUS
