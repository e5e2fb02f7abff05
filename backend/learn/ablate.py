# SPDX-License-Identifier: GPL-3.0-or-later
"""What each part of the method is worth: without it, at equal training time, on the same scans."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..checkpoint import BUNDLED, HEAD_NAME, load_face_model, save_face_model
from .cache import ScanCache
from .evaluate import Row, evaluate_set, summarise
from .evaluation_sets import held_out_ict
from .ict import IctFaceKit, load_ict
from .publish import publish
from .train import Trainer
from .train_config import TrainConfig

_NOSE_TIP = (30,)


def _without_blend_field(config: TrainConfig) -> TrainConfig:
    return replace(config, model=replace(config.model, anchors=_NOSE_TIP))


def _without_correction(config: TrainConfig) -> TrainConfig:
    return replace(config, model=replace(config.model, correction=False))


def _with_translations(config: TrainConfig) -> TrainConfig:
    return replace(config, model=replace(config.model, warp="translation"))


def _with_concatenation(config: TrainConfig) -> TrainConfig:
    return replace(config, model=replace(config.model, conditioning="concatenation"))


def _with_hypernetworks(config: TrainConfig) -> TrainConfig:
    return replace(config, model=replace(config.model, conditioning="hypernetwork"))


def _without_passers_by(config: TrainConfig) -> TrainConfig:
    return replace(config, passers_by=0, expressive_passers_by=0)


def _without_correspondence(config: TrainConfig) -> TrainConfig:
    """Passers-by go too: without partners their surface points alone teach the field to vanish."""
    return _without_passers_by(replace(config, losses=replace(config.losses, correspondence=0.0)))


VARIANTS: dict[str, Callable[[TrainConfig], TrainConfig]] = {
    "the whole method": lambda config: config,
    "one mini-net, no blend-field": _without_blend_field,
    "no correction": _without_correction,
    "translation, no SE(3)": _with_translations,
    "hypernetworks, no modulation": _with_hypernetworks,
    "concatenated code, no modulation": _with_concatenation,
    "no dense correspondence": _without_correspondence,
    "no passers-by": _without_passers_by,
}


@dataclass(frozen=True)
class Ablation:
    """Where the variants are trained, and on what.

    Attributes
    ----------
    cache : ScanCache
    data : Path
        The ICT-FaceKit data that the cache was prepared from.
    config : TrainConfig
        Of the whole method; its ``minutes`` are each variant's.
    folder : Path
        A folder per variant is made in it.
    """

    cache: ScanCache
    data: Path
    config: TrainConfig
    folder: Path

    def train(self, names: list[str]) -> bool:
        """Train the named variants, or go on with them; tells whether this process is the first
        of those that torchrun started."""
        first = True
        for name in names:
            trainer = Trainer(self.cache, self._of(name), VARIANTS[name](self.config), self.data)
            if trainer.checkpoint.is_file():
                trainer.resume()
            trainer.run()
            first = trainer.rank == 0
        return first

    def evaluate(
        self, names: list[str], people: int, progress: Callable[[str], None]
    ) -> dict[str, Any]:
        """Fit each trained variant to the scans of so many held-out people; returns, by variant,
        what ``learn.evaluate.summarise`` tells."""
        ict = load_ict(self.data)
        return {
            name: summarise(self._rows(name, ict, people, progress))["ImFace"] for name in names
        }

    def _rows(
        self, name: str, ict: IctFaceKit, people: int, progress: Callable[[str], None]
    ) -> list[Row]:
        folder = self._of(name)
        path, checkpoint = folder / BUNDLED.name, folder / "checkpoint.pt"
        head = path.with_name(HEAD_NAME)  # written last
        if not head.is_file() or head.stat().st_mtime < checkpoint.stat().st_mtime:
            save_face_model(publish(checkpoint, ict), path, half=True)
        scans = held_out_ict(ict, people)
        return evaluate_set("held-out ICT", scans, load_face_model(path), {}, folder, progress)

    def _of(self, name: str) -> Path:
        return self.folder / name.replace(",", "").replace(" ", "-")
