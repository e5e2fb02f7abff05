# SPDX-License-Identifier: GPL-3.0-or-later
"""ARKit's names, and where they lead."""

from dataclasses import replace

import numpy as np
import pytest

from backend.checkpoint import FaceModel
from backend.errors import BackendError
from backend.face.expressions import (
    ARKIT_NAMES,
    FACESCAPE,
    absent_names,
    check_names,
    expression_code,
    ict_names,
    ict_weights,
    set_names,
)

ICT = ("browInnerUp_L", "browInnerUp_R", "cheekPuff_L", "cheekPuff_R", "eyeBlink_L", "eyeBlink_R")
ICT += ("jawLeft", "jawOpen", "jawRight", "mouthLeft", "mouthSmile_L", "mouthSmile_R")


def test_arkit_has_52_names() -> None:
    assert len(ARKIT_NAMES) == len(set(ARKIT_NAMES)) == 52
    assert {"jawOpen", "eyeBlinkLeft", "browInnerUp", "tongueOut"} < set(ARKIT_NAMES)
    left = {n.removesuffix("Left") for n in ARKIT_NAMES if n.endswith("Left")}
    right = {n.removesuffix("Right") for n in ARKIT_NAMES if n.endswith("Right")}
    assert left == right


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("eyeBlinkLeft", ["eyeBlink_L"]),
        ("eyeBlinkRight", ["eyeBlink_R"]),
        ("mouthSmileRight", ["mouthSmile_R"]),
        ("browInnerUp", ["browInnerUp_L", "browInnerUp_R"]),
        ("cheekPuff", ["cheekPuff_L", "cheekPuff_R"]),
        ("jawLeft", ["jawLeft"]),
        ("jawRight", ["jawRight"]),
        ("mouthLeft", ["mouthLeft"]),
        ("jawOpen", ["jawOpen"]),
        ("tongueOut", []),
        ("noseSneerLeft", []),
    ],
)
def test_a_name_leads_to_its_shapes(name: str, wanted: list[str]) -> None:
    assert [ICT[i] for i in ict_names(name, ICT)] == wanted


def test_a_mix_leads_to_weights_of_shapes() -> None:
    mix = {"eyeBlinkLeft": 0.25, "browInnerUp": 0.5, "jawLeft": 1.0, "noseSneerLeft": 0.75}
    weights = dict(zip(ICT, ict_weights(mix, ICT), strict=True))
    wanted = {"eyeBlink_L": 0.25, "browInnerUp_L": 0.5, "browInnerUp_R": 0.5, "jawLeft": 1.0}
    assert weights == dict.fromkeys(ICT, 0.0) | wanted
    assert not ict_weights({}, ICT).any()


def test_facescape_has_20_expressions_that_differ() -> None:
    assert len(FACESCAPE) == 20
    assert [name for name, mix in FACESCAPE.items() if not mix] == ["neutral"]
    assert len({frozenset(mix.items()) for mix in FACESCAPE.values()}) == 20


def test_a_set_holds_what_the_model_can_make(bundled: FaceModel) -> None:
    assert set_names(bundled, "facescape") == [name for name in FACESCAPE if name != "neutral"]
    assert set_names(bundled, "arkit") == [name for name in ARKIT_NAMES if name != "tongueOut"]
    small = replace(bundled, expression_names=("jawOpen", "jawLeft"))
    assert set_names(small, "facescape") == ["jaw_left"]


@pytest.mark.parametrize("name", FACESCAPE)
def test_a_facescape_expression_is_a_mix_of_arkits(name: str) -> None:
    mix = FACESCAPE[name]
    assert set(mix) <= set(ARKIT_NAMES)
    assert all(0 < weight <= 1 for weight in mix.values())
    mirrored = {_mirrored(shape): weight for shape, weight in mix.items()}
    sided = {"jaw_left", "jaw_right", "mouth_left", "mouth_right"}
    assert (mirrored == mix) == (name not in sided)
    if name.endswith("_left"):
        assert mirrored == FACESCAPE[name.replace("_left", "_right")]


def _mirrored(name: str) -> str:
    if name.endswith("Left"):
        return name.removesuffix("Left") + "Right"
    return name.removesuffix("Right") + "Left" if name.endswith("Right") else name


def test_every_name_of_the_bundled_model_is_arkits(bundled: FaceModel) -> None:
    assert absent_names(bundled) == ["tongueOut"]
    assert set(bundled.expression_names) == set(ARKIT_NAMES) - {"tongueOut"}
    assert bundled.expression_directions.shape == (51, len(bundled.neutral_expression))


def test_a_mix_is_the_sum_of_its_directions(tiny_model: FaceModel) -> None:
    code = expression_code(tiny_model, {"jawOpen": 0.5, "mouthSmileLeft": 1.0})
    jaw, smile = tiny_model.expression_directions
    assert code is not None
    np.testing.assert_allclose(code, tiny_model.neutral_expression + 0.5 * jaw + smile, rtol=1e-5)
    assert code.dtype == np.float32


def test_nothing_expressed_is_neutral(tiny_model: FaceModel) -> None:
    assert expression_code(tiny_model, {}) is None
    assert expression_code(tiny_model, {"jawOpen": 0.0, "mouthSmileLeft": 0.0}) is None


def test_unknown_and_absent_names_are_one_sentence_each(tiny_model: FaceModel) -> None:
    check_names(tiny_model, ["jawOpen", "mouthSmileLeft"])
    with pytest.raises(BackendError, match="There is no expression 'smirk'. Use ARKit's names"):
        check_names(tiny_model, ["jawOpen", "smirk"])
    with pytest.raises(BackendError, match="has no expression 'tongueOut'. Leave it out."):
        expression_code(tiny_model, {"tongueOut": 1.0})
    with pytest.raises(BackendError, match="There is no expression 'smirk', 'wink'. Use ARKit's"):
        check_names(tiny_model, ["smirk", "tongueOut", "jawOpen", "wink"])
    with pytest.raises(BackendError, match="has no expression 'tongueOut', 'smile'. Leave it out."):
        check_names(tiny_model, ["tongueOut", "smile"])
