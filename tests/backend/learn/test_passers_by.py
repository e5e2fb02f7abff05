# SPDX-License-Identifier: GPL-3.0-or-later
"""People met once: they are the cache's kind of people, and everything said of them is true."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from backend.errors import DataError
from backend.learn.cache import DatasetConfig, ScanCache
from backend.learn.ict import IctFaceKit
from backend.learn.ict_scans import draw_recipes, principal_coordinates
from backend.learn.passers_by import Passage, PassersBy
from backend.learn.train import TrainConfig, Trainer
from backend.mesh import triangulate

PEOPLE, POINTS = 6, 400


@pytest.fixture(scope="module")
def config() -> DatasetConfig:
    """Return settings with which both plain and mixed people are drawn."""
    return DatasetConfig(identities=12, expressions=1, mixed=0.5)


@pytest.fixture(scope="module")
def street(ict_file: Path, config: DatasetConfig) -> PassersBy:
    """Return the supply of people."""
    return PassersBy(ict_file, config)


@pytest.fixture(scope="module")
def passage(street: PassersBy) -> Passage:
    """Return one step's people."""
    return street.draw(3, 0, PEOPLE, POINTS)


def test_a_step_draws_the_same_people_however_they_are_shared(
    street: PassersBy, passage: Passage
) -> None:
    parts = [street.draw(3, 0, PEOPLE, POINTS, part, 2) for part in range(2)]
    for name in ("coordinates", "points", "sdf", "template", "landmarks"):
        whole = getattr(passage, name)
        shared = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_allclose(shared, whole, atol=1e-6)
        assert whole.dtype == np.float32
        for other in (street.draw(4, 0, PEOPLE, POINTS), street.draw(3, 1, PEOPLE, POINTS)):
            assert np.abs(getattr(other, name) - whole).max() > 0.01


def test_no_two_people_are_alike(passage: Passage) -> None:
    apart = np.linalg.norm(passage.coordinates[:, None] - passage.coordinates[None], axis=2)
    assert apart[~np.eye(PEOPLE, dtype=bool)].min() > 0.5


def test_even_points_lie_on_the_face_and_their_partners_on_the_mean_face(
    ict: IctFaceKit, passage: Passage
) -> None:
    mean = trimesh.Trimesh(ict.mean, triangulate(ict.part_polygons(("face",))), process=False)
    _, distance, _ = trimesh.proximity.closest_point(mean, passage.template[0])
    assert distance[::2].max() < 1e-6
    assert distance[1::2].mean() > 0.005  # half a millimetre: moved along the normals
    assert (passage.sdf[:, ::2] == 0).all()
    off = np.abs(distance - np.abs(passage.sdf[0]))
    assert (off < 1e-3).mean() > 0.97  # nearly everywhere: other skin may be nearer in a fold
    assert np.linalg.norm(passage.template, axis=2).max() < 1.2


def test_coordinates_landmarks_points_and_partners_are_those_of_one_face(
    ict_file: Path, ict: IctFaceKit, config: DatasetConfig
) -> None:
    """A plain person's face is a linear image of the coordinates, the same as in a cache."""
    plain = replace(config, identities=40, mixed=0.0)
    recipes = draw_recipes(plain, ict.expression_names, 6)
    known = np.c_[principal_coordinates(ict, recipes), np.ones(40)]
    heads = np.stack([recipes.neutral(ict, p) for p in range(40)])
    image = np.linalg.lstsq(known, heads.reshape(40, -1), rcond=None)[0]
    met = PassersBy(ict_file, plain).draw(0, 0, 2, POINTS)
    triangles = triangulate(ict.part_polygons(("face",)))
    mean = trimesh.Trimesh(ict.mean, triangles, process=False)
    for person in range(2):
        head = (np.append(met.coordinates[person], 1) @ image).reshape(-1, 3)
        np.testing.assert_allclose(head[ict.landmarks], met.landmarks[person], atol=1e-4)
        partners = met.template[person, ::2].astype(float)
        _, _, owner = trimesh.proximity.closest_point(mean, partners)
        shares = trimesh.triangles.points_to_barycentric(ict.mean[triangles[owner]], partners)
        wanted = np.einsum("nk,nkc->nc", shares, head[triangles[owner]])
        np.testing.assert_allclose(met.points[person, ::2], wanted, atol=3e-4)


def test_training_learns_from_them(
    ict_file: Path, cache: ScanCache, train_config: TrainConfig, tmp_path: Path
) -> None:
    config = replace(train_config, passers_by=4, passer_by_points=32)
    trainer = Trainer(cache, tmp_path, config, ict_file)
    terms = [trainer.train_step() for _ in range(20)]
    name = "passers_by_correspondence"
    assert np.mean([t[name] for t in terms[-4:]]) < 0.8 * np.mean([t[name] for t in terms[:4]])
    alone = Trainer(cache, tmp_path / "alone", train_config).train_step()
    assert terms[0]["total"] > alone["total"]
    assert terms[0]["sdf"] == pytest.approx(alone["sdf"])


def test_without_the_data_there_are_no_passers_by(
    cache: ScanCache, train_config: TrainConfig, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="drawn from the ICT-FaceKit data. Give --data"):
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
