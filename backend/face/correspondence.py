# SPDX-License-Identifier: GPL-3.0-or-later
"""One topology for every face: the forward map proposes, the field decides.

The forward map gives each template vertex a place on the face. Where the field's surface shows
that vertex, it moves onto the zero level set; its neighbours that the surface hides (inner lips,
lid margins, the back of the head) follow smoothly. The inverse warp checks the result.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from scipy.sparse import coo_matrix, csr_matrix, diags
from scipy.sparse.linalg import cg
from torch import Tensor

from ..checkpoint import FaceModel, Head
from ..codes import Codes
from ..errors import BackendError
from ..mesh import Mesh, triangulate, vertex_normals
from ..model.forward_map import HeadTemplate
from ..model.imface import UNIT_MM, Face, pieces, query_gradient
from ..scan.watertight import depth_map, visible_from_front
from .generate import code_tensors, face_of

#: Number of vertices at each level of detail is that of these parts.
LEVELS = ("face", "head")
#: Parts that the field's surface shows.
_SURFACE_PARTS = ("face", "head_and_neck", "eyeball_left", "eyeball_right")
#: A vertex farther from the surface [model units] is not the surface's.
_MAX_SNAP = 0.04
#: The proposal's normal must agree with the field's gradient at least so well.
_MIN_AGREEMENT = 0.8
#: Rim of the ball [model units] over which the pull onto the surface fades out.
_RIM = 0.15
_SNAP_ROUNDS = 4


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
    """Return how many of the head's vertices, from the first, a level of detail has."""
    head = require_head(model)
    return head.template.parts["face"][1] if level == "face" else len(head.template.vertices)


def level_mesh(model: FaceModel, vertices: np.ndarray, level: str) -> Mesh:
    """Return vertices (V, 3) of a level of detail with their polygons and UVs."""
    template = require_head(model).template
    end = template.parts["face"][3] if level == "face" else len(template.polygons)
    return Mesh(
        vertices,
        template.polygons[:end].cpu().numpy(),
        template.uv.cpu().numpy(),
        template.uv_polygons[:end].cpu().numpy(),
    )


def propose(model: FaceModel, codes: Codes) -> np.ndarray:
    """Return the forward map's head (V, 3) in model space."""
    identity, expression = code_tensors(model, codes)
    vertices = require_head(model).forward_map(identity, expression)
    return vertices.cpu().numpy().astype(np.float64)


def template_mesh(model: FaceModel, codes: Codes) -> TemplateMesh:
    """Return the whole head on the fixed topology, its visible face on the zero level set.

    Raises
    ------
    BackendError
        If the model has no head, or the codes belong to other weights.
    """
    face = face_of(model, codes)
    proposal = propose(model, codes)
    candidates = _shown(model, proposal)
    target, kept = _snap(face, proposal, candidates, model.device)
    kept &= _surrounded(_laplacian(require_head(model).template), candidates, kept)
    rows = candidates[kept]
    fade = np.clip((1 - np.linalg.norm(proposal[rows], axis=1)) / _RIM, 0, 1)
    fade = fade * fade * (3 - 2 * fade)
    pull = (target[kept] - proposal[rows]) * fade[:, None]
    offset = _spread(_laplacian(require_head(model).template), rows, pull)
    snapped = np.zeros(len(proposal), bool)
    snapped[rows[fade == 1]] = True
    return TemplateMesh(proposal + offset, snapped)


def _shown(model: FaceModel, vertices: np.ndarray) -> np.ndarray:
    """Return the indices of the face vertices that the front sees, inside the ball."""
    template = require_head(model).template
    skin = np.concatenate(
        [
            template.polygons[slice(*template.parts[name][2:])].cpu().numpy()
            for name in _SURFACE_PARTS
        ]
    )
    triangles = triangulate(skin)
    normals = vertex_normals(vertices, triangles)
    seen = visible_from_front(vertices, normals, depth_map(vertices, triangles))
    seen &= (normals[:, 2] > 0.1) & (np.linalg.norm(vertices, axis=1) < 1)
    seen[template.parts["face"][1] :] = False
    return np.flatnonzero(seen)


