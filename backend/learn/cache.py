# SPDX-License-Identifier: GPL-3.0-or-later
"""Training scans as a memory-mapped cache: prepared once, resumable, read as batches."""

import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.lib.format import open_memmap
from torch import Tensor

from ..errors import BackendError, DataError
from ..files import write_text
from ..lifeline import end_with_parent
from .losses import Targets

CACHE_VERSION = 5
#: Cached coordinates are 16-bit fractions of this [model units]: steps of 0.004 mm.
_RANGE = 1.3
_TODO, _DONE, _BROKEN = 0, 1, 2


@dataclass(frozen=True)
class DatasetConfig:
    """Which faces are made, and how many points of each are kept."""

    identities: int = 600  #: people drawn from the ICT model; a folder has its own
    expressions: int = 6  #: scans per drawn person, the first neutral
    further_identities: int = 0  #: drawn people with only one scan each
    seed: int = 0  #: of everything that is drawn
    components: int = 128  #: principal coordinates of a neutral face that its code starts from
    identity_sigma: float = 1.1  #: standard deviation of the ICT coefficients
    mixed: float = 0.5  #: chance of a region, and after it of the next, to be another person's
    regions: int = 1  #: such regions per person, at most
    narrowest: float = 0.15  #: least spread of a region [model units]
    widest: float = 0.4  #: its largest spread [model units]
    mirrored: float = 0.0  #: chance of a region to be on both sides of the face
    corresponding: int = 4000  #: points whose neutral and template positions are known, if any are
    sheet: int = 1500  #: points on the closed sheet
    near: int = 1500  #: points near the sheet
    uniform: int = 1500  #: points anywhere in the ball
    near_sigma: float = 0.03  #: spread of near points [model units]
    carried_sigma: float = 0.02  #: spread of corresponding points off the surface [model units]

    def __post_init__(self) -> None:
        if self.expressions < 1:
            raise ValueError("'expressions' has to be 1 at least")
        if self.narrowest > self.widest:
            raise ValueError("'narrowest' is more than 'widest'")

    @property
    def points(self) -> int:
        """Points per scan."""
        return self.corresponding + self.sheet + self.near + self.uniform


@dataclass(frozen=True)
class ScanSamples:
    """One scan's cached points in model space; the first C of them have partners."""

    points: np.ndarray  #: (M, 3)
    sdf: np.ndarray  #: (M,)
    gradients: np.ndarray  #: (M, 3)
    neutral: np.ndarray  #: (C, 3) the same points on the neutral face
    template: np.ndarray  #: (C, 3) the same points on the mean face
    landmarks: np.ndarray  #: (68, 3)
    neutral_landmarks: np.ndarray  #: (68, 3) of the same person's neutral face
    seen: np.ndarray  #: (T,) bool, the triangles of the source's topology that the front sees


@dataclass(frozen=True)
class ScanTable:
    """What is known of a source's S scans of I people before they are sampled.

    Attributes
    ----------
    names : list of str
        What a person would call each scan, for messages.
    person : ndarray (S,) int
    is_neutral : ndarray (S,) bool
    identity_coefficients : ndarray (I, K)
        Numbers that a person's code is started from, of about unit variance; K may be 0.
    expression_coefficients : ndarray (S, E)
        Likewise for each scan's expression, 0 where neutral; E may be 0.
    template_landmarks : ndarray (68, 3)
    """

    names: list[str]
    person: np.ndarray
    is_neutral: np.ndarray
    identity_coefficients: np.ndarray
    expression_coefficients: np.ndarray
    template_landmarks: np.ndarray


class ScanSource(Protocol):
    """A kind of training data; it is sent to the processes that sample it."""

    config: DatasetConfig
    partners: bool  #: whether the corresponding points have partners
    triangles: int  #: how many a face of the source's topology has; 0 if it has none

    def fingerprint(self) -> str:
        """Return what, beside the configuration, tells these samples from others."""

    def table(self) -> ScanTable:
        """Return what is known of all scans; cheap beside ``sample``."""

    def sample(self, scan: int) -> ScanSamples:
        """Sample one scan.

        Raises
        ------
        BackendError
            If this scan is unusable; the others may be good.
        """


_ARRAYS = ("points", "sdf", "gradients", "neutral", "template", "landmarks", "neutral_landmarks")
_FRACTIONS = {"points": _RANGE, "sdf": _RANGE, "gradients": 1.0} | dict.fromkeys(
    ("neutral", "template"), _RANGE
)


def cache_key(source: ScanSource) -> str:
    """Return a hash of everything that shapes a cache."""
    text = json.dumps([CACHE_VERSION, asdict(source.config), source.fingerprint()])
    return hashlib.sha256(text.encode()).hexdigest()


_source: ScanSource | None = None


