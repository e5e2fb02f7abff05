# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker's packages: wheels in the add-on's zip, unpacked once into the user's folder.

Each wheel gets a folder of its own, so that one that was interrupted is unpacked again and the
others are not. Only the worker sees these folders; Blender and other add-ons never do. No bpy.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import secrets
import shutil
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .errors import UserError
from .translations import label, say
from .work import ThreadJob

LIST = "wheels.json"  # build.py writes it
COMPLETE = "complete"  # a file in the unpacked folder that holds its size [bytes]
KEY_DIGITS = 12
CHUNK_BYTES = 2**20
SECONDS_FOR_AN_ANTIVIRUS = 10.0  # which on Windows opens what is new, and keeps it from a new name
SECONDS_BETWEEN_TRIES = 0.1

# What no worker reads, above all for its paths: Windows allows no more than 260 characters.
# The licence texts are in the add-on's own wheels/LICENSES.txt.
LEFT_OUT = ("torch/include/", "torch/test/")
LEFT_OUT_OF_METADATA = ".dist-info/licenses/"
LONGEST_WINDOWS_PATH = 247  # of a folder; of a file a few characters more
TOO_LONG = (
    "The path to Blender's user folder is too long for Windows. Set BLENDER_USER_EXTENSIONS to a "
    "folder with a short path, restart Blender and install the add-on again."
)

SYSTEMS = {
    ("linux", "x86_64"): "linux-x64",
    ("win32", "AMD64"): "windows-x64",
    ("darwin", "arm64"): "macos-arm64",
}


@dataclass(frozen=True)
class Wheel:
    """One wheel of the list."""

    name: str
    version: str
    file: str
    sha256: str
    size: int  # [bytes]


@dataclass(frozen=True)
class Bundle:
    """The wheels that came with the add-on; `key` names the unpacked folder and changes with them.

    `python` and `platform` say for whom they are.
    """

    folder: Path
    key: str
    python: str
    platform: str
    wheels: tuple[Wheel, ...]

    @property
    def gpu(self) -> str:
        """The name of the folder that holds the same PyTorch for a GPU, where there is one."""
        versions = {wheel.name: wheel.version for wheel in self.wheels}
        return f"gpu-{versions.get('torch', '').partition('+')[0]}-py{self.python}"

    def unpacked(self, home: Path) -> Path:
        """Return the folder below ``home`` in which they are, or will be, unpacked."""
        return home / self.key

    def packages(self, home: Path) -> list[Path]:
        """Return the folders from which the worker imports."""
        return [self.unpacked(home) / wheel.name for wheel in self.wheels]


def read_bundle(folder: Path) -> Bundle | None:
    """Return the wheels in a folder; None if the add-on came without any."""
    path = folder / LIST
    if not path.is_file():
        return None
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
        wheels = tuple(
            Wheel(*(entry[field] for field in ("name", "version", "file", "sha256", "size")))
            for entry in content["wheels"]
        )
        key = hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]
        return Bundle(folder, key, content["python"], content["platform"], wheels)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError("The add-on's list of wheels is damaged. Install the add-on again.") from (
            error
        )


