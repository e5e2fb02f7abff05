# SPDX-License-Identifier: GPL-3.0-or-later
"""People whom training meets once: drawn anew at every step, known at every point.

A cache holds the people it was prepared with, and a network learns those people. The linear model
is an endless supply of others, neutral or with the expression of one of the cache's scans. What is
known of a surface needs neither a closed sheet nor distances to one: points on it and beside it,
and their partners. All of it is drawn on the device that trains.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError
from ..mesh import triangle_normals
from ..scan.align import NOSE_TIP_POSITION
from .cache import ScanCache, share_of, step_generator
from .ict import NOSE_TIP, load_ict
from .ict_scans import (
    MIRROR,
    draw_recipes,
    face_triangles,
    find_principal,
    principal_rows,
    region_weights,
)
from .losses import Targets

#: Apart from the cache's batches, whose stream is 0: of neutral people, and of others.
_STREAMS = {True: 1, False: 2}
#: How far from the surface points lie, as a share of the cache's: where a mouth opens, the sheet
#: that closes it is soon nearer than the lip.
_SPREAD = {True: 1.0, False: 0.25}


@dataclass
class Passage:
    """B people: what their codes are made of, and what is true of them at N points each.

    Odd points lie beside the surface, where the distance is taken to be that along the normal.
    """

    coordinates: Tensor  #: (B, K) principal coordinates
    expression: Tensor  #: (B, E) weights of the expression, 0 if neutral
    targets: Targets  #: all points have partners


class PassersBy:
    """An endless supply of people.

    Parameters
    ----------
    data : Path
        ICT-FaceKit data, the same that the cache was prepared from.
    cache : ScanCache
        People are drawn, and told their coordinates, as there. Each shows the expression of one
        of its scans, and is seen where that one is: a z-buffer for everyone would take too long.

    Raises
    ------
    DataError
        If ``data`` is no ICT-FaceKit data, or not the cache's.
    """

    def __init__(self, data: Path, cache: ScanCache) -> None:
        ict = load_ict(data)
        self.cache = cache
        recipes = draw_recipes(cache.config, ict.expression_names, len(ict.identity_modes))
        principal = find_principal(ict, recipes, cache.config.components)
        known = (cache.table.identity_coefficients, cache.table.expression_coefficients)
        if [array.shape[1] for array in known] != [
            principal.axes.shape[1],
            len(ict.expression_names),
        ]:
            raise DataError(
                f"The cache was not prepared from {data}. Give the data that 'prepare' was given."
            )

        def tensor(array: np.ndarray) -> Tensor:
            kept = np.float32 if np.issubdtype(array.dtype, np.floating) else np.int64
            return torch.from_numpy(np.ascontiguousarray(array, kept)).to(cache.device)

        first, end, _, _ = ict.parts["face"]
        triangles = face_triangles(ict)
        landmarks = ict.mean[ict.landmarks]
        self._mean = tensor(ict.mean[first:end])
        self._identity_modes = tensor(ict.identity_modes[:, first:end]).flatten(1)
        self._expression_modes = tensor(ict.expression_modes[:, first:end]).flatten(1)
        self._weights = tensor(known[1])
        self._landmarks = tensor(ict.landmarks)
        self._nose = NOSE_TIP, tensor(np.asarray(NOSE_TIP_POSITION))
        self._to_landmarks, self._across = (
            tensor(((places[:, None] - ict.mean[first:end]) ** 2).sum(2))
            for places in (landmarks, landmarks * MIRROR)
        )
        self._triangles = tensor(triangles)
        self._density = tensor(
            triangle_normals(ict.mean, triangles)[1] * region_weights(ict, triangles)
        )
        self._principal = tensor(principal.mean), tensor(principal.axes)
        self._principal_rows = principal_rows(ict)
        is_neutral = cache.table.is_neutral[cache.usable]
        self._scans = {kind: tensor(cache.usable[is_neutral == kind]) for kind in (True, False)}

    def draw(
        self,
        step: int,
        seed: int,
        people: int,
        points: int,
        *,
        neutral: bool,
        share: tuple[int, int] = (0, 1),
    ) -> Passage:
        """Draw the people of a training step, a pure function of (seed, step), or of process
        ``share[0]`` of ``share[1]`` those that it meets."""
        generator = step_generator(self._mean.device, seed, step, _STREAMS[neutral])
        numbers = self._numbers(people, points, generator, self._scans[neutral])
        mine = share_of(people, *share)
        coefficients, regions, scan, places, shift = (each[mine] for each in numbers)
        shift = _SPREAD[neutral] * shift
        faces = self._faces(coefficients, regions)
        expression = self._weights[scan]
        shown = faces + (expression @ self._expression_modes).view_as(faces)
        owner = self._owners(shown, scan, places[..., 0])
        corners = self._triangles[owner]
        u, v = places[..., 1].sqrt(), places[..., 2]
        barycentric = torch.stack([1 - u, u * (1 - v), u * v], dim=-1).unsqueeze(-1)
        on = [_corners(head, corners) for head in (shown, faces, self._mean.expand_as(faces))]
        normals = [torch.nn.functional.normalize(_cross(each), dim=-1) for each in on]
        at, at_neutral, at_template = (
            (barycentric * each).sum(-2) + shift.unsqueeze(-1) * normal
            for each, normal in zip(on, normals, strict=True)
        )
        mean, axes = self._principal
        return Passage(
            coordinates=(faces[:, self._principal_rows].flatten(1) - mean) @ axes,
            expression=expression,
            targets=Targets(
                is_neutral=torch.full_like(scan, neutral, dtype=torch.bool),
                points=at,
                sdf=shift,
                gradients=normals[0],
                neutral=at_neutral,
                template=at_template,
                landmarks=shown[:, self._landmarks],
                neutral_landmarks=faces[:, self._landmarks],
            ),
        )

    def _numbers(
        self, people: int, points: int, generator: torch.Generator, scans: Tensor
    ) -> tuple[Tensor, ...]:
        """Draw everything that is random: coefficients (B, R + 1, M), regions (B, R, 3) as in
        ``ict_scans.Recipes``, the scan (B,) of the expression, and places (B, N, 3) and shifts
        (B, N) of points."""
        config, device = self.cache.config, self._mean.device
        size = (people, config.regions + 1, len(self._identity_modes))
        coefficients = torch.randn(size, generator=generator, device=device)
        which = torch.rand(people, generator=generator, device=device)
        uniform = torch.rand(people, config.regions, 4, generator=generator, device=device)
        spread = config.widest - config.narrowest
        landmark, width, is_mixed, is_mirrored = uniform.unbind(-1)
        regions = torch.stack(
            [
                (landmark * len(self._landmarks)).floor(),
                (config.narrowest + spread * width) * (is_mixed < config.mixed),
                (is_mirrored < config.mirrored).float(),
            ],
            dim=-1,
        )
        shift = torch.randn(people, points, generator=generator, device=device)
        shift[:, ::2] = 0
        return (
            config.identity_sigma * coefficients,
            regions,
            scans[(which * len(scans)).long()],
            torch.rand(people, points, 3, generator=generator, device=device),
            config.carried_sigma * shift,
        )

    def _faces(self, coefficients: Tensor, regions: Tensor) -> Tensor:
        """Return neutral faces (B, V, 3): regions may have coefficients of their own, see
        ``ict_scans.mix_shares``."""
        offsets = (coefficients @ self._identity_modes).unflatten(2, (-1, 3))
        mixed = offsets[:, -1]
        for i in reversed(range(regions.shape[1])):
            landmark, width, mirrored = regions[:, i].unsqueeze(-1).unbind(1)
            near, across = (
                torch.where(width > 0, torch.exp(-0.5 * away[landmark[:, 0].long()] / width**2), 1)
                for away in (self._to_landmarks, self._across)
            )
            share = near + mirrored * across * (1 - near)
            mixed = mixed.lerp(offsets[:, i], share.unsqueeze(-1))
        faces = self._mean + mixed
        tip, position = self._nose
        return faces + (position - faces[:, self._landmarks[tip]])[:, None]

    def _owners(self, faces: Tensor, scan: Tensor, positions: Tensor) -> Tensor:
        """Choose a triangle for each position (B, N) in [0, 1) of faces (B, V, 3): one that is
        seen, lips and lids more often."""
        front = _cross(_corners(faces, self._triangles.expand(len(faces), -1, -1)))[..., 2] > 0
        front &= self.cache.seen(scan)[:, : len(self._density)]
        density = (self._density * front).cumsum(1)
        owner = torch.searchsorted(density, positions * density[:, -1:], right=True)
        return owner.clamp(max=len(self._density) - 1)


def _corners(heads: Tensor, triangles: Tensor) -> Tensor:
    """Return the corners (B, T, 3, 3) of each head's (B, V, 3) triangles (B, T, 3)."""
    rows = torch.arange(len(heads), device=heads.device)[:, None, None]
    return heads[rows, triangles]


def _cross(corners: Tensor) -> Tensor:
    """Return what is normal to triangles (..., 3, 3), twice their area long."""
    a, b, c = corners.unbind(-2)
    return torch.linalg.cross(b - a, c - a)