def _start_worker(source: ScanSource) -> None:
    global _source
    _source = source
    end_with_parent()


def _sample(scan: int) -> tuple[int, ScanSamples | str]:
    assert _source is not None
    try:
        return scan, _source.sample(scan)
    except BackendError as error:
        return scan, str(error)


def prepare(
    source: ScanSource,
    folder: Path,
    *,
    workers: int = 2,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, str]:
    """Fill a cache folder with samples; call it again to go on after a stop.

    Returns
    -------
    dict
        Name of every scan that cannot be used, with the reason; training goes without them.

    Raises
    ------
    DataError
        If the folder holds a cache made with other settings, or no scan can be used.
    """
    if workers < 1:
        raise DataError("Without a worker no scan is sampled. Give --workers 1 or more.")
    table = source.table()
    arrays = _open_cache(source, table, folder)
    broken: dict[str, str] = {}
    # Broken scans are tried again: what was wrong may have been mended.
    todo = np.flatnonzero(arrays["state"] != _DONE)
    with ProcessPoolExecutor(workers, initializer=_start_worker, initargs=(source,)) as pool:
        for i, (scan, result) in enumerate(pool.map(_sample, todo.tolist(), chunksize=4)):
            if isinstance(result, str):
                broken[table.names[scan]] = result
                arrays["state"][scan] = _BROKEN
            else:
                _store(arrays, scan, result)
            progress(len(table.person) - len(todo) + i + 1, len(table.person))
    if len(broken) == len(table.person):
        raise DataError(f"None of the scans can be used. The first: {next(iter(broken.values()))}")
    return broken


def _store(arrays: dict[str, np.ndarray], scan: int, samples: ScanSamples) -> None:
    for name in _ARRAYS:
        values = getattr(samples, name)
        limit = _FRACTIONS.get(name)
        arrays[name][scan] = values if limit is None else _pack(values, limit)
    arrays["seen"][scan] = np.packbits(samples.seen)
    arrays["state"][scan] = _DONE


def _pack(values: np.ndarray, limit: float) -> np.ndarray:
    return np.round(np.clip(values / limit, -1, 1) * 32767).astype(np.int16)


def _unpack(values: Tensor, limit: float) -> Tensor:
    return values.float() * (limit / 32767)


