# SPDX-License-Identifier: GPL-3.0-or-later
"""Sliders: each moves its own measurement by what it says, the others little, and 0 nothing."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from backend.checkpoint import FaceModel
from backend.codes import Codes
from backend.errors import BackendError
from backend.face.correspondence import level_vertices, propose, require_head
from backend.face.generate import generate
from backend.face.skin import JOINED_PARTS
from backend.face.sliders import (
    AXES,
    MEASUREMENTS,
    apply_sliders,
    exact_matrix_mm,
    independent_directions,
    measure,
    reshaped_codes,
    sliders,
)
from backend.model.imface import UNIT_MM

NAMES = [m.name for m in MEASUREMENTS]
ADDON_NAMES = Path(__file__).resolve().parents[3] / "imface_blender" / "slider_names.py"


@pytest.fixture(scope="module")
def codes(bundled: FaceModel) -> Codes:
    """Return a random person with an expression."""
    return generate(bundled, 2, expressions={"jawOpen": 0.5})


def test_directions_without_conflict_are_the_gradients() -> None:
    gradients = np.eye(3)[:2]
    np.testing.assert_allclose(independent_directions(gradients), gradients, atol=1e-12)


def test_a_direction_leaves_the_others_alone_as_far_as_the_ridge_allows() -> None:
    gradients = np.array([[1.0, 0.0], [0.6, 0.8]])  # 53 degrees apart
    changes = independent_directions(gradients) @ gradients.T
    # (G + r)^-1 G has rows (1 + r - 0.36, 0.6 r) and its mirror image, up to a factor.
    np.testing.assert_allclose(np.diag(changes), 1, atol=1e-12)
    np.testing.assert_allclose(changes[0, 1], 0.6 * 0.03 / (1.03 - 0.36), atol=1e-12)


def test_measurements_know_their_answers(bundled: FaceModel) -> None:
    template = require_head(bundled).template
    vertices = template.vertices.numpy().astype(np.float64)
    marks = UNIT_MM * vertices[template.landmarks.numpy()]
    known = dict(zip(NAMES, measure(bundled, vertices), strict=True))
    assert known["noseWidth"] == pytest.approx(marks[35, 0] - marks[31, 0])
    assert known["faceHeight"] == pytest.approx(marks[27, 1] - marks[8, 1])
    assert known["eyeSpacing"] == pytest.approx(
        marks[[42, 45], 0].mean() - marks[[36, 39], 0].mean()
    )
    nose = marks[27, 1] - marks[33, 1]
    assert known["foreheadHeight"] == pytest.approx(0.8 * nose, abs=3)  # vertices are so far apart
    np.testing.assert_allclose(measure(bundled, vertices + 1), measure(bundled, vertices))
    np.testing.assert_allclose(measure(bundled, 2 * vertices), 2 * measure(bundled, vertices))


def test_one_unit_is_one_standard_deviation_among_people(bundled: FaceModel) -> None:
    faces = [propose(bundled, generate(bundled, seed)) for seed in range(200)]
    deviations = measure(bundled, np.array(faces)).std(axis=0)
    # 200 people give it to 5 per cent (one standard error).
    np.testing.assert_allclose(sliders(bundled).unit_mm[: len(NAMES)], deviations, rtol=0.2)


def test_a_slider_moves_its_own_measurement_and_hardly_another(
    bundled: FaceModel, codes: Codes
) -> None:
    before = propose(bundled, codes)
    units = sliders(bundled).unit_mm[: len(NAMES)]
    for row, name in enumerate(NAMES):
        moved = propose(bundled, apply_sliders(bundled, codes, {name: 1.0}))
        changes = measure(bundled, moved - before) / units
        assert changes[row] == pytest.approx(1, abs=1e-3)
        assert np.abs(np.delete(changes, row)).max() < 0.4


def test_the_exact_head_follows(bundled: FaceModel) -> None:
    known = sliders(bundled)
    few = ["faceWidth", "noseLength"]
    exact = exact_matrix_mm(bundled, [generate(bundled, 1)], few) / known.unit_mm[: len(NAMES)]
    own = exact[range(len(few)), [NAMES.index(name) for name in few]]
    np.testing.assert_allclose(own, 1, atol=0.4)
    for row, name in enumerate(few):
        assert np.abs(np.delete(exact[row], NAMES.index(name))).max() < 0.5


def test_offsets_are_the_forward_map_s_way(bundled: FaceModel, codes: Codes) -> None:
    known = sliders(bundled)
    values = {"noseLength": 1.5, "axis02": -2.0}
    there, head = apply_sliders(bundled, codes, values), require_head(bundled)
    here_and_there = (torch.from_numpy(c.identity) for c in (codes, there))
    before, after = (head.forward_map.neutral(code).numpy() for code in here_and_there)
    expected = sum(v * known.offsets_mm[known.names.index(n)] for n, v in values.items())
    np.testing.assert_allclose((after - before) * UNIT_MM, expected, atol=0.01)
    moved, eyes_mm = propose(bundled, there) - propose(bundled, codes), 1  # they give way to lids
    joined = np.zeros(len(moved), bool)
    for name in JOINED_PARTS:
        joined[slice(*head.template.parts[name][:2])] = True
    np.testing.assert_allclose(moved[joined] * UNIT_MM, expected[joined], atol=0.01)
    np.testing.assert_allclose(moved * UNIT_MM, expected, atol=eyes_mm)


def test_zero_changes_nothing(bundled: FaceModel, codes: Codes) -> None:
    assert apply_sliders(bundled, codes, {}) is codes
    assert apply_sliders(bundled, codes, dict.fromkeys(sliders(bundled).names, 0.0)) is codes


def test_sliders_leave_the_expression_and_can_be_taken_back(
    bundled: FaceModel, codes: Codes
) -> None:
    there = apply_sliders(bundled, codes, {"chinForward": 2.0})
    assert there.expression is codes.expression
    assert there.weights == codes.weights
    back = apply_sliders(bundled, there, {"chinForward": -2.0})
    np.testing.assert_allclose(back.identity, codes.identity, atol=1e-6)


def test_axes_go_from_the_one_that_moves_most_and_are_independent(bundled: FaceModel) -> None:
    known = sliders(bundled)
    axes = known.offsets_mm[-AXES:].reshape(AXES, -1).astype(np.float64)
    lengths = np.linalg.norm(axes, axis=1)
    assert (np.diff(lengths) < 0).all()
    cosines = axes @ axes.T / np.outer(lengths, lengths)
    np.testing.assert_allclose(cosines, np.eye(AXES), atol=0.01)
    moved = known.offsets_mm[-AXES:, : level_vertices(bundled, "face")]
    lengths = np.sqrt((np.linalg.norm(moved, axis=2) ** 2).mean(1))
    np.testing.assert_allclose(known.unit_mm[-AXES:], lengths, rtol=1e-5)
    changes = known.matrix_mm[-AXES:] / known.unit_mm[: len(NAMES)]
    assert (changes.max(1) > 0.9 * np.abs(changes).max(1)).all()  # what changes most grows


def test_random_values_belong_together_as_people_s_do(bundled: FaceModel) -> None:
    known = sliders(bundled)
    covariance = known.spread @ known.spread.T
    np.testing.assert_allclose(np.diag(covariance)[: len(NAMES)], 1, atol=1e-6)
    assert covariance[NAMES.index("faceWidth"), NAMES.index("jawWidth")] > 0.3
    # What the named sliders say already, the axes do not say again.
    assert (np.diag(covariance)[len(NAMES) :] < 1).all()


def test_bad_values_are_one_sentence(bundled: FaceModel, codes: Codes) -> None:
    with pytest.raises(BackendError, match="There is no slider 'nose'. Choose: faceWidth, "):
        apply_sliders(bundled, codes, {"nose": 1.0})
    for value in (5.5, float("nan")):
        with pytest.raises(BackendError, match="is out of range. Choose -5 to 5"):
            apply_sliders(bundled, codes, {"noseLength": value})


@pytest.mark.parametrize("wrong", ["nose", [], [1.0], {"noseLength": "2"}, {"noseLength": None}])
def test_sliders_that_are_no_numbers_are_no_codes(
    bundled: FaceModel, codes: Codes, wrong: object
) -> None:
    with pytest.raises(BackendError, match="not a set of ImFace codes. Choose"):
        reshaped_codes(bundled, codes.to_json() | {"sliders": wrong})


def test_a_model_without_a_head_has_none(tiny_model: FaceModel) -> None:
    with pytest.raises(BackendError, match="no common topology"):
        sliders(tiny_model)


def test_the_add_on_shows_these_sliders(bundled: FaceModel) -> None:
    spec = importlib.util.spec_from_file_location("slider_names", ADDON_NAMES)
    assert spec is not None
    assert spec.loader is not None
    shown = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(shown)
    known = sliders(bundled)
    rows = [
        (name, group, text) for group, row in shown.GROUPS.items() for name, text in row.items()
    ]
    assert rows == list(zip(known.names, known.groups, known.meanings, strict=True))
