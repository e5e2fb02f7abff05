# SPDX-License-Identifier: GPL-3.0-or-later
"""Training scans of the ICT model: as described, true correspondences, repeatable."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from backend.errors import DataError
from backend.face.expressions import ARKIT_NAMES, FACESCAPE, ict_weights
from backend.learn import ict_scans
from backend.learn.cache import DatasetConfig, ScanCache, ScanSamples
from backend.learn.ict import IctFaceKit
from backend.learn.ict_scans import (
    IctScans,
    Recipes,
    draw_recipes,
    make_samples,
    mix_shares,
    principal_coordinates,
    region_weights,
)
from backend.mesh import triangulate

SHIFT = 0.02


@pytest.fixture(scope="module")
def smile(ict: IctFaceKit) -> tuple[np.ndarray, np.ndarray]:
    """Return a person's neutral head and the same smiling with an open jaw."""
    weights = np.array([name in ("jawOpen", "mouthSmile_L") for name in ict.expression_names])
    neutral = ict.neutral(np.array([1.0, -1, 0.5, 0, 0, 2]))
    return neutral, neutral + ict.expression(0.6 * weights)


@pytest.fixture(scope="module")
def samples(
    ict: IctFaceKit, smile: tuple[np.ndarray, np.ndarray], data_config: DatasetConfig
) -> ScanSamples:
    """Return one scan's samples."""
    return make_samples(ict, *smile, replace(data_config, carried_sigma=SHIFT), seed=3)


def _face(ict: IctFaceKit, vertices: np.ndarray) -> trimesh.Trimesh:
    return trimesh.Trimesh(vertices, triangulate(ict.part_polygons(("face",))), process=False)


def test_corresponding_points_truly_correspond(
    ict: IctFaceKit, smile: tuple[np.ndarray, np.ndarray], samples: ScanSamples
) -> None:
    """Every second one lies on the ICT surface, at the same place of the same triangle."""
    observed = _face(ict, smile[1])
    points = samples.points[:300]
    closest, distance, triangle = trimesh.proximity.closest_point(observed, points[::2])
    np.testing.assert_allclose(distance, 0, atol=1e-6)
    assert (samples.sdf[:300:2] == 0).all()
    bary = trimesh.triangles.points_to_barycentric(observed.triangles[triangle], closest)
    for head, partners in ((smile[0], samples.neutral), (ict.mean, samples.template)):
        corners = _face(ict, head).triangles[triangle]
        there = np.einsum("nk,nkc->nc", bary, corners)
        np.testing.assert_allclose(there, partners[::2], atol=1e-5)
    np.testing.assert_allclose(samples.gradients[:300:2], observed.face_normals[triangle])


def test_points_off_the_surface_are_carried_along_their_normals(
    ict: IctFaceKit, smile: tuple[np.ndarray, np.ndarray], samples: ScanSamples
) -> None:
    off = samples.sdf[1:300:2]
    assert off.std() == pytest.approx(SHIFT, rel=0.25)
    for vertices, points in (
        (smile[1], samples.points[1:300:2]),
        (smile[0], samples.neutral[1::2]),
        (ict.mean, samples.template[1::2]),
    ):
        _, distance, _ = trimesh.proximity.closest_point(_face(ict, vertices), points)
        share = np.mean(np.abs(distance - np.abs(off)) < 2e-3)
        assert share > 0.85  # folds at lips and lids have another triangle nearer


def test_samples_fill_their_regions(samples: ScanSamples, data_config: DatasetConfig) -> None:
    assert samples.points.shape == (data_config.points, 3) == (600, 3)
    assert samples.neutral.shape == samples.template.shape == (300, 3)
    sheet, near, free = np.split(samples.sdf[300:], [100, 200])
    assert np.abs(sheet).max() < 0.01
    assert near.std() == pytest.approx(data_config.near_sigma, rel=0.3)
    assert free.min() < -0.2
    assert free.max() > 0.1
    np.testing.assert_allclose(np.linalg.norm(samples.gradients, axis=1), 1, atol=1e-5)
    ahead = samples.points[500:][:, 2] > 0.6
    assert (free[ahead] > 0).all()


def test_the_same_seed_gives_the_same_samples(
    ict: IctFaceKit,
    smile: tuple[np.ndarray, np.ndarray],
    samples: ScanSamples,
    data_config: DatasetConfig,
) -> None:
    again = make_samples(ict, *smile, replace(data_config, carried_sigma=SHIFT), seed=3)
    for field in fields(ScanSamples):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(samples, field.name))


