# SPDX-License-Identifier: GPL-3.0-or-later
"""An eye gives way to lids that are inside it, and to nothing else."""

import numpy as np
import pytest

from backend.checkpoint import FaceModel
from backend.face.correspondence import propose, require_head
from backend.face.gaze import sphere_centre
from backend.face.generate import generate
from backend.face.seat_eyes import depths_in_ball, seat_eyes
from backend.learn.evaluate_heads import head_faults, regions
from backend.mesh import Mesh
from backend.model.imface import UNIT_MM


@pytest.fixture
def mean(bundled: FaceModel) -> np.ndarray:
    vertices: np.ndarray = require_head(bundled).template.vertices.cpu().double().numpy()
    return vertices


def _eye_rows(model: FaceModel, side: str) -> np.ndarray:
    """Return the vertices that move with an eyeball."""
    parts = require_head(model).template.parts
    names = ("eyeball", "lacrimal_fluid", "eye_blend", "eye_occlusion")
    return np.concatenate([np.arange(*parts[f"{name}_{side}"][:2]) for name in names])


def test_depth_is_below_the_outermost_vertex_of_a_direction(sphere: Mesh) -> None:
    ball = sphere.vertices.copy()
    ball[ball[:, 2].argmax()] *= 1.1
    depths = depths_in_ball(ball, np.array([[0, 0, 0.63], [0, 0, -0.5], [0, 0.7, 0]]))
    np.testing.assert_allclose(depths, [0.03, 0.1, -0.1], atol=1e-3)


def test_eyes_that_no_lids_are_inside_stay_where_they_are(
    bundled: FaceModel, mean: np.ndarray
) -> None:
    template = require_head(bundled).template
    rows = np.concatenate([_eye_rows(bundled, side) for side in ("left", "right")])
    for head in (mean, 1.1 * mean + [0.02, -0.03, 0.05]):
        np.testing.assert_allclose(seat_eyes(template, head), head, atol=1e-6)
        head[rows] -= [0, 0, 0.02]
        np.testing.assert_allclose(seat_eyes(template, head), head, atol=1e-6)


def test_an_eye_that_sticks_out_goes_back_as_a_whole_and_nothing_else_moves(
    bundled: FaceModel, mean: np.ndarray
) -> None:
    template, rows = require_head(bundled).template, _eye_rows(bundled, "left")
    (ball, lids), _ = regions(template).eyes
    mean[rows] += [0, 0, 0.03]
    seated = seat_eyes(template, mean)
    before, after = (np.maximum(depths_in_ball(v[ball], v[lids]), 0) for v in (mean, seated))
    assert after.sum() < 0.2 * before.sum()
    assert after.max() * UNIT_MM < 0.5
    assert (seated[rows, 2] < mean[rows, 2]).mean() > 0.9
    around, was = (v[ball] - sphere_centre(v[ball]) for v in (seated, mean))
    size = np.linalg.norm(around) / np.linalg.norm(was)
    np.testing.assert_allclose(around, size * was, atol=1e-6)
    assert 0.95 < size <= 1
    others = np.setdiff1d(np.arange(len(mean)), rows)
    np.testing.assert_array_equal(seated[others], mean[others])


def test_people_s_lids_are_sunk_less_than_in_the_data(bundled: FaceModel) -> None:
    looked_at = regions(require_head(bundled).template)
    heads = [propose(bundled, generate(bundled, seed)) for seed in range(6)]
    sunk = [head_faults(head, looked_at)["sunk"] for head in heads]
    assert np.mean(sunk) < 20  # ICT's own people have 44; codes alone, 71