def _snap(
    face: Face, proposal: np.ndarray, rows: np.ndarray, device: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """Project the given vertices onto the zero level set: their new places (N, 3), and whether
    each could be trusted (N,)."""
    start = torch.from_numpy(proposal[rows]).float().to(device)
    points = start
    for i in range(_SNAP_ROUNDS):
        sdf, gradient = query_gradient(face, points)
        if i == 0:
            close = sdf.abs() < _MAX_SNAP
        squared = (gradient * gradient).sum(-1).clamp(min=0.25)
        points = points - (sdf / squared).clamp(-_MAX_SNAP, _MAX_SNAP)[:, None] * gradient
    moved = (points - start).norm(dim=-1)
    facing = gradient[:, 2] > 0.05
    return points.cpu().numpy().astype(np.float64), (
        close & facing & (moved < _MAX_SNAP)
    ).cpu().numpy()


def _surrounded(laplacian: csr_matrix, rows: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Tell which of the vertices have only neighbours that are kept: the rim of lips, lids and
    nostrils, where the surface turns away from the viewer, follows rather than leads."""
    lost = np.ones(laplacian.shape[0])
    lost[rows[kept]] = 0
    return (abs(laplacian) @ lost)[rows] == 0


def _spread(graph: csr_matrix, rows: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Extend offsets (N, 3) of the given vertices smoothly to all (V, 3), fading with distance."""
    fixed = np.zeros(graph.shape[0], bool)
    fixed[rows] = True
    full = np.zeros((len(fixed), 3))
    full[rows] = offsets
    free = np.flatnonzero(~fixed)
    matrix = graph[free][:, free] + diags(np.full(len(free), 0.02))
    known = -graph[free][:, rows] @ offsets
    for axis in range(3):
        full[free, axis], _ = cg(matrix, known[:, axis], rtol=1e-4, maxiter=200)
    return full


@cache
def _laplacian(template: HeadTemplate) -> csr_matrix:
    """Return the graph Laplacian (V, V) of a topology."""
    triangles = triangulate(template.polygons.cpu().numpy())
    count = len(template.vertices)
    pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    a, b = np.concatenate([pairs, pairs[:, ::-1]]).T
    adjacency = coo_matrix((np.ones(len(a)), (a, b)), shape=(count, count)).tocsr()
    adjacency.data[:] = 1.0
    return (diags(np.asarray(adjacency.sum(1)).ravel()) - adjacency).tocsr()


@dataclass(frozen=True)
class InverseWarp:
    """Template points carried into observation space.

    Attributes
    ----------
    points : ndarray (V, 3)
    residual_mm : ndarray (V,)
        Distance, in template space, between the wanted point and where the result maps to.
    """

    points: np.ndarray
    residual_mm: np.ndarray

    def unresolved(self, tolerance_mm: float = 0.01) -> np.ndarray:
        """Return the indices of the points whose residual exceeds the tolerance."""
        return np.flatnonzero(~(self.residual_mm <= tolerance_mm))


def invert_warps(
    face: Face, targets: np.ndarray, start: np.ndarray, device: torch.device, rounds: int = 60
) -> InverseWarp:
    """Find the observation-space points that the warps carry to ``targets``.

    Parameters
    ----------
    targets : ndarray (V, 3)
        Template space.
    start : ndarray (V, 3)
        First guess, observation space.
    rounds : int
        Most steps of the fixed point x <- x - (warp(x) - target); it ends when all are resolved.
    """
    wanted = torch.from_numpy(targets).float().to(device)
    points = torch.from_numpy(start).float().to(device)
    for _ in range(rounds):
        error = _to_template(face, points) - wanted
        residual = error.norm(dim=-1) * UNIT_MM
        if bool((residual < 1e-3).all()):
            break
        points = points - error
    residual = (_to_template(face, points) - wanted).norm(dim=-1) * UNIT_MM
    return InverseWarp(points.cpu().numpy().astype(np.float64), residual.cpu().numpy())


@torch.no_grad()
def _to_template(face: Face, points: Tensor) -> Tensor:
    return torch.cat([face.query(piece).template_points[0] for piece in pieces(points)])


def check_against_warp(model: FaceModel, codes: Codes) -> dict[str, float]:
    """Carry the template's visible vertices through the inverse warp, and compare.

    Returns
    -------
    dict
        ``resolved`` is the share of visible vertices whose inverse is exact to 0.01 mm,
        ``unresolved`` the number of the others, ``median_mm`` and ``p95_mm`` the distance between
        inverse warp and template mesh over the resolved ones.
    """
    mesh = template_mesh(model, codes)
    rows = np.flatnonzero(mesh.snapped)
    template = require_head(model).template.vertices.cpu().numpy()[rows]
    inverse = invert_warps(face_of(model, codes), template, mesh.vertices[rows], model.device)
    unresolved = inverse.unresolved()
    resolved = np.setdiff1d(np.arange(len(rows)), unresolved)
    apart = np.linalg.norm(inverse.points - mesh.vertices[rows], axis=1)[resolved] * UNIT_MM
    return {
        "resolved": len(resolved) / max(len(rows), 1),
        "unresolved": len(unresolved),
        "median_mm": float(np.median(apart)) if len(apart) else float("nan"),
        "p95_mm": float(np.percentile(apart, 95)) if len(apart) else float("nan"),
    }
