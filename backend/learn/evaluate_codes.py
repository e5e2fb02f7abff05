# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures what the codes mean: named expressions, swapped codes, random faces."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from ..checkpoint import FaceModel
from ..codes import Codes
from ..face.correspondence import propose, template_mesh
from ..face.expressions import FACESCAPE, arkit_mix, expression_code, ict_weights
from ..face.extract import ExtractConfig, extract_mesh, face_sdf
from ..face.fit import fit_scan
from ..face.generate import face_of, generate
from ..mesh import Mesh, triangle_normals, triangulate
from ..model.imface import UNIT_MM
from ..scan.align import best_similarity
from .evaluation_sets import held_out_recipes
from .ict import SKIN_PARTS, IctFaceKit
from .ict_scans import Recipes
from .metrics import contact_sheet

#: Pairs of landmarks whose distance is a gap: inner lips; upper and lower lids.
_GAPS = {"lips": ((61, 67), (62, 66), (63, 65)), "lids": ((37, 41), (38, 40), (43, 47), (44, 46))}
#: Which gap each of these expressions is judged by.
_JUDGED = {
    "jawOpen": "lips",
    "mouthFunnel": "lips",
    "mouthUpperUp": "lips",
    "mouthLowerDown": "lips",
    "eyeBlink": "lids",
    "eyeWide": "lids",
}
#: Random faces on the contact sheet.
_SHOWN = 64
_STRENGTHS = (0.5, 1.0)

Figures = dict[str, float]


@dataclass(frozen=True)
class FittedPerson:
    """A held-out person, neutral, as the fit found them.

    Attributes
    ----------
    codes : Codes
    neutral : ndarray (V, 3)
        The true neutral head [mm] in the fit's model space.
    scale : float
        mm of the fit's model space per true mm.
    """

    codes: Codes
    neutral: np.ndarray
    scale: float


def fit_people(model: FaceModel, ict: IctFaceKit, recipes: Recipes) -> Iterator[FittedPerson]:
    """Fit the neutral scan of every person."""
    skin = triangulate(ict.part_polygons(SKIN_PARTS))
    for person in range(len(recipes.identity)):
        head = recipes.neutral(ict, person) * UNIT_MM
        result = fit_scan(model, Mesh(head, skin))
        codes = replace(result.codes, expression=None)
        neutral = result.pose.apply(head) * UNIT_MM
        yield FittedPerson(codes, neutral, result.pose.scale * UNIT_MM)


def expression_errors(
    model: FaceModel, ict: IctFaceKit, people: list[FittedPerson], names: list[str]
) -> dict[str, Figures]:
    """Put named expressions on fitted people and compare with their true expressed faces.

    Returns
    -------
    dict
        Per name: mean and median vertex error [mm] over the visible face, the same for the
        motion alone, and the share of steps between strengths that move on.
    """
    rows = _face_rows(ict)
    neutral = [_head(model, person, {})[rows] for person in people]
    table = {}
    for name in names:
        errors = [
            _expression_error(model, ict, person, name, rows, start)
            for person, start in zip(people, neutral, strict=True)
        ]
        table[name] = _mean(errors)
    return table


def _expression_error(
    model: FaceModel,
    ict: IctFaceKit,
    person: FittedPerson,
    name: str,
    rows: np.ndarray,
    neutral: np.ndarray,
) -> Figures:
    offset = ict.expression(ict_weights(arkit_mix({name: 1.0}), ict.expression_names))
    motion = (offset * UNIT_MM * person.scale)[rows]
    made = [_head(model, person, {name: s})[rows] for s in _STRENGTHS]
    error = np.linalg.norm(made[-1] - (person.neutral[rows] + motion), axis=1)
    moving = np.linalg.norm(motion, axis=1) > 0.5
    wrong = np.linalg.norm(made[-1] - neutral - motion, axis=1)[moving]
    along = [0.0] + [float(((m - neutral) * motion).sum() / (motion**2).sum()) for m in made]
    return {
        "mean_mm": float(error.mean()),
        "median_mm": float(np.median(error)),
        "motion_mean_mm": float(wrong.mean()),
        "monotone": float((np.diff(along) > 0).mean()),
    }


def _head(model: FaceModel, person: FittedPerson, weights: dict[str, float]) -> np.ndarray:
    codes = replace(person.codes, expression=expression_code(model, weights))
    return template_mesh(model, codes).vertices * UNIT_MM


def _face_rows(ict: IctFaceKit) -> np.ndarray:
    """Return the vertices of the face inside the measured radius, on the mean face."""
    first, end, _, _ = ict.parts["face"]
    rows = np.arange(first, end)
    return rows[(np.linalg.norm(ict.mean[rows], axis=1) < 0.9) & (ict.mean[rows, 2] > 0)]


def _mean(rows: list[Figures]) -> Figures:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def gaps(model: FaceModel, ict: IctFaceKit, people: list[FittedPerson]) -> dict[str, Figures]:
    """Return lip and lid gaps [mm] of expressed people beside the true ones."""
    table = {}
    for name, kind in _JUDGED.items():
        weights = {n: 1.0 for n in model.expression_names if n.startswith(name)}
        offset = ict.expression(ict_weights(weights, ict.expression_names)) * UNIT_MM
        rows = [
            {
                "true_mm": _gap(ict, person.neutral + offset * person.scale, kind),
                "made_mm": _gap(ict, _head(model, person, weights), kind),
            }
            for person in people
        ]
        table[name] = _mean(rows)
    return table


def _gap(ict: IctFaceKit, head: np.ndarray, kind: str) -> float:
    pairs = ict.landmarks[np.array(_GAPS[kind])]
    return float(np.linalg.norm(head[pairs[:, 0]] - head[pairs[:, 1]], axis=1).mean())


