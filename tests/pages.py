# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages that people read, and what tests look up in them: code, links, headings."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.glob("*.md")))


def text_of(page: Path) -> str:
    """Return a page's text."""
    return page.read_text(encoding="utf-8")


def fenced(page: Path, language: str = "") -> list[str]:
    """Return a page's code blocks of a language; if none is given, those that name none."""
    blocks = re.findall(r"^ *```(\w*)\n(.*?)^ *```$", text_of(page), re.DOTALL | re.MULTILINE)
    return [block for name, block in blocks if name == language]


def prose(page: Path) -> str:
    """Return a page's text without its code blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", text_of(page), flags=re.DOTALL | re.MULTILINE)


def commands(page: Path, *program: str) -> list[list[str]]:
    """Return the arguments of all commands in a page's code blocks that start so."""
    lines = [line.strip() for block in fenced(page) for line in block.splitlines()]
    found = [shlex.split(line, comments=True) for line in lines if line.startswith(program[0])]
    return [words[len(program) :] for words in found if words[: len(program)] == [*program]]


def links(page: Path) -> list[str]:
    """Return where a page's links and pictures lead, but for other hosts."""
    found = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    return [link for link in found if "://" not in link]


def anchors(page: Path) -> set[str]:
    """Return what links may name of a page: its headings, as the sites that show it spell them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading).strip().lower() for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


def operators_in(text: str) -> set[str]:
    """Return the names of the operators that a text calls, without `bpy.ops.imface.`."""
    return set(re.findall(r"\bbpy\.ops\.imface\.(\w+)\(", text))
