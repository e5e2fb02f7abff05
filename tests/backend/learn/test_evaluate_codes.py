# SPDX-License-Identifier: GPL-3.0-or-later
"""The measure of carried vertices, on people whose true heads are those of their codes."""

import pytest

from backend.checkpoint import FaceModel
from backend.face.correspondence import template_mesh
from backend.face.generate import generate
from backend.learn.evaluate_codes import FittedPerson, carried
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
