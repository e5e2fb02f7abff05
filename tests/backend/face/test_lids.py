# SPDX-License-Identifier: GPL-3.0-or-later
"""Lids lie on their eyeballs in every expression, lashes on the lids; eyeballs stay spheres."""

import numpy as np
import pytest

from backend.checkpoint import FaceModel
from backend.face.correspondence import require_head
from backend.face.gaze import sphere_centre
from backend.face.generate import generate
from backend.face.lids import clear_lids
from backend.face.seat_eyes import depths_in_ball
from backend.face.shapes import expressed_mm
from backend.face.skin import adjacency, skin
from backend.learn.evaluate_heads import head_faults, regions
from backend.model.imface import UNIT_MM
from backend.scan.align import best_similarity

#: People whose lids sank, shut, by 1.6, 1.1 and 1.4 mm.
PEOPLE = (2, 3, 7)
EXPRESSIONS = ("neutral", "eyeBlink", "eyeLookDown", "eyeLookIn")
SIDES = ("left", "right")


def _expressed(model: FaceModel, seed: int, name: str) -> np.ndarray:
    """Return a random person (V, 3), model units, with both eyes alike."""
    weights = {} if name == "neutral" else {name + side: 1.0 for side in ("Left", "Right")}
    return expressed_mm(model, generate(model, seed), weights, "head").astype(float) / UNIT_MM


@pytest.fixture(scope="module")
def heads(bundled: FaceModel) -> dict[tuple[int, str], np.ndarray]:
    """Return a few people in expressions of the eyes."""
    return {(seed, n): _expressed(bundled, seed, n) for seed in PEOPLE for n in EXPRESSIONS}


@pytest.fixture
def mean(bundled: FaceModel) -> np.ndarray:
    vertices: np.ndarray = require_head(bundled).template.vertices.double().numpy()
    return vertices


def test_no_lid_is_inside_an_eye(
    bundled: FaceModel, heads: dict[tuple[int, str], np.ndarray]
) -> None:
    looked_at = regions(require_head(bundled).template)
    for head in heads.values():
        assert head_faults(head, looked_at)["sunk_mm"] < 0.05


def test_lids_that_are_outside_stay(bundled: FaceModel, mean: np.ndarray) -> None:
    template = require_head(bundled).template
    np.testing.assert_allclose(clear_lids(template, mean), mean, atol=1e-9)


def test_lids_give_way_along_the_radius_smoothly_and_as_far_as_they_must(
    bundled: FaceModel, mean: np.ndarray
) -> None:
    template = require_head(bundled).template
    first, end, _, _ = template.parts["eyeball_left"]
    mean[first:end, 2] += 0.02
    centre = sphere_centre(mean[first:end])
    cleared = clear_lids(template, mean)
    moved = cleared - mean
    push = np.linalg.norm(moved, axis=1)
    outward = (moved * (mean - centre)).sum(1)
    lids = regions(template).eyes[0][1]
    assert depths_in_ball(mean[first:end], mean[lids]).max() > 0.015
    assert depths_in_ball(cleared[first:end], cleared[lids]).max() < 0
    np.testing.assert_allclose(outward[lids], (push * np.linalg.norm(mean - centre, axis=1))[lids])
    assert 0.015 < push.max() < 0.025
    face = template.parts["face"][1]
    edges = adjacency(template)[:face][:, :face].tocoo()
    assert np.abs(push[edges.row] - push[edges.col]).max() < 0.3 * push.max()
    assert push[skin(template)].max() == 0  # where the field leads
    assert push[first:end].max() == 0
    assert push[mean[:, 0] < 0].max() == 0  # the other eye


def test_lashes_begin_at_their_lids(
    bundled: FaceModel, mean: np.ndarray, heads: dict[tuple[int, str], np.ndarray]
) -> None:
    """Where they do on the mean head, they do on every one: lids carry them along."""
    parts = require_head(bundled).template.parts
    face = slice(*parts["face"][:2])
    for side in SIDES:
        lashes = np.arange(*parts[f"eyelashes_{side}"][:2])
        apart = np.linalg.norm(mean[lashes, None] - mean[None, face], axis=2)
        at = apart.argmin(1)
        roots = apart.min(1) * UNIT_MM < 0.01
        assert roots.sum() == 114
        for head in heads.values():
            off_mm = np.linalg.norm(head[lashes] - head[face][at], axis=1)[roots] * UNIT_MM
            assert off_mm.max() < 0.02


def test_eyeballs_are_the_same_body(
    bundled: FaceModel, mean: np.ndarray, heads: dict[tuple[int, str], np.ndarray]
) -> None:
    """Moved, turned and grown; in ICT's own held-out people up to 1.05 mm are left."""
    for side in SIDES:
        ball = slice(*require_head(bundled).template.parts[f"eyeball_{side}"][:2])
        for (seed, _), head in heads.items():
            known = best_similarity(mean[ball], head[ball])
            off_mm = np.linalg.norm(known.apply(mean[ball]) - head[ball], axis=1) * UNIT_MM
            assert off_mm.max() < 1.0
            neutral = heads[seed, "neutral"][ball]
            motion = best_similarity(neutral, head[ball])
            assert abs(motion.scale - 1) < 1e-4
            assert np.abs(motion.apply(neutral) - head[ball]).max() * UNIT_MM < 0.01
