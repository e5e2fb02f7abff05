# SPDX-License-Identifier: GPL-3.0-or-later
"""The extension installed from a zip by Blender itself, in a process of its own, and uninstalled:
`installation.py`.

Of the zip that `build.py zip` makes for artists, with hundreds of MB of packages, only where
IMFACE_TEST_ZIP names one.
"""

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import build

PROGRAM = Path(__file__).with_name("installation.py")
RUNTIME = "extensions/.user/user_default/imface_blender/runtime/"
#: Blender's module, and what it needs itself.
BLENDER = ("bpy", "numpy", "numpy.libs", "requests", "certifi", "charset_normalizer", "idna")
BLENDER += ("urllib3", "zstandard", "Cython")


def installed(archive, home, python=sys.executable, **variables):
    """Return what the program says of a zip."""
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "IMFACE_PYTHON"}
    done = subprocess.run(
        [python, "-P", PROGRAM, archive],
        env=environment
        | {"BLENDER_USER_RESOURCES": str(home), "XDG_CACHE_HOME": str(home)}
        | variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def assert_gone(said):
    assert any(path.startswith(RUNTIME) for path in said["files"])
    assert {"IMFACE_OT_generate", "imface"} <= set(said["known"])
    assert [path for path in said["files_left"] if "imface" in path] == []
    assert said["still_known"] == []


def test_uninstalling_leaves_nothing_behind(tmp_path, make_bundle):
    wheels = make_bundle(tmp_path / "wheels", {"alpha": "", "beta": ""})
    stage, archive = tmp_path / "stage", tmp_path / "a.zip"
    build.stage(build.ROOT, stage)
    build.stage_wheels(
        wheels, tmp_path / "wheels", build.Target(build.this_platform(), "3.11"), stage
    )
    build.pack(stage, archive, build.Environment(Path(sys.prefix), build.MAIN.requirements))
    said = installed(archive, tmp_path / "home")
    assert "has no PyTorch" in said["face"]  # it has unpacked the two
    assert_gone(said)


@pytest.mark.skipif("IMFACE_TEST_ZIP" not in os.environ, reason="IMFACE_TEST_ZIP names no zip")
def test_the_artists_zip_computes_with_what_it_brings(tmp_path):
    """In a Python that has Blender and nothing else: no PyTorch but the zip's."""
    packages = Path(importlib.metadata.distribution("bpy").locate_file(""))
    (tmp_path / "blender").mkdir()
    for name in BLENDER:
        if (packages / name).exists():
            (tmp_path / "blender" / name).symlink_to(packages / name)
    python, path = sys._base_executable, {"PYTHONPATH": str(tmp_path / "blender")}
    no_torch = subprocess.run(
        [python, "-c", "import torch"], env=os.environ | path, capture_output=True
    )
    assert b"No module named 'torch'" in no_torch.stderr
    said = installed(os.environ["IMFACE_TEST_ZIP"], tmp_path / "home", python, **path)
    assert said["face"] == 26_719, said["face"]
    assert_gone(said)
