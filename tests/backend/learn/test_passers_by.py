# SPDX-License-Identifier: GPL-3.0-or-later
"""People met once: they are the cache's kind of people, and everything said of them is true."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from backend.errors import DataError
from backend.learn.cache import DatasetConfig, ScanCache, _open_cache
from backend.learn.ict import IctFaceKit
from backend.learn.ict_scans import IctScans, face_triangles
from backend.learn.passers_by import Passage, PassersBy
from backend.learn.step import mapped, tensors
from backend.learn.train import Trainer
from backend.learn.train_config import TrainConfig

PEOPLE, POINTS = 6, 400


@pytest.fixture(scope="module")
def street(ict_file: Path, cache: ScanCache) -> PassersBy:
    """Return the supply of people."""
    return PassersBy(ict_file, cache)


@pytest.fixture(scope="module", params=[True, False], ids=["neutral", "expressive"])
def neutral(request: pytest.FixtureRequest) -> bool:
    """Return which kind is met."""
    return bool(request.param)


@pytest.fixture(scope="module")
def passage(street: PassersBy, neutral: bool) -> Passage:
    """Return one step's people."""
    return street.draw(3, 0, PEOPLE, POINTS, neutral=neutral)


def test_a_step_draws_the_same_people_however_they_are_shared(
    street: PassersBy, passage: Passage, neutral: bool
) -> None:
    shared = [street.draw(3, 0, PEOPLE, POINTS, neutral=neutral, share=(i, 2)) for i in range(2)]
    for whole, *parts in zip(tensors(passage), *map(tensors, shared), strict=True):
        torch.testing.assert_close(torch.cat(parts), whole, atol=1e-5, rtol=0)
    for other in (
        street.draw(4, 0, PEOPLE, POINTS, neutral=neutral),
        street.draw(3, 1, PEOPLE, POINTS, neutral=neutral),
        street.draw(3, 0, PEOPLE, POINTS, neutral=not neutral),
    ):
        for name in ("points", "template", "landmarks"):
            ours, theirs = (getattr(drawn.targets, name) for drawn in (passage, other))
            assert (ours - theirs).abs().max() > 0.01


def test_no_two_people_are_alike(passage: Passage) -> None:
    distances = torch.pdist(passage.coordinates)
    assert distances.min() > 0.1
    assert distances.mean() > 2


def test_neutral_people_have_no_expression(passage: Passage, neutral: bool) -> None:
    targets = passage.targets
    assert (targets.is_neutral == neutral).all()
    assert (passage.expression.any(1) == (not neutral)).all()
    assert torch.equal(targets.points, targets.neutral) == neutral
    assert torch.equal(targets.landmarks, targets.neutral_landmarks) == neutral


def test_even_points_lie_on_the_face_and_their_partners_on_the_mean_face(
    ict: IctFaceKit, passage: Passage, neutral: bool
) -> None:
    mean = trimesh.Trimesh(ict.mean, face_triangles(ict), process=False)
    template, sdf = passage.targets.template[0].numpy(), passage.targets.sdf.numpy()
    _, distance, _ = trimesh.proximity.closest_point(mean, template)
    assert distance[::2].max() < 1e-6
    spread = 0.005 if neutral else 0.001  # moved along the normals
    assert distance[1::2].mean() > spread
    assert (sdf[:, ::2] == 0).all()
    off = np.abs(distance - np.abs(sdf[0]))
    assert (off < 1e-3).mean() > 0.97  # nearly everywhere: other skin may be nearer in a fold
    assert np.linalg.norm(template, axis=1).max() < 1.2


def test_gradients_are_the_normals_that_points_are_moved_along(passage: Passage) -> None:
    targets = passage.targets
    torch.testing.assert_close(
        targets.gradients.norm(dim=-1), torch.ones(PEOPLE, POINTS), atol=1e-5, rtol=0
    )
    assert (targets.gradients[..., 2] > 0).all()  # the front sees them


def test_coordinates_landmarks_points_and_partners_are_those_of_one_face(
    ict_file: Path, ict: IctFaceKit, data_config: DatasetConfig, tmp_path: Path, neutral: bool
) -> None:
    """A plain person's face is a linear image of the coordinates, the same as in a cache."""
    config = replace(data_config, identities=40, mixed=0.0)
    source = IctScans(ict_file, config)
    cache = _unprepared(source, tmp_path)
    known = np.c_[cache.table.identity_coefficients, np.ones(40)]
    heads = np.stack([source.recipes.neutral(ict, p) for p in range(40)])
    image = np.linalg.lstsq(known, heads.reshape(40, -1), rcond=None)[0]
    met = PassersBy(ict_file, cache).draw(0, 0, 2, POINTS, neutral=neutral)
    triangles = face_triangles(ict)
    mean = trimesh.Trimesh(ict.mean, triangles, process=False)
    for person in range(2):
        face = (np.append(met.coordinates[person], 1) @ image).reshape(-1, 3)
        head = face + ict.expression(met.expression[person].numpy())
        targets = mapped(lambda tensor, person=person: tensor[person].numpy(), met.targets)
        np.testing.assert_allclose(head[ict.landmarks], targets.landmarks, atol=1e-4)
        np.testing.assert_allclose(face[ict.landmarks], targets.neutral_landmarks, atol=1e-4)
        partners = targets.template[::2].astype(float)
        _, _, owner = trimesh.proximity.closest_point(mean, partners)
        shares = trimesh.triangles.points_to_barycentric(ict.mean[triangles[owner]], partners)
        for vertices, points in ((head, targets.points), (face, targets.neutral)):
            wanted = np.einsum("nk,nkc->nc", shares, vertices[triangles[owner]])
            np.testing.assert_allclose(points[::2], wanted, atol=3e-4)