def check_fits(bundle: Bundle) -> None:
    """Raise UserError if the wheels are for another Python or another system than this one."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    system = SYSTEMS.get((sys.platform, platform.machine()), f"{sys.platform} {platform.machine()}")
    if (bundle.python, bundle.platform) != (python, system):
        raise UserError(
            "The add-on's runtime is for Python {made_for} on {platform} and this Blender has "
            "Python {python} on {system}. Install the zip that is made for it, or set a Python "
            "that has PyTorch in the preferences.",
            made_for=bundle.python,
            platform=bundle.platform,
            python=python,
            system=system,
        )


def size_of(bundle: Bundle, home: Path) -> int:
    """Return the size of the unpacked wheels [bytes]; 0 unless all are unpacked."""
    return size_when_complete(bundle.unpacked(home))


def size_when_complete(folder: Path) -> int:
    """Return what a folder's mark says [bytes]; 0 without one."""
    try:
        return int((folder / COMPLETE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0


def remove(home: Path) -> None:
    """Delete all that was ever unpacked; nothing that uses it may run."""
    try:
        for folder in list(home.glob("*")):
            _delete(folder)
        if home.exists():
            shutil.rmtree(home)
    except OSError as error:
        raise UserError(
            "The runtime could not be removed ({reason}). Close other Blenders and try again.",
            reason=error,
        ) from error


class Unpacking(ThreadJob):
    """Unpacks the wheels in a thread of its own; folders of other wheels are deleted."""

    def __init__(self, bundle: Bundle, home: Path) -> None:
        super().__init__(label("Unpacking the runtime, once"))
        self._bundle = bundle
        self._home = home
        self._titles = [
            label(
                "Unpacking {name} ({number} of {count}), once",
                name=wheel.name,
                number=number,
                count=len(bundle.wheels),
            )
            for number, wheel in enumerate(bundle.wheels, start=1)
        ]
        self._thread.start()

    def explain(self, error: Exception) -> str:
        """Return what is said of a full disk, and the like."""
        if is_path_too_long(error):
            return say(TOO_LONG)
        if isinstance(error, PermissionError):
            return say(
                "The runtime could not be unpacked ({reason}). See that you may write there and "
                "that no antivirus holds the files, and try again.",
                reason=error,
            )
        return say(
            "The runtime could not be unpacked ({reason}). Free some disk and try again.",
            reason=error,
        )

    def work(self) -> None:
        """Unpack what is not yet there; what is unpacked to its end is kept by a cancel."""
        target = self._bundle.unpacked(self._home)
        target.mkdir(parents=True, exist_ok=True)
        _delete_all_but({target, *self._home.glob(f"{self._bundle.gpu}*")}, self._home)
        try:
            self._unpack_into(target)
        except OSError:
            if not size_of(self._bundle, self._home):  # else another Blender was faster
                raise
        if size_of(self._bundle, self._home):
            _delete_all_but(set(self._bundle.packages(self._home)), target)

    def _unpack_into(self, target: Path) -> None:
        total = sum(wheel.size for wheel in self._bundle.wheels)
        done = 0
        for wheel, title in zip(self._bundle.wheels, self._titles, strict=True):
            for share in unpack(wheel, self._bundle.folder, target):
                if self._stop.is_set():
                    return
                self._news = ((done + share * wheel.size) / total, title)
            done += wheel.size
        mark_complete(target)


def is_path_too_long(error: Exception) -> bool:
    """Tell whether Windows refused a path for its length, of which it only says "not found"."""
    path = str(getattr(error, "filename", None) or "")
    return sys.platform == "win32" and len(path) > LONGEST_WINDOWS_PATH


def mark_complete(folder: Path) -> None:
    """Write the mark without which a folder is not used."""
    (folder / COMPLETE).write_text(str(bytes_in(folder)), encoding="utf-8")


def bytes_in(folder: Path) -> int:
    """Return the size of all files below a folder, of which some may just vanish [bytes]."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.stat(os.path.join(parent, name)).st_size
    return total


def unpack(wheel: Wheel, folder: Path, target: Path) -> Iterator[float]:
    """Unpack a wheel from a folder into one of its name below ``target``, unless it is there.

    Yields the share that is done, and can be left at any yield: only once all of it is there
    does the new folder get its name, and what came before goes.
    """
    yield 0.0
    if (target / wheel.name).is_dir():
        return
    source = folder / wheel.file
    _check(source, wheel)
    part = target / f"{wheel.name}.{os.getpid()}.part"
    try:
        for done in extract(source, part):
            yield done / wheel.size
        name_finished(part, target / wheel.name)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def name_finished(part: Path, folder: Path) -> None:
    """Give a folder that is complete its name, as soon as the system lets it."""
    end = time.monotonic() + SECONDS_FOR_AN_ANTIVIRUS
    while not folder.is_dir():  # else another Blender was faster
        try:
            part.rename(folder)
        except OSError as error:
            held = isinstance(error, PermissionError) and time.monotonic() < end
            if not held and not folder.is_dir():
                raise
            time.sleep(SECONDS_BETWEEN_TRIES)


def extract(source: Path, folder: Path) -> Iterator[float]:
    """Write what a worker reads of a wheel; yield how much of the wheel is done [bytes]."""
    done = 0
    with zipfile.ZipFile(source) as archive:
        for entry in archive.infolist():
            if not entry.is_dir() and not _is_left_out(entry.filename):
                for piece in _extract(archive, entry, folder / entry.filename):
                    yield done + piece
            done += entry.compress_size


def _check(source: Path, wheel: Wheel) -> None:
    """Raise UserError unless the file is the one that the list names."""
    digest = ""
    if source.is_file():
        with source.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != wheel.sha256:
        raise UserError(
            "{file} is missing or damaged. Install the add-on's zip again.", file=wheel.file
        )


def _is_left_out(name: str) -> bool:
    return name.startswith(LEFT_OUT) or LEFT_OUT_OF_METADATA in name


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> Iterator[float]:
    """Write one file in pieces; yield after each how much of the compressed size is done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with archive.open(entry) as source, path.open("wb") as sink:
        while piece := source.read(CHUNK_BYTES):
            sink.write(piece)
            written += len(piece)
            yield entry.compress_size * written / entry.file_size


def _delete_all_but(kept: set[Path], folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and path not in kept:
            with suppress(OSError):  # another Blender uses it, or deletes it too
                _delete(path)


def _delete(folder: Path) -> None:
    """Delete a folder: first its name, then what is in it.

    Windows refuses the first while a program uses one of its files: nothing is lost then. What a
    deletion that broke off has left is never taken for the whole.
    """
    nameless = folder.with_name(f"old-{secrets.token_hex(4)}")
    folder.rename(nameless)
    shutil.rmtree(nameless)
