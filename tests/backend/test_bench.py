# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmarks' own procedures fit the bundled model."""

import pytest

from backend.checkpoint import FaceModel
from tests.bench import run_bench


def test_a_step_of_the_released_fit_moves_both_codes(
    bundled: FaceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_bench, "RELEASED_POINTS", 500)
    identity, expression = run_bench._released_step(bundled)
    assert identity.shape[1] == len(bundled.identity_prior.mean)
    assert identity.abs().max() > 0
    assert expression.abs().max() > 0
