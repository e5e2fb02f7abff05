# SPDX-License-Identifier: GPL-3.0-or-later
"""Make, test and show the project: `python3 build.py demo | test | zip | bench`.

Needs Python 3.11 and its standard library; everything else goes into folders of its own, which
are used again as long as their requirements stay the same.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENTS = Path(os.environ.get("IMFACE_VENVS") or ROOT).resolve()
STAGE = ROOT / "build" / "extension"
DIST = ROOT / "dist"
OUT = ROOT / "out"
DEMO_LIMIT_S = 1800
MANIFEST = "blender_manifest.toml"
SCAN = ROOT / "tests" / "data" / "scans" / "lee_perry_smith.obj"

LEFT_OUT = shutil.ignore_patterns("__pycache__", ".*", "ruff.toml")
SHIPPED_TYPES = {".py", ".toml", ".md", ".txt", ".json", ".npz", ".safetensors"}
SHIPPED_NAMES = {"LICENSE"}
NO_TESTS_COLLECTED = 5  # pytest's exit status


class BuildError(Exception):
    """A step failed; the message is a sentence with cause and remedy."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment and the file that pins what it holds."""

    folder: Path
    requirements: Path

    @property
    def python(self) -> Path:
        """The environment's Python."""
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def stamp(self) -> Path:
        """The file that says of which requirements the folder was made."""
        return self.folder / "imface-stamp"

    def fingerprint(self) -> str:
        """Return what the stamp holds once the folder is complete."""
        return hashlib.sha256(self.requirements.read_bytes()).hexdigest()

    def is_ready(self) -> bool:
        """Tell whether the folder was made, to its end, of these requirements."""
        return self.stamp.is_file() and self.stamp.read_text() == self.fingerprint()


MAIN = Environment(ENVIRONMENTS / ".venv", ROOT / "requirements.txt")
BLENDER_42 = Environment(ENVIRONMENTS / ".venv-bpy42", ROOT / "requirements-bpy42.txt")


@contextmanager
def step(title: str) -> Iterator[None]:
    """Print what is being done, and how long it took [s]."""
    print(f"== {title}", flush=True)
    start = time.monotonic()
    try:
        yield
    finally:
        print(f"   {time.monotonic() - start:.1f} s", flush=True)


def run_quietly(command: Sequence[str | Path], failure: str) -> None:
    """Run a command; BuildError, with what the command said before it, when it fails."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise BuildError(f"{(done.stdout + done.stderr).strip()}\n{failure}")


def prepare(environment: Environment) -> None:
    """Make the environment, unless it is there already."""
    name = environment.folder.name
    if environment.is_ready():
        print(f"== {name} is ready", flush=True)
        return
    with step(f"Making {name} from {environment.requirements.name} (1 to 2 GB, a minute or more)"):
        run_quietly(
            [sys.executable, "-m", "venv", "--clear", environment.folder],
            f"{name} could not be made. On Debian, install python3.11-venv.",
        )
        run_quietly(
            [environment.python, "-m", "pip", "install", "-q", "-r", environment.requirements],
            "The packages could not be installed. Check the connection and the disk, try again.",
        )
        run_quietly(
            [environment.python, "-c", "import bpy"],
            "Blender's module does not load. Install the libraries listed in .ci/run.",
        )
        environment.stamp.write_text(environment.fingerprint())


def stage(source: Path, target: Path) -> None:
    """Copy what the extension consists of into a fresh folder; the sources stay as they are.

    Raises BuildError when a file is among them that has no place in the extension.
    """
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source / "imface_blender", target, ignore=LEFT_OUT)
    for folder in ("backend", "weights"):
        shutil.copytree(source / folder, target / folder, ignore=LEFT_OUT)
    for name in (MANIFEST, "LICENSE"):
        shutil.copy2(source / name, target / name)
    for path in sorted(target.rglob("*")):
        if path.is_file() and not (path.suffix in SHIPPED_TYPES or path.name in SHIPPED_NAMES):
            raise BuildError(
                f"{path.relative_to(target)} has no place in the extension. "
                "Move it away, or add its type to SHIPPED_TYPES in build.py."
            )


def archive_name(source: Path) -> str:
    """Return the zip's name, as the manifest has it."""
    import tomllib  # here: an older Python has to get as far as the sentence in main()

    manifest = tomllib.loads((source / MANIFEST).read_text(encoding="utf-8"))
    return f"{manifest['id']}-{manifest['version']}.zip"


