# SPDX-License-Identifier: GPL-3.0-or-later
"""The model as files: safetensors with a format version, checked against the card's hashes."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from . import ROOT
from .errors import WeightsError
from .files import replacing
from .model.forward_map import ForwardMap, HeadTemplate
from .model.imface import ImFace, ModelConfig
from .model.prior import CodePrior, fit_prior

FORMAT_VERSION = "1"
BUNDLED = ROOT / "weights" / "imface.safetensors"
#: Beside the model: the fixed topology and the map from codes to it.
HEAD_NAME = "head.safetensors"
CARD_NAME = "model_card.json"
#: Of the tensors that only training reads: how known numbers of a face move its codes.
_TRAINING = "training."


@dataclass(frozen=True)
class Head:
    """The fixed topology, the forward map onto it, and the sha256 of their file."""

    template: HeadTemplate
    forward_map: ForwardMap
    sha256: str = ""


@dataclass(frozen=True, eq=False)  # hashed by identity: what follows from it can be cached
class FaceModel:
    """Everything a face is made with.

    Attributes
    ----------
    imface : ImFace
    identity_prior, expression_prior : CodePrior
    neutral_expression : Tensor (D,)
        The code that neutral training scans gather around: where expressions start from.
    expression_names : tuple of str
        Named expressions, Apple's spelling.
    expression_directions : Tensor (E, D)
        What weight 1 of each adds to the neutral code.
    head : Head or None
        None for a checkpoint of the paper, which has no common topology.
    sha256 : str
        Of the weights file.
    """

    imface: ImFace
    identity_prior: CodePrior
    expression_prior: CodePrior
    neutral_expression: Tensor
    expression_names: tuple[str, ...]
    expression_directions: Tensor
    head: Head | None
    sha256: str

    @property
    def device(self) -> torch.device:
        """Where the weights live."""
        return self.imface.device

    @property
    def hash_prefix(self) -> str:
        """What codes carry so that they are only used with the weights they belong to."""
        return self.sha256[:16]

    @property
    def fitted_by(self) -> str:
        """What a scan's fit is known by: with another head, the same weights find other codes."""
        return (
            self.hash_prefix if self.head is None else f"{self.hash_prefix}-{self.head.sha256[:8]}"
        )


