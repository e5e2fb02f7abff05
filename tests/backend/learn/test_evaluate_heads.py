# SPDX-License-Identifier: GPL-3.0-or-later
"""The checker of heads: crossings, sunk lids and flipped faces with known answers."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from backend.checkpoint import FaceModel
from backend.face.correspondence import require_head
from backend.learn import evaluate_heads
from backend.learn.evaluate import markdown
from backend.learn.evaluate_heads import crossings, head_faults, head_figures, regions
from backend.learn.ict import IctFaceKit

FLAT = np.array([[0, 0, 0], [4, 0, 0], [0, 4, 0]], float)


@pytest.mark.parametrize(
    ("other", "cross"),
    [
        ([[1, 1, -1], [1, 1, 1], [2, 2, 1]], True),
        ([[1, 1, 0.1], [1, 1, 1], [2, 2, 1]], False),  # above
        ([[3, 3, -1], [3, 3, 1], [4, 4, 1]], False),  # beside, though the boxes overlap
        ([[1, 1, -1], [9, 9, 1], [9, 9, -1]], False),  # in the plane it passes beyond the edge
        ([[-9, 1, -9], [9, 1, -9], [1, 1, 9]], True),  # the other's edges go through this one
    ],
)
def test_two_triangles_cross_or_not(other: list[list[float]], cross: bool) -> None:
    vertices = np.concatenate([FLAT, np.array(other, float)])
    for order in ([[0, 1, 2], [3, 4, 5]], [[5, 3, 4], [2, 1, 0]]):
        assert len(crossings(vertices, np.array(order))) == int(cross)


def test_neighbours_do_not_cross() -> None:
    vertices = np.concatenate([FLAT, [[1, 1, -1], [1, 1, 1]]])
    assert len(crossings(vertices, np.array([[0, 1, 2], [0, 3, 4]]))) == 0


def test_crossings_of_two_balls_are_those_of_a_search_of_all_pairs() -> None:
    ball = trimesh.creation.icosphere(2, 1.0)
    other = ball.vertices + np.array([0.71, 0.33, 0.17])
    vertices = np.concatenate([ball.vertices, other])
    triangles = np.concatenate([ball.faces, ball.faces + len(ball.vertices)])
    found = crossings(vertices, triangles)
    assert len(found) > 50
    first, second = np.divmod(np.arange(len(ball.faces) ** 2), len(ball.faces))
    a, b = vertices[triangles[first]], vertices[triangles[second + len(ball.faces)]]
    assert len(found) == (evaluate_heads._pierces(a, b) | evaluate_heads._pierces(b, a)).sum()
    assert len(crossings(vertices[: len(ball.vertices)], np.asarray(ball.faces))) == 0


def test_faults_of_the_mean_head_are_found_where_they_are_made(bundled: FaceModel) -> None:
    template = require_head(bundled).template
    looked_at = regions(template)
    mean = template.vertices.numpy().astype(np.float64)
    faults = head_faults(mean, looked_at)
    assert faults["lids"] == faults["sunk"] == faults["sunk_mm"] == faults["flipped"] == 0
    first, end, _, _ = template.parts["eyeball_left"]
    moved = mean.copy()
    moved[first:end, 2] += 0.02  # an eye 2 mm too far out
    pressed = head_faults(moved, looked_at)
    assert pressed["sunk"] > 20
    assert 0.5 < pressed["sunk_mm"] < 2.1
    assert {**pressed, "sunk": 0, "sunk_mm": 0.0} == faults
    folded = mean.copy()
    corner, *rest = looked_at.skin[1000]
    folded[corner] += 3 * (mean[rest].mean(0) - mean[corner])
    assert head_faults(folded, looked_at)["flipped"] > 0
    closed = mean.copy()
    marks = template.landmarks.numpy()
    upper = np.unique(looked_at.lids)
    upper = upper[mean[upper, 1] > mean[marks[[36, 39, 42, 45]], 1].mean()]
    closed[upper, 1] -= 0.12  # upper lids through the lower ones
    assert head_faults(closed, looked_at)["lids"] > 10


def test_heads_stand_beside_those_of_the_linear_model(
    bundled: FaceModel, ict: IctFaceKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    jaw = bundled.expression_names.index("jawOpen")
    small = replace(
        bundled,
        expression_names=("jawOpen",),
        expression_directions=bundled.expression_directions[[jaw]],
    )
    mean = require_head(bundled).template.vertices.numpy().astype(np.float64)
    monkeypatch.setattr(evaluate_heads, "_ict", lambda *_: iter([mean, mean]))
    told: list[str] = []
    table = head_figures(small, ict, 1, told.append)
    assert told == ["head 0, neutral", "head 0, jawOpen"]
    assert list(table) == ["ImFace", "ICT", "neutral", "jawOpen"]
    assert table["ImFace"]["heads"] == table["ICT"]["heads"] == 2
    assert table["jawOpen"]["lips"] < table["neutral"]["lips, ICT"]  # an open mouth
    assert table["ICT"]["lips"] == table["neutral"]["lips, ICT"]
    assert "### heads" in markdown({"sets": {}, "heads": table})
