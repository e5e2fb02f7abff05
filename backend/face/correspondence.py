# SPDX-License-Identifier: GPL-3.0-or-later
"""One topology for every face: the field leads where it can, the forward map where it cannot.

The skin that the front sees is put where the forward map has it, and from there along its normals
onto the zero level set. The field cannot tell lips that touch apart, nor lids from the eyeball that
they shut over, and it ends at the ball: there the forward map, which knows vertices and not places,
gives the shape, moved smoothly so that it meets the skin. A scan's detail is part of the field: it
moves the skin along, and fades out over lips and lids.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from ..checkpoint import FaceModel, Head
from ..codes import Codes
from ..errors import BackendError
from ..mesh import Mesh, lengths, triangle_normals, vertex_normals
from ..model.forward_map import HeadTemplate
from ..model.imface import UNIT_MM, Face, query_sdf
from ..model.pieces import by_pieces
from .gaze import turn_eyeballs
from .generate import code_tensors, face_of, packed, unpacked
from .lids import clear_lids, hang_on_lids
from .seat_eyes import seat_eyes
from .skin import skin, skin_scouts, skin_triangles, spread
from .teeth import stiffen_teeth

#: The part that each level of detail ends with.
LEVELS = {
    "narrow": "face",
    "face": "face",
    "skin": "head_and_neck",
    "head": "eyelashes_right",
}
#: Meshes of the field's own surface, which know no levels.
SURFACES = ("surface", "quads")
#: Vertices and polygons, the first ones, of ICT-FaceKit's narrow face.
_NARROW = (6706, 6560)
#: So near [mm] to where it maps back, an inverse warp is exact enough.
RESOLVED_MM = 0.01
#: The search for an inverse warp ends here [mm].
_REACHED_MM = 0.001
#: Rim of the ball [model units] over which the field's lead fades out.
_RIM = 0.15
#: A vertex that the field moves this far [model units] from where the forward map does is not
#: trusted: where skin covers skin, the field knows the outer one alone.
_MAX_APART = 0.06
#: A triangle whose normal's cosine with what it was is less than this is folded.
_FOLDED = 0.5
#: Most steps of the search for the level set.
_SNAP_ROUNDS = 3
#: A step that is shorter [mm] is the last, and where it ends is not asked: at most a quarter of it
#: is left, mostly a hundredth.
_SHORT_STEP_MM = 0.1
#: What the field may change by along a normal, per length: where skin is seen from the side, less.
_SLOPES = 0.25, 2.0


@dataclass(frozen=True)
class TemplateMesh:
    """A face on the fixed topology.

    Attributes
    ----------
    vertices : ndarray (V, 3)
        Model space.
    snapped : ndarray (V,) bool
        Vertices that lie on the zero level set.
    """

    vertices: np.ndarray
    snapped: np.ndarray


def require_head(model: FaceModel) -> Head:
    """Return the model's head, or raise BackendError if it has none."""
    if model.head is None:
        raise BackendError(
            "These weights have no common topology (head.safetensors is missing). "
            "Use the surface topology, or the bundled weights."
        )
    return model.head


def level_vertices(model: FaceModel, level: str) -> int:
    """Return how many of the head's vertices, from the first, a level of detail has.

    Raises
    ------
    BackendError
        If there is no such level, or the model has no head.
    """
    return _level_ends(model, level)[0]


def level_mesh(model: FaceModel, vertices: np.ndarray, level: str) -> Mesh:
    """Return vertices (V, 3) of a level of detail with their polygons and UVs."""
    template, (_, end) = require_head(model).template, _level_ends(model, level)
    return Mesh(
        vertices,
        template.polygons[:end].cpu().numpy(),
        template.uv.cpu().numpy(),
        template.uv_polygons[:end].cpu().numpy(),
    )


def _level_ends(model: FaceModel, level: str) -> tuple[int, int]:
    """Return where the vertices and the polygons of a level of detail end."""
    if level not in LEVELS:
        raise BackendError(
            "There is no topology '{name}'. Choose one of {known}.",
            name=level,
            known=", ".join((*LEVELS, *SURFACES)),
        )
    _, vertices, _, polygons = require_head(model).template.parts[LEVELS[level]]
    return _NARROW if level == "narrow" else (vertices, polygons)


def propose(model: FaceModel, codes: Codes) -> np.ndarray:
    """Return the forward map's head (V, 3), eyes in their lids and teeth stiff, in model space."""
    residual = None if codes.residual is None else packed(codes.residual)
    neutral = _neutral_head(model, packed(codes.identity), residual)
    _, expression = code_tensors(model, codes)
    if expression is None:
        return neutral.copy()
    head = require_head(model)
    moved = neutral + head.forward_map.expressed(expression).cpu().numpy()
    return stiffen_teeth(head.template, neutral, moved)