def test_a_scan_may_do_without_corresponding_points(
    ict: IctFaceKit, smile: tuple[np.ndarray, np.ndarray], data_config: DatasetConfig
) -> None:
    drawn = make_samples(ict, *smile, replace(data_config, corresponding=0), seed=3)
    assert len(drawn.points) == len(drawn.sdf) == len(drawn.gradients) == 300
    assert drawn.neutral.shape == drawn.template.shape == (0, 3)


def test_lips_and_lids_are_sampled_most(ict: IctFaceKit) -> None:
    triangles = triangulate(ict.part_polygons(("face",)))
    weights = region_weights(ict, triangles)
    assert weights.min() >= 1
    assert weights.max() <= 4
    centers = ict.mean[triangles].mean(1)
    nearest = np.linalg.norm(centers - ict.mean[ict.landmarks[62]], axis=1).argmin()
    assert weights[nearest] > 3.5
    top = centers[:, 1].argmax()
    assert weights[top] == pytest.approx(1, abs=1e-3)


@pytest.fixture(scope="module")
def recipes(ict: IctFaceKit) -> Recipes:
    """Return many people's recipes."""
    return draw_recipes(DatasetConfig(identities=200, expressions=5), ict.expression_names, 6)


def test_recipes_are_as_described(ict: IctFaceKit, recipes: Recipes) -> None:
    assert recipes.identity.shape == (200, 2, 6)
    assert recipes.identity.std() == pytest.approx(1.1, rel=0.05)
    assert (recipes.regions[..., 1] > 0).mean() == pytest.approx(0.5, abs=0.1)
    assert (recipes.expression[:, 0] == 0).all()  # the first state is neutral
    assert recipes.expression[:, 1:].any(2).all()  # and no other one is
    for state, low, high in ((1, 0.6, 1.0), (2, 0.1, 0.7), (4, 0.05, 1.0)):  # strong, faint, mixed
        weights = recipes.expression[:, state][recipes.expression[:, state] > 0]
        assert low <= weights.min() < low + 0.1
        assert high - 0.1 < weights.max() <= high
    left, right = (ict.expression_names.index(f"eyeBlink_{side}") for side in "LR")
    blinks = recipes.expression[:, 1:3, [left, right]].reshape(-1, 2)
    blinks = blinks[blinks.any(1)]
    assert (blinks[:, 0] == blinks[:, 1]).mean() == pytest.approx(0.8, abs=0.15)


def _icts_names() -> tuple[str, ...]:
    """Return the 53 names of the full model's shapes: sides are _L and _R, some are split."""
    names = []
    for name in ARKIT_NAMES:
        stem = name.removesuffix("Left").removesuffix("Right")
        if name in ("browInnerUp", "cheekPuff"):
            names += [f"{name}_L", f"{name}_R"]
        elif stem == name or stem in ("jaw", "mouth"):
            names.append(name)
        else:
            names.append(f"{stem}_{name[len(stem)]}")
    return tuple(sorted(set(names) - {"tongueOut"}))


@pytest.fixture(scope="module")
def full() -> Recipes:
    """Return recipes for all 53 shapes."""
    assert len(_icts_names()) == 53
    return draw_recipes(DatasetConfig(identities=60, expressions=6), _icts_names(), 6)


def test_people_walk_through_every_single_shape(full: Recipes) -> None:
    names = _icts_names()
    stems = np.array([name.removesuffix("_L").removesuffix("_R") for name in names])
    shown = set()
    for weights in full.expression[:, 1:3].reshape(-1, 53):
        drawn = np.flatnonzero(weights)
        assert len(set(stems[drawn])) == 1
        assert len(set(weights[drawn])) == 1  # both sides alike
        shown |= set(drawn)
    assert shown == set(range(53))


def test_people_walk_through_facescapes_expressions(full: Recipes) -> None:
    mixes = {name: ict_weights(mix, _icts_names()) for name, mix in FACESCAPE.items() if mix}
    shown = set()
    for weights in full.expression[:, 3]:
        strength = {name: weights.max() / mix.max() for name, mix in mixes.items()}
        (found,) = [n for n in mixes if np.allclose(weights, strength[n] * mixes[n])]
        assert 0.7 <= strength[found] <= 1
        shown.add(found)
    assert shown == set(FACESCAPE) - {"neutral"}
    assert len(shown) == 19


