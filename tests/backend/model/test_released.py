# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints in the released layout give what the released code computes from them."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backend.errors import WeightsError
from backend.model.imface import Face, ImFace, query_gradient
from backend.model.released import load_released_checkpoint

LAYOUTS = Path(__file__).resolve().parents[2] / "data" / "official_checkpoint_layout"
#: 3 identities and 3 expressions, by index and by code.
CASES = [(path, i, e) for path in ("index", "code") for i in range(3) for e in range(3)]

Checkpoint = tuple[ImFace, dict[str, np.ndarray]]


@pytest.fixture(scope="module", params=["se3_small", "translation_small"])
def checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    """Return a model and what the released code says about it."""
    folder = LAYOUTS / request.param
    with np.load(folder / "expected.npz") as data:
        return load_released_checkpoint(folder), dict(data)


def _face(model: ImFace, path: str, identity: int, expression: int) -> Face:
    if path == "index":
        return model.indexed_face(identity, expression)
    row = expression * model.config.identities + identity
    with torch.no_grad():
        return model.face(
            model.identity_codes.weight[identity][None], model.expression_codes.weight[row][None]
        )


def test_sizes_and_warp_come_from_the_file() -> None:
    models = [load_released_checkpoint(LAYOUTS / f"{w}_small") for w in ("se3", "translation")]
    assert [model.config.warp for model in models] == ["se3", "translation"]
    for model in models:
        config = model.config
        assert (config.identities, config.expressions) == (3, 9)
        assert (config.identity_dim, config.expression_dim) == (16, 16)
        assert (config.identity_hidden, config.expression_hidden) == (32, 32)
        assert (config.hidden_layers, config.hyper_hidden_layers) == (3, 1)


@pytest.mark.parametrize(("path", "identity", "expression"), CASES)
def test_values_are_those_of_the_released_code(
    checkpoint: Checkpoint, path: str, identity: int, expression: int
) -> None:
    model, expected = checkpoint
    points = torch.from_numpy(expected["points"])
    with torch.no_grad():
        values = _face(model, path, identity, expression).query(points[None])
    for name in ("sdf", "template_sdf", "correction", "neutral_points", "template_points"):
        wanted = expected[f"{path}_id{identity}_exp{expression}_{name}"]
        np.testing.assert_allclose(getattr(values, name)[0], wanted, rtol=0, atol=1e-5)


def test_gradients_are_those_of_the_released_code(checkpoint: Checkpoint) -> None:
    model, expected = checkpoint
    points = torch.from_numpy(expected["points"])
    errors = []
    for path, identity, expression in CASES:
        _, gradient = query_gradient(_face(model, path, identity, expression), points)
        wanted = expected[f"{path}_id{identity}_exp{expression}_gradient"]
        off = np.linalg.norm(gradient.numpy() - wanted, axis=1)
        norms = np.linalg.norm(wanted, axis=1)
        assert off.max() < 1e-3 * norms.max()
        errors.append(off / norms)
    assert (np.concatenate(errors) < 1e-3).mean() >= 0.999


def _write(folder: Path, content: Any) -> Path:
    (folder / "pth").mkdir()
    torch.save(content, folder / "pth" / "envs_last.pth")
    return folder


class _Touch:
    """Unpickling it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable, tuple]:
        return Path.touch, (self.path,)


def test_a_checkpoint_as_the_released_training_saves_it(tmp_path: Path) -> None:
    """With optimizer and schedule as objects."""
    plain = LAYOUTS / "se3_small"
    content = torch.load(plain / "pth" / "envs_last.pth", weights_only=True)
    layer = torch.nn.Linear(3, 3)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(3)).sum().backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 10)
    folder = _write(tmp_path, content | {"optimizer": optimizer, "scheduler": schedule})
    ours, wanted = (load_released_checkpoint(f).state_dict() for f in (folder, plain))
    assert ours.keys() == wanted.keys()
    assert all(torch.equal(ours[name], wanted[name]) for name in wanted)


def test_code_in_a_file_never_runs(tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    folder = _write(tmp_path, {"decoder": _Touch(trap)})
    with pytest.raises(WeightsError, match="code in it is never run"):
        load_released_checkpoint(folder)
    assert not trap.exists()
    pickle.loads(pickle.dumps(_Touch(trap)))  # noqa: S301  the trap itself works
    assert trap.exists()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"envs_last\.pth is missing. Choose the folder"):
        load_released_checkpoint(tmp_path)


def test_a_training_that_went_astray_is_refused(tmp_path: Path) -> None:
    tensors = _tensors()
    tensors["id_embedding.weight"][0, 0] = torch.nan
    folder = _write(tmp_path, {"decoder": tensors})
    with pytest.raises(WeightsError, match="no numbers: its training went astray. Choose an ear"):
        load_released_checkpoint(folder)


@pytest.mark.parametrize("size", [0, 10, 100_000, 2_000_000])
def test_a_truncated_file_is_refused(tmp_path: Path, size: int) -> None:
    whole = (LAYOUTS / "se3_small" / "pth" / "envs_last.pth").read_bytes()
    (tmp_path / "pth").mkdir()
    (tmp_path / "pth" / "envs_last.pth").write_bytes(whole[:size])
    with pytest.raises(WeightsError, match="not a checkpoint of the paper's code"):
        load_released_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "content", [b"hello\n", b"\x89PNG\r\n\x1a\n", b"]q\x00.", b"cos\nsystem\n"]
)
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pth").mkdir()
    (tmp_path / "pth" / "envs_last.pth").write_bytes(content)
    with pytest.raises(WeightsError, match="not a checkpoint of the paper's code"):
        load_released_checkpoint(tmp_path)


def _tensors() -> dict[str, torch.Tensor]:
    whole = LAYOUTS / "se3_small" / "pth" / "envs_last.pth"
    return torch.load(whole, weights_only=True)["decoder"]


def _renamed() -> dict[str, Any]:
    return {f"module.{name}": tensor for name, tensor in _tensors().items()}


def _incomplete() -> dict[str, Any]:
    tensors = _tensors()
    del tensors["template_landmarks"]
    return tensors


def _of_another_width() -> dict[str, Any]:
    tensors = _tensors()
    last = "deform_net.mini_nets.mini_net.net.net.4.0.weight"
    return tensors | {last: torch.zeros(4 * 5, 32)}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([1, 2], "has no 'decoder' entry"),
        ({"model": {}}, "has no 'decoder' entry"),
        ({"decoder": {}}, "has another layout"),
        ({"decoder": {"deform_net.mini_nets.mini_net.net.net.0.0.weight": 3}}, "another layout"),
        (lambda: {"decoder": _renamed()}, "has another layout"),
        (lambda: {"decoder": _incomplete()}, "has another layout"),
        (lambda: {"decoder": _of_another_width()}, "has another layout"),
    ],
    ids=["list", "foreign", "empty", "no tensors", "renamed", "incomplete", "another width"],
)
def test_another_layout_is_refused(tmp_path: Path, content: Any, sentence: str) -> None:
    folder = _write(tmp_path, content() if callable(content) else content)
    with pytest.raises(WeightsError, match=sentence):
        load_released_checkpoint(folder)
