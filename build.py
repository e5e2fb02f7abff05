# SPDX-License-Identifier: GPL-3.0-or-later
"""Make, test and show the project: `python3 build.py demo | test | zip | bench | docs`.

Needs Python 3.11 and its standard library; everything else goes into folders of its own, which
are used again as long as their requirements stay the same.
"""

from __future__ import annotations

import argparse
import email.parser
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENTS = Path(os.environ.get("IMFACE_VENVS") or ROOT).resolve()
STAGE = ROOT / "build" / "extension"
WHEELS = ROOT / "build" / "wheels"
DIST = ROOT / "dist"
OUT = ROOT / "out"
DEMO_LIMIT_S = 1800
MANIFEST = "blender_manifest.toml"
SCAN = ROOT / "tests" / "data" / "scans" / "lee_perry_smith.obj"

LEFT_OUT = shutil.ignore_patterns("__pycache__", ".*", "ruff.toml")
SHIPPED_TYPES = {".py", ".toml", ".md", ".txt", ".json", ".npz", ".safetensors"}
SHIPPED_NAMES = {"LICENSE"}
NO_TESTS_COLLECTED = 5  # pytest's exit status
#: pytest's closing line, with or without rules.
CLOSING = re.compile(r"=*\s*(no tests ran|\d+ [a-z]+).* in [\d.]+s")
NOTHING_RAN = re.compile(r"(no tests ran|\d+ (skipped|deselected))\b")  # how its summary begins

WORKER_REQUIREMENTS = ROOT / "requirements-worker.txt"
REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+)==(?P<version>[\w.+]+)"
    r'(\s*;\s*(?P<variable>\w+)\s*(?P<relation>==|<|>=)\s*"(?P<value>[^"]+)")?\s*(#.*)?'
)
CPU_BUILDS = "https://download.pytorch.org/whl/cpu"  # PyPI has PyTorch for Linux with CUDA only
WHEEL_LIST = "wheels.json"
WHEEL_LICENSES = "LICENSES.txt"
METADATA_FILE = re.compile(r"[^/]+\.dist-info/METADATA")
LICENSE_FILE = re.compile(
    r"[^/]+\.dist-info/(licenses/.+|[^/]*(LICEN[CS]E|COPYING|NOTICE)[^/]*)", re.IGNORECASE
)
PYTHONS = ("3.11", "3.13")  # of Blender 4.2 to 5.0, and from 5.1
PIP_PLATFORMS = {  # by Blender's own names
    "linux-x64": ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64"),
    "windows-x64": ("win_amd64",),
    "macos-arm64": ("macosx_14_0_arm64",),
}
SYS_PLATFORMS = {"linux-x64": "linux", "windows-x64": "win32", "macos-arm64": "darwin"}


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
        text = self.requirements.read_text(encoding="utf-8")
        included = re.findall(r"^-r (\S+)", text, re.MULTILINE)
        texts = [text, *((self.requirements.parent / name).read_text("utf-8") for name in included)]
        return hashlib.sha256("".join(texts).encode()).hexdigest()

    def is_ready(self) -> bool:
        """Tell whether the folder was made, to its end, of these requirements."""
        return self.stamp.is_file() and self.stamp.read_text() == self.fingerprint()


MAIN = Environment(ENVIRONMENTS / ".venv", ROOT / "requirements.txt")
BLENDER_42 = Environment(ENVIRONMENTS / ".venv-bpy42", ROOT / "requirements-bpy42.txt")


@dataclass(frozen=True)
class Target:
    """Whom a zip's wheels are for: a platform, by Blender's name, and a version of Python."""

    platform: str
    python: str

    @property
    def name(self) -> str:
        """What it is called in file names."""
        return f"{self.platform}-py{self.python.replace('.', '')}"


@dataclass(frozen=True)
class Wheel:
    """One entry of the list by which the add-on checks and unpacks the wheels."""

    name: str
    version: str
    file: str
    sha256: str
    size: int  # [bytes]
    licence: str


