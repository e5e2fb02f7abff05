# SPDX-License-Identifier: GPL-3.0-or-later
"""New faces from the Gaussian of the training codes, and faces from codes."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch

from ..checkpoint import FaceModel
from ..codes import DETAIL_STEPS, Codes
from ..errors import BackendError
from ..model.imface import Face
from ..model.refinement import MAX_HEIGHT, Detail
from .expressions import expression_code


def generate(
    model: FaceModel,
    seed: int,
    strength: float = 1.0,
    expressions: Mapping[str, float] | None = None,
) -> Codes:
    """Draw a random person.

    Parameters
    ----------
    seed : int
        The same seed gives the same person on every machine.
    strength : float
        Standard deviations of the Gaussian: 0 is the mean face, 1 is usual, 2 is a caricature.
    expressions : mapping, optional
        Name -> weight in [0, 1].
    """
    if seed < 0:
        raise BackendError("The seed {seed} is negative. Choose 0 or a positive number.", seed=seed)
    if not 0 <= strength <= 5:
        raise BackendError(
            "The strength {strength} is out of range. Choose 0 to 5.", strength=strength
        )
    whitened = np.random.default_rng(seed).normal(size=len(model.identity_prior.mean))
    on_device = torch.from_numpy(strength * whitened).float().to(model.device)
    identity = model.identity_prior.code(on_device).cpu().numpy()
    return Codes(identity, expression_code(model, expressions or {}), model.hash_prefix)


def express(
    model: FaceModel, codes: Codes, expressions: Mapping[str, float] | None = None
) -> Codes:
    """Return the same person with another expression, all else included; a scan's own is taken
    off.

    Parameters
    ----------
    expressions : mapping, optional
        Name -> weight in [0, 1]; none is the neutral face.
    """
    check_codes(model, codes)
    return replace(codes, expression=expression_code(model, expressions or {}))


def face_of(model: FaceModel, codes: Codes) -> Face:
    """Write the fields of a face (the hypernetworks run here, once).

    Raises
    ------
    BackendError
        If the codes belong to other weights.
    """
    check_codes(model, codes)
    identity = codes.identity if codes.surface is None else codes.identity + codes.surface
    face = _neutral_face(model, packed(identity))
    of_field, expression = code_tensors(model, replace(codes, identity=identity))
    if expression is not None:
        with torch.no_grad():
            face = model.imface.express(face, of_field[None], expression[None])
    return replace(face, detail=_detail(model, codes))


@lru_cache(maxsize=1)  # all expressions of a person share it
def _neutral_face(model: FaceModel, identity: bytes) -> Face:
    with torch.no_grad():
        return model.imface.face(unpacked(model, identity)[None], None)


def packed(code: np.ndarray) -> bytes:
    """Return a code as what a cache can know it by; see ``unpacked``."""
    return code.astype(np.float32).tobytes()


def unpacked(model: FaceModel, code: bytes) -> torch.Tensor:
    """Return a packed code (D,) on the model's device."""
    return torch.frombuffer(bytearray(code), dtype=torch.float32).to(model.device)


def _detail(model: FaceModel, codes: Codes) -> Detail | None:
    if codes.detail is None:
        return None
    heights = codes.detail.astype(np.float32) * np.float32(MAX_HEIGHT / DETAIL_STEPS)
    return Detail(torch.from_numpy(heights).to(model.device))


def check_codes(model: FaceModel, codes: Codes) -> None:
    """Raise BackendError if codes were made with other weights than the model's."""
    if codes.weights != model.hash_prefix:
        raise BackendError(
            "This face was made with other model weights. Make it again with the installed ones."
        )
    lengths = [
        (codes.identity, model.identity_prior.mean),
        (codes.surface, model.identity_prior.mean),
        (codes.expression, model.neutral_expression),
    ]
    if model.head is not None:
        lengths.append((codes.residual, model.head.forward_map.residual_scale))
    if any(code is not None and len(code) != len(known) for code, known in lengths):
        raise BackendError("The codes have the wrong length for this model. Make the face again.")


def code_tensors(model: FaceModel, codes: Codes) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return (identity (D,), expression (D,) or None) on the model's device."""
    identity = torch.from_numpy(codes.identity).to(model.device)
    if codes.expression is None:
        return identity, None
    return identity, torch.from_numpy(codes.expression).to(model.device)
