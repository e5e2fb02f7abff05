# SPDX-License-Identifier: GPL-3.0-or-later
"""The code on the page for researchers does what stands beside it."""

from typing import Any

from tests.pages import DOCS, fenced


def test_the_library_is_used_as_the_page_says() -> None:
    (code,) = fenced(DOCS / "research.md", "python")
    made: dict[str, Any] = {}
    exec(code, made)
    assert made["mesh"].vertices.shape == (26719, 3)
    assert made["identity"].shape == (2, 256)
    assert made["expression"].shape == (2, 128)
    assert made["values"].sdf.shape == (2, 100)
    assert made["identity"].grad.abs().amin(0).gt(0).any()