@dataclass(frozen=True)
class Check:
    """One command of `build.py test`."""

    title: str
    environment: Environment
    words: Sequence[str]


@dataclass(frozen=True)
class Outcome:
    """How a check ended: its exit status, and the last line that it wrote."""

    status: int
    closing: str

    @property
    def summary(self) -> str:
        """Its last line without rules; marked when all that it says is that nothing ran."""
        said = self.closing.strip("= ")
        return f"NOT RUN, see above: {said}" if NOTHING_RAN.match(said) else said


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
    if environment.folder.is_symlink():  # to make it anew would empty what it leads to
        raise BuildError(
            f"{environment.folder} is a link to an environment that was made of other "
            "requirements. Delete the link, and one of its own is made."
        )
    with step(f"Making {name} from {environment.requirements.name} (1 to 2 GB, a minute or more)"):
        run_quietly(
            [sys.executable, "-m", "venv", "--clear", environment.folder],
            f"{name} could not be made. On Debian, install python3.11-venv.",
        )
        if environment == MAIN and sys.platform == "linux" and not shutil.which("nvidia-smi"):
            install_cpu_torch(environment)
        run_quietly(
            [environment.python, "-m", "pip", "install", "-q", "-r", environment.requirements],
            "The packages could not be installed. Check the connection and the disk, try again.",
        )
        run_quietly(
            [environment.python, "-c", "import bpy"],
            "Blender's module does not load. Install the libraries listed in .ci/run.",
        )
        environment.stamp.write_text(environment.fingerprint())


def install_cpu_torch(environment: Environment) -> None:
    """Install PyTorch without CUDA, which takes 6 GB less; where it cannot be had, pip then finds
    the one with CUDA."""
    version = requirements_of(Target("linux-x64", "3.11"))["torch"]
    pip: list[str | Path] = [environment.python, "-m", "pip", "install", "-q", "--no-deps"]
    words = [f"--extra-index-url={CPU_BUILDS}", f"torch=={version}"]
    subprocess.run([*pip, *words], capture_output=True)


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


def requirements_of(target: Target) -> dict[str, str]:
    """Return name and version of all that the worker needs on a target.

    pip would judge the markers by the machine on which it runs.
    """
    found = {}
    for line in WORKER_REQUIREMENTS.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        pin = REQUIREMENT.fullmatch(line)
        if pin is None:
            raise BuildError(
                f"{WORKER_REQUIREMENTS.name} has a line that is no pin: {line}. "
                "Write name==version."
            )
        if applies(pin, target):
            found[pin["name"]] = pin["version"]
    if target.platform == "linux-x64":
        found["torch"] += "+cpu"  # without it, PyPI answers with a CUDA build of gigabytes
    return found


def applies(pin: re.Match[str], target: Target) -> bool:
    """Tell whether a pin's marker, if it has one, is true of a target."""
    match pin["variable"], pin["relation"]:
        case None, _:
            return True
        case "sys_platform", "==":
            return SYS_PLATFORMS[target.platform] == pin["value"]
        case "python_version", "<":
            return version_key(target.python) < version_key(pin["value"])
        case "python_version", ">=":
            return version_key(target.python) >= version_key(pin["value"])
    raise BuildError(f"The marker of {pin.string} is not known. Add it to applies() in build.py.")


def version_key(version: str) -> tuple[int, ...]:
    """Return a version's numbers, by which versions sort."""
    return tuple(map(int, version.split(".")))


def collect_wheels(target: Target, folder: Path, environment: Environment) -> list[Wheel]:
    """Download what is not yet in the folder, and leave there the wheels and their list.

    The list is written after each wheel: a collection that was stopped goes on where it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    present = {wheel.name: wheel for wheel in read_wheel_list(folder) if is_intact(folder, wheel)}
    wheels: list[Wheel] = []
    for name, version in requirements_of(target).items():
        wheel = present.get(name)
        if wheel is None or wheel.version != version:
            with step(f"Downloading {name} {version} for {target.name}"):
                wheel = download_wheel(name, version, target, folder, environment)
        wheels.append(wheel)
        present[name] = wheel
        write_wheel_list(target, list(present.values()), folder)
    write_wheel_list(target, wheels, folder)
    for path in set(folder.glob("*.whl")) - {folder / wheel.file for wheel in wheels}:
        path.unlink()
    return wheels


def read_wheel_list(folder: Path) -> list[Wheel]:
    """Return the wheels that a folder's list names; none if it has no list."""
    path = folder / WHEEL_LIST
    if not path.is_file():
        return []
    return [Wheel(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))["wheels"]]


