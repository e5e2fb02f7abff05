# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures what the codes mean: named expressions, swapped codes, random faces."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import trimesh

from ..checkpoint import FaceModel
from ..codes import Codes
from ..face.correspondence import invert_warp, propose, require_head, template_mesh
from ..face.expressions import FACESCAPE, arkit_mix, expression_code, ict_weights
from ..face.extract import ExtractConfig, extract_all_pieces, face_sdf, largest_component
from ..face.fit import fit_scan
from ..face.generate import face_of, generate
from ..face.skin import skin
from ..mesh import Mesh, triangulate
from ..model.imface import UNIT_MM
from ..scan.align import best_similarity
from ..scan.compare import in_face_region
from ..scan.sampling import NearestTriangle
from .evaluation_sets import held_out_recipes, skin_mesh
from .ict import IctFaceKit
from .ict_scans import Recipes
from .metrics import Figures, contact_sheet, mean_figures

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
#: A loose piece counts from this share of a surface's triangles.
_PIECE = 0.001
#: Random faces on the contact sheet.
_SHOWN = 64
_STRENGTHS = (0.5, 1.0)


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


def fit_people(model: FaceModel, ict: IctFaceKit, recipes: Recipes) -> list[FittedPerson]:
    """Fit the neutral scan of every person."""
    people = []
    for person in range(len(recipes.identity)):
        head = recipes.neutral(ict, person) * UNIT_MM
        result = fit_scan(model, skin_mesh(ict, head))
        codes = replace(result.codes, expression=None)
        neutral = result.pose.apply(head) * UNIT_MM
        people.append(FittedPerson(codes, neutral, result.pose.scale * UNIT_MM))
    return people


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
        table[name] = mean_figures(errors)
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
    return rows[in_face_region(ict.mean[rows])]


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
        table[name] = mean_figures(rows)
    return table


def _gap(ict: IctFaceKit, head: np.ndarray, kind: str) -> float:
    pairs = ict.landmarks[np.array(_GAPS[kind])]
    return float(np.linalg.norm(head[pairs[:, 0]] - head[pairs[:, 1]], axis=1).mean())


def swapped_codes(
    model: FaceModel, ict: IctFaceKit, recipes: Recipes, people: list[FittedPerson]
) -> Figures:
    """Take each person's fitted expression off, and put it on the next person.

    Returns
    -------
    dict
        Mean vertex distances of the forward map's faces. ``identity_kept_mm``: the neutral face
        of the codes fitted to an expressive scan, against the person's true neutral face, after
        the best similarity; ``expression_kept_mm``: the motion on the next person against the
        true motion; ``expression_size_mm``: the true motion itself, for scale.
    """
    rows = _face_rows(ict)
    state = recipes.expression.shape[1] - 1
    table = []
    for i, person in enumerate(people):
        scan = skin_mesh(ict, recipes.head(ict, i, state) * UNIT_MM)
        fitted = fit_scan(model, scan).codes
        neutral = propose(model, replace(fitted, expression=None))[rows]
        other = people[(i + 1) % len(people)]
        moved = propose(model, replace(other.codes, expression=fitted.expression))[rows]
        moved = (moved - propose(model, other.codes)[rows]) * UNIT_MM
        true = ict.expression(recipes.expression[i, state])[rows] * UNIT_MM * other.scale
        table.append(
            {
                "identity_kept_mm": _aligned_distance(neutral * UNIT_MM, person.neutral[rows]),
                "expression_kept_mm": float(np.linalg.norm(moved - true, axis=1).mean()),
                "expression_size_mm": float(np.linalg.norm(true, axis=1).mean()),
            }
        )
    return mean_figures(table)


def carried(model: FaceModel, people: list[FittedPerson]) -> dict[str, Figures]:
    """Carry each person's true vertices to the next person, and compare with the true ones there.

    Returns
    -------
    dict
        "carried by the fields", alone, through template space; "carried by the topology", from the
        nearest place on the one fitted head to the same place on the other. Of each the mean and
        the median distance [mm] over the visible face.
    """
    rows = skin(require_head(model).template)
    ways = {"fields": _carry_by_fields, "topology": _carry_by_topology}
    errors: dict[str, list[Figures]] = {way: [] for way in ways}
    for person, other in zip(people, [*people[1:], people[0]], strict=True):
        points = person.neutral[rows] / UNIT_MM
        for way, carry in ways.items():
            there = carry(model, person.codes, other.codes, points)
            apart = np.linalg.norm(there * UNIT_MM - other.neutral[rows], axis=1)
            row = {"mean_mm": float(apart.mean()), "median_mm": float(np.median(apart))}
            errors[way].append(row)
    return {f"carried by the {way}": mean_figures(rows) for way, rows in errors.items()}


