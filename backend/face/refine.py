# SPDX-License-Identifier: GPL-3.0-or-later
"""The detail of a scan that the codes cannot express, fitted after them.

Where a point of the scan lies off the codes' surface, the detail shall be as high as that: a linear
condition on the control heights. The smoothest heights that meet it are sought, thin plates that
stiffen where the scan itself knows no finer shape. A sine net fitted by Adam comes as near in 5 to
20 s; this is solved in a quarter of a second, so that how smooth it is can be tried per scan.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
import torch
from scipy.ndimage import maximum_filter
from scipy.sparse import csr_matrix, diags, identity, kron, vstack
from scipy.sparse.linalg import splu
from torch import Tensor

from ..checkpoint import FaceModel
from ..codes import DETAIL_SIDE, DETAIL_STEPS, Codes
from ..mesh import Mesh, triangle_normals, vertex_normals
from ..model.imface import UNIT_MM, Face, query_gradient
from ..model.pieces import by_pieces
from ..model.refinement import MAX_HEIGHT, spline, wanted_height
from ..scan.clean import welded
from ..scan.compare import FrontSurface, inside
from ..scan.watertight import visible_from_front
from .extract import face_sdf
from .fit_codes import Report
from .generate import face_of

#: Spacing of the control heights [model units].
_SPACING = 2 / (DETAIL_SIDE - 1)
#: Over this distance [model units] the detail fades to nothing beside what the scan shows.
_REACH = 0.06
#: It also fades towards the rim of the ball (within this distance of it), where the field ends,
#: and where the surface turns away from the front (between these n_z): what is seen there is torn.
_RIM = 0.15
_TURNED = (0.15, 0.4)
#: Cosines of the normals of scan and face between which a point comes to be trusted: the walls of
#: hair and collars stand on the face, detail leans by 30 degrees at most.
_ALIKE = (0.4, 0.8)


@dataclass(frozen=True)
class RefineConfig:
    """How detail is fitted."""

    points: int = 30_000  #: drawn on the scan
    finest_mm: float = 0.4  #: smoothing length of the finest scan
    smoothing: tuple[float, ...] = (1.0, 1.5, 2.2, 3.3)  #: tried against noise, times the finest
    margin: float = 1.02  #: a smoother one is taken if it predicts nearly as well
    left_out: float = 0.1  #: share of the scan's vertices that are predicted
    turns: int = 2  #: of leaving some out: a single one leaves the choice to chance
    robust_mm: float = 1.2  #: points farther off the detail count nothing
    steepest: float = 0.5  #: slope from which the detail is stiffened: steep detail would fold
    rounds: int = 4  #: of least squares
    seed: int = 0  #: of the points drawn


@dataclass(frozen=True)
class _Look:
    """What a face tells of points."""

    face: Face
    device: torch.device

    @torch.no_grad()
    def __call__(self, points: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Return signed distances (N,), their gradients and template points (N, 3) at points."""
        on_device = torch.from_numpy(points).float().to(self.device)
        sdf, gradient = query_gradient(self.face, on_device)
        where = by_pieces(lambda piece: self.face.query(piece[None]).template_points[0], on_device)
        return sdf.cpu().double(), gradient.cpu().double(), torch.cat(where).cpu().double()

    def farthest_corners(self, mesh: Mesh, triangle: np.ndarray) -> np.ndarray:
        """Return how far off (N,) the farthest corner of each of some triangles (N,) lies."""
        corners, place = np.unique(mesh.polygons[triangle], return_inverse=True)
        off = np.abs(face_sdf(self.face, self.device)(mesh.vertices[corners]))
        farthest: np.ndarray = off[place.reshape(-1, 3)].max(1)
        return farthest


@dataclass(frozen=True)
class _Evidence:
    """What points of a scan tell of the heights: ``pick @ heights`` should be ``wanted``.

    Attributes
    ----------
    pick : csr_matrix (N, S * S)
    wanted : ndarray (N,)
        Model units.
    trust : ndarray (N,)
        From 0 to 1.
    """

    pick: csr_matrix
    wanted: np.ndarray
    trust: np.ndarray


@dataclass(frozen=True)
class _Drawn:
    """Evidence drawn on a scan.

    Attributes
    ----------
    evidence : _Evidence
    finest : ndarray (S * S,)
        Smoothing lengths [model units] that the scan's triangles ask for at least.
    area : float
        Of the surface that a point stands for [model units^2].
    """

    evidence: _Evidence
    finest: np.ndarray
    area: float


