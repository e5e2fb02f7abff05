# SPDX-License-Identifier: GPL-3.0-or-later
"""Values by name as an artist types them: "jawOpen=0.5, mouthSmileLeft=1"."""

from __future__ import annotations

from collections.abc import Iterator

from .errors import UserError


def pairs(text: str) -> Iterator[tuple[str, str]]:
    """Yield each name and what is said to be its value."""
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = (word.strip() for word in part.partition("="))
        yield name, number


def number(name: str, text: str, low: float, high: float) -> float:
    """Read a value within limits, beyond which Blender would silently clip it."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise UserError(
            "'{name}={text}' is no value from {low:g} to {high:g}. Write such as {name}=0.5.",
            name=name,
            text=text,
            low=low,
            high=high,
        )
    return value
