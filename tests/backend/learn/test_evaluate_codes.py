# SPDX-License-Identifier: GPL-3.0-or-later
"""The measure of carried vertices, on people whose true heads are those of their codes."""

from pathlib import Path

import pytest

from backend.checkpoint import FaceModel
from backend.face.correspondence import template_mesh
from backend.face.generate import generate
from backend.learn import evaluate_codes
from backend.learn.evaluate_codes import FittedPerson, carried, code_figures
from backend.learn.ict import IctFaceKit
from backend.model.imface import UNIT_MM


def _person(model: FaceModel, seed: int) -> FittedPerson:
    codes = generate(model, seed, 1.0, {})
    return FittedPerson(codes, template_mesh(model, codes).vertices * UNIT_MM, 1.0)


@pytest.mark.parametrize("way", ["fields", "topology"])
def test_what_is_carried_to_the_same_person_stays_where_it_is(bundled: FaceModel, way: str) -> None:
    figures = carried(bundled, [_person(bundled, 1)])[f"carried by the {way}"]
    assert figures["mean_mm"] < 0.01


def test_the_topology_carries_exactly_what_lies_on_it(bundled: FaceModel) -> None:
    """The fields alone are farther off: these two faces are several millimetres apart."""
    figures = carried(bundled, [_person(bundled, seed) for seed in (1, 2)])
    assert figures["carried by the topology"]["mean_mm"] < 0.01
    assert 0.01 < figures["carried by the fields"]["mean_mm"] < 2


def test_no_random_faces_have_no_figures(
    bundled: FaceModel, ict: IctFaceKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would take the place of those on the card."""
    for name in ("fit_people", "expression_errors", "swapped_codes", "carried", "gaps"):
        monkeypatch.setattr(evaluate_codes, name, lambda *_: {})
    monkeypatch.setattr(evaluate_codes, "mean_figures", lambda _: {})
    figures = code_figures(bundled, ict, people=2, faces=0, picture=Path("none.jpg"))
    assert figures["codes"] == {"swapped": {}}
