# SPDX-License-Identifier: GPL-3.0-or-later
"""The training loop: resumable, on one or many processes, CPU or CUDA."""

import atexit
import csv
import math
import os
import time
import tomllib
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from tqdm import tqdm

from ..errors import BackendError, DataError
from ..model.imface import ImFace, ModelConfig
from .dataset import CACHE_VERSION, Batch, DatasetConfig, Recipes, ScanCache, draw_recipes
from .ict import IctFaceKit
from .losses import LossWeights, Targets, training_losses, weighted_sum

T = TypeVar("T")


@dataclass(frozen=True)
class TrainConfig:
    """Everything ``train`` needs beside the data; a TOML file may set any of it."""

    steps: int = 4000  #: optimizer steps; with ``minutes``, an upper bound
    minutes: float = 0.0  #: if positive, the learning rate's schedule ends after this time
    scans: int = 16  #: scans per step, over all processes
    points: int = 1024  #: points per scan and step
    piece: int = 4  #: scans per forward pass: few enough for the processor's cache
    gradient_stride: int = 3  #: normals and eikonal on every so-maniest point
    learning_rate: float = 4e-4  #: Adam's peak rate, then cosine decay
    warmup: int = 100  #: steps of linear rise
    final_float32: float = 0.15  #: last share of the schedule, trained without bfloat16
    bfloat16: bool = True  #: autocast the wide matrix products
    seed: int = 0  #: of the initial weights and the batches
    checkpoint_minutes: float = 4.0  #: between checkpoints
    identity_scale: float = 0.1  #: of the coefficients in the initial identity codes
    expression_scale: float = 0.3  #: of the weights in the initial expression codes
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
        if type(value) is not kind:
            raise DataError(
                f"The setting '{where}{name}' is of the wrong kind. Give it a value like {before}."
            )
        changed[name] = _updated(before, value, f"{where}{name}.") if kind is dict else value
    return replace(config, **changed)  # type: ignore[type-var]


