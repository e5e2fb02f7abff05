# SPDX-License-Identifier: GPL-3.0-or-later
"""The training loop: it learns, resumes to the bit, and several processes act as one."""

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from backend.errors import BackendError, DataError
from backend.learn.cache import DatasetConfig, ScanCache, ScanSource, prepare
from backend.learn.ict import IctFaceKit
from backend.learn.ict_scans import IctScans
from backend.learn.train import TrainedModel, Trainer
from backend.learn.train_config import TrainConfig, load_config

ROOT = Path(__file__).resolve().parents[3]
CONFIG = """
steps = 4
scans = 4
points = 64
piece = 2
bfloat16 = false
[model]
identity_dim = 8
expression_dim = 6
identity_hidden = 16
expression_hidden = 12
hidden_layers = 1
identity_hyper_hidden = 10
expression_hyper_hidden = 14
[losses]
correspondence = 0
"""


def _equal(a: TrainedModel, b: TrainedModel) -> bool:
    theirs = b.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in a.state_dict().items())


def test_training_lowers_the_loss(
    cache: ScanCache, train_config: TrainConfig, tmp_path: Path
) -> None:
    trainer = Trainer(cache, tmp_path, train_config)
    terms = [trainer.train_step() for _ in range(20)]
    totals = [term["total"] for term in terms]
    assert np.mean(totals[-4:]) < 0.7 * np.mean(totals[:4])
    assert terms[-1]["sdf"] < terms[0]["sdf"]
    assert trainer.progress == 1


def test_the_run_ends_with_its_schedule(
    cache: ScanCache, train_config: TrainConfig, tmp_path: Path
) -> None:
    trainer = Trainer(cache, tmp_path, train_config)
    trainer.run()
    assert trainer.step == 20
    assert trainer.checkpoint.is_file()
    assert not list(tmp_path.glob("*.partial"))
    rows = _losses(tmp_path)
    assert [row["step"] for row in rows] == ["20"]
    assert float(rows[0]["total"]) > 0
    assert (tmp_path / "losses.png").stat().st_size > 1000


def test_a_resumed_run_is_the_unbroken_one_to_the_bit(
    cache: ScanCache, train_config: TrainConfig, tmp_path: Path
) -> None:
    config = replace(train_config, steps=6)
    unbroken = Trainer(cache, tmp_path / "unbroken", config)
    wanted = [unbroken.train_step() for _ in range(6)]
    first = Trainer(cache, tmp_path / "broken", config)
    got = [first.train_step() for _ in range(3)]
    first.save()
    second = Trainer(cache, tmp_path / "broken", config)
    second.resume()
    assert second.step == 3
    got += [second.train_step() for _ in range(3)]
    assert got == wanted
    assert _equal(second.model, unbroken.model)


