# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``train`` can be told, and the TOML file that tells it."""

import math
import tomllib
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from ..errors import DataError
from ..model.imface import ModelConfig
from .cache import DatasetConfig
from .losses import LossWeights

T = TypeVar("T")

#: Settings below without which there is no step.
_COUNTS = ("steps", "scans", "points", "piece", "passer_by_points", "gradient_stride", "warmup")


@dataclass(frozen=True)
class TrainConfig:
    """Everything ``train`` needs beside the data; a TOML file may set any of it."""

    steps: int = 4000  #: optimizer steps, if no ``minutes`` are given
    minutes: float = 0.0  #: if positive, training and its schedule end after this time
    scans: int = 16  #: scans per step, over all processes
    points: int = 1024  #: points per scan and step
    piece: int = 8  #: scans per forward pass: few enough for a processor's cache; a GPU takes all
    passers_by: int = 0  #: neutral people per step whom training meets once, over all processes
    expressive_passers_by: int = 0  #: such people with an expression
    passer_by_points: int = 128  #: points of each
    gradient_stride: int = 3  #: normals and eikonal on every so-maniest point
    learning_rate: float = 5e-4  #: Adam's peak rate, then cosine decay
    warmup: int = 100  #: steps of linear rise
    final_float32: float = 0.15  #: last share of the schedule, trained in float32 alone
    bfloat16: bool = True  #: autocast the wide matrix products, where the processor is fast at it
    tensorfloat32: bool = True  #: let a GPU round what it multiplies in float32
    seed: int = 0  #: of the initial weights and the batches
    checkpoint_minutes: float = 4.0  #: between checkpoints
    identity_scale: float = 0.1  #: of a person's coefficients in the initial codes
    expression_scale: float = 0.3  #: of a scan's coefficients in the initial codes
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DatasetConfig = field(default_factory=DatasetConfig)
    losses: LossWeights = field(default_factory=LossWeights)

    def __post_init__(self) -> None:
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise ValueError(f"'{name}' has to be 1 at least")


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
        return _updated(TrainConfig(), tomllib.loads(path.read_text("utf-8-sig")), "")
    except (OSError, ValueError) as error:  # no TOML, or not even UTF-8
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
        if isinstance(value, int | float) and not 0 <= value < math.inf:
            raise DataError(f"The setting '{where}{name}' is {value}. Give it a number from 0 up.")
        changed[name] = _updated(before, value, f"{where}{name}.") if kind is dict else value
    try:
        return replace(config, **changed)  # type: ignore[type-var]
    except ValueError as error:
        raise DataError(f"In the configuration, {error}. Change it.") from error