@pytest.mark.parametrize("expressions", [1, 2, 4, 7])
def test_people_have_as_many_scans_as_asked_for(ict: IctFaceKit, expressions: int) -> None:
    config = DatasetConfig(identities=3, expressions=expressions)
    recipes = draw_recipes(config, ict.expression_names, 6)
    assert recipes.expression.shape == (3, expressions, 8)
    assert (recipes.expression.any(2).sum(1) == expressions - 1).all()


def test_the_same_seed_draws_the_same_faces(ict: IctFaceKit) -> None:
    config = DatasetConfig(identities=5, expressions=2)
    first, second = (draw_recipes(config, ict.expression_names, 6) for _ in range(2))
    for field in fields(Recipes):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(second, field.name))
    other = draw_recipes(replace(config, seed=1), ict.expression_names, 6)
    assert not np.array_equal(first.identity, other.identity)


def test_more_people_leave_the_first_ones_as_they_are(ict: IctFaceKit) -> None:
    few = draw_recipes(DatasetConfig(identities=3, expressions=2), ict.expression_names, 6)
    config = DatasetConfig(identities=3, expressions=2, further_identities=4)
    many = draw_recipes(config, ict.expression_names, 6)
    assert len(many.identity) == 7
    for name in ("identity", "regions", "expression"):
        np.testing.assert_array_equal(getattr(many, name)[:3], getattr(few, name))
    np.testing.assert_array_equal(many.scans[:6], few.scans)


def test_further_people_show_one_of_their_expressions_each(ict: IctFaceKit) -> None:
    config = DatasetConfig(identities=1, expressions=3, further_identities=3)
    recipes = draw_recipes(config, ict.expression_names, 6)
    every = [(0, 0), (0, 1), (0, 2), (1, 1), (2, 2), (3, 0)]
    assert [tuple(scan) for scan in recipes.scans] == every
    np.testing.assert_array_equal(recipes.scanned_expressions[3], recipes.expression[1, 1])


def test_a_mixed_person_is_one_here_and_another_there(ict: IctFaceKit, recipes: Recipes) -> None:
    widths = recipes.regions[:, 0, 1]
    person = int(np.flatnonzero(widths)[0])
    here, there = mix_shares(ict, slice(None), recipes.regions[person])
    center = ict.landmarks[int(recipes.regions[person, 0, 0])]
    assert here[center] == 1
    assert here.min() < 0.01
    np.testing.assert_allclose(here + there, 1)
    plain = int(np.flatnonzero(widths == 0)[0])
    np.testing.assert_allclose(
        recipes.neutral(ict, plain), ict.neutral(recipes.identity[plain, 0]), atol=1e-6
    )


def test_regions_take_from_what_those_before_them_left(ict: IctFaceKit) -> None:
    first, second = np.array([30, 0.2, 0]), np.array([8, 0.3, 0])
    nose, chin = (mix_shares(ict, slice(None), region[None])[0] for region in (first, second))
    shares = mix_shares(ict, slice(None), np.array([first, second, first]))
    left = (1 - nose) * (1 - chin)
    wanted = [nose, (1 - nose) * chin, left * nose, left * (1 - nose)]
    np.testing.assert_allclose(shares, wanted, atol=1e-12)


def test_a_mirrored_region_is_on_both_sides(ict: IctFaceKit) -> None:
    right, left = ict.landmarks[[36, 45]]
    for mirrored in (0, 1):
        here, _ = mix_shares(ict, slice(None), np.array([[36, 0.1, mirrored]]))
        assert here[right] == 1
        assert here[left] == pytest.approx(mirrored, abs=0.05)


