# SPDX-License-Identifier: GPL-3.0-or-later
"""Vertex groups of the common topology: its parts, its regions, and the 68 landmarks."""

import numpy as np

from ..model.forward_map import HeadTemplate
from .regions import REGIONS, region_shares

LANDMARKS = "Landmarks"
#: Weights are multiples of one in so many: Blender sets all vertices of one weight in one call.
_LEVELS = 32

#: Name -> vertices (N,) int32 and their weights (N,) float32 in (0, 1].
Groups = dict[str, tuple[np.ndarray, np.ndarray]]


def vertex_groups(template: HeadTemplate, vertices: int) -> Groups:
    """Return the groups of the topology's first so many vertices.

    Parts ("Teeth") have weight 1, regions ("Region Nose") fade into each other. The landmarks'
    weights tell which they are: that of Multi-PIE's landmark i, counted from 0, is (i + 1) / 68.
    """
    groups: Groups = {}
    for name, (first, end, _, _) in template.parts.items():
        groups[name.replace("_", " ").title()] = _group(np.arange(first, end), np.ones(end - first))
    rows, shares = region_shares(template)
    for name, share in zip(REGIONS, shares, strict=True):
        groups[f"Region {name.title()}"] = _group(rows, np.round(share * _LEVELS) / _LEVELS)
    landmarks = template.landmarks.cpu().numpy()
    groups[LANDMARKS] = _group(landmarks, np.arange(1, 69) / 68)
    return {
        name: (rows[rows < vertices], weights[rows < vertices])
        for name, (rows, weights) in groups.items()
        if (rows < vertices).any()
    }


def _group(rows: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    used = weights > 0
    return rows[used].astype(np.int32), weights[used].astype(np.float32)
