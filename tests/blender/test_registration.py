# SPDX-License-Identifier: GPL-3.0-or-later
"""Registering, and what the add-on may import."""

import subprocess
import sys
from pathlib import Path

import bpy
import pytest

import imface_blender
from imface_blender import jobs

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "imface_blender").rglob("*.py")
)


def test_unregistering_leaves_nothing_and_can_be_repeated():
    for _ in range(2):
        imface_blender.unregister()
        assert not any(cls.is_registered for cls in imface_blender.CLASSES)
        assert not hasattr(bpy.types.Object, "imface")
        imface_blender.register()
    assert bpy.ops.imface.generate() == {"FINISHED"}


@pytest.mark.parametrize("operator", imface_blender.operators.CLASSES)
def test_every_operator_has_a_name_and_a_tooltip(operator):
    rna = getattr(bpy.ops.imface, operator.bl_idname.split(".")[1]).get_rna_type()
    assert rna.name
    assert rna.description
    assert not rna.description.endswith(".")  # Blender adds it
    assert "\n" not in rna.description


def test_unregistering_ends_a_running_job():
    jobs.status.job = jobs.client().submit("info", {}, {})
    imface_blender.unregister()
    imface_blender.register()
    assert bpy.ops.imface.generate() == {"FINISHED"}


def run(program):
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=60, check=False)
    return done.returncode


def test_blender_exits_cleanly_after_the_add_on():
    assert run("import imface_blender as a; a.register(); a.unregister()") == 0


def test_the_add_on_imports_neither_torch_nor_the_backend():
    program = (
        "import sys; sys.modules.update({'torch': None, 'backend': None}); import importlib\n"
        f"for name in {MODULES}: importlib.import_module(name)"
    )
    assert run(program) == 0
