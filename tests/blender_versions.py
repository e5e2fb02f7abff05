# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Blender version cannot do in tests."""

import subprocess
import sys
from pathlib import Path

import bpy

_EXPORT = """
import os, sys, bpy
bpy.ops.wm.open_mainfile(filepath=sys.argv[1])
bpy.ops.export_scene.gltf(filepath=sys.argv[2])
os._exit(0)
"""


def export_gltf(path: str) -> None:
    """Export the file as glTF from a process that skips its end: after this exporter Blender 4.2
    as a module crashes there, whoever calls it."""
    blend = str(Path(path).with_suffix(".blend"))
    bpy.ops.wm.save_as_mainfile(filepath=blend, copy=True)
    subprocess.run([sys.executable, "-c", _EXPORT, blend, path], check=True)