def write_wheel_list(target: Target, wheels: Sequence[Wheel], folder: Path) -> None:
    """Write the list that travels with the wheels."""
    content = {**asdict(target), "wheels": [asdict(wheel) for wheel in wheels]}
    (folder / WHEEL_LIST).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def is_intact(folder: Path, wheel: Wheel) -> bool:
    """Tell whether a wheel lies in the folder as its entry describes it."""
    path = folder / wheel.file
    return path.is_file() and sha256_of(path) == wheel.sha256


def download_wheel(
    name: str, version: str, target: Target, folder: Path, environment: Environment
) -> Wheel:
    """Put one wheel into the folder by way of pip, which checks it, and return its entry."""
    pip: list[str | Path] = [environment.python, "-m", "pip", "download", "-q", "--no-deps"]
    choice = ["--only-binary=:all:", "--implementation=cp", f"--python-version={target.python}"]
    choice += [f"--platform={tag}" for tag in PIP_PLATFORMS[target.platform]]
    if version.endswith("+cpu"):
        choice.append(f"--extra-index-url={CPU_BUILDS}")
    with tempfile.TemporaryDirectory(dir=folder) as incoming:
        run_quietly(
            [*pip, *choice, "--dest", incoming, f"{name}=={version}"],
            f"{name} {version} could not be had for {target.name}. Check the connection, or put "
            "its wheel into a folder and name that in PIP_FIND_LINKS.",
        )
        (wheel,) = Path(incoming).glob("*.whl")
        return describe_wheel(wheel.replace(folder / wheel.name), name, version)


def describe_wheel(path: Path, name: str, version: str) -> Wheel:
    """Return the entry of a wheel file."""
    size = path.stat().st_size
    return Wheel(name, version, path.name, sha256_of(path), size, licence_of(path))


def sha256_of(path: Path) -> str:
    """Return a file's sha256 in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def licence_of(wheel: Path) -> str:
    """Return the licence that a wheel's metadata declare."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = filter(METADATA_FILE.fullmatch, archive.namelist())
        metadata = email.parser.BytesHeaderParser().parsebytes(archive.read(name))
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in metadata.get_all("Classifier", [])
        if line.startswith("License ::")
    ]
    text = metadata["License-Expression"] or " AND ".join(classifiers) or metadata["License"]
    return (text or "see its licence text").partition("\n")[0]


def licence_texts(wheel: Path) -> str:
    """Return all licence texts that a wheel holds, each below its name."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if LICENSE_FILE.fullmatch(name)]
        texts = [archive.read(name).decode(errors="replace").strip() for name in names]
    return "\n\n".join(f"--- {name}\n\n{text}" for name, text in zip(names, texts, strict=True))


def stage_wheels(wheels: Sequence[Wheel], folder: Path, target: Target, staged: Path) -> None:
    """Add the wheels, their list and licences to a staged extension, and name its platform.

    The manifest does not list them as `wheels`: Blender would install them for all add-ons.
    """
    place = staged / "wheels"
    place.mkdir()
    for wheel in wheels:
        shutil.copy2(folder / wheel.file, place)
    write_wheel_list(target, wheels, place)
    sections = [
        f"{'=' * 80}\n{wheel.name} {wheel.version}: {wheel.licence}\n\n"
        + licence_texts(folder / wheel.file)
        for wheel in wheels
    ]
    (place / WHEEL_LICENSES).write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    manifest = staged / MANIFEST
    head, table, rest = manifest.read_text(encoding="utf-8").partition("\n[permissions]")
    line = f'platforms = ["{target.platform}"]\n'
    manifest.write_text(head + line + table + rest, encoding="utf-8")


def archive_name(source: Path, *parts: str) -> str:
    """Return a zip's name: id and version from the manifest, then what tells it from others."""
    import tomllib  # here: an older Python has to get as far as the sentence in main()

    manifest = tomllib.loads((source / MANIFEST).read_text(encoding="utf-8"))
    return "-".join([manifest["id"], manifest["version"], *parts]) + ".zip"


