# SPDX-License-Identifier: GPL-3.0-or-later
"""Set before any test is imported; and wheels, made on the spot, that hold next to nothing."""

import os
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

# Threads that spin while they wait make PyTorch ten times slower beside any other busy program.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import pytest

import build

HERE = build.Target(build.this_platform(), f"{sys.version_info.major}.{sys.version_info.minor}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put those last that compute on all cores: by then no other check runs beside them."""
    items.sort(key=lambda item: "backend" in item.path.parts)


@pytest.fixture
def make_wheel() -> Callable[..., Path]:
    """Return a function that writes a wheel with a licence and the files given."""

    def make(
        folder: Path, name: str, version: str, files: Mapping[str, str], needs: str = ""
    ) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        stem = f"{name.replace('-', '_')}-{version}"
        path = folder / f"{stem}-py3-none-any.whl"
        info = f"{stem}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        metadata += "License-Expression: MIT\n" + (f"Requires-Dist: {needs}\n" if needs else "")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{info}/METADATA", metadata)
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            archive.writestr(f"{info}/licenses/LICENSE", f"Terms of {name}")
            for file, text in files.items():
                archive.writestr(file, text)
        return path

    return make


@pytest.fixture
def make_bundle(make_wheel: Callable[..., Path]) -> Callable[..., list[build.Wheel]]:
    """Return a function that fills a folder as `build.py zip` does: a wheel for each module."""

    def make(
        folder: Path,
        modules: Mapping[str, str],
        target: build.Target = HERE,
        version: str = "1.0",
    ) -> list[build.Wheel]:
        wheels = []
        for name, text in modules.items():
            path = make_wheel(folder, name, version, {f"{name}/__init__.py": text})
            wheels.append(build.describe_wheel(path, name, version))
        build.write_wheel_list(target, wheels, folder)
        return wheels

    return make