@pytest.mark.parametrize("mixed", [0.0, 0.5])
def test_principal_coordinates_describe_the_neutral_faces(ict: IctFaceKit, mixed: float) -> None:
    """They are uncorrelated, of unit variance, and a linear map takes them to the faces."""
    config = DatasetConfig(identities=20, expressions=1, mixed=mixed)
    recipes = draw_recipes(config, ict.expression_names, 6)
    coordinates = principal_coordinates(ict, recipes, 128)
    people, kept = coordinates.shape
    assert people == 20
    assert kept == 6 if mixed == 0 else 6 < kept <= 19  # as many as the modes, or mixtures
    np.testing.assert_allclose(coordinates.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(coordinates.T @ coordinates / 20, np.eye(kept), atol=1e-4)
    faces = np.stack([recipes.neutral(ict, p)[: ict.parts["face"][1]] for p in range(20)])
    offsets = (faces - faces.mean(0)).reshape(20, -1)
    axes = coordinates.T @ offsets / 20
    for i, j in ((0, 1), (3, 17)):
        wanted = np.linalg.norm(offsets[i] - offsets[j])
        got = np.linalg.norm((coordinates[i] - coordinates[j]) @ axes)
        assert got == pytest.approx(wanted, rel=1e-3)
    spread = np.linalg.norm(axes, axis=1)
    assert spread[0] == spread.max() > 2 * spread[-1]


def test_more_people_leave_the_coordinates_as_they_are(
    ict: IctFaceKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ict_scans, "_BASIS_FACES", 10)
    few, many = (
        principal_coordinates(
            ict,
            draw_recipes(
                DatasetConfig(identities=10, expressions=1, further_identities=further),
                ict.expression_names,
                6,
            ),
            128,
        )
        for further in (0, 5)
    )
    assert len(many) == 15
    np.testing.assert_allclose(many[:10], few, atol=1e-4)


def test_one_person_alone_has_no_coordinates(ict: IctFaceKit) -> None:
    recipes = draw_recipes(DatasetConfig(identities=1, expressions=1), ict.expression_names, 6)
    assert principal_coordinates(ict, recipes, 128).shape == (1, 0)


def test_the_table_says_what_made_each_scan(ict: IctFaceKit, ict_file: Path) -> None:
    source = IctScans(ict_file, DatasetConfig(identities=4, expressions=3))
    table = source.table()
    assert len(set(table.names)) == 12
    assert table.names[7] == "person 2, state 1"
    np.testing.assert_array_equal(table.person, [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3])
    np.testing.assert_array_equal(table.is_neutral, [True, False, False] * 4)
    assert len(table.identity_coefficients) == 4
    np.testing.assert_array_equal(table.expression_coefficients[7], source.recipes.expression[2, 1])
    assert (table.expression_coefficients.any(1) == ~table.is_neutral).all()
    np.testing.assert_array_equal(table.template_landmarks, ict.mean[ict.landmarks])


def test_nobody_is_one_sentence(ict_file: Path, data_config: DatasetConfig) -> None:
    with pytest.raises(DataError, match="nobody to draw. Set 'identities' to 1 or more."):
        IctScans(ict_file, replace(data_config, identities=0))


def test_data_that_is_none_is_one_sentence(data_config: DatasetConfig, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.npz").write_text("hello")
    for name in ("none.npz", "text.npz", "empty"):
        with pytest.raises(DataError, match="is not ICT-FaceKit data"):
            IctScans(tmp_path / name, data_config)


def test_a_batch_holds_the_drawn_faces(
    ict: IctFaceKit, cache: ScanCache, data_config: DatasetConfig
) -> None:
    batch = cache.batches(0, 0, 8, 100)
    assert batch.points.shape == (8, 100, 3)
    assert batch.neutral.shape == batch.template.shape == (8, 50, 3)
    assert set(batch.is_neutral.tolist()) == {True, False}
    recipes = draw_recipes(data_config, ict.expression_names, 6)
    for row in range(8):
        person, state = divmod(int(batch.scan[row]), data_config.expressions)
        assert (person, state == 0) == (batch.person[row], batch.is_neutral[row])
        neutral = recipes.neutral(ict, person)
        head = recipes.head(ict, person, state)
        np.testing.assert_allclose(batch.landmarks[row], head[ict.landmarks], atol=1e-6)
        np.testing.assert_allclose(batch.neutral_landmarks[row], neutral[ict.landmarks], atol=1e-6)
        if state == 0:  # on a neutral scan the neutral partners are the points themselves
            np.testing.assert_allclose(batch.neutral[row], batch.points[row, :50], atol=1e-4)
        on = batch.sdf[row, :50] == 0
        assert on.sum() > 10
        _, distance, _ = trimesh.proximity.closest_point(
            _face(ict, head), batch.points[row, :50][on]
        )
        assert np.median(distance) < 1e-4  # 16-bit steps are 0.004 mm
    assert batch.points.dtype == batch.sdf.dtype == torch.float32
