# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of a fit by its figures."""

import numpy as np
import pytest

from backend.face.measured_fit import OTHER_FACES, PARTLY_SEEN, POOR_FIT, verdict
from backend.mesh import Mesh
from backend.scan.compare import compare_strict, front_surface, surface_figures


@pytest.mark.parametrize(
    ("mean_mm", "p95_mm", "coverage", "middle", "poor", "advice"),
    [
        (0.6, 1.5, 0.9, 0.0, False, ""),
        (1.5, 3.0, 0.6, 0.0, False, ""),
        (1.51, 3.0, 0.9, 0.94, True, POOR_FIT),
        (np.nan, np.nan, 1.0, np.nan, True, POOR_FIT),
        (0.3, 0.5, 0.485, 0.0, False, PARTLY_SEEN),  # measured of either half of a scan
        (1.51, 3.0, 0.485, 0.8, True, POOR_FIT),
        (0.3, 0.5, 0.29, 1.0, True, POOR_FIT),
        (0.3, 0.5, np.nan, 1.0, True, POOR_FIT),
        (11.6, 42.6, 0.55, 0.999, False, PARTLY_SEEN),  # measured of a face amid hair
        (4.6, 24.3, 0.61, 0.63, True, POOR_FIT),  # of a fit elsewhere, of a head with goggles
        (0.91, 2.53, 0.85, 0.85, False, ""),  # measured of a face with noise of 2 mm
        (0.86, 3.75, 0.92, 0.88, True, POOR_FIT),  # and with a beard
        (1.08, 5.94, 0.72, 0.91, True, POOR_FIT),  # of a fit to the mask over mouth and nose
    ],
)
def test_a_fit_far_from_its_scan_is_poor_and_half_a_face_is_none(
    mean_mm: float, p95_mm: float, coverage: float, middle: float, poor: bool, advice: str
) -> None:
    figures = {
        "scan_to_fit_mean_mm": mean_mm,
        "scan_to_fit_p95_mm": p95_mm,
        "coverage": coverage,
        "middle_within_2mm": middle,
        "other_faces": False,
    }
    assert verdict(figures) == {"poor": poor, "advice": advice}


def test_another_face_in_the_scan_is_worth_knowing_of_a_good_fit() -> None:
    figures = {"scan_to_fit_mean_mm": 0.3, "scan_to_fit_p95_mm": 0.5, "other_faces": True}
    for shown, poor, advice in [(0.5, False, OTHER_FACES), (0.2, True, POOR_FIT)]:
        known = figures | {"coverage": shown, "middle_within_2mm": 1.0}
        assert verdict(known) == {"poor": poor, "advice": advice}


def test_hair_before_the_cheeks_is_not_in_the_middle_of_the_face(sphere: Mesh) -> None:
    """A ball stands for a face; its nose tip is where that of faces is."""
    face = Mesh(0.4 * sphere.vertices, sphere.polygons)
    hair = Mesh(0.2 * sphere.vertices + np.array([0.7, 0, 0.3]), sphere.polygons)
    whole = Mesh(
        np.concatenate([face.vertices, hair.vertices]),
        np.concatenate([face.polygons, hair.polygons + len(face.vertices)]),
    )

    figures = compare_strict(front_surface(whole), face, 30_000)
    assert figures.middle_within_2mm == 1
    assert figures.face_mean_mm < 0.05 < 10 < figures.scan_to_fit_mean_mm
    assert figures.within_2mm < 0.9 < figures.face_within_2mm
    moved = Mesh(face.vertices - np.array([0, 0, 0.1]), face.polygons)
    assert compare_strict(front_surface(whole), moved, 30_000).middle_within_2mm < 0.3
    around, on_it = front_surface(hair).sample(100)[0], np.zeros(100)
    figures = surface_figures(around, on_it, on_it, on_it, on_it, on_it == 0)
    assert (figures.within_2mm, figures.middle_within_2mm) == (1, 0)
