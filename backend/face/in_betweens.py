# SPDX-License-Identifier: GPL-3.0-or-later
"""In-between shapes of an animation: a mix of expression codes is no mix of vertices.

Shape keys add up vertices. What the network's own surface of a mix has beyond that is an offset,
known at some frames, the knots, and run straight between them: as few as a tolerance allows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..checkpoint import FaceModel
from ..codes import Codes
from ..texts import Text
from .shapes import Report, expressed_mm, shape_keys

Offsets = Callable[[int], np.ndarray]

#: Share of the work that the expressions themselves take.
_KEYS_SHARE = 0.3
#: Weights that add up to no more than this beside a straight line are on it.
_STRAIGHT = 1e-6
#: Mixes whose offsets are kept, as an interval that was halved asks for them again; a head's take
#: 300 kB each.
_KEPT = 500


@dataclass(frozen=True)
class InBetweens:
    """Offsets of one person's animation on one topology.

    Attributes
    ----------
    basis_mm : ndarray (V, 3) float32
        The neutral face.
    knots : list of int
        K rows of the animation.
    offsets_mm : ndarray (K, V, 3) float32
        From the mix of shape keys to the surface of the mixed codes.
    before_mm, after_mm : float
        Largest distance, at the measured frames, without and with the offsets.
    measured : int
        How many surfaces were computed; frames of the same weights share one.
    """

    basis_mm: np.ndarray
    knots: list[int]
    offsets_mm: np.ndarray
    before_mm: float
    after_mm: float
    measured: int


def in_betweens(
    model: FaceModel,
    codes: Codes,
    names: list[str],
    weights: np.ndarray,
    level: str,
    tolerance_mm: float,
    report: Report,
) -> InBetweens:
    """Find the in-between shapes of a person's animation; the codes' own expression is left out.

    Parameters
    ----------
    names : list of str
        E expressions.
    weights : ndarray (F, E)
        Their strengths at each frame. Codes end at 1: what a shape key has beyond stays as it is.
    tolerance_mm : float
        How far the animated mesh may be from the surface.
    """
    used = np.flatnonzero(weights.any(axis=0))
    names, weights = [names[i] for i in used], np.minimum(weights[:, used], 1)
    keys = shape_keys(model, codes, names, level, lambda at, text: report(_KEYS_SHARE * at, text))
    moves = keys.vertices_mm - keys.basis_mm
    before: dict[tuple[float, ...], float] = {}

    @lru_cache(_KEPT)
    def of_mix(row: tuple[float, ...]) -> np.ndarray:
        mixed = keys.basis_mm + np.tensordot(np.array(row, np.float32), moves, 1)
        offset: np.ndarray = (
            expressed_mm(model, codes, dict(zip(names, row, strict=True)), level) - mixed
        )
        before[row] = _largest(offset)
        return offset

    knots, after = place_knots(
        lambda frame: of_mix(tuple(weights[frame].tolist())),
        weights,
        tolerance_mm,
        lambda at, text: report(_KEYS_SHARE + (1 - _KEYS_SHARE) * at, text),
    )
    offsets = np.stack(list(knots.values()))
    most = max(before.values())
    return InBetweens(keys.basis_mm, list(knots), offsets, most, after, len(before))


def place_knots(
    offsets: Offsets, weights: np.ndarray, tolerance_mm: float, report: Report
) -> tuple[dict[int, np.ndarray], float]:
    """Halve an animation until straight lines between knots are near the true offsets.

    Parameters
    ----------
    offsets : callable
        Frame -> true offsets (V, 3) [mm].
    weights : ndarray (F, E)
        Tell where an interval is likely to be farthest off, and where nothing moves.

    Returns
    -------
    knots : dict
        Frame -> true offsets (V, 3) [mm]; rising, from the first frame to the last.
    deviation_mm : float
        The largest at all frames between the knots.
    """
    last = len(weights) - 1
    knots, worst = {frame: offsets(frame) for frame in (0, last)}, 0.0
    pending = [(0, last)]
    while pending:
        start, end = pending.pop()
        most = 0.0
        for at, frame in enumerate(_by_doubt(weights, start, end), start):
            text = Text("In-betweens, frame {frame} of {count}", frame=at + 1, count=last + 1)
            report(at / max(last, 1), text)
            share = (frame - start) / (end - start)
            true = offsets(frame)
            straight = (1 - share) * knots[start] + share * knots[end]
            deviation = _largest(true - straight)
            if deviation > tolerance_mm:
                knots[frame] = true
                pending += [(frame, end), (start, frame)]
                break
            most = max(most, deviation)
        else:
            worst = max(worst, most)
    return dict(sorted(knots.items())), worst


def _by_doubt(weights: np.ndarray, start: int, end: int) -> list[int]:
    """Return the frames within an interval: first where the weights run least straight, then the
    middle, then the others; none where nothing moves."""
    inner = weights[start + 1 : end]
    if len(inner) == 0 or (weights[start : end + 1] == weights[start]).all():
        return []
    share = np.arange(1, len(inner) + 1)[:, None] / (end - start)
    straight = (1 - share) * weights[start] + share * weights[end]
    bends = np.abs(inner - straight).sum(axis=1)
    middle = (start + end) // 2
    bend = start + 1 + int(bends.argmax()) if bends.max() > _STRAIGHT else middle
    return list(dict.fromkeys([bend, middle, *range(start + 1, end)]))


def _largest(offsets: np.ndarray) -> float:
    """Return the longest of offsets (V, 3)."""
    return float(np.sqrt((offsets.astype(np.float64) ** 2).sum(axis=1).max()))
