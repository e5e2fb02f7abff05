# SPDX-License-Identifier: GPL-3.0-or-later
"""`python installation.py ZIP`: install the zip in a Blender whose user folder is empty, let it
make a face, uninstall it, and print as JSON what there was meanwhile and what is left.

In a process of its own, with the variables set that keep the user's own Blender out of it.
"""

import json
import sys
from pathlib import Path

import bpy

ID = "imface_blender"
MODULE = f"bl_ext.user_default.{ID}"
OWNERS = (bpy.types.Object, bpy.types.Mesh, bpy.types.Key, bpy.types.Scene)


def files():
    """Return all files and folders below Blender's user folder."""
    home = Path(bpy.utils.resource_path("USER"))
    return sorted(path.relative_to(home).as_posix() for path in home.rglob("*"))


def known():
    """Return all of the add-on that this Blender knows."""
    names = [name for name in dir(bpy.types) if name.startswith("IMFACE_")]
    names += [name for owner in OWNERS for name in dir(owner) if name.startswith("imface")]
    lists = (getattr(bpy.app.handlers, name) for name in dir(bpy.app.handlers))
    modules = [handler.__module__ for one in lists if isinstance(one, list) for handler in one]
    modules += [*bpy.context.preferences.addons.keys(), *sys.modules]
    return names + [name for name in modules if name.startswith(MODULE)]


def make_face():
    """Return how many vertices a new face has, or why there is none."""
    try:
        bpy.ops.imface.generate(seed=1)
    except RuntimeError as error:
        return str(error)
    return len(bpy.context.object.data.vertices)


def main(archive):
    """Go through it."""
    repositories = bpy.context.preferences.extensions.repos
    number = [repository.module for repository in repositories].index("user_default")
    bpy.ops.extensions.package_install_files(filepath=archive, repo="user_default")
    bpy.ops.preferences.addon_enable(module=MODULE)
    said = {"face": make_face(), "files": files(), "known": known()}
    bpy.ops.extensions.package_uninstall(repo_index=number, pkg_id=ID)
    print(json.dumps(said | {"files_left": files(), "still_known": known()}))


main(sys.argv[1])
