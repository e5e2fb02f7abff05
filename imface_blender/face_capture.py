# SPDX-License-Identifier: GPL-3.0-or-later
"""Recorded faces: CSV files of expression values, resampled to a scene's frames. No Blender.

Two kinds are read. Live Link Face (iPhone) writes `Timecode,BlendShapeCount,EyeBlinkLeft,...`,
Apple's 52 expressions and nine angles [radians], with timecodes HH:MM:SS:FF.sss. Other tools
write a header of expression names and at most a column of seconds or frame numbers. A table
program may have put semicolons or tabs between the values, and commas into them.
"""

from __future__ import annotations

import csv
import re
from array import array
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .errors import UserError

HEAD_ANGLES = ("HeadYaw", "HeadPitch", "HeadRoll")
USUAL_FPS = 60  # what Live Link Face records
MAX_ROWS = 216_000  # an hour at 60 per second
MAX_BYTES = 512 * 2**20
MAX_SECONDS = 2 * 3600
LARGEST_VALUE = 2.0  # calibration goes a little over 1; beyond this it is percent
LARGEST_ANGLE = 2 * np.pi  # radians; beyond this it is degrees

_TIMECODE_FPS = (12, 15, 24, 25, 30, 48, 50, 60, 72, 90, 96, 100, 120, 240)
_SECONDS = ("time", "seconds", "timestamp", "time(s)", "t")
_FRAMES = ("frame", "frames", "framenumber", "frame_number", "index")
_EYE_ANGLES = tuple(
    f"{side}Eye{angle}" for side in ("Left", "Right") for angle in ("Yaw", "Pitch", "Roll")
)
#: Columns that are no expressions, in small letters.
_OTHERS = {
    name.lower()
    for name in ("Timecode", "BlendShapeCount", *HEAD_ANGLES, *_EYE_ANGLES, *_SECONDS, *_FRAMES)
}
_CLOCKS = ("timecode", *_SECONDS, *_FRAMES)  # the first that a file has tells its time
_TIMECODE = re.compile(r"(\d+):(\d+):(\d+)([:;])(\d+(?:\.\d+)?)")
_SECONDS_PER_DAY, _HALF_A_DAY = 86_400, 43_200


@dataclass(frozen=True)
class Capture:
    """A recorded performance.

    Attributes
    ----------
    seconds : ndarray (T,)
        Of each row with a face, from the first row on; never falling.
    columns : dict
        Wanted name -> values (T,).
    unknown : list of str
        Columns that were not wanted and are neither time nor angles.
    lost : int
        Rows in which the recorder saw no face.
    fps : float
        Rows, or frames of the timecode, per second; 0 where the file itself gives seconds.
    assumed : bool
        The file does not tell the rate.
    """

    seconds: np.ndarray
    columns: dict[str, np.ndarray]
    unknown: list[str]
    lost: int
    fps: float
    assumed: bool


class _Place(NamedTuple):
    """A line of a file, for messages."""

    file: str
    line: int


@dataclass(frozen=True)
class _Table:
    """The rows of a file.

    Attributes
    ----------
    file : str
        Its name, for messages.
    clock : str
        Name of the column that tells the time, in small letters; empty without one.
    lines, stamps : list of length T
        Line numbers, and what the time's column says there.
    values : ndarray (T, N)
        Of the wanted columns; NaN where there was no face.
    """

    file: str
    clock: str
    lines: list[int]
    stamps: list[str]
    values: np.ndarray


def read(path: Path, wanted: Sequence[str], fps: float = 0.0) -> Capture:
    """Read a face capture.

    Parameters
    ----------
    wanted : sequence of str
        The columns to read; upper and lower case count as the same.
    fps : float
        Rows, or frames of the timecode, per second; 0 takes what the file says, or 60.

    Raises
    ------
    UserError
        When the file is no capture, or holds none of the wanted columns.
    """
    spelling = {name.lower(): name for name in wanted}
    rows = _rows(path)
    header = _header(path.name, rows, spelling)
    names = [spelling[name.lower()] for name in header if name.lower() in spelling]
    table = _read_table(path.name, rows, header, spelling)
    seen = ~np.isnan(table.values).any(axis=1)
    if not seen.any():
        raise UserError("'{file}' has no row with a face. Record it again.", file=path.name)
    columns = dict(zip(names, table.values[seen].T, strict=True))
    _check_range(path.name, columns)
    seconds, rate, assumed = _clock(table, fps)
    if not seconds[-1] <= MAX_SECONDS:
        raise UserError(
            "'{file}' would last {hours:.3g} hours. Delete its column of times, and set the "
            "capture rate.",
            file=path.name,
            hours=seconds[-1] / 3600,
        )
    known = {"", *_OTHERS, *spelling}
    unknown = [name for name in header if name.lower() not in known]
    return Capture(seconds[seen], columns, unknown, int((~seen).sum()), rate, assumed)


