# SPDX-License-Identifier: GPL-3.0-or-later
"""Eyes that sit in their lids and look where the expression says.

In the training data the lids follow a gaze and the eyeballs stay: whoever used it turned them
apart. So do we, stiffly and about their own middles.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.spatial.transform import Rotation

from ..model.forward_map import HeadTemplate

#: How far an eye turns at full strength; beyond it a person turns the head [degrees].
FULL_GAZE_DEG = 30.0
#: Skin so near to an eyeball's centre, in radii, is of its lids.
_LIDS = 1.15
#: What moves with an eyeball.
_EYE_PARTS = ("eyeball", "lacrimal_fluid", "eye_blend", "eye_occlusion")


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
    solution: np.ndarray = np.linalg.lstsq(system, (points * points).sum(axis=1), rcond=None)[0]
    return solution[:3]


def seated(template: HeadTemplate, offsets: np.ndarray) -> np.ndarray:
    """Let eyes follow their lids.

    The codes know the face; of what lies behind it they know less, and eyes that are 2 mm from
    where they belong stick out of their lids. So an eye is moved, and grows, as a whole: its
    eyeball stays with its lids as it does on the mean head, least squares.

    Parameters
    ----------
    offsets : ndarray (..., V, 3)
        Of a neutral head from the template's, or what is added to one: this is linear.

    Returns
    -------
    ndarray (..., V, 3)
    """
    result = offsets.copy()
    for eye in _eyes(template):
        heights = (offsets[..., eye.lids, :] * eye.normals).sum(-1)
        ball = offsets[..., eye.ball, :]
        change = heights @ eye.by_lids.T - ball.reshape(*ball.shape[:-2], -1) @ eye.by_ball.T
        result[..., eye.rows, :] += change[..., None, :3] + change[..., None, 3:] * eye.around
    return result


@dataclass(frozen=True)
class _Eye:
    """One eye on the mean head, and how it moves and grows: (x, y, z, growth).

    Attributes
    ----------
    ball : slice
        The eyeball's vertices.
    lids : ndarray (L,)
        Vertices of its lids; ``normals`` (L, 3) point to them from its centre.
    by_lids : ndarray (4, L)
        From the lids' heights over the eyeball to how it ought to move.
    by_ball : ndarray (4, 3 B)
        From its own vertices' offsets to how it does.
    rows : ndarray (E,)
        All that moves with it, ``around`` (E, 3) its centre.
    """

    ball: slice
    lids: np.ndarray
    normals: np.ndarray
    by_lids: np.ndarray
    by_ball: np.ndarray
    rows: np.ndarray
    around: np.ndarray


@cache
def _eyes(template: HeadTemplate) -> tuple[_Eye, ...]:
    vertices = template.vertices.cpu().numpy().astype(np.float64)
    skin = np.arange(*template.parts["face"][:2])
    eyes = []
    for side in ("left", "right"):
        ball = slice(*template.parts[f"eyeball_{side}"][:2])
        centre = sphere_centre(vertices[ball])
        around = vertices - centre
        distance = np.linalg.norm(around, axis=1)
        lids = skin[distance[skin] < _LIDS * distance[ball].mean()]
        normals = around[lids] / distance[lids, None]
        parts = [template.parts[f"{name}_{side}"][:2] for name in _EYE_PARTS]
        rows = np.concatenate([np.arange(*part) for part in parts])
        moved = np.tile(np.eye(3), (ball.stop - ball.start, 1))
        eyes.append(
            _Eye(
                ball=ball,
                lids=lids,
                normals=normals,
                by_lids=np.linalg.pinv(np.column_stack([normals, distance[lids]])),
                by_ball=np.linalg.pinv(np.column_stack([moved, around[ball].ravel()])),
                rows=rows,
                around=around[rows],
            )
        )
    return tuple(eyes)
