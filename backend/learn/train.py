# SPDX-License-Identifier: GPL-3.0-or-later
"""The training loop: resumable, on one or many processes, CPU or CUDA."""

import atexit
import csv
import math
import os
import time
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from tqdm import tqdm

from ..checkpoint import load_training_state
from ..errors import BackendError, DataError
from ..files import replacing
from ..model.imface import ImFace, ModelConfig
from .cache import CACHE_VERSION, Batch, DatasetConfig, ScanCache, ScanTable
from .code_table import CodeTable
from .losses import LossWeights, Targets, neutral_losses, training_losses, weighted_sum
from .passers_by import Passage, PassersBy

T = TypeVar("T")


@dataclass(frozen=True)
class TrainConfig:
    """Everything ``train`` needs beside the data; a TOML file may set any of it."""

    steps: int = 4000  #: optimizer steps, if no ``minutes`` are given
    minutes: float = 0.0  #: if positive, training and its schedule end after this time
    scans: int = 16  #: scans per step, over all processes
    points: int = 1024  #: points per scan and step
    piece: int = 8  #: scans per forward pass: few enough for the processor's cache
    passers_by: int = 0  #: neutral people per step whom training meets once, over all processes
    passer_by_points: int = 128  #: points of each
    gradient_stride: int = 3  #: normals and eikonal on every so-maniest point
    learning_rate: float = 5e-4  #: Adam's peak rate, then cosine decay
    warmup: int = 100  #: steps of linear rise
    final_float32: float = 0.15  #: last share of the schedule, trained without bfloat16
    bfloat16: bool = True  #: autocast the wide matrix products, where the processor is fast at it
    seed: int = 0  #: of the initial weights and the batches
    checkpoint_minutes: float = 4.0  #: between checkpoints
    identity_scale: float = 0.1  #: of a person's coefficients in the initial codes
    expression_scale: float = 0.3  #: of a scan's coefficients in the initial codes
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DatasetConfig = field(default_factory=DatasetConfig)
    losses: LossWeights = field(default_factory=LossWeights)


def load_config(path: Path | None) -> TrainConfig:
    """Read a TOML file over the defaults.

    Raises
    ------
    DataError
        If the file is no TOML or names a setting that does not exist.
    """
    if path is None:
        return TrainConfig()
    try:
        return _updated(TrainConfig(), tomllib.loads(path.read_text()), "")
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"The configuration {path} cannot be read: {error}. Mend it.") from error


def _updated(config: T, changes: dict[str, Any], where: str) -> T:
    changed = {}
    for name, value in changes.items():
        if name not in {f.name for f in fields(config)}:  # type: ignore[arg-type]
            raise DataError(
                f"The configuration has no setting '{where}{name}'. Check its spelling."
            )
        before = getattr(config, name)
        kind = dict if is_dataclass(before) else type(before)
        if kind is float and type(value) is int:
            value = float(value)
        if kind is tuple and type(value) is list:
            value = tuple(value)
        if type(value) is not kind:
            raise DataError(
                f"The setting '{where}{name}' is of the wrong kind. Give it a value like {before}."
            )
        changed[name] = _updated(before, value, f"{where}{name}.") if kind is dict else value
    try:
        return replace(config, **changed)  # type: ignore[type-var]
    except ValueError as error:
        raise DataError(f"In the configuration, {error}. Choose one of these.") from error


class TrainedModel(nn.Module):
    """What is trained: the fields and the codes of the training scans."""

    def __init__(self, table: ScanTable, config: TrainConfig) -> None:
        super().__init__()
        torch.manual_seed(config.seed)
        self.imface = ImFace(config.model)
        self.identities = CodeTable(
            torch.from_numpy(table.identity_coefficients).float(),
            config.model.identity_dim,
            config.identity_scale,
        )
        self.expressions = CodeTable(
            torch.from_numpy(table.expression_coefficients).float(),
            config.model.expression_dim,
            config.expression_scale,
        )
        self.imface.template_landmarks.copy_(torch.from_numpy(table.template_landmarks))