def fit_detail(
    model: FaceModel,
    codes: Codes,
    visible: FrontSurface,
    config: RefineConfig = RefineConfig(),
    report: Report = lambda fraction, message: None,
) -> np.ndarray:
    """Fit the detail that takes the codes' face to a scan.

    How much is smoothed follows from the scan: no less than the size of its triangles asks for,
    and as much more as predicts best where vertices were left out. So neither facets nor noise
    become bumps. Points that lie more than 5 mm off, or off all their neighbours, are not copied.

    Parameters
    ----------
    codes : Codes
        Any detail in them is left aside.
    visible : FrontSurface
        Of the scan, model space.

    Returns
    -------
    ndarray (S, S) int16
        ``Codes.detail``.
    """
    look = _Look(face_of(model, replace(codes, detail=None)), model.device)
    smoothing = _smoothing(look, visible, config, report)
    drawn = _draw(look, visible, config)
    heights = _smoothest(drawn, smoothing, config, partial(_tell, report, 0.8, 0.2))
    steps = np.round(heights * (DETAIL_STEPS / MAX_HEIGHT))
    return steps.clip(-DETAIL_STEPS, DETAIL_STEPS).astype(np.int16).reshape(DETAIL_SIDE, -1)


def _smoothing(look: _Look, visible: FrontSurface, config: RefineConfig, report: Report) -> float:
    """Return by how much more than its triangles ask for a scan is smoothed: as much as predicts
    vertices that were left out, with all their triangles, almost best."""
    turns = [_left_out(look, visible, config, turn) for turn in range(config.turns)]
    if any(truth.trust.sum() == 0 or len(rest.mesh.polygons) == 0 for truth, rest in turns):
        return config.smoothing[0]
    trials = [(truth, _draw(look, rest, config)) for truth, rest in turns]
    roughly = replace(config, rounds=(config.rounds + 1) // 2)  # tells as well what predicts best
    part = 0.8 / (len(config.smoothing) * config.turns)
    errors = np.zeros(len(config.smoothing))
    for i, smoothing in enumerate(config.smoothing):
        for turn, (truth, drawn) in enumerate(trials):
            tell = partial(_tell, report, (i * config.turns + turn) * part, part)
            off = np.abs(truth.pick @ _smoothest(drawn, smoothing, roughly, tell) - truth.wanted)
            errors[i] += (truth.trust * np.minimum(off, config.robust_mm / UNIT_MM)).sum()
        if errors[i] > config.margin * errors[: i + 1].min():
            return config.smoothing[i - 1]
    return config.smoothing[-1]


def _left_out(
    look: _Look, visible: FrontSurface, config: RefineConfig, turn: int
) -> tuple[_Evidence, FrontSurface]:
    """Return what some of a scan's vertices tell, others in every turn, and the scan without their
    triangles."""
    mesh, vertex = visible.mesh, welded(visible.mesh.vertices)
    drawn = np.random.default_rng(config.seed).random(len(vertex)) / config.left_out
    touched = (drawn.astype(int) == turn)[vertex][mesh.polygons]
    truth = _at_vertices(look, visible, np.unique(mesh.polygons[touched]))
    return truth, replace(visible, mesh=Mesh(mesh.vertices, mesh.polygons[~touched.any(1)]))


def _draw(look: _Look, visible: FrontSurface, config: RefineConfig) -> _Drawn:
    """Draw points on a scan."""
    points, normals, triangle = visible.draw(config.points, 1.0, config.seed)
    mesh = visible.mesh
    corners = mesh.vertices[mesh.polygons]
    edge = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).mean(1)
    # Waves shorter than about an edge and a half are the facets, not the face.
    finest = np.maximum(edge[triangle] / 4, config.finest_mm / UNIT_MM)
    evidence = _evidence(look, points, normals, look.farthest_corners(mesh, triangle))
    seen = evidence.pick.sum(0)
    local = np.where(seen > 0, finest @ evidence.pick / np.maximum(seen, 1e-12), np.median(finest))
    area = triangle_normals(mesh.vertices, mesh.polygons)[1].sum() / config.points
    return _Drawn(evidence, local.ravel(), area)


