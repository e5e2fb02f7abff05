# SPDX-License-Identifier: GPL-3.0-or-later
"""The training terms: what they measure, and that each can be weighed and switched off."""

from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from backend.learn.losses import LossWeights, Targets, training_losses, weighted_sum
from backend.model.imface import ANCHOR_LANDMARKS, ImFace, ModelConfig, query_gradient

Setup = tuple[ImFace, Tensor, Tensor, Targets]


@pytest.fixture
def setup(tiny_config: ModelConfig) -> Setup:
    """Return a model, codes of two faces, and targets that the model meets to the digit."""
    torch.manual_seed(0)
    model = ImFace(tiny_config).requires_grad_(False)
    model.template_landmarks.copy_(torch.rand(68, 3) - 0.5)
    identity, expression = torch.randn(2, 8), torch.randn(2, 6)
    points, landmarks = torch.rand(2, 30, 3) - 0.5, torch.rand(2, 68, 3) - 0.5
    values = model.face(identity, expression).query(points)
    slopes = [
        query_gradient(model.face(i[None], e[None]), p)[1]
        for i, e, p in zip(identity, expression, points, strict=True)
    ]
    observed, _ = model.anchors(identity, expression)
    landmarks[:, list(ANCHOR_LANDMARKS)] = observed
    carried = model.face(identity, expression).query(landmarks).neutral_points
    targets = Targets(
        is_neutral=torch.tensor([False, False]),
        points=points,
        sdf=values.sdf,
        gradients=torch.nn.functional.normalize(torch.stack(slopes), dim=-1),
        neutral=values.neutral_points[:, :20],
        template=values.template_points[:, :20],
        landmarks=landmarks,
        neutral_landmarks=carried,
    )
    return model, identity, expression, targets


def _terms(
    model: ImFace, identity: Tensor, expression: Tensor, targets: Targets, gradient_stride: int
) -> dict[str, float]:
    terms = training_losses(model, identity, expression, targets, gradient_stride)
    return {name: float(value.detach()) for name, value in terms.items()}


def test_a_model_that_meets_its_targets_has_no_loss(setup: Setup) -> None:
    terms = _terms(*setup, gradient_stride=2)
    for name in ("sdf", "normal", "carried_to_neutral", "landmarks", "correspondence", "neutral"):
        assert terms[name] == pytest.approx(0, abs=2e-6), name


def test_terms_are_mean_distances(setup: Setup) -> None:
    model, identity, expression, targets = setup
    off = replace(
        targets,
        sdf=targets.sdf + 0.25,
        gradients=-targets.gradients,
        neutral=targets.neutral + torch.tensor([0.3, 0, 0]),
        template=targets.template - 0.2,
        landmarks=targets.landmarks,
    )
    terms = _terms(model, identity, expression, off, 1)
    assert terms["sdf"] == pytest.approx(0.25, rel=1e-4)
    assert terms["normal"] == pytest.approx(2, rel=1e-4)
    assert terms["correspondence"] == pytest.approx(0.1 + 0.2, rel=1e-4)
    values = model.face(identity, expression).query(targets.points)
    assert terms["correction"] == pytest.approx(float(values.correction.abs().mean()), rel=1e-4)


def test_eikonal_is_the_gradients_distance_from_one(setup: Setup) -> None:
    model, identity, expression, targets = setup
    norms = [
        query_gradient(model.face(i[None], e[None]), p)[1].norm(dim=-1)
        for i, e, p in zip(identity, expression, targets.points, strict=True)
    ]
    terms = _terms(*setup, gradient_stride=1)
    wanted = float((torch.cat(norms) - 1).abs().mean())
    assert terms["eikonal_observed"] == pytest.approx(wanted, rel=1e-4)
    assert terms["eikonal_neutral"] > 0


def test_only_neutral_scans_feel_the_neutral_rule(setup: Setup) -> None:
    model, identity, expression, targets = setup
    deformation = model.face(identity, expression).query(targets.points).expression_deformation
    assert deformation is not None
    one = replace(targets, is_neutral=torch.tensor([True, False]))
    terms = _terms(model, identity, expression, one, 3)
    wanted = float(deformation[0].square().mean()) / 2
    assert terms["neutral"] == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("stride", [1, 2, 3, 7])
def test_the_stride_of_gradients_leaves_the_other_terms_alone(setup: Setup, stride: int) -> None:
    model, identity, expression, targets = setup
    noise = torch.rand(2, 20, 3, generator=torch.Generator().manual_seed(1))
    off = replace(
        targets, sdf=targets.sdf + noise[..., 0].repeat(1, 2)[:, :30], neutral=noise, template=noise
    )
    plain = _terms(model, identity, expression, off, 1)
    strided = _terms(model, identity, expression, off, stride)
    for name in ("sdf", "correction", "correspondence", "neutral", "landmarks"):
        assert strided[name] == pytest.approx(plain[name], rel=1e-4, abs=1e-7), name


def test_without_partners_there_is_no_correspondence(setup: Setup) -> None:
    model, identity, expression, targets = setup
    targets = replace(targets, sdf=targets.sdf + 0.25)
    with_partners = _terms(model, identity, expression, targets, 2)
    none = torch.empty(2, 0, 3)
    without = _terms(model, identity, expression, replace(targets, neutral=none, template=none), 2)
    assert "correspondence" not in without
    for name, value in without.items():
        assert value == pytest.approx(with_partners[name], rel=1e-4, abs=1e-7), name
    total = weighted_sum({"sdf": torch.tensor(without["sdf"])}, LossWeights())
    assert float(total) == pytest.approx(0.25 * LossWeights().sdf, rel=1e-4)


def test_every_term_has_a_weight_and_0_switches_it_off(setup: Setup) -> None:
    terms = _terms(*setup, gradient_stride=3)
    codes = {"identity_code", "expression_code"}  # the trainer's: only it knows the free parts
    assert set(terms) | codes == {field.name for field in fields(LossWeights)}
    assert not codes & set(terms)
    ones = {field.name: torch.tensor(1.0) for field in fields(LossWeights)}
    total = weighted_sum(ones, LossWeights())
    without = weighted_sum(ones, LossWeights(correspondence=0.0, sdf=0.0))
    assert float(total - without) == LossWeights().correspondence + LossWeights().sdf
