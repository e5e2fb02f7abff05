# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation is true: its links, its commands, the labels and sentences that it quotes."""

import argparse
import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import build
from backend.__main__ import _parser
from backend.face.expressions import FACESCAPE
from tests.pages import DOCS, PAGES, ROOT, anchors, commands, links, prose, text_of

GUIDE = DOCS / "guide.md"
#: Labels in the guide that are Blender's own.
BLENDERS_LABELS = {
    "All Actions",
    "Allow Online Access",
    "Animation",
    "Animation Offset",
    "Apply Modifiers",
    "Baked Animation",
    "Embed Textures",
    "Get Extensions",
    "Install from Disk",
    "NLA Strips",
    "Path Mode",
    "Samples to Keys",
}


def test_the_guide_names_all_of_facescape_s_expressions() -> None:
    assert all(f"`{name}`" in text_of(GUIDE) for name, mix in FACESCAPE.items() if mix)


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def _build_site(project: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build the site as `build.py docs` does: mkdocs.yml says that it is strict."""
    words = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(site)]
    return subprocess.run(words, cwd=project, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the site."""
    folder = tmp_path_factory.mktemp("site")
    done = _build_site(ROOT, folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_site_has_all_pages(site: Path) -> None:
    for page in DOCS.glob("*.md"):
        assert (site / page.with_suffix(".html").name).is_file()


@pytest.mark.parametrize("link", ["no_page.md", "guide.md#no-heading", "no_picture.png"])
def test_a_link_that_leads_nowhere_fails_the_site(tmp_path: Path, link: str) -> None:
    shutil.copytree(DOCS, tmp_path / "docs", ignore=shutil.ignore_patterns("screenshots"))
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    with (tmp_path / "docs" / "index.md").open("a", encoding="utf-8") as page:
        page.write(f"\n[a link]({link})\n")
    done = _build_site(tmp_path, tmp_path / "site")
    assert done.returncode != 0
    assert link.partition("#")[0] in done.stderr


def test_the_site_asks_nothing_of_other_hosts(site: Path) -> None:
    for page in site.glob("*.html"):
        loaded = re.findall(r"<(?:script|link|img)\b[^>]*(?:src|href)=\"([^\"]+)\"", text_of(page))
        assert loaded
        assert not [address for address in loaded if "//" in address]


@pytest.mark.parametrize("page", [*PAGES, ROOT / "weights" / "MODEL_CARD.md"], ids=_name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for link in links(page):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_files_that_a_page_names_exist(page: Path) -> None:
    named = re.findall(
        r"`((?:\.ci|backend|imface_blender|tests|weights|docs)/[\w./-]*|build\.py|\w+\.toml)`",
        prose(page),
    )
    for name in named:
        if name != "facescape.toml":  # a reader's own
            assert (ROOT / name).exists(), name


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=_name)
def test_commands_are_understood(page: Path) -> None:
    for arguments in commands(page, "python", "-m", "backend"):
        assert _parser().parse_args(arguments).command == arguments[0]
    for arguments in commands(page, "torchrun"):
        assert _parser().parse_args(arguments[arguments.index("backend") + 1 :])
    for arguments in commands(page, "python3", "build.py"):
        assert build.parse(arguments).command == arguments[0]


def test_every_command_of_the_backend_is_explained() -> None:
    (subparsers,) = (
        action for action in _parser()._actions if isinstance(action, argparse._SubParsersAction)
    )
    pages = "".join(text_of(DOCS / f"{name}.md") for name in ("scripting", "research", "training"))
    assert [name for name in subparsers.choices if f"`{name}`" not in pages] == []


def test_the_artists_guide_is_for_artists() -> None:
    assert "python" not in text_of(GUIDE).lower()


def _literals(folder: Path) -> set[str]:
    """Return all texts in a folder's modules; what they fill in is "…"."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(text_of(path))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = [p.value if isinstance(p, ast.Constant) else "…" for p in node.values]
                found.add("".join(map(str, parts)))
    return found


def test_labels_in_the_artists_guide_are_the_panel_s() -> None:
    known = _literals(ROOT / "imface_blender") | BLENDERS_LABELS
    bold = re.findall(r"\*\*([^*]+)\*\*", prose(GUIDE))
    labels = {" ".join(label.rstrip(".").split()) for label in bold}
    headlines = {"Poses", "Face capture", "Bake"}
    assert len(labels) > 40
    assert labels - known == headlines


def test_sentences_in_the_artists_guide_are_the_program_s() -> None:
    said = _literals(ROOT / "imface_blender") | _literals(ROOT / "backend")
    _, *tables = re.split(r"^\| it says \| do this \|\n\|---\|---\|\n", prose(GUIDE), flags=re.M)
    quoted = [
        row.split(" | ")[0].removeprefix("| ")
        for table in tables
        for row in table.partition("\n\n")[0].splitlines()
    ]
    assert len(quoted) > 25
    for sentence in quoted:
        pattern = re.compile(".*".join(map(re.escape, sentence.split("…"))), re.DOTALL)
        assert any(map(pattern.search, said)), sentence


def test_the_changelog_begins_with_this_version() -> None:
    manifest = tomllib.loads(text_of(ROOT / build.MANIFEST))
    first = re.search(r"^## \[(.+?)\]", text_of(ROOT / "CHANGELOG.md"), re.MULTILINE)
    assert first is not None
    assert first[1] == manifest["version"]
