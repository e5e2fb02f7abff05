# SPDX-License-Identifier: GPL-3.0-or-later
"""The session in a window, gone through once for all tests of this folder.

`python -m pytest tests/gui --blender PATH`; a plain run leaves the folder out.
"""

import pytest

from tests.gui import session

LIMIT_S = 900  # for what goes on for ever: whatever is waited for has a limit of its own


def pytest_addoption(parser: pytest.Parser) -> None:
    """Ask for the Blender, and how long it may take."""
    parser.addoption("--blender", help="the Blender, 4.2 or later, whose window is driven")
    parser.addoption("--limit", type=float, default=LIMIT_S, help="for all steps [s]")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was measured."""
    if not session.REPORT.is_file():
        return
    report = session.read_report()
    terminalreporter.section(f"in a window of Blender {report['blender']}")
    for step in report["steps"]:
        terminalreporter.line(f"{step['name']}: {step['seconds']:.0f} s")
    for name, figures in report["figures"].items():
        values = ", ".join(f"{what} {value}" for what, value in figures.items())
        terminalreporter.line(f"{name}: {values}")


@pytest.fixture(scope="session")
def window(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> session.Window:
    """Go through the session."""
    blender = pytestconfig.getoption("--blender")
    if not blender:
        pytest.skip("no Blender was named: --blender PATH")
    return session.drive(blender, pytestconfig.getoption("--limit"), tmp_path_factory.mktemp("gui"))