def choose_device() -> torch.device:
    """Return a GPU where there is one, of several one for each of torchrun's processes; else the
    processor."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())


def model_from_tables(imface: ImFace) -> FaceModel:
    """Make a model of an imported checkpoint: its priors come from its own code tables."""
    expressions = imface.expression_codes.weight.detach()
    neutral = expressions[: imface.config.identities]
    return model_without_head(imface, imface.identity_codes.weight.detach(), expressions, neutral)


def model_without_head(
    imface: ImFace, identities: Tensor, expressions: Tensor, neutral: Tensor
) -> FaceModel:
    """Make a model of fields and codes alone: no fixed topology, no named expressions.

    Parameters
    ----------
    identities, expressions, neutral : Tensor (N, D)
        Codes of the people, of the scans, and of the neutral ones among these.
    """
    return FaceModel(
        imface=imface,
        identity_prior=fit_prior(identities),
        expression_prior=fit_prior(expressions),
        neutral_expression=neutral.mean(0),
        expression_names=(),
        expression_directions=torch.zeros(0, imface.config.expression_dim),
        head=None,
        sha256="",
    )


def save_face_model(
    model: FaceModel, path: Path, *, half: bool, training: Mapping[str, Tensor] | None = None
) -> str:
    """Write the model, and its head beside it; returns the sha256 of the model's file.

    Parameters
    ----------
    half : bool
        Store the hypernetworks' large matrices in half precision.
    training : mapping, optional
        What training needs beside the fields to go on from this file.
    """
    state = {f"imface.{name}": t for name, t in model.imface.state_dict().items()}
    large = {name for name, t in state.items() if half and t.numel() >= 4096}
    tensors = {name: t.half() if name in large else t for name, t in state.items()}
    for kind in ("identity", "expression"):
        prior = getattr(model, f"{kind}_prior")
        tensors |= {f"{kind}_prior.mean": prior.mean, f"{kind}_prior.factor": prior.factor}
    tensors["neutral_expression"] = model.neutral_expression
    tensors["expression_directions"] = model.expression_directions
    tensors |= {_TRAINING + name: tensor for name, tensor in (training or {}).items()}
    _save(
        tensors,
        {
            "format": "imface",
            "config": json.dumps(asdict(model.imface.config)),
            "expression_names": json.dumps(model.expression_names),
        },
        path,
    )
    digest = file_sha256(path)
    if model.head is not None:
        save_head(model.head, path.with_name(HEAD_NAME), digest)
    return digest


def save_head(head: Head, path: Path, model_sha256: str) -> None:
    """Write the head of the model with the given hash."""
    tensors: dict[str, Tensor] = {}
    for prefix, source in (("template", head.template), ("map", head.forward_map)):
        for f in fields(source):
            value = getattr(source, f.name)
            if isinstance(value, Tensor):
                large = f.name.endswith("basis") and value.is_floating_point()
                tensors[f"{prefix}.{f.name}"] = value.half() if large else value
    metadata = {
        "format": "imface-head",
        "model_sha256": model_sha256,
        "parts": json.dumps(head.template.parts),
    }
    _save(tensors, metadata, path)


def _save(tensors: dict[str, Tensor], metadata: dict[str, str], path: Path) -> None:
    plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    content = _ordered(save(plain, metadata | {"format_version": FORMAT_VERSION}))
    with replacing(path) as partial:
        partial.write_bytes(content)


def _ordered(content: bytes) -> bytes:
    """Return a safetensors file with its metadata in order: its library leaves that to chance, and
    the same model would have another sha256, which codes know it by, each time it is written."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the tensors stay aligned
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def file_sha256(path: Path) -> str:
    """Return a file's sha256 in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_face_model(path: Path = BUNDLED, device: torch.device | None = None) -> FaceModel:
    """Load a model and, where it stands beside it, its head.

    Raises
    ------
    WeightsError
        If a file is missing, damaged, of another version, or does not belong to the other.
    """
    device = device or choose_device()
    tensors, metadata = _load(path, "imface")
    digest = file_sha256(path)
    _check_card(path, digest)
    with _complete(path):
        imface = ImFace(ModelConfig(**json.loads(metadata["config"])))
        prefix = "imface."
        state = {
            n.removeprefix(prefix): t.float() for n, t in tensors.items() if n.startswith(prefix)
        }
        imface.load_state_dict(state)
        priors = {
            kind: CodePrior(tensors[f"{kind}_prior.mean"], tensors[f"{kind}_prior.factor"])
            for kind in ("identity", "expression")
        }
        return FaceModel(
            imface=imface.eval().requires_grad_(False).to(device),
            identity_prior=priors["identity"].to(device),
            expression_prior=priors["expression"].to(device),
            neutral_expression=tensors["neutral_expression"].to(device),
            expression_names=tuple(json.loads(metadata["expression_names"])),
            expression_directions=tensors["expression_directions"].to(device),
            head=_load_head(path.with_name(HEAD_NAME), digest, device),
            sha256=digest,
        )


@contextmanager
def _complete(path: Path) -> Iterator[None]:
    """Say it in one sentence if a file lacks something."""
    try:
        yield
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(
            "{file} does not hold a complete model. Install the weights again.", file=path.name
        ) from error


def is_published(weights: Path) -> bool:
    """Tell a published model from a training checkpoint, by its name."""
    return weights.suffix == ".safetensors"


def load_training_state(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a published model by the names that training has for them.

    Raises
    ------
    WeightsError
        If the file is missing or damaged.
    """
    tensors, _ = _load(path, "imface")
    kept = {n.removeprefix(_TRAINING): t for n, t in tensors.items() if n.startswith(_TRAINING)}
    return kept | {n: t.float() for n, t in tensors.items() if n.startswith("imface.")}


def _load_head(path: Path, model_sha256: str, device: torch.device) -> Head | None:
    if not path.is_file():
        return None
    tensors, metadata = _load(path, "imface-head")
    if metadata["model_sha256"] != model_sha256:
        return None  # another model's head lies in this folder: this model simply has none
    digest = file_sha256(path)
    _check_card(path, digest)
    with _complete(path):
        parts = {name: tuple(row) for name, row in json.loads(metadata["parts"]).items()}
        on_device = {name: t.to(device) for name, t in tensors.items()}
        return Head(
            HeadTemplate(parts=parts, **_with_prefix(on_device, "template.")),
            ForwardMap(**_with_prefix(on_device, "map.")),
            digest,
        )


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Any]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _load(path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    if not path.is_file():
        raise WeightsError(
            "The weights file {file} is missing. Check its path, or install the add-on's zip "
            "again.",
            file=path,
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            "The weights file {file} is damaged or incomplete. Install it again.", file=path.name
        ) from error
    if metadata.get("format") != kind:
        raise WeightsError(
            "{file} is not an ImFace weights file. Choose another file.", file=path.name
        )
    if metadata.get("format_version") != FORMAT_VERSION:
        raise WeightsError(
            "{file} has format version {theirs}, this program reads {ours}. Use weights and add-on "
            "of the same release.",
            file=path.name,
            theirs=metadata.get("format_version"),
            ours=FORMAT_VERSION,
        )
    return tensors, metadata


def _check_card(path: Path, digest: str) -> None:
    card = path.with_name(CARD_NAME)
    if not card.is_file():
        return
    try:
        files = json.loads(card.read_text()).get("files", {})
    except (OSError, ValueError, AttributeError) as error:
        raise WeightsError(
            "The model card {file} is damaged. Install the weights again.", file=card
        ) from error
    if path.name in files and files[path.name] != digest:
        raise WeightsError(
            "{file} is not the file its model card describes. Install the weights again.",
            file=path.name,
        )
