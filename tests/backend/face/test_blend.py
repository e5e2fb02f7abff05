# SPDX-License-Identifier: GPL-3.0-or-later
"""A blend ends at its two faces, and the middle is nobody's side."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from backend.checkpoint import FaceModel
from backend.codes import Codes
from backend.errors import BackendError
from backend.face.blend import average, blend, mix_detail
from backend.face.generate import generate

Pair = tuple[Codes, Codes]


@pytest.fixture
def pair(tiny_model: FaceModel) -> Pair:
    """Return two people with expressions."""
    a = generate(tiny_model, 1, expressions={"jawOpen": 1.0})
    return a, generate(tiny_model, 2, expressions={"mouthSmileLeft": 0.7})


def _same(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    return (a is None and b is None) or (a is not None and b is not None and np.array_equal(a, b))


def test_the_ends_are_the_faces_to_the_bit(tiny_model: FaceModel, pair: Pair) -> None:
    for weight, end in ((0.0, pair[0]), (1.0, pair[1])):
        mixed = blend(tiny_model, *pair, weight, "both")
        assert _same(mixed.identity, end.identity)
        assert _same(mixed.expression, end.expression)
        assert mixed.weights == tiny_model.hash_prefix


def test_what_is_not_blended_stays_that_of_a(tiny_model: FaceModel, pair: Pair) -> None:
    a, b = pair
    identity = blend(tiny_model, a, b, 1.0, "identity")
    assert _same(identity.identity, b.identity)
    assert _same(identity.expression, a.expression)
    expression = blend(tiny_model, a, b, 1.0, "expression")
    assert _same(expression.identity, a.identity)
    assert _same(expression.expression, b.expression)


@pytest.mark.parametrize("weight", [0.25, 0.5, 0.9])
def test_it_does_not_matter_who_comes_first(
    tiny_model: FaceModel, pair: Pair, weight: float
) -> None:
    a, b = pair
    one, other = blend(tiny_model, a, b, weight), blend(tiny_model, b, a, 1 - weight)
    np.testing.assert_allclose(one.identity, other.identity, rtol=1e-5, atol=1e-6)
    assert one.expression is not None
    assert other.expression is not None
    np.testing.assert_allclose(one.expression, other.expression, rtol=1e-5, atol=1e-6)
    wanted = (1 - weight) * a.identity + weight * b.identity
    np.testing.assert_allclose(one.identity, wanted, rtol=1e-6)
    assert one.identity.dtype == one.expression.dtype == np.float32


def test_a_neutral_face_blends_from_the_neutral_code(tiny_model: FaceModel, pair: Pair) -> None:
    neutral = generate(tiny_model, 3)
    half = blend(tiny_model, neutral, pair[0], 0.5)
    wanted = tiny_model.neutral_expression + 0.5 * tiny_model.expression_directions[0]
    assert half.expression is not None
    np.testing.assert_allclose(half.expression, wanted, rtol=1e-5, atol=1e-6)


def test_neutral_faces_stay_neutral(tiny_model: FaceModel, pair: Pair) -> None:
    a, b = generate(tiny_model, 3), generate(tiny_model, 4)
    assert blend(tiny_model, a, b, 0.3).expression is None
    assert blend(tiny_model, a, pair[0], 0.0).expression is None
    assert blend(tiny_model, pair[0], a, 1.0).expression is None


def test_detail_is_mixed_with_the_identity(tiny_model: FaceModel, pair: Pair) -> None:
    steps = np.arange(-8, 8, dtype=np.int16).reshape(4, 4)
    a, b = replace(pair[0], detail=10 * steps), replace(pair[1], detail=20 * steps)
    for weight, wanted in ((0.0, 10), (0.5, 15), (1.0, 20)):
        for what in ("identity", "both"):
            mixed = blend(tiny_model, a, b, weight, what).detail
            assert mixed is not None
            assert mixed.dtype == np.int16
            np.testing.assert_array_equal(mixed, wanted * steps)
    assert blend(tiny_model, a, b, 0.5, "expression").detail is a.detail
    smoother = blend(tiny_model, pair[0], b, 0.25)  # who has none is smooth
    assert smoother.detail is not None
    np.testing.assert_array_equal(smoother.detail, 5 * steps)
    for weight, wanted in ((0.26, 5.2), (0.29, 5.8)):  # whole numbers, the nearest ones
        mixed = blend(tiny_model, pair[0], b, weight).detail
        np.testing.assert_array_equal(mixed, np.rint(wanted * steps))
    assert blend(tiny_model, pair[0], b, 0.0).detail is None
    assert blend(tiny_model, *pair, 0.5).detail is None


def test_detail_has_a_weight_for_each_height() -> None:
    a, b = (np.full((2, 2), height, np.int16) for height in (10, 20))
    mixed = mix_detail(a, b, np.array([[0.0, 0.5], [1.0, 0.3]]))
    np.testing.assert_array_equal(mixed, [[10, 15], [20, 13]])


@pytest.mark.parametrize(
    ("weight", "what", "sentence"),
    [
        (-0.1, "both", "The blend weight -0.1 is out of range. Choose 0 to 1."),
        (1.1, "both", "The blend weight 1.1 is out of range"),
        (float("nan"), "both", "is out of range"),
        (0.5, "hair", "'hair' cannot be blended. Choose identity, expression or both."),
    ],
)
def test_bad_settings_are_one_sentence(
    tiny_model: FaceModel, pair: Pair, weight: float, what: Any, sentence: str
) -> None:
    with pytest.raises(BackendError, match=sentence):
        blend(tiny_model, *pair, weight, what)


@pytest.mark.parametrize("name", ["surface", "residual"])
def test_what_a_scan_asks_for_goes_with_the_identity(
    tiny_model: FaceModel, pair: Pair, name: str
) -> None:
    a, b = pair
    scanned = replace(b, **{name: np.ones_like(b.identity)})
    np.testing.assert_allclose(getattr(blend(tiny_model, a, scanned, 0.25), name), 0.25)
    assert _same(getattr(blend(tiny_model, scanned, a, 1.0), name), None)
    kept = blend(tiny_model, scanned, a, 0.5, "expression")
    assert _same(getattr(kept, name), getattr(scanned, name))


def test_the_average_of_faces_is_nobody_s_more_than_another_s(tiny_model: FaceModel) -> None:
    faces = [generate(tiny_model, seed, expressions={"jawOpen": seed / 4}) for seed in (1, 2, 3)]
    mean = average(tiny_model, faces)
    wanted = np.mean([face.identity for face in faces], axis=0)
    np.testing.assert_allclose(mean.identity, wanted, rtol=1e-5, atol=1e-6)
    wanted = np.mean([face.expression for face in faces], axis=0)  # type: ignore[misc]
    np.testing.assert_allclose(mean.expression, wanted, rtol=1e-5, atol=1e-6)
    assert average(tiny_model, faces[:1]) is faces[0]


def test_faces_of_other_weights_do_not_blend(tiny_model: FaceModel, pair: Pair) -> None:
    stranger = Codes(pair[0].identity, None, "f" * 16)
    for two in ((pair[0], stranger), (stranger, pair[0])):
        with pytest.raises(BackendError, match="made with other model weights"):
            blend(tiny_model, *two, 0.5)
