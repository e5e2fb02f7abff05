# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on as an artist meets it: every step's scene was in order, every picture shows it.

Pictures are compared for what is in them, not by their pixels: `out/gui` keeps them.
"""

import re

import pytest
from PIL import Image

from tests.gui.session import OUT, SCREEN, Window

STEPS = (
    "install",
    "open_tab",
    "generate",
    "shape",
    "fit",
    "settle",
    "cancel",
    "blend",
    "paste",
    "express",
    "animate",
    "undo_and_redo_all",
    "load",
)
WITH_A_FACE = STEPS[2:]
WITH_THE_TAB = STEPS[1:]
COLORS = 1500  # a shaded head has over 3000, a grid alone some 600


@pytest.mark.parametrize("name", STEPS)
def test_the_scene_after(name: str, window: Window) -> None:
    assert window.step(name)["error"] == ""


def test_blender_quits_in_peace(window: Window) -> None:
    assert window.status == 0


def test_nothing_is_reported_as_an_error(window: Window) -> None:
    assert re.findall(r"^(?:Error\b|Traceback|Python: Traceback).*", window.log, re.M) == []


@pytest.mark.parametrize("name", STEPS)
def test_a_picture_of_the_whole_window(name: str, window: Window) -> None:
    picture = picture_of(window, name)
    assert picture.size == SCREEN
    assert colors(picture) > 100  # not blank


@pytest.mark.parametrize("name", WITH_THE_TAB)
def test_the_sidebar_shows_the_panel(name: str, window: Window) -> None:
    sidebar = region_of(window, name, "UI")
    assert sidebar.width > 200
    assert sidebar.height > 400
    rows = [colors(sidebar.crop((0, y, sidebar.width, y + 40))) for y in range(0, 400, 40)]
    assert min(rows) > 10  # text and buttons everywhere


@pytest.mark.parametrize("name", WITH_A_FACE)
def test_the_viewport_shows_a_face(name: str, window: Window) -> None:
    assert colors(middle_of_the_view(window, name)) > COLORS


def test_an_empty_viewport_shows_none(window: Window) -> None:
    assert colors(middle_of_the_view(window, "open_tab")) < COLORS


def picture_of(window: Window, name: str) -> Image.Image:
    """Return the picture after a step."""
    return Image.open(OUT / window.step(name)["picture"]["file"]).convert("RGB")


def region_of(window: Window, name: str, kind: str) -> Image.Image:
    """Return the part of a picture that shows a region of the 3D viewport."""
    left, top, width, height = window.step(name)["picture"]["regions"][kind]
    return picture_of(window, name).crop((left, top, left + width, top + height))


def middle_of_the_view(window: Window, name: str) -> Image.Image:
    """Return what is half as wide and half as high, around the viewport's middle."""
    view = region_of(window, name, "WINDOW")
    width, height = view.size
    return view.crop((width // 4, height // 4, width * 3 // 4, height * 3 // 4))


def colors(picture: Image.Image) -> int:
    """Return how many colours there are."""
    return len(picture.getcolors(picture.width * picture.height))
