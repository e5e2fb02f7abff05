# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights files: what was saved comes back, and anything else is refused in one sentence."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from backend.checkpoint import (
    BUNDLED,
    CARD_NAME,
    HEAD_NAME,
    FaceModel,
    Head,
    choose_device,
    file_sha256,
    load_face_model,
    model_from_tables,
    save_face_model,
)
from backend.errors import WeightsError
from backend.face.generate import face_of, generate
from backend.model.forward_map import ForwardMap, HeadTemplate
from backend.model.imface import ImFace, ModelConfig, query_sdf

CPU = torch.device("cpu")


@pytest.fixture
def head() -> Head:
    """Return the smallest head: one quad."""
    template = HeadTemplate(
        vertices=torch.rand(4, 3),
        polygons=torch.tensor([[0, 1, 2, 3]], dtype=torch.int32),
        uv=torch.rand(4, 2),
        uv_polygons=torch.tensor([[0, 1, 2, 3]], dtype=torch.int32),
        landmarks=torch.arange(68) % 4,
        parts={"face": (0, 4, 0, 1)},
    )
    return Head(
        template,
        ForwardMap(
            identity_mean=torch.rand(8),
            neutral_expression=torch.rand(6),
            identity_linear=torch.rand(8, 2),
            expression_linear=torch.rand(6, 1),
            identity_basis=torch.rand(2, 4, 3),
            expression_basis=torch.rand(1, 4, 3),
            residual_basis=torch.randint(-127, 128, (2, 4, 3), dtype=torch.int8),
            residual_scale=torch.rand(2),
            mean=torch.rand(4, 3),
        ),
    )


@pytest.fixture
def saved(tiny_model: FaceModel, head: Head, tmp_path: Path) -> Path:
    """Return the file of a model with a head."""
    path = tmp_path / BUNDLED.name
    save_face_model(replace(tiny_model, head=head), path, half=False)
    return path


def test_a_model_comes_back_as_it_was_saved(tiny_model: FaceModel, head: Head, saved: Path) -> None:
    back = load_face_model(saved, CPU)
    assert back.imface.config == tiny_model.imface.config
    assert back.expression_names == tiny_model.expression_names
    assert torch.equal(back.identity_prior.factor, tiny_model.identity_prior.factor)
    assert torch.equal(back.neutral_expression, tiny_model.neutral_expression)
    assert torch.equal(back.expression_directions, tiny_model.expression_directions)
    points = torch.rand(50, 3)
    sdf = [query_sdf(face_of(m, generate(m, 1)), points) for m in (tiny_model, back)]
    torch.testing.assert_close(*sdf)
    assert back.head is not None
    assert back.head.template.parts == head.template.parts
    assert torch.equal(back.head.template.polygons, head.template.polygons)
    code, residual = torch.rand(8), torch.rand(2)
    made, wanted = (h.forward_map.neutral(code, residual) for h in (back.head, head))
    torch.testing.assert_close(made, wanted, rtol=1e-2, atol=1e-2)
    assert torch.equal(back.head.forward_map.residual_basis, head.forward_map.residual_basis)
    assert back.head.sha256 == file_sha256(saved.with_name(HEAD_NAME))
    assert back.fitted_by == f"{back.hash_prefix}-{back.head.sha256[:8]}"
    assert replace(back, head=None).fitted_by == back.hash_prefix
    assert not any(p.requires_grad for p in back.imface.parameters())


def test_files_are_named_by_their_content(saved: Path) -> None:
    model = load_face_model(saved, CPU)
    assert model.sha256 == file_sha256(saved)
    assert model.hash_prefix == file_sha256(saved)[:16]
    assert sorted(path.name for path in saved.parent.iterdir()) == [HEAD_NAME, BUNDLED.name]


def test_the_same_model_is_the_same_file(saved: Path) -> None:
    """Or codes, which know their weights by the file's hash, would not fit those made again."""
    model, again = load_face_model(saved, CPU), saved.parent / "again" / saved.name
    again.parent.mkdir()
    for _ in range(4):
        save_face_model(model, again, half=False)
        for name in (BUNDLED.name, HEAD_NAME):
            assert file_sha256(again.with_name(name)) == file_sha256(saved.with_name(name))


def test_half_precision_halves_the_large_tensors(tmp_path: Path) -> None:
    model = model_from_tables(ImFace(ModelConfig(identities=2, expressions=4)))
    save_face_model(model, tmp_path / "whole.safetensors", half=False)
    save_face_model(model, tmp_path / "half.safetensors", half=True)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("half", "whole")]
    assert sizes[0] == pytest.approx(sizes[1] / 2, rel=0.02)
    state = load_face_model(tmp_path / "half.safetensors", CPU).imface.state_dict()
    for name, tensor in model.imface.state_dict().items():
        assert state[name].dtype == torch.float32
        torch.testing.assert_close(state[name], tensor, rtol=1e-3, atol=1e-6)