def pack(staged: Path, archive: Path, environment: Environment) -> None:
    """Zip a staged extension with Blender's own tool and validate the zip."""
    tools = list(environment.folder.rglob("bl_pkg/cli/blender_ext.py"))
    if not tools:
        raise BuildError(f"{environment.folder} has no Blender in it. Delete it and try again.")
    tool: list[str | Path] = [environment.python, "-I", tools[0]]
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.unlink(missing_ok=True)
    run_quietly(
        [*tool, "build", "--source-dir", staged, "--output-filepath", archive],
        f"Blender's tool could not build the zip from {staged}. Mend what it says above.",
    )
    run_quietly(
        [*tool, "validate", archive],
        f"Blender's validator refuses {archive.name}. Mend what it says above.",
    )


def make_zip() -> Path:
    """Build and validate the zip without a runtime: the worker's Python is the user's own."""
    prepare(MAIN)
    archive = DIST / archive_name(ROOT)
    with step("Building the zip, checked by Blender's validator"):
        stage(ROOT, STAGE)
        pack(STAGE, archive, MAIN)
        report_size(archive)
    return archive


def make_zip_with_runtime(target: Target) -> Path:
    """Build and validate the zip that brings all the worker needs on a target."""
    prepare(MAIN)
    folder = WHEELS / target.name
    wheels = collect_wheels(target, folder, MAIN)
    archive = DIST / archive_name(ROOT, target.name)
    with step("Building the zip with the worker's wheels, checked by Blender's validator"):
        stage(ROOT, STAGE)
        stage_wheels(wheels, folder, target, STAGE)
        pack(STAGE, archive, MAIN)
        print(f"   {len(wheels)} wheels: {sum(wheel.size for wheel in wheels) / 1e6:.1f} MB")
        report_size(archive)
        shutil.rmtree(STAGE)  # half the disk that this took
    return archive


def report_size(archive: Path) -> None:
    """Print where a zip is and how large."""
    print(f"   {archive.relative_to(ROOT)}: {archive.stat().st_size / 1e6:.1f} MB")


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


def test(arguments: Sequence[str], blender: str) -> int:
    """Run every check, whatever the others said, and say how each ended; pytest's closing line of
    all tests in Blender 5.0 comes last.

    Those take about as long as all other checks, which run beside them, one after another. The
    window of a Blender is driven too, if one is given.
    """
    prepare(MAIN)
    prepare(BLENDER_42)
    beside = [
        Check("Lint", MAIN, ["ruff", "check"]),
        Check("Format", MAIN, ["ruff", "format", "--check"]),
        Check("Types", MAIN, ["mypy"]),
        Check("Tests in Blender 4.2", BLENDER_42, ["pytest", "tests/blender", *arguments]),
    ]
    if blender:
        words = ["pytest", "tests/gui", "-rs", "--blender", blender, *arguments]
        beside.append(Check("Tests in a window of Blender", MAIN, words))
    words = ["pytest", "--durations=30", "--durations-min=5", *arguments]
    main = Check("All tests, in Blender 5.0", MAIN, words)
    pool = ThreadPoolExecutor(max_workers=1)
    try:
        others = [pool.submit(run_check, check) for check in beside]
        last = run_check(main, live=True)
        outcomes = [other.result() for other in others]
    finally:
        pool.shutdown(cancel_futures=True)
    failed = []
    for check, outcome in zip(beside, outcomes, strict=True):
        print(f"== {check.title}: {outcome.summary}")
        if outcome.status and not (arguments and outcome.status == NO_TESTS_COLLECTED):
            failed.append(check.title)
    if not blender:
        print("== Tests in a window of Blender: NOT RUN, for want of --gui")
    print(f"== {main.title}. Failed besides: {', '.join(failed) or 'none'}")
    print(last.closing, flush=True)
    return 1 if failed else last.status


