# SPDX-License-Identifier: GPL-3.0-or-later
"""Upper teeth stand in the skull, lower ones move with the jaw, and all keep their shape."""

import numpy as np
import pytest

from backend.checkpoint import FaceModel
from backend.face.correspondence import propose, require_head
from backend.face.generate import generate
from backend.face.shapes import expressed_mm
from backend.face.teeth import _jaw, stiffen_teeth
from backend.model.imface import UNIT_MM
from backend.scan.align import best_rigid

PEOPLE = (1, 8)
EXPRESSIONS = ("jawOpen", "jawLeft", "mouthFunnel", "cheekPuff", "mouthPucker")

Pair = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def pairs(bundled: FaceModel) -> dict[tuple[int, str], Pair]:
    """Return heads [mm], neutral and in an expression."""
    return {
        (seed, name): (
            expressed_mm(bundled, generate(bundled, seed), {}, "head"),
            expressed_mm(bundled, generate(bundled, seed), {name: 1.0}, "head"),
        )
        for seed in PEOPLE
        for name in EXPRESSIONS
    }


def test_upper_teeth_stand_still(bundled: FaceModel, pairs: dict[tuple[int, str], Pair]) -> None:
    template = require_head(bundled).template
    upper = np.setdiff1d(np.arange(*template.parts["teeth"][:2]), _jaw(template).teeth)
    assert len(upper) > 2000
    for neutral, moved in pairs.values():
        assert np.linalg.norm((moved - neutral)[upper], axis=1).max() < 0.01


def test_lower_teeth_move_stiffly_with_the_jaw(
    bundled: FaceModel, pairs: dict[tuple[int, str], Pair]
) -> None:
    lower = _jaw(require_head(bundled).template).teeth
    for (_, name), (neutral, moved) in pairs.items():
        motion = best_rigid(neutral[lower], moved[lower])
        off = np.linalg.norm(motion.apply(neutral[lower]) - moved[lower], axis=1)
        assert off.max() < 0.005
        far = np.linalg.norm((moved - neutral)[lower], axis=1).max()
        assert far > 5 if name.startswith("jaw") else far < 0.05


def test_gums_go_along_with_the_teeth_in_them(bundled: FaceModel) -> None:
    template = require_head(bundled).template
    jaw = _jaw(template)
    neutral = propose(bundled, generate(bundled, 1))
    moved = neutral.copy()
    moved[jaw.teeth, 0] *= 1.1  # a wider row
    stiff = stiffen_teeth(template, neutral, moved)
    correction, follows = ((stiff - moved)[rows] * UNIT_MM for rows in (jaw.teeth, jaw.gums))
    assert np.abs(correction).max() > 1
    np.testing.assert_allclose(follows, jaw.share[:, None] * correction[jaw.nearest], atol=1e-9)
    others = np.setdiff1d(np.arange(len(moved)), np.concatenate([jaw.teeth, jaw.gums]))
    np.testing.assert_array_equal(stiff[others], moved[others])
