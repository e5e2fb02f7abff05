# SPDX-License-Identifier: GPL-3.0-or-later
"""Training samples: true correspondences, a cache that goes on, batches that depend on nothing."""

import json
import shutil
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from backend.errors import DataError
from backend.learn.dataset import (
    Batch,
    DatasetConfig,
    Recipes,
    ScanCache,
    ScanSamples,
    draw_recipes,
    make_samples,
    prepare,
    region_weights,
)
from backend.learn.ict import IctFaceKit
from backend.mesh import triangulate

SHIFT = 0.02


@pytest.fixture(scope="module")
def smile(ict: IctFaceKit) -> tuple[np.ndarray, np.ndarray]:
    """Return a person's neutral head and the offsets of a smile with an open jaw."""
    weights = np.array([name in ("jawOpen", "mouthSmile_L") for name in ict.expression_names])
    return ict.neutral(np.array([1.0, -1, 0.5, 0, 0, 2])), ict.expression(0.6 * weights)


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
    observed = _face(ict, smile[0] + smile[1])
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
        (smile[0] + smile[1], samples.points[1:300:2]),
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
    return draw_recipes(DatasetConfig(identities=200, expressions=4), ict.expression_names, 6)


def test_recipes_are_as_described(ict: IctFaceKit, recipes: Recipes) -> None:
    assert recipes.identity.shape == (200, 2, 6)
    assert recipes.identity.std() == pytest.approx(1.1, rel=0.05)
    assert (recipes.mask[:, 1] > 0).mean() == pytest.approx(0.5, abs=0.1)
    assert (recipes.expression[:, 0] == 0).all()  # the first state is neutral
    strong = recipes.expression[:, 1:][recipes.expression[:, 1:] > 0]
    assert strong.min() >= 0.3
    assert strong.max() <= 1
    left, right = (ict.expression_names.index(f"eyeBlink_{side}") for side in "LR")
    blinks = recipes.expression[:, 1:, [left, right]].reshape(-1, 2)
    blinks = blinks[blinks.any(1)]
    assert (blinks[:, 0] == blinks[:, 1]).mean() == pytest.approx(0.8, abs=0.15)


def test_the_same_seed_draws_the_same_faces(ict: IctFaceKit) -> None:
    config = DatasetConfig(identities=5, expressions=2)
    first, second = (draw_recipes(config, ict.expression_names, 6) for _ in range(2))
    for field in fields(Recipes):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(second, field.name))
    other = draw_recipes(replace(config, seed=1), ict.expression_names, 6)
    assert not np.array_equal(first.identity, other.identity)


def test_a_mixed_person_is_one_here_and_another_there(ict: IctFaceKit, recipes: Recipes) -> None:
    person = int(np.flatnonzero(recipes.mask[:, 1])[0])
    mask = recipes.mask_weights(ict, person)
    assert mask is not None
    center = ict.landmarks[int(recipes.mask[person, 0])]
    assert mask[center] == 1
    assert mask.min() < 0.01
    plain = int(np.flatnonzero(recipes.mask[:, 1] == 0)[0])
    assert recipes.mask_weights(ict, plain) is None
    np.testing.assert_array_equal(
        recipes.neutral(ict, plain), ict.neutral(recipes.identity[plain, 0])
    )


def _arrays(folder: Path) -> dict[str, np.ndarray]:
    return {path.stem: np.load(path) for path in sorted(folder.glob("*.npy"))}


def test_prepare_goes_on_where_it_stopped(
    ict_file: Path, data_config: DatasetConfig, cache_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "cache"
    shutil.copytree(cache_folder, folder)
    done = np.load(folder / "done.npy", mmap_mode="r+")
    done[1] = False
    np.load(folder / "points.npy", mmap_mode="r+")[1] = 0
    np.load(folder / "points.npy", mmap_mode="r+")[0] = 7  # finished people are not made again
    with pytest.raises(DataError, match="is unfinished. Run 'prepare' again to complete it."):
        ScanCache(folder)
    told: list[tuple[int, int]] = []
    prepare(ict_file, folder, data_config, workers=1, progress=lambda *n: told.append(n))
    assert told == [(3, 3)]
    wanted, got = _arrays(cache_folder), _arrays(folder)
    np.testing.assert_array_equal(got["points"][1:], wanted["points"][1:])
    assert (got["points"][0] == 7).all()
    for name in set(wanted) - {"points"}:
        np.testing.assert_array_equal(got[name], wanted[name])
    ScanCache(folder)


def test_prepare_refuses_a_cache_of_other_settings(
    ict_file: Path, data_config: DatasetConfig, cache_folder: Path
) -> None:
    with pytest.raises(DataError, match="made with other settings .* Choose an empty folder."):
        prepare(ict_file, cache_folder, replace(data_config, near=99))


def test_prepare_refuses_data_that_is_none(data_config: DatasetConfig, tmp_path: Path) -> None:
    for name in ("none.npz", "text.npz", "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        (tmp_path / "text.npz").write_text("hello")
        with pytest.raises(DataError, match="is not ICT-FaceKit data"):
            prepare(tmp_path / name, tmp_path / "cache", data_config, workers=1)
    assert not (tmp_path / "cache").exists()


def test_what_is_no_cache_is_one_sentence(cache_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a prepared cache. Run 'prepare' first."):
        ScanCache(tmp_path)
    header = json.loads((cache_folder / "cache.json").read_text())
    header["config"]["surprise"] = 1
    (tmp_path / "cache.json").write_text(json.dumps(header))
    with pytest.raises(DataError, match="is not a prepared cache"):
        ScanCache(tmp_path)


def _assert_equal(a: Batch, b: Batch) -> None:
    for field in fields(Batch):
        np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name))


def test_a_batch_depends_on_seed_and_step_alone(cache_folder: Path, cache: ScanCache) -> None:
    cache.batches(1, 0, 4, 64)
    _assert_equal(cache.batches(5, 0, 4, 64), ScanCache(cache_folder).batches(5, 0, 4, 64))
    assert not np.array_equal(cache.batches(5, 0, 4, 64).points, cache.batches(6, 0, 4, 64).points)
    assert not np.array_equal(cache.batches(5, 0, 4, 64).points, cache.batches(5, 1, 4, 64).points)


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_parts_make_up_the_whole_batch(cache: ScanCache, parts: int) -> None:
    whole = cache.batches(2, 0, 5, 64)
    shares = [cache.batches(2, 0, 5, 64, part, parts) for part in range(parts)]
    joined = [
        np.concatenate([getattr(share, field.name) for share in shares]) for field in fields(Batch)
    ]
    _assert_equal(whole, Batch(*joined))


def test_a_batch_holds_what_was_prepared(
    ict: IctFaceKit, cache: ScanCache, data_config: DatasetConfig
) -> None:
    batch = cache.batches(0, 0, 8, 100)
    assert batch.points.shape == (8, 100, 3)
    assert batch.neutral.shape == batch.template.shape == (8, 50, 3)
    assert set(batch.state) == {0, 1}
    recipes = draw_recipes(data_config, ict.expression_names, 6)
    for row in range(8):
        person, state = batch.person[row], batch.state[row]
        neutral = recipes.neutral(ict, person)
        head = neutral + ict.expression(recipes.expression[person, state])
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
    assert batch.points.dtype == batch.sdf.dtype == np.float32
