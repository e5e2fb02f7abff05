# SPDX-License-Identifier: GPL-3.0-or-later
"""Registering, and what the add-on may import."""

import subprocess
import sys
from pathlib import Path

import bpy
import pytest

import imface_blender
from imface_blender import jobs
from imface_blender.slider_names import NAMES

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "imface_blender").rglob("*.py")
)

OPERATORS = imface_blender.operators.CLASSES
GROUPS = [
    cls
    for cls in imface_blender.CLASSES
    if issubclass(cls, bpy.types.PropertyGroup | bpy.types.AddonPreferences)
]
MENUS = ("VIEW3D_MT_mesh_add", "TOPBAR_MT_file_import", "VIEW3D_MT_object")
UNITS = ("millimetres", "Minutes", "per second", "in frames", "Grid cells", "standard deviations")
UNIT_SUBTYPES = ("FACTOR", "TIME", "TRANSLATION")
WITHOUT_UNIT = ("seed", "place")


def our_entries():
    """Return how many entries each of Blender's menus has from the add-on."""
    return {
        menu: sum(draw.__module__.startswith("imface_blender") for draw in drawers(menu))
        for menu in MENUS
    }


def drawers(menu):
    return getattr(bpy.types, menu)._dyn_ui_initialize()


def test_unregistering_leaves_nothing_and_can_be_repeated():
    for _ in range(2):
        assert our_entries() == dict.fromkeys(MENUS, 1)
        imface_blender.unregister()
        assert not any(cls.is_registered for cls in imface_blender.CLASSES)
        assert not hasattr(bpy.types.Object, "imface")
        assert our_entries() == dict.fromkeys(MENUS, 0)
        imface_blender.register()
    assert bpy.ops.imface.generate() == {"FINISHED"}


def rna_of(cls):
    if issubclass(cls, bpy.types.Operator):
        return getattr(bpy.ops.imface, cls.bl_idname.split(".")[1]).get_rna_type()
    return cls.bl_rna


def is_tooltip(text):
    return bool(text) and not text.endswith(".") and "\n" not in text  # Blender adds the full stop


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_operator_has_a_tooltip(operator):
    assert is_tooltip(rna_of(operator).description)


def test_operators_are_told_apart_where_one_searches_all_of_blender_s():
    names = [rna_of(operator).name for operator in OPERATORS]
    assert len(set(names)) == len(names)
    assert [name for name in names if len(name.split()) < 2] == []


@pytest.mark.parametrize("owner", [*OPERATORS, *GROUPS])
def test_every_property_has_a_name_a_tooltip_and_a_unit(owner):
    for prop in rna_of(owner).properties:
        if not prop.is_runtime or prop.identifier == "filter_glob":  # which nobody sees
            continue
        assert prop.name != prop.identifier
        assert is_tooltip(prop.description), prop.identifier
        assert all(is_tooltip(item.description) for item in getattr(prop, "enum_items", ()))
        if prop.type in ("INT", "FLOAT") and prop.identifier not in WITHOUT_UNIT:
            says_unit = any(unit in prop.description for unit in UNITS)
            assert says_unit or prop.subtype in UNIT_SUBTYPES, prop.identifier


@pytest.mark.parametrize("owner", [*OPERATORS, *GROUPS])
def test_a_reset_gives_a_value_within_the_range(owner):
    for prop in rna_of(owner).properties:
        if prop.is_runtime and prop.type in ("INT", "FLOAT"):
            assert prop.hard_min <= prop.soft_min <= prop.default <= prop.soft_max, prop.identifier


def test_a_slider_s_reset_gives_the_face_as_it_was_made():
    rna = imface_blender.slider_properties.FaceSliders.bl_rna
    assert {rna.properties[name].default for name in NAMES} == {0.0}


def test_unregistering_ends_a_running_job():
    jobs.status.job = jobs.submit(jobs.Request("info", {}, {}))
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