def test_priors_of_a_papers_checkpoint_come_from_its_tables(tiny_config: ModelConfig) -> None:
    torch.manual_seed(0)
    imface = ImFace(replace(tiny_config, identities=5, expressions=15))
    model = model_from_tables(imface)
    torch.testing.assert_close(model.identity_prior.mean, imface.identity_codes.weight.mean(0))
    torch.testing.assert_close(model.neutral_expression, imface.expression_codes.weight[:5].mean(0))
    assert (model.expression_names, model.head) == ((), None)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.safetensors is missing. Check its path, or"):
        load_face_model(tmp_path / "none.safetensors")


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.5, 0.999])
def test_a_truncated_file_is_one_sentence(saved: Path, share: float) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[: int(share * len(content))])
    with pytest.raises(WeightsError, match="is damaged or incomplete. Install it again."):
        load_face_model(saved, CPU)


def test_a_truncated_head_is_one_sentence(saved: Path) -> None:
    head = saved.with_name(HEAD_NAME)
    head.write_bytes(head.read_bytes()[:-10])
    with pytest.raises(WeightsError, match=r"head\.safetensors is damaged or incomplete"):
        load_face_model(saved, CPU)


def _rewritten(path: Path, drop: str = "", **metadata: str) -> None:
    """Write a weights file again, with other metadata or without a tensor."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        old = file.metadata()
    tensors.pop(drop, None)
    save_file(tensors, path, old | metadata)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"format_version": "2"}, "version"),
        ({"format": "llama"}, "is not an ImFace weights file. Choose another file."),
        ({"config": "{}"}, "does not hold a complete model. Install the weights again."),
        ({"config": "not json"}, "does not hold a complete model"),
        ({"config": '{"surprise": 1}'}, "does not hold a complete model"),
        ({"drop": "neutral_expression"}, "does not hold a complete model"),
        ({"drop": "imface.landmarks.0.weight"}, "does not hold a complete model"),
    ],
)
def test_another_content_is_one_sentence(
    saved: Path, change: dict[str, str], sentence: str
) -> None:
    _rewritten(saved, **change)
    with pytest.raises(WeightsError, match=sentence):
        load_face_model(saved, CPU)


def test_a_head_of_another_release_is_named(saved: Path) -> None:
    _rewritten(saved.with_name(HEAD_NAME), drop="map.residual_basis")
    with pytest.raises(WeightsError, match=r"head\.safetensors does not hold a complete model"):
        load_face_model(saved, CPU)


def test_a_file_without_metadata_is_refused(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(3)}, tmp_path / "plain.safetensors")
    with pytest.raises(WeightsError, match="is not an ImFace weights file"):
        load_face_model(tmp_path / "plain.safetensors", CPU)


def test_the_head_of_other_weights_is_not_used(saved: Path, tiny_model: FaceModel) -> None:
    changed = replace(tiny_model, neutral_expression=tiny_model.neutral_expression + 1)
    save_face_model(changed, saved, half=False)
    assert saved.with_name(HEAD_NAME).is_file()
    assert load_face_model(saved, CPU).head is None


def test_a_file_that_its_card_does_not_describe_is_refused(saved: Path) -> None:
    card = saved.with_name(CARD_NAME)
    card.write_text(json.dumps({"format": 1, "files": {saved.name: file_sha256(saved)}}))
    load_face_model(saved, CPU)
    card.write_text(json.dumps({"format": 1, "files": {saved.name: "0" * 64}}))
    with pytest.raises(WeightsError, match="is not the file its model card describes"):
        load_face_model(saved, CPU)
    card.write_text(json.dumps({"files": {"another.safetensors": "0" * 64}}))
    load_face_model(saved, CPU)
    card.write_text('{"files": {')
    with pytest.raises(WeightsError, match=r"The model card .* is damaged. Install"):
        load_face_model(saved, CPU)


def test_a_crash_while_saving_keeps_the_file(
    saved: Path, tiny_model: FaceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.read_bytes()

    def crash(path: Path, content: bytes) -> None:
        path.write_text("half a file")
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_bytes", crash)
    with pytest.raises(OSError, match="No space"):
        save_face_model(tiny_model, saved, half=False)
    assert saved.read_bytes() == before


def test_the_bundled_weights_are_complete(bundled: FaceModel) -> None:
    assert bundled.head is not None
    assert bundled.imface.config.identities == 0
    card = json.loads(BUNDLED.with_name(CARD_NAME).read_text())
    for path in (BUNDLED, BUNDLED.with_name(HEAD_NAME)):
        assert card["files"][path.name] == file_sha256(path)


@pytest.mark.parametrize(
    ("gpus", "rank", "device"),
    [(0, "1", "cpu"), (1, None, "cuda:0"), (1, "1", "cuda:0"), (4, "2", "cuda:2")],
)
def test_each_of_torchrun_s_processes_has_its_own_gpu(
    monkeypatch: pytest.MonkeyPatch, gpus: int, rank: str | None, device: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", rank)
    assert choose_device() == torch.device(device)
