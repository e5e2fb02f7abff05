# SPDX-License-Identifier: GPL-3.0-or-later
"""The README's commands are commands that the programs understand."""

import re
import shlex
from pathlib import Path

import pytest

import build
from backend.__main__ import _parser

TEXT = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line, comments=True)
    for block in re.findall(r"```\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
]


def after(*program: str) -> list[list[str]]:
    """Return the arguments of all commands in the README that start so."""
    found = [words[len(program) :] for words in COMMANDS if words[: len(program)] == [*program]]
    assert found
    return found


@pytest.mark.parametrize("arguments", after("python", "-m", "backend"), ids=" ".join)
def test_a_command_line_of_the_backend(arguments: list[str]) -> None:
    assert _parser().parse_args(arguments).command == arguments[0]


@pytest.mark.parametrize("arguments", after("python3", "build.py"), ids=" ".join)
def test_a_command_line_of_build_py(arguments: list[str]) -> None:
    options = build.parse(arguments)
    assert (options.command, options.rest) == (arguments[0], [])


def test_the_version_is_the_manifest_s() -> None:
    assert f"dist/{build.archive_name(build.ROOT, 'linux-x64-py311')}" in TEXT