@lru_cache(maxsize=1)  # all expressions of a person share it
def _neutral_head(model: FaceModel, identity: bytes, residual: bytes | None) -> np.ndarray:
    head = require_head(model)
    beyond = None if residual is None else unpacked(model, residual)
    neutral = head.forward_map.neutral(unpacked(model, identity), beyond)
    return seat_eyes(head.template, neutral.cpu().double().numpy())


def template_mesh(
    model: FaceModel, codes: Codes, weights: Mapping[str, float] | None = None
) -> TemplateMesh:
    """Return the whole head on the fixed topology, its visible skin on the zero level set.

    The forward map tells where along the surface a vertex is, the field where the surface is: so
    vertices go along their normals alone.

    Parameters
    ----------
    weights : mapping, optional
        ARKit name -> strength, of the codes' expression; the eyes turn by it.

    Raises
    ------
    BackendError
        If the model has no head, or the codes belong to other weights.
    """
    face, template = face_of(model, codes), require_head(model).template
    proposal = propose(model, codes)
    radius = lengths(proposal)
    inside = radius[skin(template)] < 1
    rows = skin(template)[inside]
    normals = vertex_normals(proposal, skin_triangles(template))[rows]
    scouts = skin_scouts(template)[inside][:, inside]
    away, reached = _to_level_set(face, proposal[rows], normals, scouts, model.device)
    trusted = reached & (np.abs(away) < _MAX_APART)
    fade = np.clip((1 - radius) / _RIM, 0, 1)
    fade = fade * fade * (3 - 2 * fade)
    rows, offsets = rows[trusted], (away[:, None] * normals)[trusted]
    rows, offset = _spread_unfolded(template, proposal, rows, offsets * fade[rows, None])
    _carry_loose_parts(template, offset)
    snapped = np.zeros(len(proposal), bool)
    snapped[rows] = fade[rows] == 1
    turned = turn_eyeballs(template, proposal + offset, weights or {})
    return TemplateMesh(clear_lids(template, turned), snapped)


def _carry_loose_parts(template: HeadTemplate, offset: np.ndarray) -> None:
    """Let what touches the lids move along: eyeballs unbent, lashes and fluids from where they
    begin. Teeth and tongue stay, as the skull does. Changes the offsets (V, 3) in place."""
    landmarks = template.landmarks.cpu().numpy()
    for side, lids in (("right", slice(36, 42)), ("left", slice(42, 48))):
        for name in ("eyeball", "eye_blend"):
            offset[slice(*template.parts[f"{name}_{side}"][:2])] = offset[landmarks[lids]].mean(0)
    hang_on_lids(template, offset)


def _to_level_set(
    face: Face,
    vertices: np.ndarray,
    normals: np.ndarray,
    scouts: csr_matrix,
    device: torch.device,
) -> tuple[np.ndarray, np.ndarray]:
    """Find how far along their unit normals (N, 3) points (N, 3) are from the zero level set, by
    the secant method: it asks for no gradients. A few scouts are asked first, and lead all others.

    Parameters
    ----------
    scouts : csr_matrix (N, N)
        See ``skin_scouts``.

    Returns
    -------
    away : ndarray (N,)
    reached : ndarray (N,) bool
        Whether the search has ended there.
    """
    start, along = (torch.from_numpy(x).float().to(device) for x in (vertices, normals))
    asked = torch.from_numpy(scouts.diagonal() > 0).to(device)
    sdf, step = start.new_full((len(start),), torch.nan), start.new_zeros(len(start))
    sdf[asked] = query_sdf(face, start[asked])
    step[asked] = -sdf[asked]
    step = torch.from_numpy(scouts @ step.cpu().numpy()).to(start)
    away = step.clone()
    for _ in range(_SNAP_ROUNDS):
        left = (_long(step) | sdf.isnan()).nonzero()[:, 0]
        if len(left) == 0:
            break
        there = query_sdf(face, start[left] + away[left, None] * along[left])
        slope = ((there - sdf[left]) / step[left]).clamp(*_SLOPES).nan_to_num(1.0)
        sdf[left], step[left] = there, -there / slope
        away[left] += step[left]
    return away.cpu().double().numpy(), ~_long(step).cpu().numpy()


def _long(steps: Tensor) -> Tensor:
    return steps.abs() * UNIT_MM > _SHORT_STEP_MM


