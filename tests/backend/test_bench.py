# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmarks' own procedures fit the bundled model."""

from pathlib import Path

import numpy as np
import pytest

from backend.checkpoint import FaceModel
from backend.scan.sampling import SdfSamples
from tests.bench import released_fit
from tests.bench.released_fit import ReleasedFit, run_to_the_end


@pytest.fixture
def samples() -> SdfSamples:
    """Points around a flat face, with their distances."""
    points = np.random.default_rng(0).uniform(-0.3, 0.3, (500, 3))
    return SdfSamples(points, points[:, 2], np.tile([0.0, 0, 1], (500, 1)), 0)


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(released_fit, "POINTS", 100)
    monkeypatch.setattr(released_fit, "STEPS", 4)
    monkeypatch.setattr(released_fit, "_SAVED_STEPS", 2)


def test_the_released_fit_lowers_its_loss_by_both_codes(
    bundled: FaceModel, samples: SdfSamples
) -> None:
    fit = ReleasedFit(bundled, samples, samples.points[:68])
    before = [code.detach().clone() for code in fit.codes]
    losses = [fit.step() for _ in range(20)]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    for code, at_first in zip(fit.codes, before, strict=True):
        assert (code - at_first).abs().max() > 0.01


def test_a_released_fit_that_was_stopped_ends_as_one_that_was_not(
    bundled: FaceModel, samples: SdfSamples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, first, second = (ReleasedFit(bundled, samples, samples.points[:68]) for _ in range(3))
    run_to_the_end(whole, tmp_path / "whole.pt")
    with monkeypatch.context() as stopped:
        stopped.setattr(released_fit, "STEPS", 2)
        before = run_to_the_end(first, tmp_path / "parts.pt")
    assert run_to_the_end(second, tmp_path / "parts.pt") > before
    np.testing.assert_array_equal(second.found().identity, whole.found().identity)
    assert not np.array_equal(first.found().identity, whole.found().identity)