def _carry_by_fields(
    model: FaceModel, codes: Codes, other: Codes, points: np.ndarray
) -> np.ndarray:
    """Carry points (N, 3), of the skin in its order, through template space."""
    start = torch.from_numpy(points).float().to(model.device)
    with torch.no_grad():
        on_template = face_of(model, codes).through_warps(start[None])[0]
    wanted = on_template.cpu().double().numpy()
    near = propose(model, other)[skin(require_head(model).template)]
    return invert_warp(face_of(model, other).through_warps, wanted, near, model.device).points


def _carry_by_topology(
    model: FaceModel, codes: Codes, other: Codes, points: np.ndarray
) -> np.ndarray:
    """Carry points (N, 3) by the fixed topology's triangles."""
    here, there = (template_mesh(model, c).vertices for c in (codes, other))
    triangles = triangulate(require_head(model).template.part_polygons(("face",)))
    face, nearest, _ = NearestTriangle(Mesh(here, triangles))(points)
    shares = trimesh.triangles.points_to_barycentric(here[triangles[face]], nearest)
    carried_points: np.ndarray = (shares[:, :, None] * there[triangles[face]]).sum(1)
    return carried_points


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

    Faces are counted as the field has them: of a torn one, meshes have the largest piece only.

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
        ``faces``; ``torn``: those with a loose piece of more than 0.1 % of the triangles;
        ``folded``: those whose mesh has spikes and folds; ``broken``: those with either;
        ``loose_percent``, ``loose_percent_most``: the triangles that meshes leave out, in the mean
        of all faces and at most.
    """
    names, faults, shown = list(FACESCAPE), np.zeros((count, 3)), []
    for seed in range(count):
        weights = {names[seed // 2 % len(names)]: 1.0} if seed % 2 else {}
        codes = generate(model, seed, 1.0, weights)
        sdf = face_sdf(face_of(model, codes), model.device)
        # Loose bits are small: each cell's corner is a place to find them from.
        whole = extract_all_pieces(sdf, ExtractConfig(resolution=resolution, coarsest=4))
        mesh = largest_component(whole)
        loose = 100 * (1 - len(mesh.polygons) / len(whole.polygons))
        faults[seed] = is_torn(whole), is_folded(mesh), loose
        if picture and seed < _SHOWN:
            shown.append(mesh)
    if picture:
        contact_sheet(picture, shown)
    torn, folded, loose = faults.T
    return {
        "faces": float(count),
        "torn": float(torn.sum()),
        "folded": float(folded.sum()),
        "broken": float(np.maximum(torn, folded).sum()),
        "loose_percent": float(loose.mean()),
        "loose_percent_most": float(loose.max()),
    }


def is_torn(mesh: Mesh) -> bool:
    """Tell whether a second piece has more than 0.1 % of the triangles."""
    joined = trimesh.Trimesh(mesh.vertices, mesh.polygons, process=False).face_adjacency
    piece = trimesh.graph.connected_component_labels(joined, node_count=len(mesh.polygons))
    return int((np.bincount(piece) > _PIECE * len(mesh.polygons)).sum()) > 1


def is_folded(mesh: Mesh) -> bool:
    """Tell whether more than 0.2 % of the area meets a neighbour at over 110 degrees."""
    surface = trimesh.Trimesh(mesh.vertices, mesh.polygons, process=False)
    sharp = surface.face_adjacency[surface.face_adjacency_angles > np.radians(110)]
    return bool(surface.area_faces[np.unique(sharp)].sum() > 0.002 * surface.area)


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
    fitted = fit_people(model, ict, recipes)
    progress("named expressions")
    names = [*model.expression_names, *(name for name in FACESCAPE if name != "neutral")]
    errors = expression_errors(model, ict, fitted, names)
    progress("swapped codes")
    swapped = swapped_codes(model, ict, recipes, fitted)
    codes = {"swapped": swapped, **carried(model, fitted)}
    if faces:
        progress("random faces")
        codes["random"] = random_faces(model, faces, picture=picture)
    return {
        "expressions": errors | {"mean": mean_figures(list(errors.values()))},
        "gaps": gaps(model, ict, fitted),
        "codes": codes,
    }