def _at_vertices(look: _Look, visible: FrontSurface, rows: np.ndarray) -> _Evidence:
    """Return the evidence of a scan's vertices (N,) that the front sees."""
    points = visible.mesh.vertices[rows]
    normals = vertex_normals(visible.mesh.vertices, visible.mesh.polygons)[rows]
    seen = visible_from_front(points, normals, visible.depth) & inside(points, 1.0)
    return _evidence(look, points[seen], normals[seen])


def _evidence(
    look: _Look, points: np.ndarray, normals: np.ndarray, farthest: np.ndarray | float = 0.0
) -> _Evidence:
    """Tell how high the detail should be at points (N, 3) of a scan.

    A triangle is trusted no more than its farthest corner: between an outlier and the face
    stands a wall, of which the foot is as near as any detail.
    """
    normals = normals * np.sign(normals[:, 2:])  # some scans' faces are inside out
    sdf, gradient, places = look(points)
    nodes, weights = spline(places, DETAIL_SIDE)
    starts = np.arange(len(points) + 1) * nodes.shape[1]
    shape = (len(points), DETAIL_SIDE**2)
    pick = csr_matrix((weights.numpy().ravel(), nodes.numpy().ravel(), starts), shape)
    shown = np.clip((1 - np.linalg.norm(points, axis=1)) / _RIM, 0, 1)
    shown *= np.clip((normals[:, 2] - _TURNED[0]) / (_TURNED[1] - _TURNED[0]), 0, 1)
    off = np.maximum(np.abs(sdf.numpy()), farthest)
    trust = np.maximum(1 - (off / MAX_HEIGHT) ** 2, 0)
    alike = (torch.nn.functional.normalize(gradient, dim=-1).numpy() * normals).sum(1)
    trust *= np.clip((alike - _ALIKE[0]) / (_ALIKE[1] - _ALIKE[0]), 0, 1)
    return _Evidence(pick, shown * wanted_height(sdf).numpy(), trust)


def _tell(report: Report, begin: float, part: float, share: float) -> None:
    """Report a share of a part of the work."""
    report(begin + part * share, "Capturing detail")


def _smoothest(
    drawn: _Drawn, smoothing: float, config: RefineConfig, tell: Callable[[float], None]
) -> np.ndarray:
    """Return the control heights (S * S,) that meet the evidence, by robust least squares.

    Minimises the integral of (detail - wanted)^2 + l^4 (curvature^2 + detail^2 / reach^4) with a
    smoothing length l that varies from place to place; waves shorter than 2 pi l are smoothed.
    """
    pick, wanted = drawn.evidence.pick, drawn.evidence.wanted
    weights, length = drawn.evidence.trust, smoothing * drawn.finest
    for done in range(config.rounds):
        tell(done / config.rounds)
        matrix = pick.T @ diags(drawn.area * weights) @ pick + _stiffness(length)
        factors = splu(
            matrix.tocsc(),
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )
        heights = factors.solve(pick.T @ (drawn.area * weights * wanted))
        off = (pick @ heights - wanted) * (UNIT_MM / config.robust_mm)
        weights = drawn.evidence.trust * np.maximum(1 - off**2, 0) ** 2
        length = length * np.maximum(_steepness(heights) / config.steepest, 1)
    result: np.ndarray = heights
    return result


def _stiffness(length: np.ndarray) -> csr_matrix:
    """Return the quadratic form (S * S, S * S) of the detail's curvature and size."""
    bends, at = _bends()
    thickness = length**4 / _SPACING**2
    ridge = diags(thickness * (_SPACING / _REACH) ** 4)
    return bends.T @ diags(thickness[at]) @ bends + ridge


@cache
def _bends() -> tuple[csr_matrix, np.ndarray]:
    """Return the second differences (R, S * S) of control heights, and the node (R,) of each."""
    side = DETAIL_SIDE
    second = diags([1.0, -2.0, 1.0], [-1, 0, 1], shape=(side, side))
    first = diags([-1.0, 1.0], [0, 1], shape=(side, side))
    same = identity(side)
    twist = np.sqrt(2) * kron(first, first)
    bends = vstack([kron(second, same), kron(same, second), twist]).tocsr()
    return bends, np.tile(np.arange(side * side), 3)


def _steepness(heights: np.ndarray) -> np.ndarray:
    """Return the steepest slope (S * S,) around each control height."""
    slopes = np.gradient(heights.reshape(DETAIL_SIDE, -1), _SPACING)
    steepest: np.ndarray = maximum_filter(np.hypot(*slopes), 3).ravel()
    return steepest
