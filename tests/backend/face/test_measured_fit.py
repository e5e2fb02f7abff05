# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of a fit by its figures."""

import numpy as np
import pytest

from backend.face.measured_fit import PARTLY_SEEN, POOR_FIT, verdict


@pytest.mark.parametrize(
    ("mean_mm", "coverage", "poor", "advice"),
    [
        (0.6, 0.9, False, ""),
        (1.5, 0.6, False, ""),
        (1.51, 0.9, True, POOR_FIT),
        (np.nan, 1.0, True, POOR_FIT),
        (0.3, 0.485, False, PARTLY_SEEN),  # measured of either half of a scan
        (1.51, 0.485, True, POOR_FIT),
        (0.3, 0.29, True, POOR_FIT),
        (0.3, np.nan, True, POOR_FIT),
    ],
)
def test_a_fit_far_from_its_scan_is_poor_and_half_a_face_is_none(
    mean_mm: float, coverage: float, poor: bool, advice: str
) -> None:
    figures = {"scan_to_fit_mean_mm": mean_mm, "coverage": coverage}
    assert verdict(figures) == {"poor": poor, "advice": advice}
