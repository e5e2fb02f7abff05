# SPDX-License-Identifier: GPL-3.0-or-later
"""An artist's hand in a real Blender window: pointer and keys, in the viewport and its sidebar.

What takes time is a generator that yields how long Blender shall go on by itself [s]. Places are
pixels of the window, from its bottom left.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterator

import bpy

TICK_S = 0.02
SETTLE_S = 0.6  # until what has changed is drawn
ROW_PX = 17  # less than a button is high
TIMELINE_PX = 8  # below the timeline's upper border, where frames are chosen
SCROLLS = 13  # of 40 px: less than the sidebar is high
PAGES = 12

Steps = Generator[float, None, None]
Place = Generator[float, None, tuple[int, int]]


class Missed(Exception):
    """Something did not come; the message is a sentence."""


def check(condition: object, sentence: str) -> None:
    """Raise Missed unless the condition holds."""
    if not condition:
        raise Missed(sentence)


def until(
    condition: Callable[[], object], what: str, limit_s: float, every_s: float = TICK_S
) -> Steps:
    """Wait for a condition; Missed when it does not come true in time."""
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            raise Missed(f"{what}: not within {limit_s:.0f} s.")
        yield every_s


class Hand:
    """Works in the 3D viewport of the first window."""

    def __init__(self) -> None:
        self.window = bpy.context.window_manager.windows[0]
        (self.area,) = (area for area in self.window.screen.areas if area.type == "VIEW_3D")
        self._row = 0

    def region(self, kind: str) -> bpy.types.Region:
        """Return the viewport's region of this kind: WINDOW, or UI for the sidebar."""
        return next(region for region in self.area.regions if region.type == kind)

    @contextlib.contextmanager
    def at(self, kind: str = "WINDOW") -> Iterator[None]:
        """Let operators work as if they were called from a region."""
        region = self.region(kind)
        with bpy.context.temp_override(window=self.window, area=self.area, region=region):
            yield

    def key(self, kind: str, **modifiers: bool) -> Steps:
        """Press a key, with the pointer over the viewport."""
        place = self._middle()
        yield from self.hover(*place)
        yield from self._event(kind, "PRESS", *place, **modifiers)
        yield from self._event(kind, "RELEASE", *place, **modifiers)
        yield SETTLE_S

    def press(self, operator: str, *values: str) -> Steps:
        """Press the sidebar's button of an operator, such as imface.generate, that passes these
        values, such as seed=1."""
        x, y = yield from self._find(operator, values)
        yield from self._click(x, y)
        yield from self.hover(*self._middle())

    def open_section(self, before: str, within: str) -> Steps:
        """Open the closed section that comes soon after one property or operator, and begins with
        another."""
        sidebar = self.region("UI")
        for row in range(1, 6):
            x, y = yield from self._find(before)
            if y - ROW_PX * row > sidebar.y:
                yield from self.hover(x, y - ROW_PX * row)
                yield from self._click(x, y - ROW_PX * row)
                yield SETTLE_S
            yield from self.scroll(3)  # the last section opens below the border
            for below in range(sidebar.y + sidebar.height, sidebar.y, -ROW_PX):
                yield from self.hover(x, below)
                if self._is_below(within, ()):
                    return
            yield from self.key("ESC")  # should it have been a menu
        raise Missed(f"No section opens after {before}.")

    def drag(self, name: str, way_px: int, at_each: Callable[[], Steps]) -> Steps:
        """Drag the sidebar's slider of a property to the right, two pixels at a time."""
        x, y = yield from self._find(name)
        yield from self._pull(x, x + way_px, y, at_each)

    def scrub(self, first: int, last: int, at_each: Callable[[], Steps]) -> Steps:
        """Drag over the timeline's frames, two pixels at a time."""
        areas = self.window.screen.areas
        (timeline,) = (area for area in areas if area.type == "DOPESHEET_EDITOR")
        region = next(region for region in timeline.regions if region.type == "WINDOW")
        y = region.y + region.height - TIMELINE_PX
        start, end = (
            region.x + region.view2d.view_to_region(frame, 0, clip=False)[0]
            for frame in (first, last)
        )
        yield from self.hover(start, y)
        yield from self._pull(start, end, y, at_each)

    def _pull(self, start: int, end: int, y: int, at_each: Callable[[], Steps]) -> Steps:
        yield from self._event("LEFTMOUSE", "PRESS", start, y)
        for x in (*range(start, end, 2 if end > start else -2), end)[1:]:
            self.window.event_simulate(type="MOUSEMOVE", value="NOTHING", x=x, y=y)
            yield from at_each()
        yield from self._event("LEFTMOUSE", "RELEASE", end, y)
        yield from self.hover(*self._middle())
        yield SETTLE_S

    def raise_edge(self, area: bpy.types.Area, way_px: int) -> Steps:
        """Drag the upper edge of an editor up."""
        x, y = area.x + area.width // 2, area.y + area.height
        yield from self.hover(x, y)
        yield from self._event("LEFTMOUSE", "PRESS", x, y)
        yield from self._event("MOUSEMOVE", "NOTHING", x, y + way_px // 2)
        yield from self._event("MOUSEMOVE", "NOTHING", x, y + way_px)
        yield from self._event("LEFTMOUSE", "RELEASE", x, y + way_px)
        yield SETTLE_S

    def turn_pages(self, count: int) -> Steps:
        """Scroll the sidebar down by so many pages, or up."""
        yield from self.scroll(SCROLLS * count)

    def scroll(self, count: int) -> Steps:
        """Turn the wheel over the sidebar by so many notches, down or up."""
        scroll = bpy.ops.view2d.scroll_down if count > 0 else bpy.ops.view2d.scroll_up
        with self.at("UI"):
            for _ in range(abs(count)):
                scroll()
        self.area.tag_redraw()
        self._row = 0
        yield SETTLE_S

    def _click(self, x: int, y: int) -> Steps:
        yield from self._event("LEFTMOUSE", "PRESS", x, y)
        yield from self._event("LEFTMOUSE", "RELEASE", x, y)

    def _event(self, kind: str, value: str, x: int, y: int, **modifiers: bool) -> Steps:
        self.window.event_simulate(type=kind, value=value, x=x, y=y, **modifiers)
        yield TICK_S

    def hover(self, x: int, y: int) -> Steps:
        """Come to a place by two events: at the second, Blender knows the button below."""
        yield from self._event("MOUSEMOVE", "NOTHING", x - 1, y)
        yield from self._event("MOUSEMOVE", "NOTHING", x, y)

    def _middle(self) -> tuple[int, int]:
        """Return the middle of what the sidebar leaves of the viewport."""
        view, sidebar = self.region("WINDOW"), self.region("UI")
        right = sidebar.x if sidebar.width > 1 else view.x + view.width
        return (view.x + right) // 2, view.y + view.height // 2

    def _find(self, name: str, values: tuple[str, ...] = ()) -> Place:
        """Come down the sidebar, from where the last thing was found, page by page."""
        sidebar = self.region("UI")
        x, top = sidebar.x + sidebar.width // 3, sidebar.y + sidebar.height - ROW_PX
        row = self._row or top
        for _ in range(PAGES):
            for y in range(row, sidebar.y, -ROW_PX):
                yield from self.hover(x, y)
                if self._is_below(name, values):
                    self._row = y
                    return x, y
            row = top
            before = self._scrolled()
            yield from self.turn_pages(1)
            if self._scrolled() == before:
                yield from self.turn_pages(-PAGES)
        raise Missed(f"The sidebar has no {name} {' '.join(values)}.")

    def _is_below(self, name: str, values: tuple[str, ...]) -> bool:
        """Tell whether the pointer is over an operator's button or over a property."""
        manager = bpy.context.window_manager
        manager.clipboard = ""
        with self.at("UI"):
            if bpy.context.property and bpy.context.property[1].endswith(name):
                return True
            if bpy.ops.ui.copy_python_command_button.poll():
                bpy.ops.ui.copy_python_command_button()
        call = manager.clipboard
        return call.startswith(f"bpy.ops.{name}(") and all(value in call for value in values)

    def _scrolled(self) -> float:
        return self.region("UI").view2d.region_to_view(0, 0)[1]
