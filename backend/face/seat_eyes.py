# SPDX-License-Identifier: GPL-3.0-or-later
"""Eyes that sit in their lids.

Codes that know a face tell less of the eyeballs behind its lids: those of a head made of them
alone may stick out. So an eye gives way to the lids that are inside it, and stays where it is if
none are. A fit does without: there eyeballs that a scan shows tell how far lids are shut.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.spatial import cKDTree

from ..mesh import lengths
from ..model.forward_map import HeadTemplate
from .gaze import sphere_centre

#: Skin so near to an eyeball's centre, in radii, is of its lids.
_LIDS = 1.15
#: What moving an eye costs, and moving its surface by resizing it, beside a mean squared depth of
#: the lids.
_HELD = 0.02, 0.06
#: After so many rounds which vertices are inside changes no more.
_ROUNDS = 8
#: What moves with an eyeball.
_EYE_PARTS = ("eyeball", "lacrimal_fluid", "eye_blend", "eye_occlusion")
#: Vertices of an eyeball that tell its surface in a direction.
_AROUND = 8


def seat_eyes(template: HeadTemplate, vertices: np.ndarray) -> np.ndarray:
    """Return a neutral head (V, 3), model space, with each eye moved and resized as a whole, by as
    little as takes its lids out of the eyeball."""
    seated = vertices.copy()
    offsets = vertices - template.vertices.cpu().numpy()
    for eye in _eyes(template):
        own = eye.by_ball @ offsets[eye.ball].ravel()
        heights = (offsets[eye.lids] * eye.normals).sum(1)
        change = _giving_way(eye, eye.clearance + heights - eye.raised @ own)
        seated[eye.rows] += change[:3] + change[3] * eye.around
    return seated


def depths_in_ball(ball: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return how deep points (N, 3) are inside an eyeball (V, 3), negative outside: along the line
    from its centre, below the outermost of the vertices in that direction."""
    centre = sphere_centre(ball)
    radius, distance = (lengths(p - centre) for p in (ball, points))
    directions = cKDTree(
        (ball - centre) / radius[:, None], compact_nodes=False, balanced_tree=False
    )
    _, near = directions.query((points - centre) / distance[:, None], _AROUND)
    depths: np.ndarray = radius[near].max(1) - distance
    return depths


@dataclass(frozen=True)
class _Eye:
    """One eye of the template, and how it moves and grows: (x, y, z, growth).

    Attributes
    ----------
    ball : slice
        The eyeball's vertices.
    by_ball : ndarray (4, 3 B)
        From their offsets to how it moves.
    lids : ndarray (L,)
        Vertices of its lids; ``normals`` (L, 3) point to them from its centre, ``clearance`` (L,)
        is how far they are outside.
    raised : ndarray (L, 4)
        From how it moves to how much higher its surface is at the lids.
    held : ndarray (4, 4)
        What moves cost beside the squared depths of lids.
    rows : ndarray (E,)
        All that moves with it, ``around`` (E, 3) its centre.
    """

    ball: slice
    by_ball: np.ndarray
    lids: np.ndarray
    normals: np.ndarray
    clearance: np.ndarray
    raised: np.ndarray
    held: np.ndarray
    rows: np.ndarray
    around: np.ndarray


@cache
def _eyes(template: HeadTemplate) -> tuple[_Eye, _Eye]:
    return _eye(template, "left"), _eye(template, "right")


def _eye(template: HeadTemplate, side: str) -> _Eye:
    vertices, parts = template.vertices.cpu().double().numpy(), template.parts
    ball = slice(*parts[f"eyeball_{side}"][:2])
    around = vertices - sphere_centre(vertices[ball])
    distance = lengths(around)
    radius = distance[ball].mean()
    lids = np.arange(*parts["face"][:2])
    lids = lids[distance[lids] < _LIDS * radius]
    clearance = -depths_in_ball(vertices[ball], vertices[lids])
    lids, clearance = lids[clearance > 0], clearance[clearance > 0]
    normals = around[lids] / distance[lids, None]
    by_move, by_size = _HELD
    moved = np.tile(np.eye(3), (ball.stop - ball.start, 1))
    rows = template.part_rows(f"{name}_{side}" for name in _EYE_PARTS)
    return _Eye(
        ball=ball,
        by_ball=np.linalg.pinv(np.column_stack([moved, around[ball].ravel()])),
        lids=lids,
        normals=normals,
        clearance=clearance,
        raised=np.column_stack([normals, distance[lids]]),
        held=len(lids) * np.diag([by_move, by_move, by_move, by_size * radius**2]),
        rows=rows,
        around=around[rows],
    )


def _giving_way(eye: _Eye, clearance: np.ndarray) -> np.ndarray:
    """Return how an eye moves (4,) for lids that clear it by so much (L,), negative inside: the
    minimum of the squared depths that are left and of what moving costs."""
    change = np.zeros(4)
    for _ in range(_ROUNDS):
        inside = clearance < eye.raised @ change
        raised = eye.raised[inside]
        change = np.linalg.solve(raised.T @ raised + eye.held, raised.T @ clearance[inside])
    return change
