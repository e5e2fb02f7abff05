# SPDX-License-Identifier: GPL-3.0-or-later
"""From a training checkpoint to the bundled model: priors, named expressions, forward map."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..checkpoint import FaceModel, Head
from ..face.expressions import ARKIT_NAMES, ict_names
from ..model.forward_map import ForwardMap, HeadTemplate, principal_basis, ridge
from ..model.imface import ImFace, ModelConfig
from ..model.prior import fit_prior
from .dataset import DatasetConfig, Recipes, draw_recipes
from .ict import IctFaceKit
from .train import read_checkpoint

#: Principal directions of the neutral heads that the forward map keeps.
IDENTITY_RANK = 100
#: Ridge of the linear maps, relative to the codes' mean variance.
_RIDGE = 1e-3


def publish(checkpoint: Path, ict: IctFaceKit) -> FaceModel:
    """Turn a checkpoint of ``train`` into the model that is shipped.

    Parameters
    ----------
    checkpoint : Path
        ``checkpoint.pt`` of a run on ICT faces.
    ict : IctFaceKit
        The data it was trained on.

    Raises
    ------
    DataError
        If the checkpoint cannot be read.
    """
    state = read_checkpoint(checkpoint)
    data = DatasetConfig(**state["config"]["data"])
    recipes = draw_recipes(data, ict.expression_names, len(ict.identity_modes))
    identity = state["model"].pop("identity_codes.weight")
    expression = state["model"].pop("expression_codes.weight")
    neutral = expression[: data.identities].mean(0)
    directions = _expression_directions(ict, recipes, expression - neutral)
    return FaceModel(
        imface=_without_tables(state["model"], state["config"]["model"]),
        identity_prior=fit_prior(identity),
        expression_prior=fit_prior(expression),
        neutral_expression=neutral,
        expression_names=tuple(n for n in ARKIT_NAMES if ict_names(n, ict.expression_names)),
        expression_directions=_named(ict, directions),
        head=Head(_template(ict), _forward_map(ict, recipes, identity, expression, neutral)),
        sha256="",
    )


def training_summary(checkpoint: Path) -> dict[str, Any]:
    """Return how long a checkpoint was trained, and with what settings, for the model card."""
    state = read_checkpoint(checkpoint)
    return {
        "steps": state["step"],
        "minutes": round(state["elapsed"] / 60, 1),
        "config": state["config"],
    }


def _without_tables(state: dict[str, Tensor], config: dict) -> ImFace:
    model = ImFace(ModelConfig(**config | {"identities": 0, "expressions": 0}))
    model.load_state_dict(state, strict=False)
    return model.eval()


def _weights(recipes: Recipes) -> Tensor:
    """Return the expression weights (E * I, 53) in the order of the code table."""
    people, states, shapes = recipes.expression.shape
    return torch.from_numpy(recipes.expression.transpose(1, 0, 2).reshape(people * states, shapes))


def _expression_directions(ict: IctFaceKit, recipes: Recipes, offsets: Tensor) -> Tensor:
    """Fit the linear map (53, D) from expression weights to code offsets (E * I, D)."""
    return ridge(_weights(recipes), offsets, _RIDGE)


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
    heads = torch.stack(
        [
            torch.from_numpy(recipes.neutral(ict, person)).float()
            for person in range(len(recipes.identity))
        ]
    )
    mean = heads.mean(0)
    heads -= mean
    identity_basis = principal_basis(heads, IDENTITY_RANK)
    modes = torch.from_numpy(np.asarray(ict.expression_modes))
    expression_basis = principal_basis(modes, len(modes))
    to_basis = modes.flatten(1) @ expression_basis.flatten(1).T
    identity_mean = identity.mean(0)
    return ForwardMap(
        identity_mean=identity_mean,
        neutral_expression=neutral,
        identity_linear=ridge(
            identity - identity_mean, heads.flatten(1) @ identity_basis.flatten(1).T, _RIDGE
        ),
        expression_linear=ridge(expression - neutral, _weights(recipes).float() @ to_basis, _RIDGE),
        identity_basis=identity_basis,
        expression_basis=expression_basis,
        mean=mean,
    )
