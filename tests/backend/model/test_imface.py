# SPDX-License-Identifier: GPL-3.0-or-later
"""The chain: neutral rule, hypernetworks once per face, batches, gradients."""

from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor, nn

from backend.model.imface import (
    Face,
    FieldValues,
    ImFace,
    ModelConfig,
    query_gradient,
    query_sdf,
)
from backend.model.pieces import CACHE_POINTS
from backend.model.sine import HyperNetwork


@pytest.fixture(params=["se3", "translation"])
def model(request: pytest.FixtureRequest, tiny_config: ModelConfig) -> ImFace:
    """Return an untrained model whose warps move points visibly."""
    torch.manual_seed(3)
    config = replace(tiny_config, warp=request.param, identities=4, expressions=12)
    model = ImFace(config).eval().requires_grad_(False)
    for field in (model.expression_field, model.identity_field):
        assert isinstance(field.source, HyperNetwork)
        last = field.source.nets[-2][-1]
        assert isinstance(last, nn.Linear)
        last.bias *= 20
    model.template_landmarks.copy_(torch.rand(68, 3) - 0.5)
    return model


@pytest.fixture
def codes(model: ImFace) -> tuple[Tensor, Tensor]:
    """Return 3 identity codes and 3 expression codes."""
    config = model.config
    return torch.randn(3, config.identity_dim), torch.randn(3, config.expression_dim)


def _points(count: int) -> Tensor:
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(1)) * 1.6 - 0.8


def test_a_neutral_face_leaves_points_where_they_are(
    model: ImFace, codes: tuple[Tensor, Tensor]
) -> None:
    points = _points(50)[None]
    neutral = model.face(codes[0][:1], None)
    moved, deformation = neutral.to_neutral(points)
    assert torch.equal(moved, points)
    assert deformation is None
    assert torch.equal(neutral.query(points).neutral_points, points)
    expressed, deformation = model.face(codes[0][:1], codes[1][:1]).to_neutral(points)
    assert (expressed - points).norm(dim=-1).min() > 1e-4
    assert deformation is not None


def test_expression_0_of_the_tables_is_neutral(model: ImFace) -> None:
    face = model.indexed_face(2, 0)
    assert face.expression is None
    points = _points(20)[None]
    wanted = model.face(model.identity_codes.weight[2:3], None).query(points).sdf
    assert torch.equal(face.query(points).sdf, wanted)


def test_rows_of_the_expression_table_are_e_times_identities_plus_i(model: ImFace) -> None:
    points = _points(20)[None]
    row = 1 * 4 + 2
    wanted = model.face(model.identity_codes.weight[2:3], model.expression_codes.weight[[row]])
    got = model.indexed_face(2, 1)
    assert torch.equal(got.query(points).sdf, wanted.query(points).sdf)


def test_the_sdf_is_template_plus_correction(model: ImFace, codes: tuple[Tensor, Tensor]) -> None:
    face = model.face(codes[0][:1], codes[1][:1])
    points = _points(50)[None]
    values = face.query(points)
    neutral, _ = face.to_neutral(points)
    template, correction = face.to_template(neutral)
    torch.testing.assert_close(values.template_sdf, face.template(template)[..., 0])
    torch.testing.assert_close(values.sdf, values.template_sdf + correction)
    assert correction.abs().min() > 0


def test_hypernetworks_run_once_per_face(model: ImFace, codes: tuple[Tensor, Tensor]) -> None:
    calls = dict.fromkeys(("expression_field", "identity_field"), 0)

    def counted(name: str) -> None:
        def count(*_: object) -> None:
            calls[name] += 1

        for net in getattr(model, name).source.nets:
            net.register_forward_hook(count)

    for name in calls:
        counted(name)
    face = model.face(codes[0][:1], codes[1][:1])
    nets = 2 * (model.config.hidden_layers + 2)
    assert calls == {"expression_field": nets, "identity_field": nets}
    query_sdf(face, _points(3 * CACHE_POINTS))
    query_gradient(face, _points(10))
    assert calls == {"expression_field": nets, "identity_field": nets}


def test_a_batch_of_faces_equals_faces_one_by_one(
    model: ImFace, codes: tuple[Tensor, Tensor]
) -> None:
    points = _points(3 * 40).view(3, 40, 3)
    batch = model.face(*codes).query(points)
    for i in range(3):
        one = model.face(codes[0][i : i + 1], codes[1][i : i + 1]).query(points[i : i + 1])
        for field in fields(FieldValues):
            got, wanted = getattr(batch, field.name)[i], getattr(one, field.name)[0]
            torch.testing.assert_close(got, wanted, rtol=0, atol=2e-6)


def test_pieces_join_in_order(model: ImFace, codes: tuple[Tensor, Tensor]) -> None:
    face = model.face(codes[0][:1], codes[1][:1])
    points = _points(2 * CACHE_POINTS + 7)
    whole = face.query(points[None])
    torch.testing.assert_close(query_sdf(face, points), whole.sdf[0], rtol=0, atol=2e-6)
    sdf, gradient = query_gradient(face, points)
    torch.testing.assert_close(sdf, whole.sdf[0], rtol=0, atol=2e-6)
    _, alone = query_gradient(face, points[-5:])
    torch.testing.assert_close(gradient[-5:], alone, rtol=0, atol=1e-4)


def _difference_quotients(face: Face, points: Tensor, step: float) -> Tensor:
    slopes = []
    for axis in torch.eye(3, dtype=points.dtype):
        ahead, behind = query_sdf(face, points + step * axis), query_sdf(face, points - step * axis)
        slopes.append((ahead - behind) / (2 * step))
    return torch.stack(slopes, dim=-1)


@pytest.mark.parametrize("neutral", [False, True])
def test_gradients_agree_with_finite_differences(
    model: ImFace, codes: tuple[Tensor, Tensor], neutral: bool
) -> None:
    face = model.double().face(codes[0][:1].double(), None if neutral else codes[1][:1].double())
    points = _points(60).double()
    sdf, gradient = query_gradient(face, points)
    torch.testing.assert_close(sdf, query_sdf(face, points))
    wanted = _difference_quotients(face, points, 1e-6)
    torch.testing.assert_close(gradient, wanted, rtol=1e-5, atol=1e-7)
    assert not gradient.requires_grad
