# SPDX-License-Identifier: GPL-3.0-or-later
"""Similarities by hand."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from backend.scan.align import IDENTITY, Similarity, best_similarity

QUARTER_TURN = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # x to y, y to -x


@pytest.fixture
def similarity() -> Similarity:
    """Return a similarity with nothing special about it."""
    rotation = Rotation.from_rotvec([0.3, -1.1, 2.0]).as_matrix()
    return Similarity(0.37, rotation, np.array([1.0, -2, 30]))


def test_scale_then_turn_then_shift() -> None:
    similarity = Similarity(2.0, QUARTER_TURN, np.array([10.0, 0, 0]))
    points = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    np.testing.assert_allclose(similarity.apply(points), [[10, 2, 0], [8, 0, 0], [10, 0, 2]])
    wanted = [[0, -2, 0, 10], [2, 0, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(similarity.matrix(), wanted)


def test_inverse_and_composition(similarity: Similarity) -> None:
    points = np.random.default_rng(0).normal(size=(10, 3))
    other = Similarity(2.0, QUARTER_TURN, np.array([10.0, 0, 0]))
    there = similarity.apply(points)
    np.testing.assert_allclose(similarity.inverse().apply(there), points, atol=1e-12)
    both = other.after(similarity)
    np.testing.assert_allclose(both.apply(points), other.apply(there), atol=1e-12)
    np.testing.assert_allclose(both.matrix(), other.matrix() @ similarity.matrix(), atol=1e-12)
    back = similarity.after(similarity.inverse())
    np.testing.assert_allclose(back.matrix(), IDENTITY.matrix(), atol=1e-12)


def test_best_similarity_recovers_one(similarity: Similarity) -> None:
    points = np.random.default_rng(0).normal(size=(50, 3))
    found = best_similarity(points, similarity.apply(points))
    np.testing.assert_allclose(found.matrix(), similarity.matrix(), atol=1e-10)


def test_best_similarity_never_mirrors() -> None:
    points = np.random.default_rng(0).normal(size=(50, 3)) * [1, 2, 3]
    found = best_similarity(points, points * [-1, 1, 1])
    assert np.linalg.det(found.rotation) == pytest.approx(1)
    # The thinnest axis is given up; by hand: scale = (-1 + 4 + 9) / (1 + 4 + 9) for such a cloud.
    values = ((points - points.mean(0)) ** 2).sum(0)
    assert found.scale == pytest.approx((values @ [-1, 1, 1]) / values.sum(), rel=0.05)


def test_best_similarity_averages_noise(similarity: Similarity) -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(5000, 3))
    found = best_similarity(points, similarity.apply(points) + rng.normal(0, 0.01, (5000, 3)))
    np.testing.assert_allclose(found.matrix(), similarity.matrix(), atol=2e-3)
