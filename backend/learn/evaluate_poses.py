# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures whether a fit depends on how a scan lies: on its pose, its unit and its winding."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from ..checkpoint import FaceModel
from ..errors import ScanError
from ..face.correspondence import require_head, template_mesh
from ..face.fit import fit_scan
from ..face.skin import skin_triangles
from ..files import write_text
from ..mesh import Mesh
from ..model.imface import UNIT_MM
from ..scan.align import Similarity
from ..scan.sampling import NearestTriangle
from .evaluation_sets import EvaluationScan
from .metrics import Figures
from .rows import read_rows, rows_file

#: Two fits are the same face if their surfaces are this near [mm] in the mean.
_SAME_MM = 0.05
#: Random rotations beside the 24 that keep the axes.
_RANDOM = 10
#: Scales are drawn between 1 by this and this.
_LARGEST_SCALE = 1000.0


def placements(seed: int) -> list[Similarity]:
    """Return the 34 ways a scan may lie: 24 orientations along the axes and 10 random ones, in
    random order, each of another unit and at another place."""
    rng = np.random.default_rng(seed)
    rotations = Rotation.concatenate(
        [Rotation.create_group("O"), Rotation.random(_RANDOM, random_state=rng)]
    ).as_matrix()
    rng.shuffle(rotations)
    scales = _LARGEST_SCALE ** rng.uniform(-1, 1, len(rotations))
    return [
        Similarity(scale, rotation, scale * rng.normal(0, 300, 3))
        for scale, rotation in zip(scales, rotations, strict=True)
    ]


def pose_figures(
    model: FaceModel,
    scans: Iterable[EvaluationScan],
    count: int,
    folder: Path,
    progress: Callable[[str], None] = lambda what: None,
) -> dict[str, Figures]:
    """Fit each scan as it is, and laid so many other ways, every second one wound the other way.

    Distances of each scan, by its ``key``, lie in a ``rows_file`` of the folder; call it again to
    go on after a stop.

    Returns
    -------
    dict
        "moved scans", unless there are none: ``fits``; ``same``: share of these whose surface
        is within 0.05 mm, in the mean, of that of the scan as it was; ``mean_mm``, ``p95_mm``,
        ``max_mm``: of these means; ``not_found``: fits that said there was no face, and all those
        of a scan in which none is found as it lies.
    """
    path = rows_file(folder, "poses", model)
    stored: dict[str, list[float | None]] = read_rows(path)
    rows: list[float | None] = []
    count = min(count, len(placements(0)))
    for i, scan in enumerate(scans):
        apart = stored.setdefault(scan.key, [])
        if len(apart) < count:
            try:
                _, original = _fit(model, scan.mesh)
            except ScanError:  # nothing to compare with
                rows += [None] * count
                continue
            for number, place in enumerate(placements(i)[:count]):
                if number >= len(apart):
                    progress(f"{scan.name}, pose {number + 1} of {count}")
                    apart.append(_apart_mm(model, scan.mesh, place, number % 2 == 1, original))
                    write_text(path, json.dumps(stored))
        rows += apart[:count]
    found = np.array([row for row in rows if row is not None])
    if len(found) == 0:
        return {}
    figures = {
        "fits": float(len(rows)),
        "same": float((found <= _SAME_MM).sum() / len(rows)),
        "mean_mm": float(found.mean()),
        "p95_mm": float(np.percentile(found, 95)),
        "max_mm": float(found.max()),
        "not_found": float(len(rows) - len(found)),
    }
    return {"moved scans": figures}


def _apart_mm(
    model: FaceModel, scan: Mesh, place: Similarity, mirrored: bool, original: Mesh
) -> float | None:
    """Return how far, in the mean, a scan's fitted face is from the ``original`` one, both in its
    own space, when it lies elsewhere meanwhile; None if no face is found there."""
    polygons = scan.triangles[:, ::-1] if mirrored else scan.triangles
    moved = replace(scan, vertices=place.apply(scan.vertices), polygons=polygons)
    try:
        pose, face = _fit(model, moved)
    except ScanError:
        return None
    there = place.inverse().apply(face.vertices)
    _, _, apart = NearestTriangle(original)(there)
    return float(apart.mean() * pose.after(place).scale * UNIT_MM)


def _fit(model: FaceModel, scan: Mesh) -> tuple[Similarity, Mesh]:
    """Return a scan's pose, and the skin of its fit, in the scan's space."""
    result = fit_scan(model, scan)
    triangles = skin_triangles(require_head(model).template)
    used, corners = np.unique(triangles, return_inverse=True)
    vertices = template_mesh(model, result.codes).vertices[used]
    skin = Mesh(result.pose.inverse().apply(vertices), corners.reshape(triangles.shape))
    return result.pose, skin
