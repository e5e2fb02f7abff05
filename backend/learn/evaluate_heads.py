# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts what no head should have: skin that crosses skin or eyes, faces that are turned over."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree

from ..checkpoint import FaceModel
from ..codes import Codes
from ..face.correspondence import require_head
from ..face.expressions import ict_weights
from ..face.gaze import turn_eyeballs
from ..face.seat_eyes import depths_in_ball
from ..face.shapes import expressed_mm
from ..face.skin import JOINED_PARTS
from ..face.skin import skin as led_by_field
from ..mesh import triangle_normals, triangulate, vertex_normals
from ..model.forward_map import HeadTemplate
from ..model.imface import UNIT_MM
from .evaluation_sets import held_out_recipes
from .ict import IctFaceKit
from .metrics import Figures, mean_figures

#: Skin this near [model units] to a landmark of the lips or lids is theirs.
_NEAR_LIPS = 0.10
_NEAR_LIDS = 0.06
#: A vertex of the lids this deep [mm] in an eyeball counts.
_SUNK_MM = 0.1
#: A person's codes are found from each so many-th vertex of the face; a ridge keeps them from what
#: it hardly tells.
_THINNED, _RIDGE = 4, 1e-4


@dataclass(frozen=True)
class Regions:
    """What is looked at on a head.

    Attributes
    ----------
    skin, lips, lids : ndarray (T, 3)
        Triangles.
    turned : ndarray (T,) bool
        Triangles of the skin that are turned over on the mean head already: tight folds.
    border : ndarray (E, 2)
        Of the skin's triangles, those on both sides of each edge that leads out of where the field
        leads.
    eyes : tuple of (slice, ndarray (N,))
        Per eye the eyeball's vertices, and those of its lids that are outside on the mean head.
    """

    skin: np.ndarray
    lips: np.ndarray
    lids: np.ndarray
    turned: np.ndarray
    border: np.ndarray
    eyes: tuple[tuple[slice, np.ndarray], ...]


def regions(template: HeadTemplate) -> Regions:
    """Find the regions of a topology on its mean head."""
    vertices = template.vertices.cpu().numpy().astype(np.float64)
    marks = vertices[template.landmarks.cpu().numpy()]
    skin = triangulate(template.part_polygons(JOINED_PARTS))
    centres = vertices[skin].mean(1)
    lips = skin[cKDTree(marks[48:68]).query(centres)[0] < _NEAR_LIPS]
    lids = skin[cKDTree(marks[36:48]).query(centres)[0] < _NEAR_LIDS]
    eyes = []
    for side, outward in (("left", 1), ("right", -1)):
        ball = slice(*template.parts[f"eyeball_{side}"][:2])
        rows = np.unique(lids)
        rows = rows[vertices[rows, 0] * outward > 0]
        eyes.append((ball, rows[depths_in_ball(vertices[ball], vertices[rows]) < 0]))
    border = _across(skin, np.isin(np.arange(len(vertices)), led_by_field(template)))
    return Regions(skin, lips, lids, _turned(vertices, skin), border, tuple(eyes))


def _across(triangles: np.ndarray, marked: np.ndarray) -> np.ndarray:
    """Return the pairs (E, 2) of triangles (T, 3) at each edge between a marked vertex and one that
    is not."""
    edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    owner = np.arange(len(triangles)).repeat(3)
    keep = marked[edges[:, 0]] != marked[edges[:, 1]]
    edges, owner = edges[keep], owner[keep]
    order = np.lexsort(edges.T)
    edges, owner = edges[order], owner[order]
    shared = np.flatnonzero((edges[1:] == edges[:-1]).all(1))
    return np.column_stack([owner[shared], owner[shared + 1]])


def head_faults(vertices: np.ndarray, looked_at: Regions) -> Figures:
    """Count the faults of one head (V, 3).

    Returns
    -------
    dict
        ``lips``, ``lids``: pairs of triangles of the region that cross and share no vertex;
        ``sunk``: vertices of the lids inside an eyeball that are outside on the mean head, and
        ``sunk_mm`` how deep the deepest is; ``flipped``: triangles of the skin whose normal is more
        than 90 degrees off the mean normal at their corners, and is not on the mean head;
        ``border_deg``: the mean angle between triangles where the field's lead ends.
    """
    depths = [depths_in_ball(vertices[ball], vertices[rows]) for ball, rows in looked_at.eyes]
    depth = np.concatenate(depths) * UNIT_MM
    return {
        "lips": len(crossings(vertices, looked_at.lips)),
        "lids": len(crossings(vertices, looked_at.lids)),
        "sunk": int((depth > _SUNK_MM).sum()),
        "sunk_mm": max(float(depth.max()), 0.0),
        "flipped": int((_turned(vertices, looked_at.skin) & ~looked_at.turned).sum()),
        "border_deg": _mean_angle(vertices, looked_at.skin, looked_at.border),
    }


def _mean_angle(vertices: np.ndarray, triangles: np.ndarray, pairs: np.ndarray) -> float:
    """Return the mean angle [degrees] between the normals of pairs (E, 2) of triangles (T, 3)."""
    one, other = (triangle_normals(vertices, triangles[side])[0] for side in pairs.T)
    return float(np.degrees(np.arccos(np.clip((one * other).sum(1), -1, 1))).mean())


