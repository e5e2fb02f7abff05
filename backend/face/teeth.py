# SPDX-License-Identifier: GPL-3.0-or-later
"""Teeth that are stiff: the upper ones stand in the skull, the lower ones move with the jaw.

An expression adds the same offsets to everyone's vertices. A jaw's turn is no such thing: on a
longer jaw it would bend the row of teeth.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ..model.forward_map import HeadTemplate
from ..scan.align import best_rigid
from .skin import adjacency


def stiffen_teeth(template: HeadTemplate, neutral: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Return a head (V, 3) in an expression with the lower teeth as they are in the neutral one
    (V, 3), in the place where they are nearest; the gums around them go along."""
    jaw = _jaw(template)
    stiff = best_rigid(neutral[jaw.teeth], moved[jaw.teeth]).apply(neutral[jaw.teeth])
    correction = stiff - moved[jaw.teeth]
    result = moved.copy()
    result[jaw.teeth] = stiff
    result[jaw.gums] += jaw.share[:, None] * correction[jaw.nearest]
    return result


@dataclass(frozen=True)
class _Jaw:
    """What moves with the jaw, inside.

    Attributes
    ----------
    teeth : ndarray (T,)
        Vertices of the lower teeth.
    gums : ndarray (G,)
        Vertices of gums and tongue; ``nearest`` (G,) tells which of the lower teeth's is next to
        each, ``share`` (G,) how far it goes along: not at all if an upper tooth is nearer.
    """

    teeth: np.ndarray
    gums: np.ndarray
    nearest: np.ndarray
    share: np.ndarray


@cache
def _jaw(template: HeadTemplate) -> _Jaw:
    vertices = template.vertices.cpu().double().numpy()
    teeth, gums = (template.part_rows([name]) for name in ("teeth", "gums_and_tongue"))
    _, tooth = connected_components(adjacency(template)[teeth][:, teeth])
    heights = np.bincount(tooth, vertices[teeth, 1]) / np.bincount(tooth)
    is_lower = (heights < heights.mean())[tooth]
    lower, upper = teeth[is_lower], teeth[~is_lower]
    near, nearest = cKDTree(vertices[lower]).query(vertices[gums])
    far, _ = cKDTree(vertices[upper]).query(vertices[gums])
    share = np.clip((far - near) / (far + near), 0, 1)
    return _Jaw(lower, gums[share > 0], nearest[share > 0], share[share > 0])