def resample(capture: Capture, fps: float, smoothing: float = 0.0) -> dict[str, np.ndarray]:
    """Return the columns (F,) at a scene's frames; the first frame is the file's first row.

    Parameters
    ----------
    fps : float
        Frames per second of the scene; between rows values run straight.
    smoothing : float
        Standard deviation [frames] of a Gaussian that the result is averaged with; 0 is none.
    """
    frames = int(capture.seconds[-1] * fps + 1e-3) + 1
    at = np.arange(frames) / fps
    return {
        name: _smooth(np.interp(at, capture.seconds, values), smoothing)
        for name, values in capture.columns.items()
    }


def _smooth(values: np.ndarray, deviation: float) -> np.ndarray:
    """Average values (F,) with a Gaussian; beyond both ends they stay as they are there."""
    if deviation <= 0:
        return values
    reach = int(np.ceil(3 * deviation))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    return np.convolve(np.pad(values, reach, mode="edge"), weights / weights.sum(), mode="valid")


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and fields of every line that is not blank."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(
                "'{file}' is larger than 512 MB. Cut it into shorter takes.", file=path.name
            )
        with path.open(encoding="utf-8-sig", newline="") as file:
            delimiter = max(",;\t", key=file.readline().count)
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter)
            for fields in reader:
                if any(fields):
                    yield reader.line_num, fields
    except OSError as error:
        raise UserError(
            "'{path}' cannot be read ({reason}). Choose a CSV file.",
            path=path,
            reason=error.strerror,
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            "'{file}' is no CSV text. Export the capture as CSV.", file=path.name
        ) from error


def _header(file: str, rows: Iterator[tuple[int, list[str]]], wanted: Container[str]) -> list[str]:
    """Read the names of all columns; UserError when none is wanted or one stands twice."""
    header = [name.strip() for name in next(rows, (1, []))[1]]
    if not any(name.lower() in wanted for name in header):
        raise UserError(
            "The first line of '{file}' names no expression that the face has. Export the capture "
            "as CSV, with commas and a header such as EyeBlinkLeft,JawOpen.",
            file=file,
        )
    repeated = [name for name, n in Counter(map(str.lower, header)).items() if name and n > 1]
    if repeated:
        raise UserError(
            "'{file}' has the column '{column}' twice. Delete one of them.",
            file=file,
            column=repeated[0],
        )
    return header


def _read_table(
    file: str, rows: Iterator[tuple[int, list[str]]], header: list[str], wanted: Container[str]
) -> _Table:
    folded = [name.lower() for name in header]
    columns = [i for i, name in enumerate(folded) if name in wanted]
    at = next((folded.index(name) for name in _CLOCKS if name in folded), len(header))
    lines: list[int] = []
    stamps: list[str] = []
    numbers = array("d")
    for line, fields in rows:
        if len(lines) == MAX_ROWS:
            raise UserError(
                "'{file}' has more than {most} rows, an hour at 60 per second. Cut it into "
                "shorter takes.",
                file=file,
                most=MAX_ROWS,
            )
        numbers.extend(_numbers(_Place(file, line), fields, header, columns))
        lines.append(line)
        stamps.append(fields[at] if at < len(fields) else "")
    if not lines:
        raise UserError("'{file}' has a header but no rows. Record it again.", file=file)
    clock = folded[at] if at < len(header) else ""
    return _Table(file, clock, lines, stamps, np.array(numbers).reshape(len(lines), -1))


def _numbers(
    place: _Place, fields: list[str], header: list[str], columns: list[int]
) -> Sequence[float]:
    """Return a row's wanted values, NaN where all are blank: no face was seen there."""
    if not any(fields[i].strip() for i in columns if i < len(fields)):
        return [float("nan")] * len(columns)
    if len(fields) != len(header):
        raise UserError(
            "Line {line} of '{file}' has {values} values, the header {columns}. Delete the line, "
            "or export the capture again.",
            **place._asdict(),
            values=len(fields),
            columns=len(header),
        )
    return [_number(place, header[i], fields[i]) for i in columns]


def _number(place: _Place, name: str, text: str) -> float:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        raise UserError(
            "Line {line} of '{file}' has '{text}' for {name}, which is no number. Correct it, or "
            "delete the line.",
            **place._asdict(),
            text=text,
            name=name,
        ) from None


def _check_range(file: str, columns: dict[str, np.ndarray]) -> None:
    """Refuse percent, degrees and the like: clipped to 1 a value would be one long grimace."""
    for name, values in columns.items():
        largest = np.abs(values).max()
        if name in HEAD_ANGLES and largest > LARGEST_ANGLE:
            raise UserError(
                "'{file}' has {largest:g} for {name}, which is no angle in radians. Export the "
                "angles in radians, or leave Head Rotation off.",
                file=file,
                largest=largest,
                name=name,
            )
        if name not in HEAD_ANGLES and largest > LARGEST_VALUE:
            raise UserError(
                "'{file}' has {largest:g} for {name}; values go from 0 to 1. Export the capture "
                "with values from 0 to 1.",
                file=file,
                largest=largest,
                name=name,
            )


