# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend never needs Blender, and the add-on never needs the backend or what it uses; the
backend's own imports go one way."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pages import DOCS, ROOT, text_of

ADDON = ROOT / "imface_blender"
BACKEND_FILES = sorted((ROOT / "backend").rglob("*.py"))
MODULES = [path for path in BACKEND_FILES if path.name != "__init__.py"]
ADDON_FILES = sorted(ADDON.rglob("*.py"))
ADDON_MODULES_WITHOUT_BPY = (
    "errors",
    "face_capture",
    "gpu",
    "named_values",
    "runtime",
    "slider_names",
    "translations",
    "wire",
    "work",
    "worker_client",
)
BLENDERS_OWN = {"bpy", "bmesh", "mathutils", "gpu", "imface_blender"}
WORKERS_OWN = {"torch", "backend", "trimesh", "skimage", "scipy", "safetensors"}


def _short_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _run(program: str) -> None:
    """Run a program in a fresh Python; show what it wrote if it fails."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _imports(path: Path) -> Iterator[str]:
    """Yield the first names of all modules that a file imports, within functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def test_every_module_of_the_backend_comes_without_blender() -> None:
    _run(f"""
import importlib, pkgutil, sys
sys.modules.update(dict.fromkeys({BLENDERS_OWN!r}))
import backend
names = [found.name for found in pkgutil.walk_packages(backend.__path__, "backend.")]
assert "backend.worker.server" in names, names
for name in names:
    importlib.import_module(name)
""")


def test_the_server_comes_without_packages() -> None:
    """So that a Python without PyTorch can still say so."""
    _run(f"""
import sys
sys.modules.update(dict.fromkeys({(WORKERS_OWN - {"backend"}) | {"numpy"}!r}))
import backend.worker.server
""")


@pytest.mark.parametrize("module", ADDON_MODULES_WITHOUT_BPY)
def test_what_needs_no_blender_comes_without_it_and_without_the_backend(module: str) -> None:
    _run(f"""
import importlib, sys, types
sys.modules.update(dict.fromkeys({(BLENDERS_OWN | WORKERS_OWN)!r}))
package = types.ModuleType("addon")
package.__path__ = [{str(ADDON)!r}]
sys.modules["addon"] = package
importlib.import_module("addon.{module}")
""")


@pytest.mark.parametrize("path", BACKEND_FILES, ids=_short_name)
def test_no_function_of_the_backend_imports_what_is_blenders(path: Path) -> None:
    assert not BLENDERS_OWN & set(_imports(path))


@pytest.mark.parametrize("path", ADDON_FILES, ids=_short_name)
def test_no_function_of_the_addon_imports_what_is_the_workers(path: Path) -> None:
    assert not WORKERS_OWN & set(_imports(path))


def _rungs() -> list[list[str]]:
    """Return the files and folders in the rows of the developers' table, the lowest first."""
    _, _, table = text_of(DOCS / "developing.md").partition("| the backend | |\n|---|---|\n")
    rows = table.partition("\n\n")[0].splitlines()
    return [re.findall(r"`(backend/[\w/.]+)`", row) for row in rows]


def _rung(path: Path) -> int:
    """Return the number of the one row that has a file or its folder."""
    names = (_short_name(path), f"{_short_name(path.parent)}/")
    (found,) = (number for number, row in enumerate(_rungs()) if not {*names}.isdisjoint(row))
    return found


def _own_imports(path: Path) -> Iterator[Path]:
    """Yield the files of the backend that one of them imports, within functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            start = path.parents[node.level - 1] if node.level else ROOT
            module = start.joinpath(*(node.module or "").split("."))
            found = [module, *(module / alias.name for alias in node.names)]
        elif isinstance(node, ast.Import):
            found = [ROOT.joinpath(*alias.name.split(".")) for alias in node.names]
        else:
            continue
        yield from (file for name in found if (file := name.with_suffix(".py")) in MODULES)


@pytest.mark.parametrize("path", MODULES, ids=_short_name)
def test_the_backend_s_imports_go_down_the_developers_table(path: Path) -> None:
    higher = [other for other in _own_imports(path) if _rung(other) > _rung(path)]
    assert higher == []
