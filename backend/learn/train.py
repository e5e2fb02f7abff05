# SPDX-License-Identifier: GPL-3.0-or-later
"""The training loop: resumable, on one or many processes, CPU or CUDA."""

import atexit
import csv
import math
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from tqdm import tqdm

from ..checkpoint import is_published, load_training_state
from ..errors import BackendError, DataError
from ..files import replacing
from ..interruption import Interruption
from ..model.imface import ImFace
from .cache import CACHE_VERSION, Batch, ScanCache, ScanTable
from .code_table import CodeTable
from .losses import Targets, neutral_losses, training_losses, weighted_sum
from .passers_by import Passage, PassersBy
from .step import D, Record, StepData, mapped, tensors
from .train_config import TrainConfig

#: Settings that change nothing of what is learned.
_OF_THE_MACHINE = ("piece", "checkpoint_minutes")
#: Settings that may be others when a run goes on.
_OF_THE_SCHEDULE = ("learning_rate", "warmup", "steps", "minutes")
#: The tables of codes.
_CODES = ("identities", "expressions")


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


def _differing(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """Return the settings, "table.name", in which two runs differ so that they learn otherwise."""
    names = []
    for name, value in ours.items():
        other = theirs.get(name, value)
        if isinstance(value, Mapping):
            names += [f"{name}.{inner}" for inner in _differing(other, value)]
        elif other != value and name not in _OF_THE_MACHINE:
            names.append(name)
    return names


def _keep_codes(table: str, ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> None:
    """Turn our directions of a table of codes, in place, so that scans which both runs have keep
    theirs: among other people, what is known of a person is measured along other axes."""
    known, before = (run.get(f"{table}.coefficients") for run in (ours, theirs))
    if known is None or before is None:
        return
    rows = min(len(known), len(before))
    known, before = known[:rows], before[:rows].to(known)
    if not torch.equal(known, before):
        directions = ours[f"{table}.directions"]  # theirs, by now
        directions.copy_(torch.linalg.pinv(known) @ (before @ directions))


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
        for name in ("scans", "passers_by", "expressive_passers_by"):
            if getattr(config, name) % self.processes:
                raise DataError(
                    f"{getattr(config, name)} {name} a step cannot be shared evenly among "
                    f"{self.processes} processes. Set '{name}' to a multiple of that."
                )
        if config.points > cache.most_points:
            raise DataError(
                f"{config.points} points a step cannot be drawn from scans prepared with fewer. "
                f"Set 'points' to {cache.most_points} at most, or give the --config that the cache "
                "was prepared with."
            )
        self.street = _street(cache, config, data)
        self.device = cache.device
        self.model = TrainedModel(cache.table, self.config).to(self.device)
        on_gpu = self.device.type == "cuda"
        rate = torch.zeros((), device=self.device)  # a number would be part of a record
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=rate, fused=True, capturable=on_gpu
        )
        self._stream = torch.cuda.Stream(self.device) if on_gpu else None
        if self._stream is not None:
            self._stream.wait_stream(torch.cuda.current_stream(self.device))
        self._before_record = 3  # steps: what is used first is allocated, which a record cannot
        self._record: Record | None = None
        self._terms: list[str] = []
        self.step = 0
        self.elapsed = 0.0
        self._columns: list[str] = []  #: of the table of losses, once it is begun
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def checkpoint(self) -> Path:
        """Where the run's state is kept."""
        return self.folder / "checkpoint.pt"

    def resume(self) -> None:
        """Continue from the checkpoint, exactly where it was written; settings of the schedule may
        be others, of which a line is printed."""
        if not self.checkpoint.is_file():
            raise DataError(f"{self.folder} has no checkpoint to resume. Start without --resume.")
        state = read_checkpoint(self.checkpoint, self.device)
        if state["cache_key"] != self.cache.key:
            raise DataError(
                f"{self.checkpoint} was trained on another cache. Give that one, or start anew "
                "without --resume."
            )
        self._compare_settings(state["config"])
        self.model.load_state_dict(state["model"])
        # The settings stay this device's.
        ours = {"param_groups": self.optimizer.state_dict()["param_groups"]}
        self.optimizer.load_state_dict(state["optimizer"] | ours)
        self.step, self.elapsed = state["step"], state["elapsed"]

    def _compare_settings(self, theirs: Mapping[str, Any]) -> None:
        """Refuse to go on with another model or data; tell what else is another."""
        ours = asdict(self.config)
        others = _differing(theirs, ours)
        by_time = [bool(settings["minutes"] > 0) for settings in (theirs, ours)]
        # From time to steps, or back, the schedule would jump.
        free = set(_OF_THE_SCHEDULE) - ({"minutes"} if by_time[0] != by_time[1] else set())
        if bound := [name for name in others if name not in free]:
            raise DataError(
                f"{self.checkpoint} was begun with other settings: {', '.join(bound)}. Give the "
                "same --config and --minutes, or begin another run with --start-from."
            )
        if others and self.rank == 0:
            changes = ", ".join(f"{name} {ours[name]} instead of {theirs[name]}" for name in others)
            print(f"Going on with other settings: {changes}.", file=sys.stderr)

    def start_from(self, checkpoint: Path) -> None:
        """Take over the weights of another run, on this or another cache, with a schedule anew.

        The codes are taken over as far as both have the scans: more people leave the first ones
        in their rows. A published model (``.safetensors``) has none: they are people. Those of
        scans of which no numbers are known begin near 0, the mean face of a run that had some.

        Raises
        ------
        DataError
            If the checkpoint cannot be read, or its network has another shape.
        """
        published = is_published(checkpoint)
        theirs = (
            load_training_state(checkpoint)
            if published
            else read_checkpoint(checkpoint, self.device)["model"]
        )
        ours = self.model.state_dict()
        anew = tuple(
            f"{table}."
            for table in _CODES
            if len(theirs.get(f"{table}.directions", ())) > len(ours[f"{table}.directions"]) == 0
        )
        own = (".coefficients", ".free") if published else (".coefficients",)
        for name, value in ours.items():
            if name.endswith(own) or name.startswith(anew):
                continue
            other, rows_differ = theirs.get(name), int(name.endswith(".free"))
            if other is None or other.shape[rows_differ:] != value.shape[rows_differ:]:
                raise DataError(f"The network of {checkpoint} has another shape. Train anew.")
            rows = min(len(value), len(other))
            value[:rows] = other[:rows]
        for table in _CODES:
            if f"{table}." not in anew:
                _keep_codes(table, ours, theirs)

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
            try:
                torch.save(state, partial)
            except RuntimeError as error:  # what a full disk is to it
                kept, how = (
                    ("the one before is kept", "go on with --resume")
                    if self.checkpoint.is_file()
                    else ("there is none yet", "start again")
                )
                raise BackendError(
                    f"{self.checkpoint} could not be written; {kept}. Free space on the disk and "
                    f"{how}."
                ) from error

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
        """Train to the end of the schedule.

        Raises
        ------
        KeyboardInterrupt
            After Ctrl-C or SIGTERM, at the end of the step; the checkpoint is written.
        """
        hidden = None if self.rank == 0 else True
        with (
            Interruption(signal.SIGTERM) as interruption,
            tqdm(total=100, unit="%", disable=hidden) as bar,
        ):
            self._run(interruption, bar)
        if self.rank == 0:
            plot_losses(self.folder)

    def _run(self, interruption: Interruption, bar: tqdm) -> None:
        started, saved = time.monotonic() - self.elapsed, time.monotonic()
        while self.progress < 1:
            terms = self.train_step()
            self.elapsed, is_over = self._agreed(time.monotonic() - started, interruption.wanted)
            if self.step % 20 == 0 or self.progress == 1:
                self._log(terms)
            bar.update(int(100 * self.progress) - bar.n)
            if is_over:
                self.save()
                raise KeyboardInterrupt
            if time.monotonic() - saved > 60 * self.config.checkpoint_minutes:
                self.save()
                saved = time.monotonic()
        self.save()

    def _agreed(self, elapsed: float, is_over: bool) -> tuple[float, bool]:
        """Return what the first process says: all have to follow one schedule, and end together."""
        if self.processes == 1:
            return elapsed, is_over
        first = torch.tensor([elapsed, is_over], dtype=torch.float64, device=self.device)
        dist.broadcast(first, 0)
        elapsed, over = first.tolist()
        return elapsed, bool(over)

    def train_step(self) -> dict[str, float]:
        """Do one optimizer step; returns the terms, averaged over the batch."""
        with torch.cuda.stream(self._stream):
            self._set_learning_rate()
            *values, norm = self._learned(self._draw()).tolist()
        terms = dict(zip(self._terms, values, strict=True))
        # What is averaged tells every process alike when one of them went wrong.
        if not (math.isfinite(terms["total"]) and math.isfinite(norm)):
            remedy = (
                "the last good checkpoint is kept. Lower learning_rate and go on with --resume."
                if self.checkpoint.is_file()
                else "there is no checkpoint yet. Lower learning_rate and start again."
            )
            raise BackendError(f"The loss is not a number at step {self.step}; {remedy}")
        self.step += 1
        return terms

    def _draw(self) -> StepData:
        config, mine = self.config, (self.rank, self.processes)
        batch = self.cache.batches(self.step, config.seed, config.scans, config.points, mine)
        met: list[Passage | None] = [None, None]
        for i, people in enumerate((config.passers_by, config.expressive_passers_by)):
            if self.street is not None and people:
                points = config.passer_by_points
                met[i] = self.street.draw(
                    self.step, config.seed, people, points, neutral=i == 0, share=mine
                )
        return StepData(batch, *met)

    def _learned(self, data: StepData) -> Tensor:
        """Do what ``_learn`` does, on a GPU by replaying a record of it."""
        if self._stream is None or self.processes > 1 or self._before_record > 0:
            self._before_record -= 1
            return self._learn(data)
        if self._record is None or self._record.rough != self._rough:
            self._record = None  # its memory is free for the next one
            self._record = Record(self._learn, data, self._stream, self._rough)
        return self._record(data)

    def _learn(self, data: StepData) -> Tensor:
        """Move the weights; returns the terms, averaged over the batch, and the gradient's norm."""
        torch.backends.cuda.matmul.allow_tf32 = self._rough and self.config.tensorfloat32
        self.optimizer.zero_grad()
        sums: dict[str, Tensor] = {}
        for kind, terms, share in self._losses(data):
            loss = weighted_sum(terms, self.config.losses)
            (loss * share).backward()
            named = {kind + name: term.detach() for name, term in terms.items()}
            for name, value in (named | {"total": loss.detach()}).items():
                sums[name] = sums.get(name, 0) + value * share
        self._average_gradients()
        norm = torch.nn.utils.get_total_norm(self._gradients())
        self.optimizer.step()
        self._terms = list(sums)
        return torch.cat([self._averaged(torch.stack(list(sums.values()))), norm.view(1)])

    def _losses(self, data: StepData) -> Iterator[tuple[str, dict[str, Tensor], float]]:
        """Yield kind, terms and share of its kind, piece by piece: first of the cache's scans,
        then of the passers-by."""
        size = self.config.piece
        for batch, share in self._pieces(data.batch, size):
            yield "", self._of_scans(batch), share
        # As many points at a time as of the scans.
        size = max(size * self.config.points // self.config.passer_by_points, 1)
        for passage, share in self._pieces(data.neutral, size):
            yield "passers_by_", self._of_neutral(passage), share
        for passage, share in self._pieces(data.expressive, size):
            yield "expressive_", self._of_expressive(passage), share

    def _pieces(self, data: D | None, size: int) -> Iterator[tuple[D, float]]:
        """Cut a step's data into pieces of so many faces; yield each with its share of them."""
        if data is None:
            return
        count = len(next(tensors(data)))
        if self.device.type == "cuda":
            size = count
        for start in range(0, count, size):
            part = slice(start, min(start + size, count))
            yield mapped(itemgetter(part), data), (part.stop - part.start) / count

    def _of_scans(self, batch: Batch) -> dict[str, Tensor]:
        identity, free_identity = self.model.identities(batch.person)
        expression, free_expression = self.model.expressions(batch.scan)
        terms = self._full_terms(identity, expression, batch)
        terms["identity_code"] = free_identity.square().mean()
        terms["expression_code"] = free_expression.square().mean()
        return terms

    def _of_neutral(self, passage: Passage) -> dict[str, Tensor]:
        identity = passage.coordinates @ self.model.identities.directions
        with self._autocast():
            return neutral_losses(self.model.imface, identity, passage.targets)

    def _of_expressive(self, passage: Passage) -> dict[str, Tensor]:
        identity = passage.coordinates @ self.model.identities.directions
        expression = passage.expression @ self.model.expressions.directions
        return self._full_terms(identity, expression, passage.targets)

    def _full_terms(
        self, identity: Tensor, expression: Tensor, targets: Targets
    ) -> dict[str, Tensor]:
        stride = self.config.gradient_stride
        with self._autocast():
            return training_losses(self.model.imface, identity, expression, targets, stride)

    @property
    def _rough(self) -> bool:
        """Whether the schedule still allows less than float32."""
        return self.progress < 1 - self.config.final_float32

    def _autocast(self) -> torch.autocast:
        enabled = self.config.bfloat16 and self._rough and _fast_at_bfloat16(self.device)
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    def _set_learning_rate(self) -> None:
        rise = min((self.step + 1) / self.config.warmup, 1.0)
        decay = 0.5 * (1 + math.cos(math.pi * self.progress))
        rate = self.config.learning_rate * rise * (0.01 + 0.99 * decay)
        for group in self.optimizer.param_groups:
            group["lr"].fill_(rate)

    def _gradients(self) -> list[Tensor]:
        return [p.grad for p in self.model.parameters() if p.grad is not None]

    def _average_gradients(self) -> None:
        if self.processes == 1:
            return
        gradients = self._gradients()
        flat = self._averaged(torch.cat([g.view(-1) for g in gradients]))
        for gradient, part in zip(
            gradients, flat.split([g.numel() for g in gradients]), strict=True
        ):
            gradient.copy_(part.view_as(gradient))

    def _averaged(self, values: Tensor) -> Tensor:
        """Return the mean over all processes of what each has, in place."""
        if self.processes > 1:
            dist.all_reduce(values)
            values /= self.processes
        return values

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
    if not (config.passers_by or config.expressive_passers_by):
        return None
    if data is None:
        raise DataError(
            "Passers-by are drawn from the ICT-FaceKit data. Give --data, as for 'prepare'; for a "
            "folder of scans set passers_by and expressive_passers_by to 0."
        )
    return PassersBy(data, cache)


def _fast_at_bfloat16(device: torch.device) -> bool:
    """Tell whether a device has instructions for bfloat16: a processor without them takes 14 times
    as long for a product as in float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.backends.cpu.get_cpu_capability() == "AVX512"


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