def _clock(table: _Table, fps: float) -> tuple[np.ndarray, float, bool]:
    """Return the seconds (T,) of all rows from the first, the rate, and whether it is assumed."""
    rows = np.arange(len(table.lines), dtype=np.float64)
    if table.clock == "timecode":
        frames, rate, assumed = _timecode_frames(table, fps)
    elif table.clock in _SECONDS and not fps:
        seconds = _rising(table, _stamps(table), jitter=0.02)
        _check_unit(table, seconds)
        return seconds, 0.0, False
    else:
        frames = _rising(table, _stamps(table)) if table.clock in _FRAMES else rows
        rate, assumed = fps or USUAL_FPS, not fps
    return frames / rate, rate, assumed


def _stamps(table: _Table) -> np.ndarray:
    """Return the numbers (T,) in the time's column."""
    values = [
        _number(_Place(table.file, line), table.clock, text)
        for line, text in zip(table.lines, table.stamps, strict=True)
    ]
    return np.array(values)


def _timecode_frames(table: _Table, fps: float) -> tuple[np.ndarray, float, bool]:
    """Return the frames (T,) that the timecodes count from the first on, their rate, and whether
    that is assumed: a take within one second does not show how far its frames are counted."""
    parts = np.array(
        [
            _timecode(_Place(table.file, line), text)
            for line, text in zip(table.lines, table.stamps, strict=True)
        ]
    )
    seconds, frames, drops = parts[:, :3] @ [3600, 60, 1], parts[:, 3], parts[:, 4].any()
    seconds += _SECONDS_PER_DAY * np.cumsum(np.diff(seconds, prepend=seconds[0]) < -_HALF_A_DAY)
    base = next((rate for rate in _TIMECODE_FPS if rate > frames.max()), 0)
    if not base:
        raise UserError(
            "The timecodes of '{file}' count up to frame {last}, which is no frame rate. Delete "
            "that column and set the capture rate.",
            file=table.file,
            last=int(frames.max()),
        )
    within_a_second = bool(seconds[0] == seconds[-1])
    if within_a_second:
        base = max(base, round(fps) or USUAL_FPS)
    counted, rate = seconds * base + frames, fps or base
    if drops and base % 30 == 0:
        counted -= _dropped(base, seconds // 60)
        rate = fps or base * 1000 / 1001
    return _rising(table, counted), rate, within_a_second and not fps


def _dropped(base: int, minutes: np.ndarray) -> np.ndarray:
    """Return how many numbers drop-frame timecodes have skipped (T,): two of 30 in each minute but
    every tenth, so that they stay beside the clock at 29.97 frames per second."""
    return base // 15 * (minutes - minutes // 10)


def _timecode(place: _Place, text: str) -> list[float]:
    """Read HH:MM:SS:FF.sss, and last whether it has the semicolon of drop-frame timecodes."""
    parts = _TIMECODE.fullmatch(text.strip())
    if parts is None:
        raise UserError(
            "Line {line} of '{file}' has the timecode '{text}', which is not HH:MM:SS:FF. "
            "Correct it, or delete that column and set the capture rate.",
            **place._asdict(),
            text=text,
        )
    hours, minutes, seconds, mark, frames = parts.groups()
    return [float(hours), float(minutes), float(seconds), float(frames), float(mark == ";")]


def _rising(table: _Table, stamps: np.ndarray, jitter: float = 1.0) -> np.ndarray:
    """Return time stamps (T,) from the first on; one that steps back, by less than the jitter,
    stands still instead."""
    start = stamps[0]
    latest = np.maximum.accumulate(stamps)
    behind = np.flatnonzero(~(latest - stamps < jitter))
    if len(behind):
        raise UserError(
            "The time runs backwards at line {line} of '{file}'. Sort the lines, or delete the "
            "time's column and set the capture rate.",
            line=table.lines[behind[0]],
            file=table.file,
        )
    return latest - start


def _check_unit(table: _Table, seconds: np.ndarray) -> None:
    """Refuse milliseconds and the like, told by the rate that they would give."""
    per_second = (len(seconds) - 1) / seconds[-1] if seconds[-1] > 0 else 0.0
    if len(seconds) > 1 and not 2 <= per_second <= 1000:
        raise UserError(
            "The column '{column}' of '{file}' gives {per_second:.3g} rows per second, so it does "
            "not count seconds. Set the capture rate instead.",
            column=table.clock,
            file=table.file,
            per_second=per_second,
        )
