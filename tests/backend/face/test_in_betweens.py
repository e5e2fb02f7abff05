# SPDX-License-Identifier: GPL-3.0-or-later
"""In-between shapes: as few as the tolerance allows, and what they add up to."""

import numpy as np
import pytest

from backend.checkpoint import FaceModel
from backend.codes import Codes
from backend.face.generate import generate
from backend.face.in_betweens import in_betweens, place_knots
from backend.face.shapes import expressed_mm, shape_keys

RAMP = np.linspace(0, 1, 65)[:, None]


def parabola(frame: int) -> np.ndarray:
    """Offsets of two vertices that grow with the square of the weight, to 1.6 mm."""
    return np.array([[0, 0, 1.6], [0, 0.4, 0]]) * RAMP[frame] ** 2


def silent(share: float, text: str) -> None:
    assert 0 <= share <= 1


# A chord over a width h of a parabola a x^2 is a h^2 / 4 off in its middle.
@pytest.mark.parametrize(("tolerance", "intervals"), [(0.41, 1), (0.11, 2), (0.026, 4), (0.02, 8)])
def test_a_parabola_is_halved_as_often_as_it_must(tolerance: float, intervals: int) -> None:
    knots, deviation = place_knots(parabola, RAMP, tolerance, silent)
    assert list(knots) == [i * 64 // intervals for i in range(intervals + 1)]
    assert deviation == pytest.approx(1.6 / intervals**2 / 4)


@pytest.mark.parametrize("spike", [0, 0.3])
def test_between_all_knots_the_tolerance_is_kept(spike: float) -> None:
    wave = 0.5 - 0.5 * np.cos(np.linspace(0, 9, 200))[:, None]
    true = [np.array([[2.0, 0, 0]]) * np.sqrt(w) for w in wave]
    true[101] = true[101] + spike  # where no weight foretells it
    knots, deviation = place_knots(true.__getitem__, wave, 0.05, silent)
    flat = np.array([offset[0] for offset in true])
    places, at_knots = list(knots), np.array([offset[0] for offset in knots.values()])
    straight = [np.interp(np.arange(200), places, axis) for axis in at_knots.T]
    off = np.linalg.norm(np.transpose(straight) - flat, axis=1)
    assert off.max() <= 0.05
    assert deviation == pytest.approx(off.max())
    assert len(knots) < 100


def test_where_nothing_moves_nothing_is_computed() -> None:
    held = np.repeat([[0.0], [0.7]], [30, 70], axis=0)
    asked: set[int] = set()

    def offsets(frame: int) -> np.ndarray:
        asked.add(frame)
        return np.full((1, 3), held[frame])

    knots, deviation = place_knots(offsets, held, 0.1, silent)
    assert {0, 29, 30, 99} <= knots.keys()
    assert deviation == 0
    assert len(asked) < 20


def test_few_frames_are_asked_for_long_after_they_were_first() -> None:
    wave = 0.5 - 0.5 * np.cos(np.arange(4000) / 7)[:, None]
    asked: list[int] = []

    def offsets(frame: int) -> np.ndarray:
        asked.append(frame)
        return np.array([[2.0, 0, 0]]) * np.sqrt(wave[frame])

    place_knots(offsets, wave, 0.05, silent)
    latest = {frame: i for i, frame in enumerate(asked)}
    again = [i - asked.index(frame) for frame, i in latest.items()]
    assert len(latest) == 4000
    assert np.mean(np.array(again) > 500) < 0.01


@pytest.mark.parametrize("frames", [1, 2])
def test_no_frames_in_between(frames: int) -> None:
    knots, deviation = place_knots(parabola, RAMP[:frames], 1e-9, silent)
    assert (list(knots), deviation) == (list(range(frames)), 0)


@pytest.fixture(scope="module")
def codes(bundled: FaceModel) -> Codes:
    """Return a random person."""
    return generate(bundled, 6)


def test_knots_lie_on_the_surface_of_the_mixed_codes(bundled: FaceModel, codes: Codes) -> None:
    names = ["jawOpen", "noseSneerLeft", "mouthSmileLeft"]
    weights = np.zeros((3, 3))
    weights[:, 0] = weights[:, 2] = [0, 0.4, 0.8]
    told: list[float] = []
    found = in_betweens(
        bundled, codes, names, weights, "face", 0.1, lambda share, _: told.append(share)
    )
    keys = shape_keys(bundled, codes, ["jawOpen", "mouthSmileLeft"], "face", lambda *_: None)
    mixed = keys.basis_mm + 0.8 * (keys.vertices_mm - keys.basis_mm).sum(axis=0)
    exact = expressed_mm(bundled, codes, {"jawOpen": 0.8, "mouthSmileLeft": 0.8}, "face")
    assert found.knots[0] == 0
    assert found.knots[-1] == 2
    assert found.offsets_mm.shape == (len(found.knots), 9409, 3)
    np.testing.assert_allclose(mixed + found.offsets_mm[-1], exact, atol=1e-3)
    assert np.abs(found.offsets_mm[0]).max() == 0  # neutral
    np.testing.assert_array_equal(found.basis_mm, keys.basis_mm)
    assert found.after_mm <= 0.1
    assert found.before_mm >= np.linalg.norm(found.offsets_mm, axis=2).max() - 1e-4
    assert found.measured == 3
    assert max(told) <= 1


def test_what_a_key_has_beyond_1_stays(bundled: FaceModel, codes: Codes) -> None:
    weights = np.array([[0.0], [1.0], [1.5]])
    found = in_betweens(bundled, codes, ["jawOpen"], weights, "face", 0.1, silent)
    assert (found.knots, found.measured) == ([0, 2], 2)
    assert found.before_mm < 1e-3  # at 1 the key is the surface itself
    assert np.abs(found.offsets_mm).max() < 1e-3


def test_a_still_animation_needs_the_neutral_alone(bundled: FaceModel, codes: Codes) -> None:
    found = in_betweens(bundled, codes, ["jawOpen"], np.zeros((50, 1)), "face", 0.1, silent)
    assert (found.knots, found.measured, found.before_mm) == ([0, 49], 1, 0)
