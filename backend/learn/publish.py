# SPDX-License-Identifier: GPL-3.0-or-later
"""From a training checkpoint to the bundled model: priors, named expressions, forward map."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..checkpoint import (
    CARD_NAME,
    FaceModel,
    Head,
    is_published,
    load_training_state,
    model_without_head,
)
from ..errors import DataError
from ..face.expressions import ARKIT_NAMES, ict_names
from ..model.forward_map import ForwardMap, HeadTemplate, factored, in_steps, ridge
from ..model.imface import ImFace, ModelConfig
from ..model.prior import fit_prior
from .cache import DatasetConfig
from .ict import IctFaceKit
from .ict_scans import Recipes, draw_recipes, principal_coordinates
from .train import read_checkpoint

#: Heads that the forward map is fitted to, at most: more take memory and tell nothing new.
_HEADS = 2000
#: Principal components of what the codes leave of the faces, at most: a scan tells no more.
_RESIDUAL = 128
#: Ridge of the linear maps, relative to the codes' mean variance.
_RIDGE = 1e-4


def publish(checkpoint: Path, ict: IctFaceKit | None) -> FaceModel:
    """Turn a checkpoint of ``train`` into the model that is shipped.

    Parameters
    ----------
    checkpoint : Path
        ``checkpoint.pt`` of a run.
    ict : IctFaceKit or None
        The data it was trained on. None for other data: the model then has no head and no named
        expressions.

    Raises
    ------
    DataError
        If the checkpoint cannot be read or was trained on other faces.
    """
    state = read_checkpoint(checkpoint)
    trained: dict[str, Tensor] = state["model"]
    imface = _imface(trained, state["config"]["model"])
    identity, expression = _codes(trained, "identities"), _codes(trained, "expressions")
    if ict is None:
        people, scans, neutral_scans = (
            state["trained"][rows] for rows in ("people", "scans", "neutral_scans")
        )
        return model_without_head(
            imface, identity[people], expression[scans], expression[neutral_scans]
        )
    data = DatasetConfig(**state["config"]["data"])
    recipes = draw_recipes(data, ict.expression_names, len(ict.identity_modes))
    if not torch.equal(trained["expressions.coefficients"], _weights(recipes)):
        raise _other_faces(checkpoint)
    head = _head(ict, recipes, identity, expression)
    return FaceModel(
        imface=imface,
        identity_prior=fit_prior(identity),
        expression_prior=fit_prior(expression),
        neutral_expression=head.forward_map.neutral_expression,
        expression_names=tuple(n for n in ARKIT_NAMES if ict_names(n, ict.expression_names)),
        expression_directions=_named(ict, trained["expressions.directions"]),
        head=head,
        sha256="",
    )


def head_of_published(weights: Path, ict: IctFaceKit) -> Head:
    """Make the head of a published model anew, from the data that the model was trained on.

    The training people's codes are not published, but what matters of them is: how the numbers
    that made these people move them. What each has for itself varies a thousandth as much.

    Parameters
    ----------
    weights : Path
        A published ``.safetensors``, its card beside it.
    ict : IctFaceKit

    Raises
    ------
    WeightsError
        If the weights cannot be read.
    DataError
        If there is no card that tells the training data, or the data are others.
    """
    state = load_training_state(weights)
    landmarks = torch.from_numpy(ict.mean[ict.landmarks]).float()
    if not torch.allclose(state["imface.template_landmarks"], landmarks, atol=1e-3):
        raise _other_faces(weights)
    data = DatasetConfig(**training_summary(weights)["config"]["data"])
    recipes = draw_recipes(data, ict.expression_names, len(ict.identity_modes))
    coordinates = principal_coordinates(ict, recipes, data.components)
    identity = torch.from_numpy(coordinates).float() @ state["identities.directions"]
    return _head(ict, recipes, identity, _weights(recipes) @ state["expressions.directions"])


def _head(ict: IctFaceKit, recipes: Recipes, identity: Tensor, expression: Tensor) -> Head:
    """Make the head of a model from its people's codes (I, D) and its scans' (S, D)."""
    neutral = torch.zeros(expression.shape[1])  # the image of no expression weights at all
    return Head(_template(ict), _forward_map(ict, recipes, identity, expression, neutral))


def _other_faces(file: Path) -> DataError:
    return DataError(
        f"{file} was not trained on faces of this data. Give the ICT-FaceKit data that 'prepare' "
        "was given; if that was a folder of scans, leave out --data."
    )


def training_directions(checkpoint: Path) -> dict[str, Tensor]:
    """Return what a published model carries for those who train on from it."""
    trained: dict[str, Tensor] = read_checkpoint(checkpoint)["model"]
    return {name: tensor for name, tensor in trained.items() if name.endswith(".directions")}


def training_summary(weights: Path) -> dict[str, Any]:
    """Return how long a checkpoint, or a published model, was trained, and with what settings, for
    the model card.

    Raises
    ------
    DataError
        If the checkpoint cannot be read, or the published model has no card that tells it.
    """
    if is_published(weights):
        return _on_card(weights.with_name(CARD_NAME))
    state = read_checkpoint(weights)
    return {
        "steps": state["step"],
        "minutes": round(state["elapsed"] / 60, 1),
        "config": state["config"],
    }


def _on_card(card: Path) -> dict[str, Any]:
    try:
        training: dict[str, Any] = json.loads(card.read_text())["training"]
        DatasetConfig(**training["config"]["data"])  # or it tells too little
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{card} does not tell how the weights beside it were trained. Put the card there that "
            "was published with them."
        ) from error
    return training


def _weights(recipes: Recipes) -> Tensor:
    """Return the expression weights (S, 53) in the order of the scans."""
    return torch.from_numpy(recipes.scanned_expressions).float()


def _codes(trained: dict[str, Tensor], table: str) -> Tensor:
    """Return the codes (N, D) of a ``learn.code_table.CodeTable``."""
    parts = (trained[f"{table}.{name}"] for name in ("coefficients", "directions", "free"))
    coefficients, directions, free = parts
    return coefficients @ directions + free


def _imface(trained: dict[str, Tensor], config: dict[str, Any]) -> ImFace:
    model = ImFace(ModelConfig(**config))
    prefix = "imface."
    model.load_state_dict(
        {k.removeprefix(prefix): v for k, v in trained.items() if k.startswith(prefix)}
    )
    return model.eval()


def _named(ict: IctFaceKit, directions: Tensor) -> Tensor:
    rows = [ict_names(name, ict.expression_names) for name in ARKIT_NAMES]
    return torch.stack([directions[row].sum(0) for row in rows if row])


def _template(ict: IctFaceKit) -> HeadTemplate:
    return HeadTemplate(
        vertices=torch.from_numpy(ict.mean).float(),
        polygons=torch.from_numpy(ict.polygons),
        uv=torch.from_numpy(ict.uv),
        uv_polygons=torch.from_numpy(ict.uv_polygons),
        landmarks=torch.from_numpy(ict.landmarks),
        parts=ict.parts,
    )


def _forward_map(
    ict: IctFaceKit, recipes: Recipes, identity: Tensor, expression: Tensor, neutral: Tensor
) -> ForwardMap:
    people = range(min(len(recipes.identity), _HEADS))
    heads = torch.stack([torch.from_numpy(recipes.neutral(ict, p)).float() for p in people])
    identity = identity[: len(people)]
    mean, identity_mean = heads.mean(0), identity.mean(0)
    heads -= mean
    # Of the heads' own principal directions, most would be spent behind the face, where heads
    # differ more.
    by_identity = ridge(identity - identity_mean, heads.flatten(1), _RIDGE)
    modes = torch.from_numpy(np.asarray(ict.expression_modes)).flatten(1)
    by_expression = ridge(expression - neutral, _weights(recipes), _RIDGE) @ modes
    identity_linear, identity_basis = factored(by_identity.unflatten(1, mean.shape))
    expression_linear, expression_basis = factored(by_expression.unflatten(1, mean.shape))
    heads -= ((identity - identity_mean) @ by_identity).view_as(heads)
    residual_basis, residual_scale = in_steps(_residual(heads, slice(*ict.parts["face"][:2])))
    return ForwardMap(
        identity_mean=identity_mean,
        neutral_expression=neutral,
        identity_linear=identity_linear,
        expression_linear=expression_linear,
        identity_basis=identity_basis,
        expression_basis=expression_basis,
        residual_basis=residual_basis,
        residual_scale=residual_scale,
        mean=mean,
    )


def _residual(left: Tensor, face: slice) -> Tensor:
    """Return the leading principal components (R, V, 3), of one standard deviation, of what is left
    of heads (N, V, 3): those of the face, and how the rest moves with them."""
    of_face = left[:, face].flatten(1)
    values, axes = torch.linalg.eigh((of_face @ of_face.T).double())
    kept = min(_RESIDUAL, int((values > values[-1] * 1e-9).sum()))
    axes = axes.flip(1)[:, :kept].float() / len(left) ** 0.5
    modes = axes.T @ left.flatten(1)
    # An eigenvector's sign is the machine's choice; a residual has to mean the same on the next.
    modes *= modes.gather(1, modes.abs().argmax(1, keepdim=True)).sign()
    return modes.unflatten(1, left.shape[1:])
