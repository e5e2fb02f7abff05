# SPDX-License-Identifier: GPL-3.0-or-later
"""Eyes follow their lids, and bundled people's sit in them better than ICT's own."""

import numpy as np
import torch
from torch import Tensor

from backend.checkpoint import FaceModel
from backend.face.correspondence import propose, require_head
from backend.face.gaze import sphere_centre
from backend.face.generate import generate
from backend.learn.evaluate_heads import head_faults, regions
from backend.learn.seat_eyes import seat_eyes


def _eye_rows(model: FaceModel, side: str) -> Tensor:
    """Return the vertices that move with an eyeball."""
    parts = require_head(model).template.parts
    names = ("eyeball", "lacrimal_fluid", "eye_blend", "eye_occlusion")
    return torch.cat([torch.arange(*parts[f"{name}_{side}"][:2]) for name in names])


def _seated(model: FaceModel, offsets: Tensor) -> Tensor:
    heads = torch.stack([offsets, -2 * offsets])
    seat_eyes(require_head(model).template, heads)
    torch.testing.assert_close(heads[1], -2 * heads[0], rtol=0, atol=1e-5)  # linear
    return heads[0]


def test_eyes_that_move_and_grow_with_their_lids_stay_as_they_are(bundled: FaceModel) -> None:
    vertices = require_head(bundled).template.vertices
    offsets = 0.1 * vertices + torch.tensor([0.02, -0.03, 0.05])
    torch.testing.assert_close(_seated(bundled, offsets), offsets, rtol=0, atol=1e-5)


def test_an_eye_that_has_left_its_lids_comes_back_and_nothing_else_moves(
    bundled: FaceModel,
) -> None:
    template, rows = require_head(bundled).template, _eye_rows(bundled, "left")
    offsets = torch.zeros_like(template.vertices)
    offsets[rows] = torch.tensor([0.0, 0.0, 0.03])
    offsets[0] = 0.04  # of the skin, far from the eyes
    seated = _seated(bundled, offsets)
    ball = slice(*template.parts["eyeball_left"][:2])
    around = template.vertices[ball] - torch.from_numpy(sphere_centre(template.vertices[ball]))
    outward = torch.nn.functional.normalize(around, dim=1).float()
    seen = outward[:, 2] > 0.7
    raised, before = ((o[ball] * outward).sum(1)[seen] for o in (seated, offsets))
    assert raised.abs().mean() < 0.4 * before.mean()
    others = torch.ones(len(offsets), dtype=torch.bool)
    others[rows] = False
    assert torch.equal(seated[others], offsets[others])


def test_people_s_lids_are_sunk_less_than_in_the_data(bundled: FaceModel) -> None:
    looked_at = regions(require_head(bundled).template)
    heads = [propose(bundled, generate(bundled, seed)) for seed in range(6)]
    sunk = [head_faults(head, looked_at)["sunk"] for head in heads]
    assert np.mean(sunk) < 44  # as many as ICT's own people have; without seated eyes, 71
