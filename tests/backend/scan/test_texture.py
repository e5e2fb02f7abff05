# SPDX-License-Identifier: GPL-3.0-or-later
"""Colours land where the scan has them."""

import numpy as np
import pytest

from backend.mesh import Mesh, sample_surface
from backend.scan.texture import Colors, CornerColors, ImageColors, PointColors, bake_colors

SIZE = 64


def _grid(half: float, z: float, cells: int = 20) -> Mesh:
    """Return a square in the plane z, its UVs over the unit square."""
    side = np.linspace(0, 1, cells + 1)
    u, v = np.meshgrid(side, side)
    uv = np.stack([u.ravel(), v.ravel()], axis=1)
    first = (np.arange(cells)[:, None] * (cells + 1) + np.arange(cells)).ravel()
    quads = np.stack([first, first + 1, first + cells + 2, first + cells + 1], axis=1)
    vertices = np.column_stack([half * (2 * uv - 1), np.full(len(uv), z)])
    return Mesh(vertices, quads, uv, quads)


def _as_triangles(mesh: Mesh) -> Mesh:
    return Mesh(mesh.vertices, mesh.triangles)


def _gradient(mesh: Mesh) -> np.ndarray:
    """Return corner colours (T, 3, 3): red grows with x, green with y."""
    x, y, _ = mesh.vertices[mesh.triangles].transpose(2, 0, 1)
    return np.stack([100 + 100 * x, 100 + 100 * y, np.full_like(x, 30)], axis=2)


def _image(scan: Mesh) -> ImageColors:
    """Return the same gradient as an image whose first row is the top."""
    rise = (np.arange(256) + 0.5) / 128 - 1
    red, green = np.meshgrid(100 + 100 * rise, 100 - 100 * rise)
    image = np.stack([red, green, np.full_like(red, 30)], axis=2)
    assert scan.uv is not None
    return ImageColors(scan.uv[scan.triangles], np.round(image).astype(np.uint8))


@pytest.mark.parametrize("kind", ["corners", "image"])
def test_every_pixel_gets_the_colour_beside_it(kind: str) -> None:
    scan = _grid(1.0, 0.02)
    colors: Colors = CornerColors(_gradient(scan)) if kind == "corners" else _image(scan)
    baked = bake_colors(
        _grid(0.5, 0.0), _as_triangles(scan), colors, reach=0.1, fade=1.0, size=SIZE
    )
    middle = (np.arange(SIZE) + 0.5) / SIZE - 0.5
    red, green = np.meshgrid(100 + 100 * middle, 100 - 100 * middle)
    np.testing.assert_allclose(baked[..., 0], red, atol=2)
    np.testing.assert_allclose(baked[..., 1], green, atol=2)  # the first row is the top
    np.testing.assert_allclose(baked[..., 2], 30, atol=1)


def test_a_surface_has_the_colours_of_the_points_around() -> None:
    surface, points = _as_triangles(_grid(1.0, 0.0)), _grid(1.0, 0.01, 100).vertices
    colors = PointColors(points, 100 + 100 * points, surface)
    rng = np.random.default_rng(0)
    at, triangle, barycentric = sample_surface(surface.vertices, surface.polygons, 500, rng)
    np.testing.assert_allclose(colors(triangle, barycentric)[:, :2], 100 + 100 * at[:, :2], atol=2)


