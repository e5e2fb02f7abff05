# SPDX-License-Identifier: GPL-3.0-or-later
"""The README's commands are commands that the programs understand."""

import pytest

import build
from backend.__main__ import _parser
from tests.pages import ROOT, commands, text_of

README = ROOT / "README.md"


def after(*program: str) -> list[list[str]]:
    """Return the arguments of all commands in the README that start so."""
    found = commands(README, *program)
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
    assert f"dist/{build.archive_name(build.ROOT, 'linux-x64-py311')}" in text_of(README)