def _spread_unfolded(
    template: HeadTemplate, proposal: np.ndarray, rows: np.ndarray, offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Extend offsets (N, 3) from where a proposal (V, 3) has the given vertices to all; those that
    would fold the skin there, where normals cross before they meet the level set, give way.

    Returns
    -------
    rows : ndarray (M,)
        The vertices that have kept their offsets.
    offset : ndarray (V, 3)
    """
    triangles = skin_triangles(template)
    before, _ = triangle_normals(proposal, triangles)
    while True:
        offset = spread(template, rows, offsets)
        after, _ = triangle_normals(proposal + offset, triangles)
        folded = triangles[(before * after).sum(1) < _FOLDED]
        kept = ~np.isin(rows, folded)
        if kept.all():
            return rows, offset
        rows, offsets = rows[kept], offsets[kept]


@dataclass(frozen=True)
class InverseWarp:
    """Points carried back through a warp.

    Attributes
    ----------
    points : ndarray (V, 3)
    residual_mm : ndarray (V,)
        Distance between the wanted point and where the result maps to.
    """

    points: np.ndarray
    residual_mm: np.ndarray

    def unresolved(self, tolerance_mm: float = RESOLVED_MM) -> np.ndarray:
        """Return the indices of the points whose residual exceeds the tolerance."""
        return np.flatnonzero(~(self.residual_mm <= tolerance_mm))


@torch.no_grad()
def invert_warp(
    warp: Callable[[Tensor], Tensor],
    targets: np.ndarray,
    start: np.ndarray,
    device: torch.device,
    rounds: int = 30,
) -> InverseWarp:
    """Find the points that a warp carries to ``targets``, by Broyden's method for each point.

    Parameters
    ----------
    warp : callable
        Points (1, N, 3) -> (1, N, 3).
    targets : ndarray (V, 3)
    start : ndarray (V, 3)
        First guess.
    rounds : int
        Most steps; a point that is there rests.
    """
    wanted = torch.from_numpy(targets).float().to(device)
    points = torch.tensor(start, dtype=torch.float32, device=device)  # a copy: it moves
    slope = torch.eye(3, device=device).repeat(len(points), 1, 1)  # of the inverse
    error = _through(warp, points) - wanted
    for _ in range(rounds):
        away = (error.norm(dim=-1) * UNIT_MM > _REACHED_MM).nonzero()[:, 0]
        if len(away) == 0:
            break
        step = -(slope[away] @ error[away, :, None])
        points[away] += step[..., 0]
        found = _through(warp, points[away]) - wanted[away]
        slope[away] = _broyden(slope[away], step, (found - error[away])[..., None])
        error[away] = found
    residual = error.norm(dim=-1) * UNIT_MM
    return InverseWarp(points.cpu().numpy().astype(np.float64), residual.cpu().numpy())


def _broyden(slope: Tensor, step: Tensor, change: Tensor) -> Tensor:
    """Return slopes (N, 3, 3) of an inverse, corrected by steps (N, 3, 1) and by what they changed
    (N, 3, 1)."""
    along = step.mT @ slope
    share = along @ change
    moved = (step - slope @ change) @ along
    return slope + torch.where(share.abs() > 1e-12, moved / share, torch.zeros_like(moved))


def _through(warp: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    return torch.cat(by_pieces(lambda piece: warp(piece[None])[0], points))


def check_against_warp(model: FaceModel, codes: Codes) -> dict[str, float]:
    """Tell how well the inverse warps resolve the template's skin, and where the mesh ends up.

    Returns
    -------
    dict
        ``resolved``: share of the skin's vertices whose inverse is exact to 0.01 mm;
        ``unresolved``: number of the others; ``moved_median_mm``: from the inverse warp's
        point to the mesh's vertex; ``forward_median_mm``: from there to the forward map's.
    """
    mesh, proposal = template_mesh(model, codes), propose(model, codes)
    template = require_head(model).template
    rows = skin(template)
    targets = template.vertices.cpu().numpy()[rows]
    face = face_of(model, codes)
    inverse = invert_warp(face.through_warps, targets, proposal[rows], model.device)
    unresolved = inverse.unresolved()
    moved = lengths(inverse.points - mesh.vertices[rows])[mesh.snapped[rows]]
    forward = lengths(inverse.points - proposal[rows])
    return {
        "resolved": 1 - len(unresolved) / len(rows),
        "unresolved": len(unresolved),
        "moved_median_mm": float(np.median(moved) * UNIT_MM),
        "forward_median_mm": float(np.median(forward) * UNIT_MM),
    }
