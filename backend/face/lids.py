# SPDX-License-Identifier: GPL-3.0-or-later
"""Lids that lie on their eyeballs, whatever the expression.

A blink is the same motion for everyone, so over a large or prominent eye lids go through it. What
is inside is pushed out along the eye's radius; around it the lids give way smoothly, up to where
the skin is the field's.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from ..mesh import lengths
from ..model.forward_map import HeadTemplate
from .gaze import sphere_centre
from .seat_eyes import depths_in_ball
from .skin import JOINED_PARTS, adjacency, screened, skin

#: Skin so near to an eyeball's centre, in radii, may be inside it, and give way.
_LIDS, _AROUND = 1.3, 1.8
#: How strongly a push fades with distance, beside one edge's pull.
_SCREENING = 0.1
#: How far lids stay outside [model units], where they do on the mean head.
_CLEARANCE = 0.001
#: After so many rounds which vertices are pushed changes hardly any more.
_ROUNDS = 6
#: What hangs on the lids, and how near [model units] to them it begins.
_HANGING = ("lacrimal_fluid", "eye_occlusion", "eyelashes")
_ROOT = 0.001


def clear_lids(template: HeadTemplate, vertices: np.ndarray) -> np.ndarray:
    """Return a head (V, 3), model space, with its lids outside its eyeballs, lashes and fluids with
    them; the field's skin stays."""
    pushed = np.zeros_like(vertices)
    for lids in _both(template):
        ball = vertices[lids.ball]
        centre = sphere_centre(ball)
        arms = vertices[lids.rows] - centre
        distance = lengths(arms)
        reach = lengths(ball - centre).max() + _CLEARANCE
        near = np.flatnonzero(distance[lids.outside] < reach)
        depths = depths_in_ball(ball, vertices[lids.rows[lids.outside[near]]])
        push = _pushes(lids, near, lids.clearance[near] + depths)
        pushed[lids.rows] = (push / distance)[:, None] * arms
    hang_on_lids(template, pushed)
    return vertices + pushed


def hang_on_lids(template: HeadTemplate, offset: np.ndarray) -> None:
    """Let lashes and fluids move along with the lids' vertices that they begin at; changes the
    offsets (V, 3) in place."""
    rows, roots = _hanging(template)
    offset[rows] = offset[roots]


@dataclass(frozen=True)
class _Lids:
    """The lids of one eye.

    Attributes
    ----------
    ball : slice
        The eyeball's vertices.
    rows : ndarray (L,)
        Vertices that can give way.
    outside : ndarray (O,)
        Which of them are outside the eyeball on the mean head and have to be, and ``clearance``
        (O,) how far.
    spread : ndarray (O, L)
        How far a force on each of those moves all, itself about 1.
    """

    ball: slice
    rows: np.ndarray
    outside: np.ndarray
    clearance: np.ndarray
    spread: np.ndarray


@cache
def _both(template: HeadTemplate) -> tuple[_Lids, _Lids]:
    return _lids(template, "left"), _lids(template, "right")


def _lids(template: HeadTemplate, side: str) -> _Lids:
    vertices = template.vertices.cpu().double().numpy()
    ball = slice(*template.parts[f"eyeball_{side}"][:2])
    distance = lengths(vertices - sphere_centre(vertices[ball]))
    distance /= distance[ball].mean()
    joined = template.part_rows(JOINED_PARTS)
    rows = np.setdiff1d(joined[distance[joined] < _AROUND], skin(template))
    near = np.flatnonzero(distance[rows] < _LIDS)
    clearance = -depths_in_ball(vertices[ball], vertices[rows[near]])
    outside = clearance > 0
    adjacent = adjacency(template)[rows]
    stiffness = screened(adjacent[:, rows], adjacent.sum(1), _SCREENING).toarray()
    spread = np.linalg.inv(stiffness @ stiffness)[near[outside]]
    return _Lids(
        ball=ball,
        rows=rows,
        outside=near[outside],
        clearance=np.minimum(clearance[outside], _CLEARANCE),
        spread=spread / spread[:, near[outside]].diagonal().mean(),
    )


def _pushes(lids: _Lids, near: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return how far the lids' vertices go (L,), for at least so much (N,) at those that are near
    the eyeball: the smoothest way that pulls nowhere."""
    at, push, left = lids.outside[near], np.zeros(len(lids.rows)), wanted
    pressed = np.zeros(0, int)
    for _ in range(_ROUNDS):
        before, pressed = pressed, np.flatnonzero(left > 0)
        if np.array_equal(before, pressed):
            break
        spread = lids.spread[near[pressed]]
        force = np.zeros(len(wanted))
        force[pressed] = np.linalg.solve(spread[:, at[pressed]], wanted[pressed])
        push = force[pressed] @ spread
        left = force + wanted - push[at]
    return push


@cache
def _hanging(template: HeadTemplate) -> tuple[np.ndarray, np.ndarray]:
    """Return the vertices (H,) of lashes and fluids, and those (H,) of the lids at which they
    begin."""
    vertices = template.vertices.cpu().double().numpy()
    joined = template.part_rows(JOINED_PARTS)
    rows = template.part_rows(f"{name}_{side}" for name in _HANGING for side in ("left", "right"))
    apart, nearest = cKDTree(vertices[joined]).query(vertices[rows])
    edges = adjacency(template)[rows][:, rows].tocoo()
    edges.data = lengths(vertices[rows[edges.row]] - vertices[rows[edges.col]])
    _, _, source = dijkstra(
        edges.tocsr(),
        indices=np.flatnonzero(apart < _ROOT),
        min_only=True,
        return_predecessors=True,
    )
    return rows, joined[nearest[source]]