def run_check(check: Check, live: bool = False) -> Outcome:
    """Run a check and show what it writes: each line as it comes, or, as others run beside it, all
    in one piece at its end."""
    start = time.monotonic()
    lines = [f"== {check.title}\n"]
    if live:
        print(lines[0], end="", flush=True)
    with subprocess.Popen(
        [check.environment.python, "-u", "-m", *check.words],
        cwd=ROOT,
        env={**os.environ, "IMFACE_PYTHON": str(MAIN.python)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if live:
                print(line, end="", flush=True)
    took = f"   {time.monotonic() - start:.1f} s\n"
    print(took if live else "".join([*lines, took]), end="", flush=True)
    written = [line.strip() for line in reversed(lines) if line.strip()]
    # Blender may write of its memory after pytest's closing line.
    closings = (line for line in written if CLOSING.match(line))
    return Outcome(process.returncode, next(closings, written[0]))


def find_blender(name: str) -> str:
    """Return the path of a Blender; BuildError when there is none."""
    path = shutil.which(name)
    if path is None:
        raise BuildError(f"There is no Blender {name}. Name its program: --blender PATH.")
    return str(Path(path).resolve())


def bench(arguments: Sequence[str]) -> int:
    """Run the benchmarks with the arguments given."""
    prepare(MAIN)
    return run_module(MAIN, ["tests.bench.run_bench", *arguments])


def docs() -> int:
    """Build the documentation's site; a link in it that leads nowhere is an error."""
    prepare(MAIN)
    return run_module(MAIN, ["mkdocs", "build"])


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the command with its options, and as `rest` the arguments that it passes on."""
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
        ("zip", "build the extension for Blender in dist/, with all that its worker needs"),
        ("bench", "print the benchmarks [-- their options]"),
        ("docs", "build the documentation's site: out/docs/index.html"),
    ):
        commands.add_parser(name, help=summary)
    choices = commands.choices["test"]
    choices.add_argument("--gui", action="store_true", help="drive a Blender's window too")
    choices.add_argument("--blender", default="blender", metavar="PATH", help="that Blender")
    choices = commands.choices["zip"]
    choices.add_argument("--platform", choices=PIP_PLATFORMS, default=this_platform())
    choices.add_argument("--python", choices=PYTHONS, default=PYTHONS[0], help="Blender's")
    choices.add_argument(
        "--no-runtime", action="store_true", help="small: PyTorch has to be there already"
    )
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command in ("demo", "zip", "docs"):
        parser.error(f"{options.command} does not know: {' '.join(rest)}")
    options.rest = rest[1:] if rest[:1] == ["--"] else rest
    return options


def this_platform() -> str:
    """Return Blender's name for the system that this runs on."""
    names = {system: name for name, system in SYS_PLATFORMS.items()}
    return names.get(sys.platform, "linux-x64")


def main(arguments: Sequence[str]) -> int:
    """Carry out one command and return the exit status."""
    options = parse(arguments)
    try:
        if sys.version_info[:2] != (3, 11):
            found = ".".join(map(str, sys.version_info[:2]))
            raise BuildError(
                f"This needs Python 3.11, as Blender 4.2 to 5.0 do, not {found}. "
                f"Install it and run: python3.11 build.py {options.command}"
            )
        match options.command:
            case "demo":
                return demo()
            case "test":
                return test(options.rest, find_blender(options.blender) if options.gui else "")
            case "bench":
                return bench(options.rest)
            case "docs":
                return docs()
        if options.no_runtime:
            make_zip()
        else:
            make_zip_with_runtime(Target(options.platform, options.python))
    except BuildError as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
