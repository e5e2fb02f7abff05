# SPDX-License-Identifier: GPL-3.0-or-later
"""Sliders of a face's identity: named measurements, and what is left of its principal axes.

A measurement is a linear function of the head's vertices, the forward map is linear in the code,
so a measurement's gradient in code space is exact on the forward map. A named slider's direction
is the most probable change of the code that moves its own measurement by one standard deviation
and no other: the minimal-norm solution in the prior's whitened space. There is no slider from
masculine to feminine: the training data names no one's sex, so it cannot be found honestly.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from ..checkpoint import FaceModel
from ..codes import Codes, no_codes
from ..errors import BackendError
from ..model.forward_map import HeadTemplate
from ..model.imface import UNIT_MM
from .correspondence import level_vertices, require_head, template_mesh
from .generate import check_codes
from .skin import skin

#: Standard deviations: nobody is beyond, and the model has seen nothing there.
LARGEST_VALUE = 5.0
#: Principal axes beside the named sliders.
AXES = 10
AXIS_GROUP = "Axes"
#: Keeps a slider from tearing the face to hold the other measurements: the face's height is
#: nearly the sum of others, and without a ridge it takes a change of 5 standard deviations.
_RIDGE = 0.03
_X, _Y, _Z = 0, 1, 2

#: What a measurement adds up: (place, axis, weight); a place is the mean of landmarks of the
#: Multi-PIE 68, or one that `_places` finds.
Terms = tuple[tuple[tuple[int, ...] | str, int, float], ...]


@dataclass(frozen=True)
class Measurement:
    """A named length of the face.

    Attributes
    ----------
    name : str
        In ARKit's spelling.
    group : str
        The region of the face.
    meaning : str
        What is measured, as a phrase.
    terms : Terms
    """

    name: str
    group: str
    meaning: str
    terms: Terms


def _apart(high: tuple[int, ...], low: tuple[int, ...], axis: int) -> Terms:
    return ((high, axis, 1.0), (low, axis, -1.0))


MEASUREMENTS = (
    Measurement("faceWidth", "Face", "cheekbone to cheekbone", _apart((15,), (1,), _X)),
    Measurement("faceHeight", "Face", "root of the nose to chin", _apart((27,), (8,), _Y)),
    Measurement(
        "cheekbones",
        "Face",
        "cheekbones before the corners of eyes and mouth",
        (("cheekbones", _Z, 1.0), ((36, 45), _Z, -0.5), ((48, 54), _Z, -0.5)),
    ),
    Measurement(
        "foreheadHeight",
        "Forehead",
        "brows to the top of the forehead",
        (("forehead", _Y, 1.0), ((19, 24), _Y, -1.0)),
    ),
    Measurement(
        "foreheadForward",
        "Forehead",
        "forehead before the root of the nose",
        (("forehead", _Z, 1.0), ((27,), _Z, -1.0)),
    ),
    Measurement(
        "browRidge",
        "Forehead",
        "brows before the outer corners of the eyes",
        _apart((18, 19, 20, 23, 24, 25), (36, 45), _Z),
    ),
    Measurement("jawWidth", "Jaw", "angle to angle of the jaw", _apart((12,), (4,), _X)),
    Measurement(
        "chinHeight", "Jaw", "lower lip to the bottom of the chin", _apart((57,), (8,), _Y)
    ),
    Measurement(
        "chinForward", "Jaw", "chin before the corners of the mouth", _apart((8,), (48, 54), _Z)
    ),
    Measurement(
        "eyeSize",
        "Eyes",
        "width and opening of an eye",
        (
            *_apart((39, 45), (36, 42), _X),
            *_apart((37, 38, 43, 44), (40, 41, 46, 47), _Y),
        ),
    ),
    Measurement("eyeSpacing", "Eyes", "eye to eye", _apart((42, 45), (36, 39), _X)),
    Measurement("noseLength", "Nose", "root to base of the nose", _apart((27,), (33,), _Y)),
    Measurement("noseWidth", "Nose", "nostril to nostril", _apart((35,), (31,), _X)),
    Measurement(
        "noseBridge",
        "Nose",
        "bridge before the inner corners of the eyes",
        _apart((28,), (39, 42), _Z),
    ),
    Measurement(
        "lipFullness",
        "Mouth",
        "height of both lips",
        (
            *_apart((50, 51, 52), (61, 62, 63), _Y),
            *_apart((65, 66, 67), (56, 57, 58), _Y),
        ),
    ),
    Measurement("mouthWidth", "Mouth", "corner to corner of the mouth", _apart((54,), (48,), _X)),
)


@dataclass(frozen=True)
class Sliders:
    """S sliders of a model; a value of 1 is one standard deviation among people.

    Attributes
    ----------
    names, groups, meanings : tuple of str
        The M measurements first, then the principal axes, from the one that moves most.
    unit_mm : ndarray (S,)
        What a value of 1 adds to the slider's own measurement; how far it moves the face's
        vertices (root mean square) for an axis.
    directions : ndarray (S, D)
        What a value of 1 adds to the identity code.
    offsets_mm : ndarray (S, V, 3) float32
        What a value of 1 adds to the head's vertices, by the forward map.
    matrix_mm : ndarray (S, M)
        What a value of 1 adds to every measurement, by the forward map.
    spread : ndarray (S, S)
        Takes S independent normal numbers to values that belong together as people's do.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    meanings: tuple[str, ...]
    unit_mm: np.ndarray
    directions: np.ndarray
    offsets_mm: np.ndarray
    matrix_mm: np.ndarray
    spread: np.ndarray


