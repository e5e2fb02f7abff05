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


@pytest.fixture
def make_wheel() -> Callable[..., Path]:
    """Return a function that writes a wheel with a licence and the files given."""

    def make(folder: Path, name: str, version: str, files: Mapping[str, str]) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}-{version}-py3-none-any.whl"
        info = f"{name}-{version}.dist-info"
        metadata = f"Name: {name}\nVersion: {version}\nLicense-Expression: MIT\n"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{info}/METADATA", metadata)
            archive.writestr(f"{info}/licenses/LICENSE", f"Terms of {name}")
            for file, text in files.items():
                archive.writestr(file, text)
        return path

    return make


@pytest.fixture
def make_bundle(make_wheel: Callable[..., Path]) -> Callable[..., list[build.Wheel]]:
    """Return a function that fills a folder as `build.py zip` does: a wheel for each module."""

    def make(
        folder: Path, modules: Mapping[str, str], target: build.Target = HERE
    ) -> list[build.Wheel]:
        wheels = []
        for name, text in modules.items():
            path = make_wheel(folder, name, "1.0", {f"{name}/__init__.py": text})
            wheels.append(build.describe_wheel(path, name, "1.0"))
        build.write_wheel_list(target, wheels, folder)
        return wheels

    return make
