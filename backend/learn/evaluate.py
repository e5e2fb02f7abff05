# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures a model on ICT faces it has never seen."""

import time

import numpy as np

from ..checkpoint import FaceModel
from ..codes import Codes
from ..face.correspondence import level_vertices, propose
from ..face.expressions import expression_code, ict_names
from ..face.extract import ExtractConfig, extract_mesh, face_sdf
from ..face.fit import fit_scan, measure_fit
from ..face.generate import face_of
from ..mesh import Mesh, triangulate
from ..model.imface import UNIT_MM
from .cache import DatasetConfig
from .ict import SKIN_PARTS, IctFaceKit
from .ict_scans import draw_recipes

#: Shapes whose forward map is measured: mouths that open, eyes that close, and smooth ones.
_MEASURED = ("jawOpen", "mouthFunnel", "eyeBlinkLeft", "mouthSmileLeft", "browInnerUp")


def evaluate(model: FaceModel, ict: IctFaceKit, faces: int, seed: int) -> dict[str, float]:
    """Fit held-out faces without landmarks or known pose, and express them.

    Parameters
    ----------
    faces : int
        Number of people, each with one expression scan.
    seed : int
        Of the held-out people; training never uses it.

    Returns
    -------
    dict
        Means over the faces: distances in mm over the visible face, seconds per fit, and the
        vertex error of named expressions put on the fitted neutral person.
    """
    config = DatasetConfig(identities=faces, expressions=2, seed=seed)
    recipes = draw_recipes(config, ict.expression_names, len(ict.identity_modes))
    skin = triangulate(ict.part_polygons(SKIN_PARTS))
    rows: list[dict[str, float]] = []
    for person in range(faces):
        neutral = recipes.neutral(ict, person)
        started = time.perf_counter()
        result = fit_scan(model, Mesh(neutral * UNIT_MM, skin))
        seconds = time.perf_counter() - started
        surface = extract_mesh(
            face_sdf(face_of(model, result.codes), model.device), ExtractConfig(resolution=128)
        )
        figures = measure_fit(Mesh(neutral * UNIT_MM, skin), result.pose, surface)
        rows.append(figures | {"seconds": seconds} | _expression_errors(model, ict, result.codes))
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _expression_errors(model: FaceModel, ict: IctFaceKit, codes: Codes) -> dict[str, float]:
    """Mean error [mm] of the offsets that named expressions give to the face part."""
    count = level_vertices(model, "face")
    neutral = propose(model, Codes(codes.identity, None, codes.weights))[:count]
    errors = {}
    for name in _MEASURED:
        weights = np.zeros(len(ict.expression_names))
        weights[ict_names(name, ict.expression_names)] = 1
        truth = ict.expression(weights)[:count]
        code = expression_code(model, {name: 1.0})
        moved = propose(model, Codes(codes.identity, code, codes.weights))[:count] - neutral
        shown = np.linalg.norm(truth, axis=1) > 0.005
        errors[f"{name}_mm"] = float(np.linalg.norm(moved - truth, axis=1)[shown].mean() * UNIT_MM)
    return errors