@cache
def sliders(model: FaceModel) -> Sliders:
    """Fit the sliders to a model's prior and forward map.

    Raises
    ------
    BackendError
        If the model has no head.
    """
    head = require_head(model)
    factor = model.identity_prior.factor.cpu().double().numpy()
    linear = factor.T @ head.forward_map.identity_linear.cpu().double().numpy()
    basis = head.forward_map.identity_basis.cpu().float().numpy()
    gradients = linear @ measure(model, basis)  # (D, M) [mm] per unit of the whitened code
    deviations = np.linalg.norm(gradients, axis=0)
    named = independent_directions((gradients / deviations).T)
    axes = _principal_axes(linear, gradients / deviations)
    whitened = np.concatenate([named, axes])
    offsets = np.tensordot((whitened @ linear).astype(np.float32), basis, 1) * np.float32(UNIT_MM)
    moved = offsets[len(named) :, : level_vertices(model, "face")]
    return Sliders(
        names=(*(m.name for m in MEASUREMENTS), *(f"axis{k:02}" for k in range(1, AXES + 1))),
        groups=(*(m.group for m in MEASUREMENTS), *[AXIS_GROUP] * AXES),
        meanings=(
            *(m.meaning for m in MEASUREMENTS),
            *(f"number {k} of the ways in which people differ most" for k in range(1, AXES + 1)),
        ),
        unit_mm=np.append(deviations, np.sqrt((moved**2).sum(-1).mean(-1))),
        directions=whitened @ factor.T,
        offsets_mm=offsets,
        matrix_mm=whitened @ gradients,
        spread=_spread(gradients / deviations, named, axes),
    )


def independent_directions(gradients: np.ndarray) -> np.ndarray:
    """Return directions (M, D) that each raise their own of M measurements by 1 and the others as
    little as the ridge allows, given the measurements' gradients (M, D) of length 1."""
    gram = gradients @ gradients.T
    directions = np.linalg.solve(gram + _RIDGE * np.eye(len(gram)), gradients)
    own = (directions * gradients).sum(1, keepdims=True)
    result: np.ndarray = directions / own
    return result


