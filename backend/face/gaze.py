# SPDX-License-Identifier: GPL-3.0-or-later
"""Eyes that look where the expression says.

In the training data the lids follow a gaze and the eyeballs stay: whoever used it turned them
apart. So do we, stiffly and about their own middles.
"""

from collections.abc import Mapping

import numpy as np
from scipy.spatial.transform import Rotation

from ..model.forward_map import HeadTemplate

#: How far an eye turns at full strength; beyond it a person turns the head [degrees].
FULL_GAZE_DEG = 30.0


def turn_eyeballs(
    template: HeadTemplate, vertices: np.ndarray, weights: Mapping[str, float]
) -> np.ndarray:
    """Return vertices (V, 3) with the eyeballs, where the level has them, turned by the gaze.

    Parameters
    ----------
    weights : mapping
        ARKit name -> strength; of the eyeLook expressions those of one eye add up.
    """
    turned = vertices.copy()
    for side, outward in (("Left", 1.0), ("Right", -1.0)):  # the person's left is at +X
        first, end, _, _ = template.parts[f"eyeball_{side.lower()}"]
        turn = _gaze(weights, side, outward)
        if end <= len(vertices) and turn.magnitude() > 0:
            centre = sphere_centre(vertices[first:end])
            turned[first:end] = turn.apply(vertices[first:end] - centre) + centre
    return turned


def _gaze(weights: Mapping[str, float], side: str, outward: float) -> Rotation:
    """Return the turn of one eye: +Y up, +Z out of the face."""
    down, up, out, inside = (
        weights.get(f"eyeLook{way}{side}", 0.0) for way in ("Down", "Up", "Out", "In")
    )
    return Rotation.from_rotvec(
        [FULL_GAZE_DEG * (down - up), FULL_GAZE_DEG * outward * (out - inside), 0.0], degrees=True
    )


def sphere_centre(points: np.ndarray) -> np.ndarray:
    """Return the centre (3,) of the sphere nearest to points (N, 3): |x|^2 = 2 x.c + constant."""
    system = np.column_stack([2 * points, np.ones(len(points))])
    solution: np.ndarray = np.linalg.solve(
        system.T @ system, system.T @ (points * points).sum(axis=1)
    )
    return solution[:3]