@pytest.fixture
def heeded() -> Iterator[None]:
    """Have Ctrl-C and SIGTERM as a process has them that was just started."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    assert {number: signal.getsignal(number) for number in usual} == usual
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize("told", [[signal.SIGINT], [signal.SIGTERM] * 2])
def test_a_run_that_is_told_to_end_goes_on_from_its_last_step(
    cache: ScanCache,
    train_config: TrainConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    told: list[int],
) -> None:
    def ended(trainer: Trainer) -> dict[str, float]:
        for number in told if trainer.step == 3 else ():
            signal.raise_signal(number)
        return step(trainer)

    step, config = Trainer.train_step, replace(train_config, steps=6)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", ended)
        with pytest.raises(KeyboardInterrupt):
            Trainer(cache, tmp_path / "broken", config).run()
    assert not (tmp_path / "broken" / "losses.png").exists()
    second = Trainer(cache, tmp_path / "broken", config)
    second.resume()
    assert second.step == 4
    second.run()
    unbroken = Trainer(cache, tmp_path / "unbroken", config)
    unbroken.run()
    assert _equal(second.model, unbroken.model)


def _losses(folder: Path) -> list[dict[str, str]]:
    with open(folder / "losses.csv") as file:
        return list(csv.DictReader(file))


def test_a_resumed_run_has_each_step_once_in_its_losses(
    cache: ScanCache, train_config: TrainConfig, tmp_path: Path
) -> None:
    steps = [20, 40, 45]
    first = Trainer(cache, tmp_path, replace(train_config, steps=45))
    first.step = 25
    first.save()
    first.step = 0
    (tmp_path / "losses.csv").write_text("step,seconds,sdf,old\n20,1.0,0.5,7\n40,2.0,0.5,7\n")
    second = Trainer(cache, tmp_path, replace(train_config, steps=45))
    second.resume()
    second.run()  # ends by drawing them
    rows = _losses(tmp_path)
    assert [int(row["step"]) for row in rows] == steps
    assert [row["old"] for row in rows] == ["7", "", ""]
    assert rows[0]["total"] == ""
    assert float(rows[1]["total"]) > 0
    assert (tmp_path / "losses.png").is_file()


def test_a_new_run_begins_its_losses_anew(
    cache: ScanCache, train_config: TrainConfig, tmp_path: Path
) -> None:
    (tmp_path / "losses.csv").write_text("step,seconds,old\n20,1.0,7\n40,2.0,7\n")
    Trainer(cache, tmp_path, train_config).run()
    (row,) = _losses(tmp_path)
    assert row["step"] == "20"
    assert "old" not in row


def test_nothing_to_resume_is_one_sentence(
    cache: ScanCache, train_config: TrainConfig, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="no checkpoint to resume. Start without --resume."):
        Trainer(cache, tmp_path, train_config).resume()


def test_another_cache_is_not_trained_on_unawares(
    cache: ScanCache, train_config: TrainConfig, tmp_path: Path
) -> None:
    trainer = Trainer(cache, tmp_path, train_config)
    trainer.save()
    trainer.cache.key, key = "another", trainer.cache.key
    try:
        with pytest.raises(DataError, match="was trained on another cache. Give that one"):
            trainer.resume()
    finally:
        cache.key = key


def test_a_run_goes_on_with_its_own_settings_only(
    cache: ScanCache, train_config: TrainConfig, tmp_path: Path
) -> None:
    Trainer(cache, tmp_path, train_config).save()
    Trainer(cache, tmp_path, replace(train_config, piece=1, checkpoint_minutes=9)).resume()
    losses = replace(train_config.losses, normal=7)
    others = replace(train_config, steps=7, seed=3, minutes=9, losses=losses)
    sentence = "begun with other settings: minutes, seed, losses.normal. Give the same --config"
    with pytest.raises(DataError, match=sentence):
        Trainer(cache, tmp_path, others).resume()


def test_a_run_may_go_on_with_another_schedule(
    cache: ScanCache,
    train_config: TrainConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Trainer(cache, tmp_path, replace(train_config, minutes=5)).save()
    slower = Trainer(cache, tmp_path, replace(train_config, minutes=9, learning_rate=1e-4))
    slower.resume()
    said = "other settings: minutes 9 instead of 5, learning_rate 0.0001 instead of 0.003."
    assert said in capsys.readouterr().err
    slower.save()
    again = Trainer(cache, tmp_path, slower.config)
    again.resume()
    assert capsys.readouterr().err == ""
    with pytest.raises(DataError, match="other settings: minutes"):
        Trainer(cache, tmp_path, replace(slower.config, minutes=0)).resume()


def test_more_points_than_a_scan_has_are_refused(
    cache: ScanCache, train_config: TrainConfig, tmp_path: Path
) -> None:
    most = replace(train_config, points=cache.most_points, gradient_stride=50)
    assert np.isfinite(Trainer(cache, tmp_path, most).train_step()["total"])
    with pytest.raises(DataError, match=f"Set 'points' to {cache.most_points} at most"):
        Trainer(cache, tmp_path, replace(most, points=cache.most_points + 1))


def test_a_run_starts_from_another_one_with_fewer_people(
    cache: ScanCache,
    train_config: TrainConfig,
    ict_file: Path,
    data_config: DatasetConfig,
    tmp_path: Path,
) -> None:
    first = Trainer(cache, tmp_path / "first", train_config)
    first.train_step()
    first.save()
    known = len(first.model.identities.directions)
    more = replace(data_config, further_identities=2, components=known)
    prepare(IctScans(ict_file, more), tmp_path / "cache", workers=1)
    second = Trainer(ScanCache(tmp_path / "cache"), tmp_path / "second", train_config)
    drawn = second.model.identities.coefficients.clone()
    second.start_from(first.checkpoint)
    assert _equal(second.model.imface, first.model.imface)
    free = second.model.identities.free
    assert free.shape[0] == 5
    assert torch.equal(free[:3], first.model.identities.free)
    assert free[:3].any()
    assert not free[3:].any()
    assert torch.equal(second.model.identities.coefficients, drawn)
    assert not torch.equal(drawn[:3], first.model.identities.coefficients)  # along other axes
    codes, wanted = (t.model.identities(torch.arange(3))[0] for t in (second, first))
    as_before = drawn[:3] @ first.model.identities.directions + free[:3]
    off, off_as_before = ((c - wanted).norm() for c in (codes, as_before))
    assert off < 0.7 * off_as_before
    assert second.step == 0
    second.train_step()


def test_a_run_on_scans_of_which_nothing_is_known_starts_from_one_on_ict_faces(
    cache: ScanCache, spheres: ScanSource, train_config: TrainConfig, tmp_path: Path
) -> None:
    first = Trainer(cache, tmp_path / "first", train_config)
    first.train_step()
    first.save()
    prepare(spheres, tmp_path / "cache", workers=1)
    second = Trainer(ScanCache(tmp_path / "cache"), tmp_path / "second", train_config)
    free = second.model.identities.free.clone()
    second.start_from(first.checkpoint)
    assert _equal(second.model.imface, first.model.imface)
    assert torch.equal(second.model.identities.free, free)
    second.train_step()


def test_a_run_does_not_start_from_another_network(
    cache: ScanCache, train_config: TrainConfig, tmp_path: Path
) -> None:
    first = Trainer(cache, tmp_path / "first", train_config)
    first.save()
    wider = replace(train_config, model=replace(train_config.model, identity_dim=9))
    with pytest.raises(DataError, match="has another shape. Train anew."):
        Trainer(cache, tmp_path / "second", wider).start_from(first.checkpoint)


@pytest.mark.parametrize("piece", [1, 3, 4, 5, 8])
def test_the_size_of_a_piece_changes_nothing(
    cache: ScanCache, train_config: TrainConfig, tmp_path: Path, piece: int
) -> None:
    whole = Trainer(cache, tmp_path, replace(train_config, scans=5, piece=5)).train_step()
    pieces = Trainer(cache, tmp_path, replace(train_config, scans=5, piece=piece))
    terms = pieces.train_step()
    for name in whole:
        assert terms[name] == pytest.approx(whole[name], rel=1e-4, abs=1e-7), name


def test_a_loss_that_is_no_number_stops_and_keeps_the_checkpoint(
    cache: ScanCache, train_config: TrainConfig, tmp_path: Path
) -> None:
    trainer = Trainer(cache, tmp_path, train_config)
    trainer.train_step()
    trainer.save()
    before = trainer.checkpoint.read_bytes()
    with torch.no_grad():
        trainer.model.identities.free.fill_(float("nan"))
    elsewhere = Trainer(cache, tmp_path / "none", train_config)
    elsewhere.model.load_state_dict(trainer.model.state_dict())
    with pytest.raises(BackendError, match="at step 0; there is no checkpoint yet. Lower"):
        elsewhere.run()
    with pytest.raises(BackendError, match="not a number at step 1; the last good checkpoint"):
        trainer.run()
    assert trainer.checkpoint.read_bytes() == before
    again = Trainer(cache, tmp_path, train_config)
    again.resume()
    assert np.isfinite(again.train_step()["total"])


@pytest.mark.parametrize(
    "problem",
    [OSError("No space left on device"), RuntimeError("[enforce fail at inline_container.cc]")],
)
def test_a_crash_while_saving_keeps_the_checkpoint(
    problem: Exception,
    cache: ScanCache,
    train_config: TrainConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer = Trainer(cache, tmp_path, train_config)
    trainer.save()
    before = trainer.checkpoint.read_bytes()

    def crash(state: object, path: Path) -> None:
        path.write_bytes(b"half a checkpoint")
        raise problem

    monkeypatch.setattr(torch, "save", crash)
    with pytest.raises(
        (OSError, BackendError), match="No space|could not be written; the one before"
    ):
        trainer.save()
    assert trainer.checkpoint.read_bytes() == before
    trainer.checkpoint.unlink()
    with pytest.raises((OSError, BackendError), match=r"No space|is none yet\. .* and start again"):
        trainer.save()


def test_the_learning_rate_rises_and_falls(
    cache: ScanCache, train_config: TrainConfig, tmp_path: Path
) -> None:
    trainer = Trainer(cache, tmp_path, replace(train_config, steps=100, warmup=4))
    rates = []
    for step in range(101):
        trainer.step = step
        trainer._set_learning_rate()
        rates.append(trainer.optimizer.param_groups[0]["lr"] / train_config.learning_rate)
    assert rates[0] == pytest.approx(0.25)
    assert rates[3] == pytest.approx(1, abs=0.01)
    assert rates[50] == pytest.approx(0.505)
    assert rates[100] == pytest.approx(0.01)
    assert rates[4:] == sorted(rates[4:], reverse=True)


def test_a_new_model_has_a_row_per_scan(
    ict: IctFaceKit, cache: ScanCache, train_config: TrainConfig
) -> None:
    model = TrainedModel(cache.table, train_config)
    assert model.identities.free.shape == (3, 8)
    assert model.expressions.free.shape == (6, 6)
    np.testing.assert_allclose(model.imface.template_landmarks, ict.mean[ict.landmarks], atol=1e-7)
    assert _equal(model, TrainedModel(cache.table, train_config))
    assert not _equal(model, TrainedModel(cache.table, replace(train_config, seed=1)))


def test_codes_start_at_images_of_the_coefficients(
    cache: ScanCache, train_config: TrainConfig
) -> None:
    model = TrainedModel(cache.table, train_config)
    identity, _ = model.identities(torch.arange(3))
    known = torch.from_numpy(cache.table.identity_coefficients).float()
    torch.testing.assert_close(
        torch.pdist(identity), train_config.identity_scale * torch.pdist(known)
    )
    expression, _ = model.expressions(torch.arange(6))
    np.testing.assert_array_equal((expression == 0).all(1), cache.table.is_neutral)


def test_only_the_free_parts_of_codes_are_kept_small(
    cache: ScanCache, train_config: TrainConfig, tmp_path: Path
) -> None:
    trainer = Trainer(cache, tmp_path, replace(train_config, scans=5))
    with torch.no_grad():
        trainer.model.identities.free.fill_(0.5)
        trainer.model.expressions.free.fill_(-2.0)
    terms = trainer.train_step()
    assert terms["identity_code"] == pytest.approx(0.25)
    assert terms["expression_code"] == pytest.approx(4.0)


def test_every_scan_moves_the_directions_and_only_its_own_free_part(
    cache: ScanCache, train_config: TrainConfig, tmp_path: Path
) -> None:
    trainer = Trainer(cache, tmp_path, train_config)
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    trainer.train_step()
    moved = {n: (t != before[n]) for n, t in trainer.model.state_dict().items()}
    drawn = set(cache.batches(0, train_config.seed, train_config.scans, 64).scan.tolist())
    assert 0 < len(drawn) < 6
    assert set(np.flatnonzero(moved["expressions.free"].any(1))) == drawn
    shown = cache.table.expression_coefficients[sorted(drawn)].any(0)
    np.testing.assert_array_equal(moved["expressions.directions"].any(1), shown)
    assert not moved["expressions.coefficients"].any()


def test_scans_without_partners_or_coefficients_are_learned_as_the_paper_does(
    spheres: ScanSource, train_config: TrainConfig, tmp_path: Path
) -> None:
    prepare(spheres, tmp_path / "cache", workers=1)
    trainer = Trainer(ScanCache(tmp_path / "cache"), tmp_path, train_config)
    terms = [trainer.train_step() for _ in range(20)]
    assert "correspondence" not in terms[0]
    assert np.mean([t["total"] for t in terms[-4:]]) < 0.7 * np.mean(
        [t["total"] for t in terms[:4]]
    )
    trainer.save()
    again = Trainer(ScanCache(tmp_path / "cache"), tmp_path, train_config)
    again.resume()
    assert _equal(again.model, trainer.model)


PROCESS = """
import json, sys
from dataclasses import replace
from pathlib import Path
import torch
from backend.learn.cache import ScanCache
from backend.learn.train import Trainer
from backend.learn.train_config import load_config
torch.set_num_threads(1)
cache, config, out = map(Path, sys.argv[1:])
trainer = Trainer(ScanCache(cache), out, load_config(config))
totals = [trainer.train_step()["total"] for _ in range(4)]
trainer.save()
text = json.dumps({"processes": trainer.processes, "totals": totals})
(out / f"rank{trainer.rank}.json").write_text(text)
"""


def test_two_processes_learn_as_one(cache: ScanCache, cache_folder: Path, tmp_path: Path) -> None:
    """Over gloo on loopback, as torchrun starts them."""
    (tmp_path / "process.py").write_text(PROCESS)
    (tmp_path / "config.toml").write_text(CONFIG)
    out = tmp_path / "two"
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    arguments = [tmp_path / "process.py", cache_folder, tmp_path / "config.toml", out]
    done = subprocess.run(
        [*run, *map(str, arguments)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    ranks = [json.loads((out / f"rank{rank}.json").read_text()) for rank in range(2)]
    assert [rank["processes"] for rank in ranks] == [2, 2]
    one = Trainer(cache, tmp_path / "one", load_config(tmp_path / "config.toml"))
    wanted = [one.train_step()["total"] for _ in range(4)]
    for rank in ranks:  # each tells the mean of both
        np.testing.assert_allclose(rank["totals"], wanted, rtol=1e-4)
    two = torch.load(out / "checkpoint.pt", weights_only=True)["model"]
    for name, tensor in one.model.state_dict().items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-3, atol=1e-4, msg=name)


def test_a_file_changes_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(CONFIG)
    config = load_config(tmp_path / "config.toml")
    assert (config.steps, config.bfloat16, config.model.identity_dim) == (4, False, 8)
    assert config.losses.correspondence == 0
    assert config.losses.sdf == 3000
    assert config.data == TrainConfig().data
    assert load_config(None) == TrainConfig()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("step = 3", "The configuration has no setting 'step'. Check its spelling."),
        ("[model]\nlayers = 3", r"no setting 'model\.layers'. Check its spelling."),
        ("[losses]\nsdf_loss = 1", r"no setting 'losses\.sdf_loss'"),
        ("steps = ", "cannot be read: .*. Mend it."),
        ("steps = 1\nsteps = 2", "cannot be read"),
        ("model = 3", "'model'"),
        ("steps = 'many'", "'steps'"),
        ("[model]\nwarp = 'se4'", "'warp' is one of: se3, translation. Change it."),
        ("gradient_stride = 0", "'gradient_stride' has to be 1 at least. Change it."),
        ("warmup = 0", "'warmup' has to be 1 at least"),
        ("passer_by_points = 0", "'passer_by_points' has to be 1 at least"),
        ("[model]\nconditioning = 'no'", "'conditioning' is one of: hypernetwork, modulation, "),
        ("learning_rate = -1e-3", "'learning_rate' is -0.001. Give it a number from 0 up."),
        ("[losses]\nsdf = nan", r"'losses\.sdf' is nan. Give it a number from 0 up."),
        ("[data]\nseed = -1", r"'data\.seed' is -1. Give"),
        ("[data]\nexpressions = 0", "'expressions' has to be 1 at least. Change it."),
        ("[data]\nnarrowest = 0.5", "'narrowest' is more than 'widest'. Change it."),
        ("[model]\nidentity_dim = 0", "'identity_dim' has to be 1 at least. Change it."),
        ("[model]\nanchors = []", "'anchors' are some of the 68 landmarks, counted from 0. Ch"),
        ("[model]\nanchors = [30, 68]", "'anchors' are some of the 68 landmarks"),
    ],
)
def test_a_bad_configuration_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(DataError, match=sentence):
        load_config(tmp_path / "config.toml")


def test_a_missing_configuration_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        load_config(tmp_path / "none.toml")


def test_a_configuration_may_begin_as_windows_writes_it(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("# Größe\nsteps = 7\n", "utf-8-sig")
    assert load_config(file).steps == 7
    file.write_text("# Größe\nsteps = 7\n", "utf-16")
    with pytest.raises(DataError, match="cannot be read: 'utf-8' codec"):
        load_config(file)