def _principal_axes(linear: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Return the whitened directions (A, D), of length 1, that move the head's vertices most;
    each one's sign is such that the measurement it changes most, for its spread, grows."""
    axes = np.linalg.svd(linear, full_matrices=False)[0].T[:AXES]
    changes = axes @ gradients
    largest = np.take_along_axis(changes, np.abs(changes).argmax(1)[:, None], 1)
    result: np.ndarray = axes * np.sign(largest)
    return result


def _spread(gradients: np.ndarray, named: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Return the root of the covariance that people's values have: the named sliders give a
    person's measurements, the axes what these leave of the person."""
    rest = np.eye(len(gradients)) - gradients @ named
    values = np.concatenate([gradients, rest @ axes.T], axis=1)  # (D, S)
    variances, vectors = np.linalg.eigh(values.T @ values)
    result: np.ndarray = (vectors * np.sqrt(variances.clip(0))) @ vectors.T
    return result


def apply_sliders(model: FaceModel, codes: Codes, values: Mapping[str, float]) -> Codes:
    """Return codes moved by sliders; without any, the very same codes.

    Parameters
    ----------
    values : mapping
        Name -> value [standard deviations], -5 to 5.

    Raises
    ------
    BackendError
        If a name is unknown, a value is out of range, or the codes belong to other weights.
    """
    if not any(values.values()):
        return codes
    check_codes(model, codes)
    known = sliders(model)
    amounts = np.zeros(len(known.names))
    for name, value in values.items():
        if name not in known.names:
            raise BackendError(
                "There is no slider '{name}'. Choose: {names}.",
                name=name,
                names=", ".join(known.names),
            )
        if not abs(value) <= LARGEST_VALUE:
            raise BackendError(
                "The slider {name}={value} is out of range. Choose -{most} to {most}.",
                name=name,
                value=value,
                most=f"{LARGEST_VALUE:g}",
            )
        amounts[known.names.index(name)] = value
    identity = codes.identity.astype(np.float64) + amounts @ known.directions
    return replace(codes, identity=identity.astype(np.float32))


def reshaped_codes(model: FaceModel, data: Any) -> Codes:
    """Read codes from a parsed JSON object, and apply the ``sliders`` that Blender keeps beside
    them.

    Raises
    ------
    BackendError
        If the object is not a set of codes, or a slider cannot be applied.
    """
    codes = Codes.from_json(data)
    values = data.get("sliders", {})
    if not isinstance(values, dict) or not all(isinstance(x, int | float) for x in values.values()):
        raise no_codes()
    return apply_sliders(model, codes, values)


def measure(model: FaceModel, vertices: np.ndarray) -> np.ndarray:
    """Return the M measurements [mm] (..., M) of heads, or of offsets of heads, (..., V, 3) in
    model space."""
    places = _places(require_head(model).template)
    landmarks = require_head(model).template.landmarks.cpu().numpy()
    columns = []
    for measurement in MEASUREMENTS:
        column = np.zeros(vertices.shape[:-2])
        for place, axis, weight in measurement.terms:
            rows = places[place] if isinstance(place, str) else landmarks[list(place)]
            column += weight * vertices[..., rows, axis].mean(-1)
        columns.append(column * UNIT_MM)
    return np.stack(columns, axis=-1)


@cache
def _places(template: HeadTemplate) -> dict[str, np.ndarray]:
    """Return the vertices of places that are no landmarks, found among these on the mean face."""
    vertices = template.vertices.cpu().numpy().astype(np.float64)
    marks = vertices[template.landmarks.cpu().numpy()]
    seen = skin(template)

    def nearest(x: float, y: float) -> int:
        apart = np.linalg.norm(vertices[seen, :2] - (x, y), axis=1)
        return int(seen[apart.argmin()])

    forehead = marks[[19, 24], 1].mean() + 0.8 * (marks[27, 1] - marks[33, 1])
    cheek = (marks[[36, 45], 1].mean() + marks[33, 1]) / 2
    return {
        "forehead": np.array([nearest(marks[27, 0], forehead)]),
        "cheekbones": np.array([nearest(marks[k, 0], cheek) for k in (36, 45)]),
    }


def exact_matrix_mm(model: FaceModel, people: Iterable[Codes], names: Sequence[str]) -> np.ndarray:
    """Return what a value of 1 of N sliders adds to every measurement (N, M) [mm] of the exact
    heads, the mean over people and over both signs of the value."""
    changes = []
    for codes in people:
        for name in names:
            high, low = (
                template_mesh(model, apply_sliders(model, codes, {name: value})).vertices
                for value in (1.0, -1.0)
            )
            changes.append(measure(model, high - low) / 2)
    result: np.ndarray = np.reshape(changes, (-1, len(names), len(MEASUREMENTS))).mean(0)
    return result