def test_what_the_scan_does_not_show_fades_into_its_median() -> None:
    whole = _grid(1.0, 0.0)
    left = whole.triangles[whole.vertices[whole.triangles].mean(1)[:, 0] < 0]
    scan = Mesh(whole.vertices, left)
    colors = CornerColors(_gradient(scan))
    baked = bake_colors(whole, scan, colors, reach=0.01, fade=0.12, size=SIZE)
    row = baked[SIZE // 2, :, 0].astype(float)
    assert row[SIZE // 2 - 2] == pytest.approx(97, abs=4)
    assert row[-1] == pytest.approx(50, abs=4)  # the median of 0 to 100
    assert (np.diff(row[SIZE // 2 + 2 :]) <= 0).all()


def test_colours_reach_farther_where_they_may() -> None:
    whole = _grid(1.0, 0.0)
    left = whole.triangles[whole.vertices[whole.triangles].mean(1)[:, 0] < 0]
    reach = np.where(whole.vertices[:, 1] < 0, 0.01, 2.0)
    colors = CornerColors(_gradient(Mesh(whole.vertices, left)))
    baked = bake_colors(
        whole, Mesh(whole.vertices, left), colors, reach=reach, fade=0.12, size=SIZE
    )
    top, bottom = baked[4, :, 0].astype(int), baked[-4, :, 0].astype(int)
    np.testing.assert_allclose(top[SIZE // 2 :], 100, atol=2)  # that of the border
    assert bottom[-1] < top[-1] - 10  # nearly the median


def test_colours_go_on_across_a_seam_of_the_uv_map() -> None:
    """Where the scan ends, too: what is near counts in space, not in the picture."""
    whole = _grid(1.0, 0.0)
    assert whole.uv is not None
    upper = whole.vertices[whole.polygons].mean(1)[:, 1] > 0
    uv = np.concatenate([whole.uv, whole.uv * [1, 0.2]])  # the lower half down to a fifth
    uv_polygons = np.where(upper[:, None], whole.polygons, whole.polygons + len(whole.uv))
    parted = Mesh(whole.vertices, whole.polygons, uv, uv_polygons)
    shown = whole.triangles[whole.vertices[whole.triangles].mean(1)[:, 1] > 0]
    scan = Mesh(whole.vertices, shown)
    colors = CornerColors(_gradient(scan))
    baked = bake_colors(parted, scan, colors, reach=0.01, fade=1.0, size=200).astype(int)
    np.testing.assert_allclose(baked[99], baked[180], atol=8)  # the rows along both sides


def test_tiles_stand_side_by_side() -> None:
    first, second = _grid(1.0, 0.0), _grid(1.0, 0.0)
    assert first.uv is not None
    assert second.uv is not None
    both = Mesh(
        np.concatenate([first.vertices, second.vertices + np.array([3, 0, 0])]),
        np.concatenate([first.polygons, second.polygons + len(first.vertices)]),
        np.concatenate([first.uv, second.uv + np.array([1, 0])]),
        np.concatenate([first.polygons, second.polygons + len(first.vertices)]),
    )
    scan = _as_triangles(both)
    corners = np.zeros((len(scan.polygons), 3, 3))
    corners[len(corners) // 2 :, :, 0] = 200
    baked = bake_colors(both, scan, CornerColors(corners), reach=0.1, fade=1.0, tiles=2, size=SIZE)
    assert baked.shape == (SIZE, 2 * SIZE, 3)
    assert (baked[:, :SIZE, 0] == 0).all()
    assert (baked[:, SIZE:, 0] == 200).all()


def test_a_scan_out_of_reach_gives_black() -> None:
    scan = _grid(1.0, 5.0)
    colors = CornerColors(_gradient(scan))
    baked = bake_colors(_grid(1.0, 0.0), _as_triangles(scan), colors, reach=0.1, fade=1.0, size=8)
    assert not baked.any()


def test_triangles_without_area_spoil_no_pixel() -> None:
    scan = _as_triangles(_grid(1.0, 0.02))
    inner = scan.polygons[np.abs(scan.vertices[scan.polygons].mean(1)).max(1) < 0.5]
    fillers = np.concatenate([inner[:, [0, 1, 1]], inner[:, [2, 2, 2]]])
    with_fillers = Mesh(scan.vertices, np.concatenate([fillers, scan.polygons]))
    baked = [
        bake_colors(
            _grid(0.5, 0.0), mesh, CornerColors(_gradient(mesh)), reach=0.1, fade=1.0, size=SIZE
        )
        for mesh in (scan, with_fillers)
    ]
    np.testing.assert_allclose(baked[1].astype(int), baked[0], atol=1)
