# SPDX-License-Identifier: GPL-3.0-or-later
"""Random people: repeatable, Gaussian, and refused where they would be nonsense."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from backend.checkpoint import FaceModel
from backend.codes import Codes
from backend.errors import BackendError
from backend.face.generate import check_codes, code_tensors, face_of, generate


def test_the_same_seed_gives_the_same_person(tiny_model: FaceModel) -> None:
    first, second = generate(tiny_model, 7), generate(tiny_model, 7)
    np.testing.assert_array_equal(first.identity, second.identity)
    assert not np.allclose(first.identity, generate(tiny_model, 8).identity)
    assert first.expression is None
    assert first.weights == tiny_model.hash_prefix == "0123456789abcdef"


def test_a_seed_means_these_numbers(tiny_model: FaceModel) -> None:
    """NumPy promises that its PCG64 never changes: a seed is a person on every machine."""
    prior = tiny_model.identity_prior
    drawn = np.random.Generator(np.random.PCG64(7)).normal(size=8)
    wanted = prior.mean.numpy() + prior.factor.numpy() @ drawn
    np.testing.assert_allclose(generate(tiny_model, 7).identity, wanted, rtol=1e-4, atol=1e-5)


def test_strength_0_is_the_mean_and_2_twice_as_far(tiny_model: FaceModel) -> None:
    mean = tiny_model.identity_prior.mean.numpy()
    np.testing.assert_array_equal(generate(tiny_model, 1, 0.0).identity, mean)
    once = generate(tiny_model, 1, 1.0).identity - mean
    twice = generate(tiny_model, 1, 2.0).identity - mean
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-4, atol=1e-5)


def test_people_spread_like_the_training_codes(tiny_model: FaceModel) -> None:
    people = np.stack([generate(tiny_model, seed).identity for seed in range(2000)])
    factor = tiny_model.identity_prior.factor.numpy()
    np.testing.assert_allclose(np.cov(people.T), factor @ factor.T, atol=0.15)


def test_expressions_leave_the_person_alone(tiny_model: FaceModel) -> None:
    plain = generate(tiny_model, 5)
    smiling = generate(tiny_model, 5, expressions={"mouthSmileLeft": 0.5})
    np.testing.assert_array_equal(plain.identity, smiling.identity)
    wanted = tiny_model.neutral_expression + 0.5 * tiny_model.expression_directions[1]
    assert smiling.expression is not None
    np.testing.assert_allclose(smiling.expression, wanted)


@pytest.mark.parametrize("strength", [-0.1, 5.1, float("nan"), float("inf")])
def test_a_strength_out_of_range_is_one_sentence(tiny_model: FaceModel, strength: float) -> None:
    with pytest.raises(BackendError, match=r"The strength .* is out of range. Choose 0 to 5."):
        generate(tiny_model, 1, strength)


def test_a_negative_seed_is_one_sentence(tiny_model: FaceModel) -> None:
    with pytest.raises(BackendError, match="The seed -1 is negative. Choose 0"):
        generate(tiny_model, -1)


def test_codes_of_other_weights_are_refused(tiny_model: FaceModel) -> None:
    codes = generate(tiny_model, 1)
    check_codes(tiny_model, codes)
    with pytest.raises(BackendError, match="made with other model weights. Make it again"):
        face_of(tiny_model, replace(codes, weights="f" * 16))
    short = np.zeros(3, np.float32)
    wrong_ones = (
        replace(codes, identity=short),
        replace(codes, expression=short),
        replace(codes, surface=short),
    )
    for wrong in wrong_ones:
        with pytest.raises(BackendError, match="wrong length for this model"):
            face_of(tiny_model, wrong)


def test_a_face_needs_no_gradient(tiny_model: FaceModel) -> None:
    face = face_of(tiny_model, generate(tiny_model, 1))
    assert face.expression is None
    assert not any(weight.requires_grad for weight, _ in face.identity.layers)


def test_codes_become_tensors(tiny_model: FaceModel) -> None:
    codes = Codes(np.array([1, 2], np.float32), np.array([3], np.float32), "w")
    identity, expression = code_tensors(tiny_model, codes)
    assert identity.tolist() == [1, 2]
    assert expression is not None
    assert expression.tolist() == [3]
    assert identity.dtype == torch.float32
