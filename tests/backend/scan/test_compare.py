# SPDX-License-Identifier: GPL-3.0-or-later
"""What the front sees of a surface, and figures worked out by hand; comparisons of whole surfaces
are in `tests/backend/learn/test_metrics.py`."""

import numpy as np
import pytest

from backend.mesh import Mesh
from backend.scan.compare import front_surface, in_face_region, surface_figures, vertex_errors

TRIANGLE = np.array([[-0.5, -0.5, 0], [0.5, -0.5, 0], [0, 0.5, 0]])


def test_figures_of_two_points_each_way() -> None:
    there, back = np.array([0.005, 0.025]), np.array([0.003, 0.02, 0.04])  # 0.5, 2.5; 0.3, 2, 4 mm
    known = np.array([True, True, False])
    asking = np.array([[0, 0, 0.4], [0, 0.5, 0]])  # in the middle of the face, and not
    cosines = np.array([1, 0.8]), np.array([1, 0.6, 0])
    figures = surface_figures(asking, there, back, *cosines, known)
    assert figures.chamfer_mm == pytest.approx((1.5 + 1.15) / 2)
    assert figures.f_score_1mm == pytest.approx(50)
    assert figures.normal_consistency == pytest.approx((0.9 + 0.8) / 2)
    assert figures.scan_to_fit_mean_mm == pytest.approx(1.5)
    assert figures.scan_to_fit_p95_mm == pytest.approx(0.5 + 0.95 * 2)
    assert figures.within_2mm == pytest.approx(0.5)
    assert figures.middle_within_2mm == 1
    assert figures.coverage == pytest.approx(2 / 3)  # what is not known is not shown
    assert figures.face_mean_mm == pytest.approx((0.3 + 2) / 2)
    assert figures.face_within_2mm == pytest.approx(0.5)


def test_of_a_face_that_the_scan_does_not_show_nothing_is_near() -> None:
    far, alike = np.array([0.06]), np.ones(1)
    figures = surface_figures(np.zeros((1, 3)), far, far, alike, alike, np.array([True]))
    assert (figures.coverage, figures.face_mean_mm, figures.face_within_2mm) == (0, 5, 0)


def test_a_triangle_with_a_hidden_corner_is_seen() -> None:
    plate = 0.1 * TRIANGLE + [-0.5, -0.5, 0.2]
    mesh = Mesh(np.concatenate([TRIANGLE, plate]), np.array([[0, 1, 2], [3, 4, 5]]))
    assert len(front_surface(mesh).mesh.polygons) == 2


def test_the_measured_part_of_a_head_is_its_front() -> None:
    points = np.array([[0, 0, 0.4], [0, 0, -0.4], [0.85, 0, 0.1], [0.95, 0, 0.1]])
    assert in_face_region(points).tolist() == [True, False, True, False]


def test_vertices_beyond_the_measured_radius_have_no_error() -> None:
    fan = np.array([[0, 1, 3], [1, 2, 3], [2, 0, 3]])
    wide = Mesh(np.concatenate([4 * TRIANGLE, np.zeros((1, 3))]), fan)
    vertices = np.array([[0, 0, 0.02], [0, 0.85, 0.02], [0, 0.95, 0.02], [0, 0, 0.06]])
    expected = [2, 2, -1, -1]  # the last is too far from the scan
    assert vertex_errors(front_surface(wide), vertices) == pytest.approx(expected)
