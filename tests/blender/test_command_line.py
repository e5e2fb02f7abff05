# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of Blender: words pass to the backend, its output and exit status come back."""

import subprocess
import sys
from pathlib import Path

import bpy
import pytest

from backend.__main__ import _parser
from imface_blender import command_line, jobs, worker_setup
from imface_blender.work import Job

ROOT = Path(__file__).resolve().parents[2]
ECHO = """
import sys
option, *words = sys.argv[1:]
assert option == "--end-with-stdin"
print("words:", *words)
print("trouble", file=sys.stderr)
sys.exit(len(words))
"""
#: A program that runs the command line of Blender, and a backend that works until its stdin ends.
HOST = """
import sys
from pathlib import Path
from imface_blender import command_line, jobs
jobs.backend_dir = lambda: Path(sys.argv[1])
command_line.run([])
"""
BUSY = """
import os, sys, threading
print("started", flush=True)
waiting = threading.Thread(target=sys.stdin.read)
waiting.start()
waiting.join(60)
print("left alone" if waiting.is_alive() else "ended", flush=True)
os._exit(0)
"""


@pytest.fixture
def echo(monkeypatch, tmp_path):
    """Put a backend in place that repeats its words and exits with their number."""
    (tmp_path / "backend").mkdir()
    (tmp_path / "backend" / "__main__.py").write_text(ECHO)
    monkeypatch.setattr(jobs, "backend_dir", lambda: tmp_path)
    return tmp_path


def test_a_blend_has_the_same_words_and_defaults_as_the_operator():
    options = _parser().parse_args(["blend", "a", "b", "--out", "c"])
    properties = bpy.ops.imface.blend.get_rna_type().properties
    assert options.what == properties["what"].default.lower()
    assert options.weight == properties["weight"].default
    for name in ("what", "topology"):
        for item in properties[name].enum_items:
            words = ["blend", "a", "b", "--out", "c", f"--{name}", item.identifier.lower()]
            assert getattr(_parser().parse_args(words), name) == item.identifier.lower()


@pytest.mark.parametrize("words", [[], ["generate", "--seed=1", "two words"]])
def test_words_output_and_status_pass_through(echo, capfd, words):
    assert command_line.run(words) == len(words)
    out, err = capfd.readouterr()
    assert out == " ".join(["words:", *words]) + "\n"
    assert err == "trouble\n"


def test_the_backend_ends_with_its_blender(echo):
    (echo / "backend" / "__main__.py").write_text(BUSY)
    host = [sys.executable, "-c", HOST, str(echo)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(host, cwd=ROOT, text=True, **pipes) as blender:
        assert blender.stdout.readline() == "started\n"
        blender.kill()
        assert blender.stdout.read() == "ended\n"  # the backend holds this pipe too


def test_without_a_python_it_says_so(echo, capfd, monkeypatch):
    monkeypatch.delenv("IMFACE_PYTHON")
    assert command_line.run(["sliders"]) == 2
    assert capfd.readouterr().err.startswith("No Python is chosen for the worker.")


def test_a_python_that_does_not_exist(echo, capfd, monkeypatch):
    monkeypatch.setenv("IMFACE_PYTHON", "/nowhere/python")
    assert command_line.run(["sliders"]) == 2
    out, err = capfd.readouterr()
    assert "/nowhere/python cannot be started" in err
    assert err.rstrip().endswith("Choose another Python in the preferences.")
    assert out == ""


class Unpacked(Job):
    """Stands in for the unpacking of the runtime: is done, or has failed, at its first poll."""

    def __init__(self, error=""):
        super().__init__("Unpacking")
        self.outcome = ("failed", error) if error else ("done", "")

    def poll(self):
        self.state, self.error = self.outcome


def test_the_runtime_is_unpacked_first(echo, capfd, monkeypatch):
    folder = echo / "torch"
    monkeypatch.setattr(command_line, "unpacking", Unpacked)
    setup = worker_setup.Setup(sys.executable, (folder,))
    monkeypatch.setattr(command_line, "worker_setup", lambda: setup)
    assert command_line.run(["one"]) == 1
    out, err = capfd.readouterr()
    assert out == "words: one\n"
    assert err == "Unpacking\ntrouble\n"


def test_a_runtime_that_cannot_be_unpacked(echo, capfd, monkeypatch):
    monkeypatch.setattr(command_line, "unpacking", lambda: Unpacked("No space left."))
    assert command_line.run(["one"]) == 2
    out, err = capfd.readouterr()
    assert (out, err) == ("", "Unpacking\nNo space left.\n")
