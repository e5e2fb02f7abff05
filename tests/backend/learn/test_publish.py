# SPDX-License-Identifier: GPL-3.0-or-later
"""From a checkpoint to the files that ship."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from backend.checkpoint import FaceModel, load_face_model, save_face_model
from backend.codes import Codes
from backend.errors import DataError
from backend.face.correspondence import propose, require_head
from backend.face.expressions import absent_names, expression_code
from backend.face.generate import generate
from backend.learn.cache import ScanCache, ScanSource, prepare
from backend.learn.code_table import CodeTable
from backend.learn.ict import IctFaceKit
from backend.learn.ict_scans import draw_recipes
from backend.learn.publish import head_of_published, publish, training_directions, training_summary
from backend.learn.train import Trainer
from backend.learn.train_config import TrainConfig
from backend.model.imface import query_sdf


@pytest.fixture(scope="module")
def checkpoint(
    cache: ScanCache, train_config: TrainConfig, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return the checkpoint of a run of two steps."""
    trainer = Trainer(cache, tmp_path_factory.mktemp("run"), train_config)
    for _ in range(2):
        trainer.train_step()
    trainer.elapsed = 90.0
    trainer.save()
    return trainer.checkpoint


@pytest.fixture(scope="module")
def published(ict: IctFaceKit, checkpoint: Path) -> FaceModel:
    """Return the model made of it."""
    return publish(checkpoint, ict)


def test_names_are_those_the_data_can_make(published: FaceModel) -> None:
    assert set(published.expression_names) == {
        "browInnerUp",
        "eyeBlinkLeft",
        "eyeBlinkRight",
        "jawLeft",
        "jawOpen",
        "mouthSmileLeft",
        "mouthSmileRight",
    }
    assert len(absent_names(published)) == 52 - 7
    assert published.expression_directions.shape == (7, 6)


def test_no_training_face_ships(published: FaceModel) -> None:
    """The code tables stay behind: they are people, and the priors are enough."""
    config = published.imface.config
    assert (config.identities, config.expressions) == (0, 0)
    assert published.imface.identity_codes.weight.shape == (0, 8)


def _codes(checkpoint: Path, table: str, free: float = 1.0) -> torch.Tensor:
    """Return all codes of a table as the trainer gives them to the fields, with a share of their
    free parts."""
    trained = torch.load(checkpoint, weights_only=True)["model"]
    trained[f"{table}.free"] *= free
    coefficients, own = (trained[f"{table}.{name}"] for name in ("coefficients", "free"))
    codes = CodeTable(coefficients, own.shape[1], 1.0)
    codes.load_state_dict(
        {k.removeprefix(f"{table}."): v for k, v in trained.items() if k.startswith(table)}
    )
    with torch.no_grad():
        return codes(torch.arange(len(own)))[0]


def test_the_prior_is_that_of_the_trained_codes(published: FaceModel, checkpoint: Path) -> None:
    codes = _codes(checkpoint, "identities")
    torch.testing.assert_close(published.identity_prior.mean, codes.mean(0))
    factor = published.identity_prior.factor
    torch.testing.assert_close(factor @ factor.T, codes.T.cov(), rtol=1e-3, atol=1e-5)
    expression = _codes(checkpoint, "expressions")
    torch.testing.assert_close(published.expression_prior.mean, expression.mean(0))


def test_expressions_are_the_trained_directions_from_a_neutral_zero(
    ict: IctFaceKit, published: FaceModel, checkpoint: Path
) -> None:
    assert (published.neutral_expression == 0).all()
    trained = torch.load(checkpoint, weights_only=True)["model"]["expressions.directions"]
    shape = dict(zip(ict.expression_names, trained, strict=True))
    named = dict(zip(published.expression_names, published.expression_directions, strict=True))
    for name, wanted in (
        ("jawOpen", shape["jawOpen"]),
        ("eyeBlinkRight", shape["eyeBlink_R"]),
        ("browInnerUp", shape["browInnerUp_L"] + shape["browInnerUp_R"]),
    ):
        assert torch.equal(named[name], wanted)
        assert torch.equal(torch.from_numpy(expression_code(published, {name: 1.0})), wanted)


def test_the_forward_map_knows_the_training_people(
    ict: IctFaceKit, published: FaceModel, checkpoint: Path, train_config: TrainConfig
) -> None:
    codes, forward = _codes(checkpoint, "identities"), require_head(published).forward_map
    recipes = draw_recipes(train_config.data, ict.expression_names, 6)
    for person in range(3):
        head = forward.neutral(codes[person]).numpy()
        off = np.linalg.norm(head - recipes.neutral(ict, person), axis=1)
        assert off.mean() < 1e-3  # a tenth of a millimetre


def test_the_head_is_the_datas(ict: IctFaceKit, published: FaceModel) -> None:
    template = require_head(published).template
    np.testing.assert_allclose(template.vertices, ict.mean, atol=1e-7)
    np.testing.assert_array_equal(template.polygons, ict.polygons)
    np.testing.assert_array_equal(template.landmarks, ict.landmarks)
    assert template.parts == ict.parts


