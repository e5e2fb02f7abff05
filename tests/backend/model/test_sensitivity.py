# SPDX-License-Identifier: GPL-3.0-or-later
"""Distances on neighbouring faces, to first order, beside these faces' own."""

from dataclasses import replace

import pytest
import torch

from backend.model.imface import ImFace, ModelConfig
from backend.model.sensitivity import sdf_changes

STEP = 1e-4


@pytest.mark.parametrize("conditioning", ["hypernetwork", "modulation", "concatenation"])
@pytest.mark.parametrize("expressed", [True, False], ids=["expressed", "neutral"])
def test_changes_are_those_of_the_faces_themselves(
    tiny_config: ModelConfig, conditioning: str, expressed: bool
) -> None:
    torch.manual_seed(5)
    model = ImFace(replace(tiny_config, conditioning=conditioning)).double().requires_grad_(False)
    model.template_landmarks.copy_(torch.rand(68, 3) - 0.5)
    sizes = (tiny_config.identity_dim, tiny_config.expression_dim)
    at = [torch.randn(1, size).double() for size in sizes]
    away = [torch.randn(7, size).double() * STEP for size in sizes]
    points = torch.rand(600, 3).double() - 0.5
    expression = at[1] if expressed else None
    others = model.face(at[0] + away[0], at[1] + away[1] if expressed else None)
    face = model.face(at[0], expression)
    sdf, gradients, changes = sdf_changes(face, others, points)
    torch.testing.assert_close(sdf, face.query(points[None]).sdf[0])
    true = others.query(points.expand(7, -1, -1)).sdf - sdf
    assert true.abs().max() > 1e-8
    assert (changes - true).norm() < 0.02 * true.norm()
    moved = torch.randn(3).double() * STEP
    ahead = face.query(points[None] + moved).sdf[0] - sdf
    assert (gradients @ moved - ahead).norm() < 0.02 * ahead.norm()