def _layout(source: ScanSource, scans: int) -> dict[str, tuple[tuple[int, ...], str]]:
    config, carried = source.config, source.config.corresponding if source.partners else 0
    return {
        "points": ((scans, config.points, 3), "int16"),
        "sdf": ((scans, config.points), "int16"),
        "gradients": ((scans, config.points, 3), "int16"),
        "neutral": ((scans, carried, 3), "int16"),
        "template": ((scans, carried, 3), "int16"),
        "landmarks": ((scans, 68, 3), "float32"),
        "neutral_landmarks": ((scans, 68, 3), "float32"),
        "seen": ((scans, (source.triangles + 7) // 8), "uint8"),
        "state": ((scans,), "uint8"),
    }


def _open_cache(source: ScanSource, table: ScanTable, folder: Path) -> dict[str, np.ndarray]:
    key = cache_key(source)
    header = folder / "cache.json"
    layout = _layout(source, len(table.person))
    if not header.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name, (shape, dtype) in layout.items():
            open_memmap(folder / f"{name}.npy", "w+", dtype=dtype, shape=shape)
        _reserve([folder / f"{name}.npy" for name in layout])
        known = {f.name: getattr(table, f.name) for f in fields(table) if f.name != "names"}
        np.savez(folder / "table.npz", **known)
        known_by = {"version": CACHE_VERSION, "key": key, "config": asdict(source.config)}
        write_text(header, json.dumps(known_by, indent=1))
    elif json.loads(header.read_text()).get("key") != key:
        raise DataError(
            f"{folder} holds a cache made from other data, with other settings or by another "
            "version; files that were mended are other data. Choose an empty folder."
        )
    return {name: np.load(folder / f"{name}.npy", mmap_mode="r+") for name in layout}


def _reserve(paths: list[Path]) -> None:
    """Take the space of new files where the system can: one that is full kills a process that
    writes to mapped memory."""
    if not hasattr(os, "posix_fallocate"):
        return
    size = sum(path.stat().st_size for path in paths)
    try:
        for path in paths:
            with open(path, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        for path in paths:
            path.unlink()
        raise DataError(
            f"The cache takes {size / 1e9:.1f} GB, which {paths[0].parent} has no room for: "
            f"{error.strerror}. Free some space, or choose another folder."
        ) from error


@dataclass
class Batch(Targets):
    """What is true of B scans, and which they are."""

    scan: Tensor  #: (B,) int
    person: Tensor  #: (B,) int


def step_generator(device: torch.device, seed: int, step: int, stream: int = 0) -> torch.Generator:
    """Return the random numbers of a training step, a pure function of the three numbers: a
    resumed run sees what an unbroken one would."""
    (word,) = np.random.SeedSequence([seed, step, stream]).generate_state(1, np.uint64)
    return torch.Generator(device).manual_seed(int(word) >> 1)


def share_of(count: int, process: int, processes: int) -> slice:
    """Return which of ``count`` faces of a step are a process's."""
    return slice(process * count // processes, (process + 1) * count // processes)


class ScanCache:
    """A prepared cache, read as batches.

    Parameters
    ----------
    folder : Path
    device : torch.device
        Where batches are wanted: a GPU gets the whole cache, and is not kept waiting.

    Attributes
    ----------
    config : DatasetConfig
    key : str
        Hash of everything that shaped it.
    table : ScanTable
        Without names.
    usable : ndarray (U,) int
        The scans that are drawn from; the others were broken.
    """

    def __init__(self, folder: Path, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        try:
            header = json.loads((folder / "cache.json").read_text())
            version: int = header["version"]
            if version == CACHE_VERSION:
                self._open(folder, header)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{folder} is not a prepared cache. Run 'prepare' first.") from error
        if version != CACHE_VERSION:
            raise DataError(
                f"The cache {folder} has version {version}, this program reads {CACHE_VERSION}. "
                "Prepare a new one."
            )
        state = self._arrays["state"].numpy(force=True)
        if (state == _TODO).any():
            raise DataError(
                f"The cache {folder} is unfinished. Run 'prepare' again to complete it."
            )
        self.usable = np.flatnonzero(state == _DONE)
        if not len(self.usable):
            raise DataError(
                f"The cache {folder} holds no usable scan. Run 'prepare' again to learn why."
            )
        self._usable, self._person, self._is_neutral = (
            torch.from_numpy(rows).to(self.device)
            for rows in (self.usable, self.table.person, self.table.is_neutral)
        )

    def _open(self, folder: Path, header: dict[str, Any]) -> None:
        self.config = DatasetConfig(**header["config"])
        self.key: str = header["key"]
        with np.load(folder / "table.npz", allow_pickle=False) as table:
            self.table = ScanTable(names=[], **table)
        # Mapped memory that could be written to, but never is: PyTorch warns of any other.
        self._arrays = {
            name: torch.from_numpy(np.load(folder / f"{name}.npy", mmap_mode="c")).to(self.device)
            for name in (*_ARRAYS, "seen", "state")
        }

    @property
    def most_points(self) -> int:
        """How many points of a scan a training step can draw."""
        corresponding = self._arrays["neutral"].shape[1]
        others = self.config.points - corresponding
        return others + min(others, corresponding)

    def batches(
        self, step: int, seed: int, scans: int, points: int, share: tuple[int, int] = (0, 1)
    ) -> Batch:
        """Draw the batch of a training step, a pure function of (seed, step), or of process
        ``share[0]`` of ``share[1]`` what it does of it."""
        generator = step_generator(self.device, seed, step)
        corresponding = self._arrays["neutral"].shape[1]
        with_partners = min(points // 2, corresponding)
        drawn = self._usable[self._integers(len(self._usable), (scans,), generator)]
        carried = self._choose(scans, corresponding, with_partners, generator)
        free = self._choose(
            scans, self.config.points - corresponding, points - with_partners, generator
        )
        mine = share_of(scans, *share)
        every = torch.cat([carried, corresponding + free], dim=1)
        rows = dict.fromkeys(("points", "sdf", "gradients"), every)
        rows |= dict.fromkeys(("neutral", "template"), carried)
        scan = drawn[mine]
        packed = {
            name: _unpack(self._arrays[name][scan[:, None], chosen[mine]], _FRACTIONS[name])
            for name, chosen in rows.items()
        }
        return Batch(
            scan=scan,
            person=self._person[scan],
            is_neutral=self._is_neutral[scan],
            landmarks=self._arrays["landmarks"][scan],
            neutral_landmarks=self._arrays["neutral_landmarks"][scan],
            **packed,
        )

    def seen(self, scans: Tensor) -> Tensor:
        """Return which triangles (B, T) of scans (B,) the front sees, T up to the next eight."""
        bits = torch.arange(7, -1, -1, device=self.device)
        return (self._arrays["seen"][scans][..., None] >> bits & 1).flatten(1).bool()

    def _integers(self, end: int, size: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return torch.randint(end, size, generator=generator, device=self.device)

    def _choose(self, rows: int, of: int, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``count`` different numbers below ``of`` in each row, in rising order."""
        order = torch.rand(rows, of, generator=generator, device=self.device)
        return order.topk(count, dim=1, sorted=False).indices.sort(1).values
