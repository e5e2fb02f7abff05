# SPDX-License-Identifier: GPL-3.0-or-later
"""Depth images and the error between them, on surfaces whose depths are known."""

import numpy as np
import pytest

from backend.scan.relief import WORST, depths, face_relief, relief_error


def _surface(height: float, bumps: float, seed: int = 0, count: int = 60_000) -> np.ndarray:
    """Return points (N, 3) of a square with a nose and two eye sockets."""
    x, y = np.random.default_rng(seed).uniform(-0.8, 0.8, (2, count))
    nose = np.exp(-(x**2 + y**2) / 0.02)
    eyes = np.exp(-((np.abs(x) - 0.3) ** 2 + (y - 0.3) ** 2) / 0.02)
    return np.stack([x, y, height + bumps * (nose - 0.5 * eyes)], axis=1)


@pytest.fixture(scope="module")
def relief() -> np.ndarray:
    """Return the relief of such a square."""
    return face_relief(_surface(0.1, 0.2))


def test_depths_are_those_of_the_surface() -> None:
    """A plane z = x / 2, and another one behind it that is not seen."""
    x, y = np.random.default_rng(0).uniform(-0.8, 0.8, (2, 60_000))
    front = np.stack([x, y, x / 2], axis=1)
    image = depths(np.concatenate([front, front - [0, 0, 0.3]]))
    assert image.shape == (32, 32)
    middle = (np.arange(32) + 0.5) * 0.05 - 0.8
    # A pixel holds the foremost of its points, half a pixel to the right at most.
    wanted = np.broadcast_to(middle / 2 + 0.0125, image.shape)
    np.testing.assert_allclose(image[1:-1, 1:-1], wanted[1:-1, 1:-1], atol=0.008)


def test_a_single_point_before_the_surface_is_not_seen() -> None:
    points = np.concatenate([_surface(0.0, 0.0), [[0.31, 0.32, 0.7]]])
    np.testing.assert_allclose(depths(points), 0)


def test_where_nothing_is_depths_are_nan() -> None:
    points = _surface(0.0, 0.0)
    image = depths(points[points[:, 0] < 0])
    assert np.isnan(image[:, 18:]).all()
    assert np.isfinite(image[:, :15]).all()
    assert np.isnan(depths(points + np.array([5, 0, 0]))).all()


def test_a_relief_is_the_middle_of_a_face(relief: np.ndarray) -> None:
    y, x = (np.indices(relief.shape) + 0.5) * 0.05 - 0.8
    inside = np.isfinite(relief)
    assert inside[np.hypot(x, y) < 0.5].all()
    assert not inside[np.hypot(x, y) > 0.65].any()


def test_a_face_has_no_error_against_itself(relief: np.ndarray) -> None:
    assert relief_error(_surface(0.1, 0.2), relief) == pytest.approx(0, abs=1e-9)
    assert relief_error(_surface(0.1, 0.2, seed=1), relief) < 0.01


def test_a_shift_is_the_error(relief: np.ndarray) -> None:
    assert relief_error(_surface(0.16, 0.2), relief) == pytest.approx(0.06, abs=1e-6)
    # Hair may be far off: it counts no more than 0.2.
    assert relief_error(_surface(0.6, 0.2), relief) == pytest.approx(0.2, abs=1e-6)


def test_another_relief_is_no_face(relief: np.ndarray) -> None:
    flat = relief_error(_surface(0.1, 0.0), relief)
    inverse = relief_error(_surface(0.1, -0.2), relief)
    assert flat > 0.2
    assert inverse > flat + 0.1
    shallow = relief_error(_surface(0.1, 0.14), relief)
    assert shallow < 0.03


def test_half_a_face_is_dearer_and_less_is_none(relief: np.ndarray) -> None:
    points = _surface(0.1, 0.2)
    half = relief_error(points[points[:, 0] < 0.03], relief)
    assert 0.01 < half < 0.03
    assert relief_error(points[points[:, 0] < -0.2], relief) == WORST
