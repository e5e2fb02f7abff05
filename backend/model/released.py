# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the checkpoint layout of the paper's released code into our model."""

import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from ..errors import WeightsError
from .imface import ANCHOR_LANDMARKS, ImFace, ModelConfig
from .warp import WARP_CHANNELS

_RENAMED = (
    (r"id_embedding\.", "identity_codes."),
    (r"exp_embedding\.", "expression_codes."),
    (r"id_landmarks\.", "identity_landmarks."),
    (r"deform_net\.", "expression_field."),
    (r"reference_net\.", "identity_field."),
    (r"template_net\.", "template_field."),
    (r"fusion\.weights\.", "fusion.net."),
    (r"mini_nets\.mini_net\.net\.net\.(\d+)\.0\.weight", r"source.weights.\1"),
    (r"mini_nets\.mini_net\.net\.net\.(\d+)\.0\.bias", r"source.biases.\1"),
)
_HYPER = re.compile(r"mini_nets\.mini_hypernet\.nets\.(\d+)\.net\.(\d+)\.0\.(weight|bias)")
#: A field that has hypernetworks also carries the sine net it was made from; it is never used.
_UNUSED = re.compile(r"(deform|reference)_net\.mini_nets\.mini_net\.")


class _Inert:
    """Stands for whatever else a file holds: the released training saves its optimizer and its
    schedule as objects, beside the tensors."""

    def __new__(cls, *_: object) -> Any:
        return OrderedDict()


def load_released_checkpoint(folder: Path) -> ImFace:
    """Load ``folder/pth/envs_last.pth``; sizes and warp type come from the tensors themselves.

    Raises
    ------
    WeightsError
        If the file is missing, has another layout, or holds no numbers. No code in it is run.
    """
    path = folder / "pth" / "envs_last.pth"
    if not path.is_file():
        raise WeightsError(f"{path} is missing. Choose the folder that contains pth/envs_last.pth.")
    try:
        unknown = get_unsafe_globals_in_checkpoint(path)
        inert: list[Any] = [(_Inert, name) for name in unknown]
        with safe_globals(inert):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises whatever a foreign file's bytes led it to
        raise WeightsError(
            f"{path} is not a checkpoint of the paper's code, and code in it is never run. "
            "Save it again with torch.save and tensors only."
        ) from error
    released = content.get("decoder") if isinstance(content, Mapping) else None
    if not isinstance(released, Mapping):
        raise WeightsError(
            f"{path} has no 'decoder' entry. Choose a checkpoint of the paper's code."
        )
    try:
        model = ImFace(_config(released))
        model.load_state_dict({_rename(k): v for k, v in released.items() if not _UNUSED.match(k)})
    except (LookupError, RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(
            f"{path} has another layout than the released ImFace code (branch main). "
            "Choose a checkpoint of that branch."
        ) from error
    if not all(tensor.isfinite().all() for tensor in model.state_dict().values()):
        raise WeightsError(
            f"{path} holds values that are no numbers: its training went astray. Choose an earlier "
            "checkpoint."
        )
    return model.eval()


def _rename(name: str) -> str:
    for pattern, ours in _RENAMED:
        name = re.sub(pattern, ours, name)
    # FCBlock's layer j is our Sequential's module 2 j: a ReLU stands between two linear layers.
    return _HYPER.sub(lambda m: f"source.nets.{m[1]}.{2 * int(m[2])}.{m[3]}", name)


def _config(released: Mapping[str, Tensor]) -> ModelConfig:
    mini = "mini_nets.mini_net.net.net.{}.0.weight"
    hyper = "mini_nets.mini_hypernet.nets.0.net.{}.0.weight"
    layers = _count(released, "deform_net." + mini)
    channels = released["deform_net." + mini.format(layers - 1)].shape[0] // len(ANCHOR_LANDMARKS)
    warp = {width: name for name, width in WARP_CHANNELS.items()}[channels]
    return ModelConfig(
        identity_dim=released["id_embedding.weight"].shape[1],
        expression_dim=released["exp_embedding.weight"].shape[1],
        identity_hidden=released["reference_net." + mini.format(0)].shape[0],
        expression_hidden=released["deform_net." + mini.format(0)].shape[0],
        hidden_layers=layers - 2,
        identity_hyper_hidden=released["reference_net." + hyper.format(0)].shape[0],
        expression_hyper_hidden=released["deform_net." + hyper.format(0)].shape[0],
        hyper_hidden_layers=_count(released, "deform_net." + hyper) - 2,
        warp=warp,
        identities=len(released["id_embedding.weight"]),
        expressions=len(released["exp_embedding.weight"]),
    )


def _count(released: Mapping[str, Tensor], pattern: str) -> int:
    count = 0
    while pattern.format(count) in released:
        count += 1
    return count