def swapped_codes(
    model: FaceModel, ict: IctFaceKit, recipes: Recipes, people: list[FittedPerson]
) -> Figures:
    """Give each person the expression fitted on the next one, and take it off again.

    Returns
    -------
    dict
        ``identity_kept_mm``: neutral face of the code fitted to an expressive scan, against the
        person's true neutral face; ``expression_kept_mm``: the expression fitted on one person
        and put on another, against the true motion; mean vertex distances, each after the best
        similarity, ``expression_size_mm`` the true motion itself for scale.
    """
    rows = _face_rows(ict)
    skin = triangulate(ict.part_polygons(SKIN_PARTS))
    state = recipes.expression.shape[1] - 1
    table = []
    for i, person in enumerate(people):
        scan = recipes.head(ict, i, state) * UNIT_MM
        fitted = fit_scan(model, Mesh(scan, skin)).codes
        neutral = propose(model, replace(fitted, expression=None))[rows]
        other = people[(i + 1) % len(people)]
        moved = propose(model, replace(other.codes, expression=fitted.expression))[rows]
        moved = (moved - propose(model, other.codes)[rows]) * UNIT_MM
        true = ict.expression(recipes.expression[i, state])[rows] * UNIT_MM
        table.append(
            {
                "identity_kept_mm": _aligned_distance(neutral * UNIT_MM, person.neutral[rows]),
                "expression_kept_mm": float(np.linalg.norm(moved - true, axis=1).mean()),
                "expression_size_mm": float(np.linalg.norm(true, axis=1).mean()),
            }
        )
    return _mean(table)


def _aligned_distance(points: np.ndarray, others: np.ndarray) -> float:
    return float(
        np.linalg.norm(best_similarity(points, others).apply(points) - others, axis=1).mean()
    )


def random_faces(
    model: FaceModel,
    count: int,
    resolution: int = 96,
    picture: Path | None = None,
) -> dict[str, float]:
    """Draw faces, each second one with a FaceScape expression, and count the broken ones.

    Parameters
    ----------
    count : int
    resolution : int
        Of their marching cubes.
    picture : Path, optional
        Contact sheet of the first 64.

    Returns
    -------
    dict
        ``faces``; ``pieces``: those with more than one connected sheet; ``folded``: those with
        more than 0.2 % of the area facing backwards next to area that faces the viewer (spikes
        and folds); ``broken``: those with either.
    """
    counts = {"faces": count, "pieces": 0, "folded": 0, "broken": 0}
    names, shown = list(FACESCAPE), []
    for seed in range(count):
        weights = {names[seed % len(names)]: 1.0} if seed % 2 else {}
        codes = generate(model, seed, 1.0, weights)
        sdf = face_sdf(face_of(model, codes), model.device)
        mesh = extract_mesh(sdf, ExtractConfig(resolution=resolution))
        pieces, folded = _pieces(mesh) > 1, _folded(mesh) > 0.002
        counts["pieces"] += pieces
        counts["folded"] += folded
        counts["broken"] += pieces or folded
        if picture and seed < _SHOWN:
            shown.append(mesh)
    if picture and shown:
        contact_sheet(picture, shown)
    return {name: float(value) for name, value in counts.items()}


def _pieces(mesh: Mesh) -> int:
    """Return how many connected pieces of more than 0.1 % of the triangles a mesh has."""
    a, b = np.concatenate([mesh.polygons[:, [0, 1]], mesh.polygons[:, [1, 2]]]).T
    size = len(mesh.vertices)
    graph = coo_matrix((np.ones(len(a)), (a, b)), (size, size))
    _, piece = connected_components(graph, directed=False)
    return int((np.bincount(piece[mesh.polygons[:, 0]]) > 0.001 * len(mesh.polygons)).sum())


def _folded(mesh: Mesh) -> float:
    """Return the share of the area whose normal differs by more than 110 degrees from that of a
    neighbouring triangle."""
    normals, areas = triangle_normals(mesh.vertices, mesh.polygons)
    edges = np.sort(np.concatenate([mesh.polygons[:, [i, (i + 1) % 3]] for i in range(3)]), axis=1)
    owner = np.tile(np.arange(len(mesh.polygons)), 3)
    order = np.lexsort(edges.T)
    edges, owner = edges[order], owner[order]
    same = np.flatnonzero((edges[1:] == edges[:-1]).all(1))
    a, b = owner[same], owner[same + 1]
    sharp = (normals[a] * normals[b]).sum(1) < np.cos(np.radians(110))
    return float(areas[np.unique(np.concatenate([a[sharp], b[sharp]]))].sum() / areas.sum())


def code_figures(
    model: FaceModel,
    ict: IctFaceKit,
    people: int,
    faces: int,
    picture: Path,
    progress: Callable[[str], None] = lambda what: None,
) -> dict[str, dict[str, Figures]]:
    """Return everything above for so many held-out people and random faces; the picture
    shows the first of these."""
    recipes = held_out_recipes(ict, people)
    progress("fitting neutral people")
    fitted = list(fit_people(model, ict, recipes))
    progress("named expressions")
    names = [*model.expression_names, *(name for name in FACESCAPE if name != "neutral")]
    errors = expression_errors(model, ict, fitted, names)
    progress("swapped codes")
    swapped = swapped_codes(model, ict, recipes, fitted)
    progress("random faces")
    return {
        "expressions": errors | {"mean": _mean(list(errors.values()))},
        "gaps": gaps(model, ict, fitted),
        "codes": {"swapped": swapped, "random": random_faces(model, faces, 96, picture)},
    }
