# SPDX-License-Identifier: GPL-3.0-or-later
"""Eyes that sit in their lids.

ICT's people have eyeballs that stand where an artist put them, and lids that a scanner saw: a
linear map of codes that know the face knows little of the first, and eyes that are 2 mm from where
they belong stick out of their lids. So heads are given eyes that follow their lids.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..face.gaze import sphere_centre
from ..model.forward_map import HeadTemplate

#: Skin so near to an eyeball's centre, in radii, is of its lids.
_LIDS = 1.15
#: How strongly an eye is held where it is, beside its lids: they hardly tell what moves it along
#: its own surface.
_HELD = 0.3
#: What moves with an eyeball.
_EYE_PARTS = ("eyeball", "lacrimal_fluid", "eye_blend", "eye_occlusion")


def seat_eyes(template: HeadTemplate, offsets: Tensor) -> None:
    """Move and grow each eye as a whole, in place, so that its eyeball stays with its lids as it
    does on the template, but no farther than they ask for; linear in the offsets.

    Parameters
    ----------
    offsets : Tensor (N, V, 3)
        Of neutral heads from the template's.
    """
    for side in ("left", "right"):
        eye = _eye(template, side)
        own = offsets[:, eye.ball].flatten(1) @ eye.by_ball.T
        heights = (offsets[:, eye.lids] * eye.normals).sum(-1)
        change = (heights - own @ eye.raised.T) @ eye.by_lids.T
        offsets[:, eye.rows] += change[:, None, :3] + change[:, None, 3:] * eye.around


@dataclass(frozen=True)
class _Eye:
    """One eye of the template, and how it moves and grows: (x, y, z, growth).

    Attributes
    ----------
    ball : slice
        The eyeball's vertices.
    lids : Tensor (L,)
        Vertices of its lids; ``normals`` (L, 3) point to them from its centre.
    by_ball : Tensor (4, 3 B)
        From its vertices' offsets to how it moves.
    raised : Tensor (L, 4)
        From there to how much higher its surface is at the lids.
    by_lids : Tensor (4, L)
        From how much higher the lids are to how it ought to move.
    rows : Tensor (E,)
        All that moves with it, ``around`` (E, 3) its centre.
    """

    ball: slice
    lids: Tensor
    normals: Tensor
    by_ball: Tensor
    raised: Tensor
    by_lids: Tensor
    rows: Tensor
    around: Tensor


def _eye(template: HeadTemplate, side: str) -> _Eye:
    vertices, parts = template.vertices.float(), template.parts
    ball = slice(*parts[f"eyeball_{side}"][:2])
    around = vertices - torch.from_numpy(sphere_centre(vertices[ball].numpy())).float()
    distance = around.norm(dim=1)
    lids = torch.arange(*parts["face"][:2])
    lids = lids[distance[lids] < _LIDS * distance[ball].mean()]
    normals = around[lids] / distance[lids, None]
    raised = torch.column_stack([normals, distance[lids]])
    held = torch.tensor([1.0, 1.0, 1.0, distance[ball].mean() ** 2]) * (_HELD * len(lids))
    moved = torch.eye(3).repeat(ball.stop - ball.start, 1)
    rows = torch.cat([torch.arange(*parts[f"{name}_{side}"][:2]) for name in _EYE_PARTS])
    return _Eye(
        ball=ball,
        lids=lids,
        normals=normals,
        by_ball=torch.linalg.pinv(torch.column_stack([moved, around[ball].flatten()])),
        raised=raised,
        by_lids=torch.linalg.solve(raised.T @ raised + held.diag(), raised.T),
        rows=rows,
        around=around[rows],
    )