def read_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Return what ``Trainer.save`` wrote.

    Raises
    ------
    DataError
        If the file is missing, damaged, or of another version of the training data.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        version = state["data_version"]
    except Exception as error:  # the unpickler raises whatever a foreign file's bytes led it to
        raise DataError(f"The checkpoint {path} cannot be read. Train first.") from error
    if version != CACHE_VERSION:
        raise DataError(f"{path} was trained on data of another version. Train again.")
    return state


class Trainer:
    """One training run; state lives in ``folder/checkpoint.pt``.

    Parameters
    ----------
    data : Path or None
        The ICT-FaceKit data that the cache was prepared from, which passers-by are drawn from.
    """

    def __init__(
        self, cache: ScanCache, folder: Path, config: TrainConfig, data: Path | None = None
    ) -> None:
        self.config = replace(config, data=cache.config)
        self.cache = cache
        self.folder = folder
        self.rank, self.processes = _process_group()
        for name in ("scans", "passers_by"):
            if getattr(config, name) % self.processes:
                raise DataError(
                    f"{getattr(config, name)} {name} a step cannot be shared evenly among "
                    f"{self.processes} processes. Set '{name}' to a multiple of that."
                )
        self.street = _street(cache, config, data)
        self.device = (
            torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
            if torch.cuda.is_available()
            else torch.device("cpu")
        )
        self.model = TrainedModel(cache.table, self.config).to(self.device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.0, fused=True)
        self.step = 0
        self.elapsed = 0.0
        self._columns: list[str] = []  #: of the table of losses, once it is begun
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def checkpoint(self) -> Path:
        """Where the run's state is kept."""
        return self.folder / "checkpoint.pt"

    def resume(self) -> None:
        """Continue from the checkpoint, exactly where it was written."""
        if not self.checkpoint.is_file():
            raise DataError(f"{self.folder} has no checkpoint to resume. Start without --resume.")
        state = read_checkpoint(self.checkpoint, self.device)
        if state["cache_key"] != self.cache.key:
            raise DataError(
                f"{self.checkpoint} was trained on another cache. Give that one, or start anew "
                "without --resume."
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.elapsed = state["step"], state["elapsed"]

    def start_from(self, checkpoint: Path) -> None:
        """Take over the weights of another run, on this or another cache, with a schedule anew.

        The codes' free parts are taken over row by row as far as both have them: more people
        leave the first ones in their rows. A published model (``.safetensors``) has none: they
        are people.

        Raises
        ------
        DataError
            If the checkpoint cannot be read, or its network has another shape.
        """
        published = checkpoint.suffix == ".safetensors"
        theirs = (
            load_training_state(checkpoint)
            if published
            else read_checkpoint(checkpoint, self.device)["model"]
        )
        ours = self.model.state_dict()
        for name, value in ours.items():
            if name.endswith(".coefficients") or (published and name.endswith(".free")):
                continue
            other, rows_differ = theirs.get(name), int(name.endswith(".free"))
            if other is None or other.shape[rows_differ:] != value.shape[rows_differ:]:
                raise DataError(f"The network of {checkpoint} has another shape. Train anew.")
            rows = min(len(value), len(other))
            value[:rows] = other[:rows]

    def save(self) -> None:
        """Write the checkpoint; a crash while writing leaves the previous one."""
        if self.rank:
            return
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "elapsed": self.elapsed,
            "config": asdict(self.config),
            "trained": self._trained_rows(),
            "data_version": CACHE_VERSION,
            "cache_key": self.cache.key,
        }
        with replacing(self.checkpoint) as partial:
            torch.save(state, partial)

    def _trained_rows(self) -> dict[str, Tensor]:
        """Tell the rows of the code tables that training draws; others keep their random start."""
        table, scans = self.cache.table, self.cache.usable
        rows = {
            "people": np.unique(table.person[scans]),
            "scans": scans,
            "neutral_scans": scans[table.is_neutral[scans]],
        }
        return {name: torch.from_numpy(index) for name, index in rows.items()}

    @property
    def progress(self) -> float:
        """Share of the schedule that is done, 0 to 1."""
        if self.config.minutes > 0:
            return min(self.elapsed / (60 * self.config.minutes), 1.0)
        return min(self.step / self.config.steps, 1.0)

    def run(self) -> None:
        """Train to the end of the schedule."""
        started, saved = time.monotonic() - self.elapsed, time.monotonic()
        bar = tqdm(total=100, unit="%", disable=None if self.rank == 0 else True)
        while self.progress < 1:
            terms = self.train_step()
            self.elapsed = self._agreed(time.monotonic() - started)
            if self.step % 20 == 0 or self.progress == 1:
                self._log(terms)
            bar.update(int(100 * self.progress) - bar.n)
            if time.monotonic() - saved > 60 * self.config.checkpoint_minutes:
                self.save()
                saved = time.monotonic()
        bar.close()
        self.save()
        if self.rank == 0:
            plot_losses(self.folder)

    def _agreed(self, elapsed: float) -> float:
        """Return the first process's time: all have to follow one schedule, and end together."""
        if self.processes == 1:
            return elapsed
        first = torch.tensor([elapsed], dtype=torch.float64, device=self.device)
        dist.broadcast(first, 0)
        return float(first)

    def train_step(self) -> dict[str, float]:
        """Do one optimizer step; returns the terms, averaged over the batch."""
        self._set_learning_rate()
        self.optimizer.zero_grad()
        sums: dict[str, float] = {}
        for terms, loss, share in self._losses():
            (loss * share).backward()
            for name, value in (terms | {"total": loss}).items():
                sums[name] = sums.get(name, 0.0) + float(value.detach()) * share
        self._average_gradients()
        # The averaged gradients tell every process alike when one of them went wrong.
        norm = torch.nn.utils.get_total_norm(self._gradients())
        if not (math.isfinite(sums["total"]) and bool(norm.isfinite())):
            raise BackendError(
                f"The loss is not a number at step {self.step}; the last good checkpoint is kept. "
                "Lower learning_rate and resume."
            )
        self.optimizer.step()
        self.step += 1
        return sums

    def _losses(self) -> Iterator[tuple[dict[str, Tensor], Tensor, float]]:
        """Yield the step's terms, loss and share of its kind, piece by piece: first of the
        cache's scans, then of the passers-by."""
        config, mine = self.config, (self.rank, self.processes)
        batch = self.cache.batches(self.step, config.seed, config.scans, config.points, *mine)
        for part, share in _pieces(len(batch.person), config.piece):
            terms = self._piece(batch, part)
            yield terms, weighted_sum(terms, config.losses), share
        if self.street is None:
            return
        people, points = config.passers_by, config.passer_by_points
        passage = self.street.draw(self.step, config.seed, people, points, *mine)
        # As many points at a time as of the scans.
        for part, share in _pieces(len(passage.points), config.piece * config.points // points):
            terms = self._passers_by(passage, part)
            loss = weighted_sum(terms, config.losses)
            yield {f"passers_by_{name}": term for name, term in terms.items()}, loss, share

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(self.device)

    def _piece(self, batch: Batch, part: slice) -> dict[str, Tensor]:
        targets = Targets(
            **{f.name: self._tensor(getattr(batch, f.name)[part]) for f in fields(Targets)}
        )
        identity, free_identity = self.model.identities(self._tensor(batch.person[part]))
        expression, free_expression = self.model.expressions(self._tensor(batch.scan[part]))
        with self._autocast():
            terms = training_losses(
                self.model.imface, identity, expression, targets, self.config.gradient_stride
            )
        terms["identity_code"] = free_identity.square().mean()
        terms["expression_code"] = free_expression.square().mean()
        return terms

    def _passers_by(self, passage: Passage, part: slice) -> dict[str, Tensor]:
        identity = self._tensor(passage.coordinates[part]) @ self.model.identities.directions
        known = (passage.points, passage.sdf, passage.template, passage.landmarks)
        with self._autocast():
            return neutral_losses(
                self.model.imface, identity, *(self._tensor(values[part]) for values in known)
            )

    def _autocast(self) -> torch.autocast:
        bfloat16 = self.config.bfloat16 and self.progress < 1 - self.config.final_float32
        enabled = bfloat16 and _fast_at_bfloat16(self.device)
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    def _set_learning_rate(self) -> None:
        rise = min((self.step + 1) / self.config.warmup, 1.0)
        decay = 0.5 * (1 + math.cos(math.pi * self.progress))
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * rise * (0.01 + 0.99 * decay)

    def _gradients(self) -> list[Tensor]:
        return [p.grad for p in self.model.parameters() if p.grad is not None]

    def _average_gradients(self) -> None:
        if self.processes == 1:
            return
        gradients = self._gradients()
        flat = torch.cat([g.view(-1) for g in gradients])
        dist.all_reduce(flat)
        flat /= self.processes
        for gradient, part in zip(
            gradients, flat.split([g.numel() for g in gradients]), strict=True
        ):
            gradient.copy_(part.view_as(gradient))

    def _log(self, terms: dict[str, float]) -> None:
        if self.rank:
            return
        path = self.folder / "losses.csv"
        row = {"step": self.step, "seconds": round(self.elapsed, 1)} | terms
        if not self._columns:
            self._columns = _begin_table(path, self.step, list(row))
        with open(path, "a", newline="") as file:
            csv.DictWriter(file, self._columns).writerow(row)


def _begin_table(path: Path, step: int, columns: list[str]) -> list[str]:
    """Begin a table of losses, or keep the rows of one from before a step: what it knows beyond a
    checkpoint comes again. Returns its columns, those it had among them."""
    rows = []
    if path.exists():
        with open(path, newline="") as file:
            rows = [row for row in csv.DictReader(file) if int(row["step"]) < step]
    every = list(dict.fromkeys([*(rows[0] if rows else ()), *columns]))
    with replacing(path) as partial, open(partial, "w", newline="") as file:
        writer = csv.DictWriter(file, every)
        writer.writeheader()
        writer.writerows(rows)
    return every


def _street(cache: ScanCache, config: TrainConfig, data: Path | None) -> PassersBy | None:
    """Return where passers-by come from, None if there are none."""
    if not config.passers_by:
        return None
    if data is None:
        raise DataError(
            "Passers-by are drawn from the ICT-FaceKit data. Give --data, as for 'prepare'."
        )
    street = PassersBy(data, cache.config)
    if street.principal.axes.shape[1] != cache.table.identity_coefficients.shape[1]:
        raise DataError(
            f"The cache was not prepared from {data}. Give the data that 'prepare' was given."
        )
    return street


def _fast_at_bfloat16(device: torch.device) -> bool:
    """Tell whether a device has instructions for bfloat16: a processor without them takes 14 times
    as long for a product as in float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.backends.cpu.get_cpu_capability() == "AVX512"


def _pieces(count: int, size: int) -> Iterator[tuple[slice, float]]:
    """Cut ``count`` rows into slices; yield each with its share of them."""
    for start in range(0, count, size):
        part = slice(start, min(start + size, count))
        yield part, (part.stop - start) / count


def _process_group() -> tuple[int, int]:
    """Join torchrun's process group, if there is one; returns (rank, processes)."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return 0, 1
    if not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        # A thread of gloo's that outlives the interpreter aborts the process.
        atexit.register(dist.destroy_process_group)
    return dist.get_rank(), dist.get_world_size()


def plot_losses(folder: Path) -> None:
    """Draw ``losses.csv`` as ``losses.png``."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    path = folder / "losses.csv"
    if not path.exists():
        return
    data = np.atleast_1d(np.genfromtxt(path, delimiter=",", names=True))
    figure, axes = pyplot.subplots(figsize=(8, 5))
    for name in data.dtype.names[2:]:
        axes.plot(data["step"], data[name], label=name)
    axes.set(xlabel="step", ylabel="term, unweighted", yscale="log")
    axes.legend(fontsize=7)
    figure.savefig(folder / "losses.png", dpi=120)
    pyplot.close(figure)
