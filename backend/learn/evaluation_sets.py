# SPDX-License-Identifier: GPL-3.0-or-later
"""Faces that a model is measured on, none of them trained on."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..mesh import Mesh, load_scan, triangulate
from ..model.imface import UNIT_MM
from .cache import DatasetConfig
from .ict import SKIN_PARTS, IctFaceKit
from .ict_scans import Recipes, draw_recipes

Damage = Callable[[Mesh, np.random.Generator], Mesh]

#: Seed of the held-out people; training never uses it.
HELD_OUT_SEED = 1_000_003
#: Of a held-out person: neutral, one shape, a mix.
_STATES = (0, 1, 4)


@dataclass(frozen=True)
class EvaluationScan:
    """One face to fit.

    Attributes
    ----------
    name : str
    mesh : Mesh
        The scan, in mm if ``in_mm``.
    truth : ndarray (26719, 3) or None
        True positions [mm] of the ICT head's vertices, where they are known.
    mask : ndarray (T,) bool or None
        The triangles that are a face's surface; None: all.
    in_mm : bool
        Whether its unit is known to be a millimetre; else distances are in the fit's.
    damaged : Mesh or None
        What is fitted instead of the mesh; measured is against the mesh all the same.
    is_sheet : bool
        Whether the mesh was made of points and has gaps, which the paper's measure, that closes
        what it measures against, cannot do with.
    """

    name: str
    mesh: Mesh
    truth: np.ndarray | None = None
    mask: np.ndarray | None = None
    in_mm: bool = True
    damaged: Mesh | None = None
    is_sheet: bool = False

    @property
    def given(self) -> Mesh:
        """What is fitted."""
        return self.mesh if self.damaged is None else self.damaged

    @property
    def key(self) -> str:
        """Its name, and a hash by which another scan of that name is told from it."""
        digest = hashlib.sha256()
        for mesh in (self.mesh, self.given):
            # Single precision: where it was computed decides about the last bits.
            digest.update(np.float32(mesh.vertices).tobytes())
            digest.update(np.int64(mesh.polygons).tobytes())
        return f"{self.name} {digest.hexdigest()[:16]}"


def held_out_recipes(ict: IctFaceKit, people: int) -> Recipes:
    """Draw people that training never saw; of their expressions, it saw single shapes on others."""
    config = DatasetConfig(identities=people, expressions=max(_STATES) + 1, seed=HELD_OUT_SEED)
    return draw_recipes(config, ict.expression_names, len(ict.identity_modes))


def held_out_ict(ict: IctFaceKit, people: int) -> Iterator[EvaluationScan]:
    """Yield three scans of each of so many held-out ICT people."""
    recipes = held_out_recipes(ict, people)
    for person in range(people):
        for state in _STATES:
            head = recipes.head(ict, person, state) * UNIT_MM
            yield EvaluationScan(f"ict-{person:02}-{state}", skin_mesh(ict, head), truth=head)


def damaged_ict(
    ict: IctFaceKit, people: int, graded: bool = False
) -> dict[str, Iterator[EvaluationScan]]:
    """Return, for each kind of damage, the neutral scans of so many held-out people with it; if
    ``graded``, of noise, missing and stray points at three strengths."""
    whole = [scan for scan in held_out_ict(ict, people) if scan.name.endswith(f"-{_STATES[0]}")]
    kinds = [kind for kind in _DAMAGES if graded or kind not in _GRADED_ALONE]
    return {f"held-out ICT, {kind}": _damaged(whole, _DAMAGES[kind]) for kind in kinds}


def _damaged(scans: list[EvaluationScan], damage: Damage) -> Iterator[EvaluationScan]:
    for i, scan in enumerate(scans):
        yield replace(scan, damaged=damage(scan.mesh, np.random.default_rng(i)))


def _noisy(mesh: Mesh, rng: np.random.Generator, mm: float) -> Mesh:
    return Mesh(mesh.vertices + rng.normal(0, mm, mesh.vertices.shape), mesh.polygons)


def _thinned(mesh: Mesh, rng: np.random.Generator, kept: float) -> Mesh:
    return _points(mesh.vertices[rng.random(len(mesh.vertices)) < kept])


def _with_outliers(mesh: Mesh, rng: np.random.Generator, share: float) -> Mesh:
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    count = int(len(mesh.vertices) * share / (1 - share))
    stray = rng.uniform(low, high, (count, 3))
    return _points(np.concatenate([mesh.vertices, stray]))


def _half(mesh: Mesh, rng: np.random.Generator) -> Mesh:
    left = mesh.vertices[mesh.polygons].mean(1)[:, 0] < 0
    return Mesh(mesh.vertices, mesh.polygons[left])


def _holed(mesh: Mesh, rng: np.random.Generator) -> Mesh:
    away = mesh.vertices[mesh.polygons].mean(1) - mesh.vertices[_CHEEK]
    return Mesh(mesh.vertices, mesh.polygons[np.linalg.norm(away[:, :2], axis=1) > _HOLE_MM / 2])


def _points(vertices: np.ndarray) -> Mesh:
    return Mesh(vertices, np.zeros((0, 3), int))


#: A hole's width, and the vertex in its middle.
_HOLE_MM, _CHEEK = 40, 2271
_DAMAGES: dict[str, Damage] = {
    "whole": lambda mesh, rng: mesh,
    "noise of 0.25 mm": partial(_noisy, mm=0.25),
    "noise of 0.5 mm": partial(_noisy, mm=0.5),
    "noise of 1 mm": partial(_noisy, mm=1.0),
    "three quarters of the vertices, no faces": partial(_thinned, kept=0.75),
    "half of the vertices, no faces": partial(_thinned, kept=0.5),
    "a quarter of the vertices, no faces": partial(_thinned, kept=0.25),
    "10 % stray points, no faces": partial(_with_outliers, share=0.1),
    "20 % stray points, no faces": partial(_with_outliers, share=0.2),
    "40 % stray points, no faces": partial(_with_outliers, share=0.4),
    f"hole of {_HOLE_MM} mm in a cheek": _holed,
    "half of the face": _half,
}
_GRADED_ALONE = (
    "noise of 0.25 mm",
    "noise of 1 mm",
    "three quarters of the vertices, no faces",
    "a quarter of the vertices, no faces",
    "10 % stray points, no faces",
    "40 % stray points, no faces",
)


def skin_mesh(ict: IctFaceKit, head: np.ndarray) -> Mesh:
    """Return what a scanner would see of a head (V, 3): its skin and eyeballs, as triangles."""
    return Mesh(head, triangulate(ict.part_polygons(SKIN_PARTS)))


def makehuman(path: Path, limit: int) -> Iterator[EvaluationScan]:
    """Yield MakeHuman heads, another face model with another topology: the cross-data claim.

    Parameters
    ----------
    path : Path
        ``makehuman_heads.npz``: ``vertices_mm`` (I, E, V, 3) and ``triangles`` (T, 3).
    limit : int
        At most so many, spread over people and expressions.

    Raises
    ------
    DataError
        If the file is not that.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            vertices, triangles = data["vertices_mm"], data["triangles"].astype(np.int64)
        people, states = vertices.shape[:2]
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{path} is not makehuman_heads.npz ({error}). Check the path.") from error
    closed = ~_sockets(vertices.reshape(people * states, -1, 3).mean(0))[triangles].any(1)
    count = min(limit, people * states)
    for i in np.linspace(0, people * states - 1, count).round().astype(int):
        head = vertices[i // states, i % states].astype(np.float64)
        name = f"makehuman-{i // states:02}-{i % states}"
        yield EvaluationScan(name, Mesh(head, triangles), mask=closed)


def _sockets(mean: np.ndarray) -> np.ndarray:
    """Tell which vertices are MakeHuman's two empty eye sockets, on the mean head (V, 3) in mm:
    bags behind the lids, above and beside the foremost vertex, the nose."""
    x, y, z = (mean - mean[mean[:, 2].argmax()]).T
    return (np.abs(x) > 13) & (np.abs(x) < 46) & (y > 20) & (y < 53) & (z > -60) & (z < -31)


def real_scans(paths: list[Path]) -> Iterator[EvaluationScan]:
    """Yield scan files; their unit is found by the fit."""
    for path in paths:
        yield EvaluationScan(path.stem, load_scan(path), in_mm=False)
