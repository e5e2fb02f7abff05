# SPDX-License-Identifier: GPL-3.0-or-later
"""A scan fitted, with its detail if that is wanted, and how well: what both the worker and the
command line do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..checkpoint import FaceModel
from ..mesh import Mesh
from ..texts import Text
from .fit import Clock, FitResult, fit_scan, refine_fit, report_fit, report_refined
from .fit_codes import Report, Show
from .shapes import build_mesh

#: Mean and 95th percentile of the distance from the scan to the fit: noise of 2 mm has 2.5 mm, a
#: beard, a mask over mouth and nose, or another thing than a face, more than 3 mm.
POOR_ABOVE_MM, POOR_ABOVE_P95_MM = 1.5, 3.0
#: Hair before brow and cheeks makes those large, but not a fit poor that has such a share of eyes,
#: nose and mouth within 2 mm.
GOOD_MIDDLE = 0.95
#: Shares of the fit that the scan shows: half a face is one, a corner of it is none.
POOR_BELOW_COVERAGE = 0.3
WHOLE_ABOVE_COVERAGE = 0.6

POOR_FIT = "poor fit: check that nothing hides eyes, nose and mouth"
OTHER_FACES = "the scan shows another face too: to fit it, cut this one away or mark its landmarks"
PARTLY_SEEN = "what the scan does not show of the face is a guess"


@dataclass(frozen=True)
class MeasuredFit:
    """A fitted face and what is known of it.

    Attributes
    ----------
    result : FitResult
        With detail, if it was captured.
    surface : Mesh
        The face as triangles, model space.
    report : dict
        ``settled``: whether the search was ended early; ``poor``: whether the face was probably put
        to the wrong place, or has the shape of what hides it; ``advice``: what to do about that or
        to know of the face, if there is something; ``seconds`` per stage; and all of
        ``report_fit`` and ``report_refined``.
    """

    result: FitResult
    surface: Mesh
    report: dict[str, Any]


def fit_and_measure(
    model: FaceModel,
    scan: Mesh,
    *,
    refine: bool,
    resolution: int,
    report: Report = lambda fraction, message: None,
    landmarks: np.ndarray | None = None,
    show: Show = lambda codes, pose: None,
) -> MeasuredFit:
    """Fit a scan and measure the fit; settled while it searches, it has the best codes so far, and
    no detail.

    Parameters
    ----------
    refine : bool
        Whether to capture detail that codes cannot express.
    resolution : int
        Of the surface that is measured.
    landmarks, show
        As for ``fit_scan``.
    """
    most = 0.55 if refine else 0.95
    clock = Clock()
    result = fit_scan(
        model,
        scan,
        report=lambda share, text: report(most * share, text),
        landmarks=landmarks,
        show=show,
    )
    clock.add(result.seconds)
    settled = bool(report(most + 0.01, "Measuring the fit"))
    surface = build_mesh(model, result.codes, "surface", resolution)
    clock.lap("meshing")
    figures = report_fit(result, surface)
    figures |= {"settled": settled, **verdict(figures)}
    clock.lap("measuring")
    if refine and not settled:
        result = refine_fit(
            model, result, report=lambda share, text: report(0.6 + 0.35 * share, text)
        )
        clock.lap("refinement")
        report(0.96, "Measuring the detail")
        surface = build_mesh(model, result.codes, "surface", resolution)
        clock.lap("meshing")
        figures |= report_refined(result, surface)
        clock.lap("measuring")
    return MeasuredFit(result, surface, figures | {"seconds": clock.seconds})


def verdict(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``poor`` and ``advice`` of a fit without detail, which would hide that the face stands
    wrongly."""
    mean, p95 = figures["scan_to_fit_mean_mm"], figures["scan_to_fit_p95_mm"]
    near = mean <= POOR_ABOVE_MM and p95 <= POOR_ABOVE_P95_MM  # a NaN is not
    in_place = near or figures["middle_within_2mm"] >= GOOD_MIDDLE
    if not (in_place and figures["coverage"] >= POOR_BELOW_COVERAGE):
        return {"poor": True, "advice": Text(POOR_FIT)}
    if figures["other_faces"]:
        return {"poor": False, "advice": Text(OTHER_FACES)}
    partly = figures["coverage"] < WHOLE_ABOVE_COVERAGE
    return {"poor": False, "advice": Text(PARTLY_SEEN) if partly else ""}