def test_files_give_the_model_back_within_half_precision(
    published: FaceModel, tmp_path: Path
) -> None:
    path = tmp_path / "imface.safetensors"
    digest = save_face_model(published, path, half=True)
    back = load_face_model(path, torch.device("cpu"))
    assert back.sha256 == digest
    assert back.hash_prefix == digest[:16]
    assert back.expression_names == published.expression_names
    code = expression_code(published, {"jawOpen": 1.0})
    identity = published.identity_prior.mean
    assert code is not None
    points = torch.rand(500, 3, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8
    sdf = [
        query_sdf(model.imface.face(identity[None], torch.from_numpy(code)[None]), points)
        for model in (published, back)
    ]
    assert (sdf[0] - sdf[1]).abs().max() < 5e-3 * sdf[0].abs().max()
    heads = [propose(m, Codes(identity.numpy(), code, "")) for m in (published, back)]
    np.testing.assert_allclose(heads[0], heads[1], atol=1e-3)
    for name in ("polygons", "uv", "uv_polygons", "landmarks", "parts"):
        assert np.array_equal(
            getattr(require_head(published).template, name),
            getattr(require_head(back).template, name),
        )
    assert generate(back, 1).weights == digest[:16]


@pytest.fixture
def folder(published: FaceModel, checkpoint: Path, tmp_path: Path) -> Path:
    """Return a folder with the model's files and a card that tells its training."""
    directions = training_directions(checkpoint)
    save_face_model(published, tmp_path / "imface.safetensors", half=False, training=directions)
    card = {"training": training_summary(checkpoint)}
    (tmp_path / "model_card.json").write_text(json.dumps(card))
    return tmp_path


def test_the_head_of_a_published_model_can_be_made_anew(
    ict: IctFaceKit, checkpoint: Path, folder: Path, train_config: TrainConfig
) -> None:
    """It knows the training people by what is known of their codes."""
    head = head_of_published(folder / "imface.safetensors", ict)
    recipes = draw_recipes(train_config.data, ict.expression_names, 6)
    people, states = (
        _codes(checkpoint, table, free=0.0) for table in ("identities", "expressions")
    )
    for code, (person, state) in zip(states, recipes.scans, strict=True):
        made = head.forward_map.neutral(people[person]) + head.forward_map.expressed(code)
        off = np.linalg.norm(made.numpy() - recipes.head(ict, person, state), axis=1)
        assert off.mean() < 1e-3  # a tenth of a millimetre
    assert head.template.parts == ict.parts


def test_other_data_make_no_head_for_a_published_model(ict: IctFaceKit, folder: Path) -> None:
    other = replace(ict, mean=ict.mean * 1.01)
    with pytest.raises(DataError, match=r"not trained on faces of this data\. Give the ICT"):
        head_of_published(folder / "imface.safetensors", other)


@pytest.mark.parametrize("content", [None, "{", "[]", "{}", '{"training": {"config": {}}}'])
def test_without_its_card_a_published_model_has_no_known_data(
    ict: IctFaceKit, folder: Path, content: str | None
) -> None:
    card = folder / "model_card.json"
    card.unlink() if content is None else card.write_text(content)
    with pytest.raises(DataError, match="json does not tell how the weights beside it were tra"):
        head_of_published(folder / "imface.safetensors", ict)


def test_a_summary_for_the_card(checkpoint: Path, folder: Path) -> None:
    summary = training_summary(checkpoint)
    assert (summary["steps"], summary["minutes"]) == (2, 1.5)
    assert summary["config"]["data"]["identities"] == 3
    published = training_summary(folder / "imface.safetensors")
    assert published == json.loads(json.dumps(summary))


@pytest.mark.parametrize("content", [b"hello\n", b"", b"PK\x03\x04 not a zip"])
def test_what_is_no_checkpoint_is_one_sentence(
    ict: IctFaceKit, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"checkpoint\.pt cannot be read. Train first."):
        publish(path, ict)


def test_a_checkpoint_of_other_faces_is_one_sentence(
    ict: IctFaceKit,
    checkpoint: Path,
    spheres: ScanSource,
    train_config: TrainConfig,
    tmp_path: Path,
) -> None:
    """Of other people, of another head model, or of scans that no head model made."""
    other_people = torch.load(checkpoint, weights_only=True)
    other_people["config"]["data"]["seed"] = 1
    torch.save(other_people, tmp_path / "people.pt")
    other_kit = replace(ict, expression_names=ict.expression_names[:6])
    prepare(spheres, tmp_path / "cache", workers=1)
    trainer = Trainer(ScanCache(tmp_path / "cache"), tmp_path / "run", train_config)
    trainer.save()
    for path, kit in (
        (tmp_path / "people.pt", ict),
        (checkpoint, other_kit),
        (trainer.checkpoint, ict),
    ):
        with pytest.raises(DataError, match=r"not trained on faces of this data\..* out --data"):
            publish(path, kit)


def test_a_missing_or_foreign_checkpoint_is_one_sentence(ict: IctFaceKit, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read. Train first."):
        publish(tmp_path / "none.pt", ict)
    torch.save({"decoder": {}}, tmp_path / "foreign.pt")
    with pytest.raises(DataError, match="cannot be read. Train first."):
        publish(tmp_path / "foreign.pt", ict)