def pack(staged: Path, target: Path, environment: Environment) -> Path:
    """Zip a staged extension with Blender's own tool, validate the zip and return its path."""
    tools = list(environment.folder.rglob("bl_pkg/cli/blender_ext.py"))
    if not tools:
        raise BuildError(f"{environment.folder} has no Blender in it. Delete it and try again.")
    tool: list[str | Path] = [environment.python, "-I", tools[0]]
    target.mkdir(parents=True, exist_ok=True)
    archive = target / archive_name(staged)
    archive.unlink(missing_ok=True)
    run_quietly(
        [*tool, "build", "--source-dir", staged, "--output-dir", target],
        f"Blender's tool could not build the zip from {staged}. Mend what it says above.",
    )
    run_quietly(
        [*tool, "validate", archive],
        f"Blender's validator refuses {archive.name}. Mend what it says above.",
    )
    return archive


def make_zip() -> Path:
    """Build and validate dist/<id>-<version>.zip."""
    prepare(MAIN)
    with step("Building the zip, checked by Blender's validator"):
        stage(ROOT, STAGE)
        archive = pack(STAGE, DIST, MAIN)
        print(f"   {archive.relative_to(ROOT)}: {archive.stat().st_size / 1e6:.1f} MB")
    return archive


def run_module(
    environment: Environment,
    words: Sequence[str | Path],
    limit_s: float | None = None,
    **variables: str,
) -> int:
    """Run `python -m words` with a worker's Python at hand and return its exit status."""
    try:
        return subprocess.run(
            [environment.python, "-m", *words],
            cwd=ROOT,
            env={**os.environ, "IMFACE_PYTHON": str(MAIN.python), **variables},
            timeout=limit_s,
        ).returncode
    except subprocess.TimeoutExpired as error:
        raise BuildError(
            f"{words[0]} was ended after {limit_s} s. See what it did last."
        ) from error


def demo() -> int:
    """Install the zip into a Blender with an empty user folder and use every operator once."""
    archive = make_zip()
    with tempfile.TemporaryDirectory(prefix="imface-demo-") as user:
        return run_module(
            MAIN,
            ["tests.demo.run_demo", archive, SCAN, OUT],
            DEMO_LIMIT_S,
            # Both must stand before bpy is imported, or the user's own Blender is used.
            BLENDER_USER_RESOURCES=user,
            XDG_CACHE_HOME=user,
        )


def test(arguments: Sequence[str]) -> int:
    """Run every check, whatever the ones before said; pytest's closing line comes last."""
    prepare(MAIN)
    prepare(BLENDER_42)
    failed = []
    for title, environment, words in (
        ("Lint", MAIN, ["ruff", "check"]),
        ("Format", MAIN, ["ruff", "format", "--check"]),
        ("Types", MAIN, ["mypy"]),
        ("Tests in Blender 4.2", BLENDER_42, ["pytest", "tests/blender", *arguments]),
    ):
        with step(title):
            status = run_module(environment, words)
        if status and not (arguments and status == NO_TESTS_COLLECTED):
            failed.append(title)
    print(f"== All tests, in Blender 5.0. Failed so far: {', '.join(failed) or 'none'}", flush=True)
    status = run_module(MAIN, ["pytest", *arguments])
    return 1 if failed else status


def bench(arguments: Sequence[str]) -> int:
    """Run the benchmarks with the arguments given."""
    prepare(MAIN)
    return run_module(MAIN, ["tests.bench.run_bench", *arguments])


def parse(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """Return the command, and the arguments that it passes on."""
    parser = argparse.ArgumentParser(
        prog="build.py",
        description="Make, test and show the project. Needs Python 3.11 and nothing else.",
        epilog="Environments are made on first use, beside build.py or in the folder that "
        "IMFACE_VENVS names, and used again while their requirements stay the same.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, summary in (
        ("demo", "generate, fit, blend and animate a face: out/demo.png, out/demo.blend"),
        ("test", "lint, types and all tests, in Blender 4.2 and 5.0 [-- pytest's options]"),
        ("zip", "build the extension for Blender in dist/"),
        ("bench", "print the benchmarks [-- their options]"),
    ):
        commands.add_parser(name, help=summary)
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command in ("demo", "zip"):
        parser.error(f"{options.command} takes no arguments: {' '.join(rest)}")
    return options.command, rest[1:] if rest[:1] == ["--"] else rest


def main(arguments: Sequence[str]) -> int:
    """Carry out one command and return the exit status."""
    command, rest = parse(arguments)
    try:
        if sys.version_info[:2] != (3, 11):
            found = ".".join(map(str, sys.version_info[:2]))
            raise BuildError(
                f"This needs Python 3.11, as Blender 4.2 to 5.0 do, not {found}. "
                f"Install it and run: python3.11 build.py {command}"
            )
        if command == "demo":
            return demo()
        if command == "test":
            return test(rest)
        if command == "bench":
            return bench(rest)
        make_zip()
    except BuildError as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
