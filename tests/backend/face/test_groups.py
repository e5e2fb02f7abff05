# SPDX-License-Identifier: GPL-3.0-or-later
"""Vertex groups: every vertex is in its part, and landmarks can be told apart."""

import numpy as np
import pytest

from backend.checkpoint import FaceModel
from backend.face.correspondence import require_head
from backend.face.groups import LANDMARKS, Groups, vertex_groups
from backend.model.forward_map import HeadTemplate


@pytest.fixture(scope="module")
def template(bundled: FaceModel) -> HeadTemplate:
    """Return the head's topology."""
    return require_head(bundled).template


@pytest.fixture(scope="module")
def groups(template: HeadTemplate) -> Groups:
    """Return the groups of the whole head."""
    return vertex_groups(template, len(template.vertices))


def test_each_vertex_is_in_exactly_one_part(template: HeadTemplate, groups: Groups) -> None:
    parts = [rows for name, (rows, _) in groups.items() if _is_part(name)]
    assert len(parts) == len(template.parts)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), range(len(template.vertices)))
    assert "Eyeball Left" in groups


def _is_part(name: str) -> bool:
    return name != LANDMARKS and not name.startswith("Region ")


def test_landmarks_are_told_apart_by_their_weights(template: HeadTemplate, groups: Groups) -> None:
    rows, weights = groups[LANDMARKS]
    place = np.round(weights * 68).astype(int) - 1
    np.testing.assert_array_equal(place, range(68))
    np.testing.assert_array_equal(rows, template.landmarks)


def test_weights_are_what_blender_takes(groups: Groups) -> None:
    for rows, weights in groups.values():
        assert len(rows) == len(set(rows.tolist())) > 0
        assert weights.min() > 0
        assert weights.max() <= 1
    assert len(np.unique(groups["Region Nose"][1])) > 10  # it fades


def test_the_face_alone_has_only_its_own(template: HeadTemplate) -> None:
    count = template.parts["face"][1]
    groups = vertex_groups(template, count)
    assert [name for name in groups if _is_part(name)] == ["Face"]
    assert all(rows.max() < count for rows, _ in groups.values())
    assert len(groups[LANDMARKS][0]) == 68
