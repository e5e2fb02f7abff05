# SPDX-License-Identifier: GPL-3.0-or-later
"""Eyeballs are stiff, stay in their sockets and look where the expression's name says."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from backend.checkpoint import FaceModel
from backend.codes import Codes
from backend.face.correspondence import require_head
from backend.face.gaze import sphere_centre, turn_eyeballs
from backend.face.generate import generate
from backend.face.shapes import expressed_mm, shape_keys

SIDES = ("left", "right")


@pytest.fixture(scope="module")
def codes(bundled: FaceModel) -> Codes:
    """Return a random person."""
    return generate(bundled, 4)


def rigid_fit(before: np.ndarray, after: np.ndarray) -> tuple[Rotation, float]:
    """Return the best rotation of points (N, 3) and what it leaves of the largest distance."""
    a, b = before - before.mean(0), after - after.mean(0)
    turn, _ = Rotation.align_vectors(b, a)
    return turn, float(np.linalg.norm(turn.apply(a) - b, axis=1).max())


def test_the_centre_of_a_part_of_a_sphere() -> None:
    directions = np.random.default_rng(0).normal(size=(50, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    points = np.array([1.0, -2.0, 3.0]) + 0.7 * directions * np.sign(directions[:, 2:])
    np.testing.assert_allclose(sphere_centre(points), [1, -2, 3], atol=1e-9)


# Where the pupil goes from +Z: the person's left is at +X, up at +Y.
GAZES = {
    "eyeLookOutLeft": ("left", (1, 0)),
    "eyeLookInLeft": ("left", (-1, 0)),
    "eyeLookOutRight": ("right", (-1, 0)),
    "eyeLookInRight": ("right", (1, 0)),
    "eyeLookUpLeft": ("left", (0, 1)),
    "eyeLookDownRight": ("right", (0, -1)),
}


@pytest.mark.parametrize("name", GAZES)
def test_a_gaze_turns_one_eye_by_thirty_degrees(bundled: FaceModel, name: str) -> None:
    template = require_head(bundled).template
    head = 100 * template.vertices.numpy().astype(np.float64)
    turned = turn_eyeballs(template, head, {name: 1.0})
    side, toward = GAZES[name]
    first, end = template.parts[f"eyeball_{side}"][:2]
    turn, rest = rigid_fit(head[first:end], turned[first:end])
    assert rest < 1e-6
    np.testing.assert_allclose(
        turn.apply([0, 0, 1]), [*np.multiply(toward, 0.5), 0.75**0.5], atol=1e-9
    )
    centres = sphere_centre(head[first:end]), sphere_centre(turned[first:end])
    np.testing.assert_allclose(*centres, atol=1e-6)
    others = np.delete(np.arange(len(head)), np.arange(first, end))
    assert (turned[others] == head[others]).all()


def test_gazes_mix(bundled: FaceModel) -> None:
    template = require_head(bundled).template
    head = template.vertices.numpy()
    weights = {"eyeLookUpLeft": 0.3, "eyeLookOutLeft": 0.4, "jawOpen": 1.0}
    first, end = template.parts["eyeball_left"][:2]
    turn, _ = rigid_fit(head[first:end], turn_eyeballs(template, head, weights)[first:end])
    assert np.degrees(turn.magnitude()) == pytest.approx(15)  # 3, 4, 5


def test_the_face_alone_has_no_eyeballs_to_turn(bundled: FaceModel) -> None:
    template = require_head(bundled).template
    face = template.vertices.numpy()[: template.parts["face"][1]]
    assert (turn_eyeballs(template, face, {"eyeLookUpLeft": 1.0}) == face).all()


def test_in_shape_keys_every_eyeball_is_a_rigid_image(bundled: FaceModel, codes: Codes) -> None:
    names = ["eyeLookDownLeft", "eyeLookInRight", "eyeBlinkLeft", "jawOpen", "mouthSmileRight"]
    keys = shape_keys(bundled, codes, names, "head", lambda *_: None)
    parts = require_head(bundled).template.parts
    looking = {("eyeLookDownLeft", "left"), ("eyeLookInRight", "right")}
    for name, vertices in zip(names, keys.vertices_mm, strict=True):
        for side in SIDES:
            first, end = parts[f"eyeball_{side}"][:2]
            turn, rest_mm = rigid_fit(keys.basis_mm[first:end], vertices[first:end])
            assert rest_mm < 0.05
            expected = 30 if (name, side) in looking else 0
            assert np.degrees(turn.magnitude()) == pytest.approx(expected, abs=0.1)


def test_a_mix_looks_halfway(bundled: FaceModel, codes: Codes) -> None:
    first, end = require_head(bundled).template.parts["eyeball_right"][:2]
    neutral = expressed_mm(bundled, codes, {}, "head")[first:end]
    mix = {"eyeLookOutRight": 0.5, "mouthSmileRight": 0.5}
    turn, rest_mm = rigid_fit(neutral, expressed_mm(bundled, codes, mix, "head")[first:end])
    assert rest_mm < 0.05
    assert np.degrees(turn.magnitude()) == pytest.approx(15, abs=0.1)