def test_regions_are_mixed_as_in_a_cache(
    ict_file: Path, ict: IctFaceKit, data_config: DatasetConfig, tmp_path: Path
) -> None:
    config = replace(data_config, identities=8, regions=3, mixed=0.8, mirrored=0.5)
    source = IctScans(ict_file, config)
    street = PassersBy(ict_file, _unprepared(source, tmp_path))
    recipes = source.recipes
    assert 0 < (recipes.regions[..., 1:] > 0).mean() < 1
    numbers = (torch.from_numpy(each).float() for each in (recipes.identity, recipes.regions))
    faces = street._faces(*numbers).numpy()
    heads = [recipes.neutral(ict, person) for person in range(8)]
    np.testing.assert_allclose(faces, np.stack(heads)[:, : faces.shape[1]], atol=1e-5)


def _unprepared(source: IctScans, folder: Path) -> ScanCache:
    """Return a cache that says all it knows but for the samples: its scans are seen everywhere."""
    _open_cache(source, source.table(), folder)
    for name, value in (("state", 1), ("seen", 255)):
        np.load(folder / f"{name}.npy", mmap_mode="r+")[:] = value
    return ScanCache(folder)


def test_people_are_seen_where_the_scan_was_whose_expression_they_have(
    ict: IctFaceKit, cache: ScanCache, street: PassersBy, passage: Passage
) -> None:
    mean = trimesh.Trimesh(ict.mean, face_triangles(ict), process=False)
    weights = torch.from_numpy(cache.table.expression_coefficients).float()
    for person in range(PEOPLE):
        partners = passage.targets.template[person, ::2].numpy()
        _, _, owner = trimesh.proximity.closest_point(mean, partners)
        scans = (weights == passage.expression[person]).all(1).nonzero()[:, 0]
        seen = cache.seen(scans).any(0)
        assert 0.2 < seen.float().mean() < 0.99
        assert seen[owner].float().mean() > 0.97  # but for rounding at edges


@pytest.mark.parametrize("kind", ["passers_by", "expressive_passers_by"])
def test_training_learns_from_them(
    ict_file: Path, cache: ScanCache, train_config: TrainConfig, tmp_path: Path, kind: str
) -> None:
    config = replace(train_config, passer_by_points=32, **{kind: 4})
    trainer = Trainer(cache, tmp_path, config, ict_file)
    terms = [trainer.train_step() for _ in range(20)]
    name = kind.removesuffix("_passers_by") + "_correspondence"
    assert np.mean([t[name] for t in terms[-4:]]) < 0.8 * np.mean([t[name] for t in terms[:4]])
    alone = Trainer(cache, tmp_path / "alone", train_config).train_step()
    assert terms[0]["total"] > alone["total"]
    assert terms[0]["sdf"] == pytest.approx(alone["sdf"])


def test_one_of_them_may_have_more_points_than_a_piece_of_scans(
    ict_file: Path, cache: ScanCache, train_config: TrainConfig, tmp_path: Path
) -> None:
    config = replace(train_config, points=32, piece=1, passer_by_points=40, passers_by=2)
    assert Trainer(cache, tmp_path, config, ict_file).train_step()["passers_by_sdf"] > 0


def test_without_the_data_there_are_no_passers_by(
    cache: ScanCache, train_config: TrainConfig, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="Give --data, .* expressive_passers_by to 0."):
        Trainer(cache, tmp_path, replace(train_config, passers_by=4))


def test_a_published_model_is_trained_on_from(
    ict_file: Path, ict: IctFaceKit, cache: ScanCache, train_config: TrainConfig, tmp_path: Path
) -> None:
    from backend.checkpoint import save_face_model
    from backend.learn.publish import publish, training_directions

    first = Trainer(cache, tmp_path / "first", train_config)
    first.train_step()
    first.save()
    path = tmp_path / "imface.safetensors"
    directions = training_directions(first.checkpoint)
    save_face_model(publish(first.checkpoint, ict), path, half=False, training=directions)
    second = Trainer(cache, tmp_path / "second", train_config)
    second.start_from(path)
    for name, tensor in first.model.state_dict().items():
        ours = second.model.state_dict()[name]
        if name.endswith(".free"):  # of people, who are not published
            assert not ours.any()
        else:
            torch.testing.assert_close(ours, tensor, msg=name)
