# SPDX-License-Identifier: GPL-3.0-or-later
"""Ablations: each variant lacks what its name says, and all are measured alike."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from backend import commands
from backend.__main__ import main
from backend.checkpoint import FaceModel
from backend.learn import ablate
from backend.learn import evaluate as evaluation
from backend.learn.ablate import VARIANTS, Ablation
from backend.learn.cache import ScanCache
from backend.learn.evaluate import IN_PLACE, Fitted, markdown
from backend.learn.evaluation_sets import EvaluationScan
from backend.learn.ict import IctFaceKit
from backend.learn.publish import publish
from backend.learn.train import Trainer
from backend.learn.train_config import TrainConfig
from backend.mesh import Mesh
from backend.model.sine import ConcatenatedNet, HyperNetwork, ModulatedNet

NAMES = ["the whole method", "no dense correspondence"]


@pytest.fixture
def ablation(
    cache: ScanCache, ict_file: Path, train_config: TrainConfig, tmp_path: Path
) -> Ablation:
    """Return ablations of two steps."""
    config = replace(train_config, steps=2, passers_by=2, passer_by_points=8)
    return Ablation(cache, ict_file, config, tmp_path / "ablations")


def test_each_variant_lacks_what_its_name_says(
    cache: ScanCache, ict_file: Path, train_config: TrainConfig, tmp_path: Path
) -> None:
    """Told by the network and the terms that come out of it, not by the settings."""
    config = replace(
        train_config,
        passers_by=2,
        expressive_passers_by=2,
        passer_by_points=8,
        model=replace(train_config.model, conditioning="modulation"),
    )
    trainers = {
        name: Trainer(cache, tmp_path / str(i), change(config), ict_file)
        for i, (name, change) in enumerate(VARIANTS.items())
    }
    values = {name: trainer.train_step() for name, trainer in trainers.items()}
    terms = {name: set(row) for name, row in values.items()}
    whole = "the whole method"
    met = {term for term in terms[whole] if term.startswith(("passers_by_", "expressive_"))}
    assert {"passers_by_sdf", "expressive_sdf"} <= met
    assert terms["no passers-by"] == terms[whole] - met
    assert terms["no dense correspondence"] == terms[whole] - met  # unweighted terms are logged
    fields = {n: t.model.imface.identity_field for n, t in trainers.items()}
    channels = {
        n: f.source.last_size[0] for n, f in fields.items() if isinstance(f.source, ModulatedNet)
    }
    assert channels[whole] == 5 * 7
    assert channels["one mini-net, no blend-field"] == 7
    assert channels["translation, no SE(3)"] == 5 * 4
    assert isinstance(fields["concatenated code, no modulation"].source, ConcatenatedNet)
    assert isinstance(fields["hypernetworks, no modulation"].source, HyperNetwork)
    assert values["no correction"]["correction"] == 0 < values[whole]["correction"]
    assert values["no correction"]["passers_by_correction"] == 0
    assert trainers["no dense correspondence"].config.losses.correspondence == 0


def _off_by_1mm(model: FaceModel, scan: EvaluationScan) -> Fitted:
    return Fitted(IN_PLACE, Mesh(scan.mesh.vertices * 1.0125 / 100, scan.mesh.polygons), 2.5)


def test_variants_are_trained_once_and_measured_in_one_table(
    ablation: Ablation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "fit_ours", _off_by_1mm)
    monkeypatch.setattr(evaluation, "measure", lambda scan, fitted: {"seconds": fitted.seconds})
    assert ablation.train(NAMES)
    checkpoints = sorted(ablation.folder.glob("*/checkpoint.pt"))
    assert len(checkpoints) == 2
    weights = [torch.load(path, weights_only=True)["step"] for path in checkpoints]
    assert weights == [2, 2]
    assert ablation.train(NAMES)  # goes on with them: they are at their end
    assert [torch.load(path, weights_only=True)["step"] for path in checkpoints] == weights
    table = ablation.evaluate(NAMES, 1, lambda scan: None)
    assert list(table) == NAMES
    assert table[NAMES[1]]["scans"] == {"fitted": 3, "failed": 0}
    assert table[NAMES[1]]["seconds"]["mean"] == 2.5
    text = markdown({"sets": {"ablations": table}})
    assert all(f"| {name} | " in text for name in NAMES)


def test_what_was_trained_on_is_published_anew(
    ablation: Ablation, monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[Path] = []

    def publish_and_note(checkpoint: Path, ict: IctFaceKit) -> FaceModel:
        published.append(checkpoint)
        return publish(checkpoint, ict)

    monkeypatch.setattr(evaluation, "fit_ours", _off_by_1mm)
    monkeypatch.setattr(evaluation, "measure", lambda scan, fitted: {"seconds": fitted.seconds})
    monkeypatch.setattr(ablate, "publish", publish_and_note)
    ablation.train(NAMES[:1])
    for _ in range(2):
        ablation.evaluate(NAMES[:1], 1, lambda scan: None)
    assert len(published) == 1
    published[0].touch()
    ablation.evaluate(NAMES[:1], 1, lambda scan: None)
    assert len(published) == 2
    published[0].with_name("head.safetensors").unlink()  # a kill between the two files
    ablation.evaluate(NAMES[:1], 1, lambda scan: None)
    assert len(published) == 3


def test_a_variant_that_does_not_exist_is_one_sentence(
    cache_folder: Path, ict_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "ablate" in commands.COMMANDS
    words = ["ablate", "--data", ict_file, "--cache", cache_folder, "--out", tmp_path]
    assert main([*map(str, words), "--variants", "no nose"]) == 2
    assert "There is no variant 'no nose'. Choose: the whole method" in capsys.readouterr().err