def _turned(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Tell which triangles (T, 3) look away from the surface around them."""
    around = vertex_normals(vertices, triangles)[triangles].sum(1)
    turned: np.ndarray = (triangle_normals(vertices, triangles)[0] * around).sum(1) < 0
    return turned


def crossings(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Return the pairs (P, 2) of triangles (T, 3) that cross each other and share no vertex."""
    pairs = _near_pairs(vertices[triangles])
    first, second = triangles[pairs[:, 0]], triangles[pairs[:, 1]]
    apart = (first[:, :, None] != second[:, None, :]).all((1, 2))
    a, b = vertices[first[apart]], vertices[second[apart]]
    crossed: np.ndarray = pairs[apart][_pierces(a, b) | _pierces(b, a)]
    return crossed


def _near_pairs(corners: np.ndarray) -> np.ndarray:
    """Return the pairs (P, 2) of triangles (T, 3, 3) whose boxes overlap."""
    centres = corners.mean(1)
    reach = np.linalg.norm(corners - centres[:, None], axis=2).max()
    pairs = cKDTree(centres).query_pairs(2 * reach, output_type="ndarray")
    low, high = corners.min(1), corners.max(1)
    one, other = pairs.T
    overlap: np.ndarray = (low[one] <= high[other]) & (low[other] <= high[one])
    return pairs[overlap.all(1)]


def _pierces(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Tell for which pairs an edge of the first triangle (P, 3, 3) goes through the second."""
    result = np.zeros(len(a), bool)
    for i in range(3):
        start, end = a[:, i], a[:, (i + 1) % 3]
        ends = [_volume(b[:, 0], b[:, 1], b[:, 2], point) for point in (start, end)]
        sides = [_volume(start, end, b[:, j], b[:, (j + 1) % 3]) for j in range(3)]
        around = np.abs(np.sign(sides).sum(0)) == 3
        result |= around & (ends[0] * ends[1] < 0)
    return result


def _volume(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Return six times the signed volumes (P,) of tetrahedra."""
    volume: np.ndarray = (np.cross(b - a, c - a) * (d - a)).sum(1)
    return volume


def head_figures(
    model: FaceModel, ict: IctFaceKit, heads: int, progress: Callable[[str], None]
) -> dict[str, Figures]:
    """Count the faults of people in every expression, beside those of the same people in the ICT
    model.

    Returns
    -------
    dict
        ``ImFace`` and ``ICT``: how many heads, means over all of them (``head_faults``), and below
        what ``sunk_mm`` is in 95 % and in all of them; then the means for each expression, one
        beside the other.
    """
    looked_at = regions(require_head(model).template)
    names = ("neutral", *model.expression_names)
    counted: dict[str, dict[str, list[Figures]]] = {
        method: {name: [] for name in names} for method in ("ImFace", "ICT")
    }
    for person, name, vertices in _ict(model, ict, heads):
        progress(f"head {person}, {name}")
        if name == "neutral":
            codes = nearest_codes(model, vertices)
        ours = expressed_mm(model, codes, _weights(name), "head").astype(np.float64) / UNIT_MM
        for method, head in zip(counted, (ours, vertices), strict=True):
            counted[method][name].append(head_faults(head, looked_at))
    table = {method: _overall(list(by_name.values())) for method, by_name in counted.items()}
    for name in names:
        ours_mean, ict_mean = (mean_figures(by_name[name]) for by_name in counted.values())
        table[name] = {
            f"{figure}{of}": row[figure]
            for figure in ict_mean
            for row, of in ((ours_mean, ""), (ict_mean, ", ICT"))
        }
    return table


def _overall(by_name: list[list[Figures]]) -> Figures:
    """Return the means over heads in all expressions, and the tail of how deep lids sink."""
    rows = [row for some in by_name for row in some]
    sunk = [row["sunk_mm"] for row in rows]
    tail = {"sunk_mm, 95 %": float(np.percentile(sunk, 95)), "sunk_mm, most": max(sunk)}
    return {"heads": len(rows)} | mean_figures(rows) | tail


def nearest_codes(model: FaceModel, head: np.ndarray) -> Codes:
    """Return the identity whose face, by the forward map, is nearest to that of a head (V, 3)."""
    forward, prior = require_head(model).forward_map, model.identity_prior
    face = slice(*require_head(model).template.parts["face"][:2], _THINNED)
    linear = (prior.factor.T @ forward.identity_linear).cpu().double().numpy()
    basis = forward.identity_basis[:, face].cpu().double().numpy()
    by_code = linear @ basis.reshape(len(basis), -1)
    off = head[face] - forward.neutral(prior.mean).cpu().double().numpy()[face]
    gram = by_code @ by_code.T
    gram += _RIDGE * gram.diagonal().mean() * np.eye(len(gram))
    whitened = np.linalg.solve(gram, by_code @ off.ravel())
    on_device = torch.from_numpy(whitened).float().to(model.device)
    return Codes(prior.code(on_device).cpu().numpy(), None, model.hash_prefix)


def _weights(name: str) -> dict[str, float]:
    return {} if name == "neutral" else {name: 1.0}


def _ict(model: FaceModel, ict: IctFaceKit, heads: int) -> Iterator[tuple[int, str, np.ndarray]]:
    """Yield held-out people of the ICT model (V, 3) one after the other: neutral, then in every
    expression."""
    recipes = held_out_recipes(ict, heads)
    for person in range(heads):
        neutral = recipes.neutral(ict, person)
        for name in ("neutral", *model.expression_names):
            weights = _weights(name)
            head = neutral + ict.expression(ict_weights(weights, ict.expression_names))
            yield person, name, turn_eyeballs(require_head(model).template, head, weights)
