# SPDX-License-Identifier: GPL-3.0-or-later
"""People whom training meets once: drawn anew at every step, neutral, known at every point.

A cache holds the people it was prepared with, and a network learns those people. The linear model
is an endless supply of others. A neutral face needs neither a closed sheet nor distances to one:
points of the surface and beside it, their partners on the mean face, and which of them lie on the
surface take milliseconds.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..mesh import triangle_normals, triangulate
from ..scan.align import NOSE_TIP_POSITION
from ..scan.watertight import depth_map, visible_from_front
from .cache import DatasetConfig
from .ict import NOSE_TIP, SKIN_PARTS, IctFaceKit, load_ict
from .ict_scans import (
    PrincipalCoordinates,
    draw_person,
    draw_recipes,
    find_principal,
    mix_share,
    principal_rows,
    region_weights,
)

#: Apart from the people of a cache, whose random numbers start from two words.
_STREAM = 1


@dataclass(frozen=True)
class Passage:
    """B neutral people with N points each on the surface or beside it; model space, float32."""

    coordinates: np.ndarray  #: (B, K) principal coordinates
    points: np.ndarray  #: (B, N, 3)
    sdf: np.ndarray  #: (B, N) how far along the surface's normal; of even ones 0
    template: np.ndarray  #: (B, N, 3) the same points on the mean face
    landmarks: np.ndarray  #: (B, 68, 3)


class PassersBy:
    """An endless supply of neutral people.

    Parameters
    ----------
    data : Path
        ICT-FaceKit data, the same that the cache was prepared from.
    config : DatasetConfig
        Of that cache: people are drawn, and told their coordinates, as there.

    Raises
    ------
    DataError
        If ``data`` is no ICT-FaceKit data.
    """

    def __init__(self, data: Path, config: DatasetConfig) -> None:
        ict = load_ict(data)
        self.config = config
        recipes = draw_recipes(config, ict.expression_names, len(ict.identity_modes))
        self.principal: PrincipalCoordinates = find_principal(ict, recipes)
        self._landmarks = ict.landmarks
        first, end, _, _ = ict.parts["face"]
        self._mean = ict.mean[first:end]
        self._modes = ict.identity_modes[:, first:end].reshape(len(ict.identity_modes), -1)
        self._principal_rows = principal_rows(ict)
        self._triangles, self._density = _seen_triangles(ict)
        self._template_normals = triangle_normals(ict.mean, self._triangles)[0]

    def draw(
        self, step: int, seed: int, people: int, points: int, part: int = 0, parts: int = 1
    ) -> Passage:
        """Draw the people of a training step; a pure function of (seed, step). Process ``part``
        of ``parts`` gets its share of them."""
        seeds = range(part * people // parts, (part + 1) * people // parts)
        generators = [np.random.default_rng([seed, step, i, _STREAM]) for i in seeds]
        faces = self._faces(generators)
        chosen = [
            self._points(face, points, rng) for face, rng in zip(faces, generators, strict=True)
        ]
        flat = faces[:, self._principal_rows].reshape(len(faces), -1)
        arrays = (
            self.principal(flat),
            *(np.stack(arrays) for arrays in zip(*chosen, strict=True)),
            faces[:, self._landmarks],
        )
        return Passage(*(array.astype(np.float32) for array in arrays))

    def _faces(self, generators: list[np.random.Generator]) -> np.ndarray:
        """Draw neutral faces (B, V, 3), all from one product with the modes."""
        drawn = [draw_person(self.config, len(self._modes), rng) for rng in generators]
        identity = np.stack([identity for identity, _ in drawn]).astype(np.float32)
        offsets = identity.reshape(-1, len(self._modes)) @ self._modes
        offsets = offsets.reshape(len(drawn), 2, -1, 3)
        share = np.stack([self._share(mask) for _, mask in drawn])[..., None]
        faces = self._mean + share * offsets[:, 0] + (1 - share) * offsets[:, 1]
        moved: np.ndarray = NOSE_TIP_POSITION - faces[:, self._landmarks[NOSE_TIP]]
        return faces + moved[:, None]

    def _share(self, mask: np.ndarray) -> np.ndarray:
        """Return the share (V,) of the first set of coefficients at each vertex."""
        return mix_share(self._mean, self._landmarks, mask)

    def _points(
        self, face: np.ndarray, count: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw points (N, 3) of a face, odd ones moved along the normal by (N,), and partners."""
        owner = np.searchsorted(self._density, rng.random(count))
        u, v = np.sqrt(rng.random(count)), rng.random(count)
        barycentric = np.stack([1 - u, u * (1 - v), u * v], axis=1)
        shift = rng.normal(0, self.config.carried_sigma, (count, 1))
        shift[::2] = 0
        corners = self._triangles[owner]
        normals = (triangle_normals(face, corners)[0], self._template_normals[owner])
        at, there = (
            np.einsum("nk,nkc->nc", barycentric, vertices[corners]) + shift * normal
            for vertices, normal in zip((face, self._mean), normals, strict=True)
        )
        return at, shift[:, 0], there


def _seen_triangles(ict: IctFaceKit) -> tuple[np.ndarray, np.ndarray]:
    """Return the triangles (T, 3) of the face that the front sees of the mean head, and the
    running sum (T,), up to 1, of the shares of points that they get."""
    skin = triangulate(ict.part_polygons(SKIN_PARTS))
    depth = depth_map(ict.mean, skin[triangle_normals(ict.mean, skin)[0][:, 2] > 0])
    face = triangulate(ict.part_polygons(("face",)))
    normals, areas = triangle_normals(ict.mean, face)
    centers = ict.mean[face].mean(1)
    seen = visible_from_front(centers, normals, depth) & (normals[:, 2] > 0)
    seen &= (centers * centers).sum(1) < 1
    share = (areas * region_weights(ict, face))[seen]
    return face[seen], np.cumsum(share) / share.sum()