def initial_codes(
    ict: IctFaceKit, recipes: Recipes, config: TrainConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Return identity codes (I, D) and expression codes (E * I, D), row e * I + i: orthogonal
    images of the coefficients that made each face, so that training only has to refine them."""
    rng = np.random.default_rng(config.seed)
    people, states, _ = recipes.expression.shape
    basis_i = _orthogonal(rng, config.model.identity_dim, len(ict.identity_modes))
    basis_e = _orthogonal(rng, config.model.expression_dim, len(ict.expression_names))
    identity = config.identity_scale * _coefficients(ict, recipes) @ basis_i.T
    weights = recipes.expression.transpose(1, 0, 2).reshape(states * people, -1)
    expression = config.expression_scale * weights @ basis_e.T
    noise_i, noise_e = rng.normal(0, 1e-3, identity.shape), rng.normal(0, 1e-3, expression.shape)
    return (identity + noise_i).astype(np.float32), (expression + noise_e).astype(np.float32)


def _orthogonal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    q, _ = np.linalg.qr(rng.normal(size=(max(rows, columns), columns)))
    return q[:rows]


def _coefficients(ict: IctFaceKit, recipes: Recipes) -> np.ndarray:
    """Project every neutral face onto the linear identity modes: (I, 100)."""
    every = slice(0, ict.parts["face"][1], 8)
    modes = ict.identity_modes[:, every].reshape(len(ict.identity_modes), -1)
    faces = [recipes.neutral(ict, p)[every] - ict.mean[every] for p in range(len(recipes.identity))]
    gram = modes @ modes.T
    ridge = 1e-3 * np.trace(gram) / len(gram) * np.eye(len(gram))
    return np.linalg.solve(gram + ridge, modes @ np.stack(faces).reshape(len(faces), -1).T).T


def new_model(ict: IctFaceKit, config: TrainConfig) -> ImFace:
    """Make an untrained model whose code tables fit the data."""
    torch.manual_seed(config.seed)
    people, states = config.data.identities, config.data.expressions
    model = ImFace(replace(config.model, identities=people, expressions=people * states))
    recipes = draw_recipes(config.data, ict.expression_names, len(ict.identity_modes))
    identity, expression = initial_codes(ict, recipes, config)
    with torch.no_grad():
        model.identity_codes.weight.copy_(torch.from_numpy(identity))
        model.expression_codes.weight.copy_(torch.from_numpy(expression))
        model.template_landmarks.copy_(torch.from_numpy(ict.mean[ict.landmarks]))
    return model


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
    """One training run; state lives in ``folder/checkpoint.pt``."""

    def __init__(
        self, ict: IctFaceKit, cache: ScanCache, folder: Path, config: TrainConfig
    ) -> None:
        self.config = replace(config, data=cache.config)
        self.cache = cache
        self.folder = folder
        self.rank, self.processes = _process_group()
        if config.scans % self.processes:
            raise DataError(
                f"{config.scans} scans a step cannot be shared evenly among {self.processes} "
                "processes. Set 'scans' to a multiple of that."
            )
        self.device = (
            torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
            if torch.cuda.is_available()
            else torch.device("cpu")
        )
        self.model = new_model(ict, self.config).to(self.device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.0, fused=True)
        self.step = 0
        self.elapsed = 0.0
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
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.elapsed = state["step"], state["elapsed"]

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
            "data_version": CACHE_VERSION,
        }
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        os.replace(partial, self.checkpoint)

    @property
    def progress(self) -> float:
        """Share of the schedule that is done, 0 to 1."""
        if self.config.minutes > 0:
            return min(self.elapsed / (60 * self.config.minutes), 1.0)
        return self.step / self.config.steps

    def run(self) -> None:
        """Train to the end of the schedule."""
        started, saved = time.monotonic() - self.elapsed, time.monotonic()
        bar = tqdm(total=100, unit="%", disable=None if self.rank == 0 else True)
        while self.progress < 1 and self.step < self.config.steps:
            terms = self.train_step()
            self.elapsed = time.monotonic() - started
            if self.step % 20 == 0:
                self._log(terms)
            bar.update(int(100 * self.progress) - bar.n)
            if time.monotonic() - saved > 60 * self.config.checkpoint_minutes:
                self.save()
                saved = time.monotonic()
        bar.close()
        self.save()
        if self.rank == 0:
            plot_losses(self.folder)

    def train_step(self) -> dict[str, float]:
        """Do one optimizer step; returns the terms, averaged over the batch."""
        config = self.config
        batch = self.cache.batches(
            self.step, config.seed, config.scans, config.points, self.rank, self.processes
        )
        self._set_learning_rate()
        self.optimizer.zero_grad()
        sums: dict[str, float] = {}
        for start in range(0, len(batch.person), config.piece):
            part = slice(start, min(start + config.piece, len(batch.person)))
            share = (part.stop - start) / len(batch.person)
            terms = self._piece(batch, part)
            loss = weighted_sum(terms, config.losses) * share
            loss.backward()
            for name, value in (terms | {"total": loss / share}).items():
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

    def _piece(self, batch: Batch, part: slice) -> dict[str, Tensor]:
        def tensor(values: np.ndarray) -> Tensor:
            return torch.from_numpy(values[part]).to(self.device)

        people, states = tensor(batch.person), tensor(batch.state)
        rows = states * self.config.data.identities + people
        targets = Targets(
            states, **{f.name: tensor(getattr(batch, f.name)) for f in fields(Targets)[1:]}
        )
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._use_bfloat16()):
            return training_losses(
                self.model,
                self.model.identity_codes(people),
                self.model.expression_codes(rows),
                targets,
                self.config.gradient_stride,
            )

    def _use_bfloat16(self) -> bool:
        return self.config.bfloat16 and self.progress < 1 - self.config.final_float32

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
        new = not path.exists()
        with open(path, "a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)


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
