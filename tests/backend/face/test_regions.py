# SPDX-License-Identifier: GPL-3.0-or-later
"""Regions: a face that is B where it is asked to be, A elsewhere, and smooth between them."""

from dataclasses import replace

import numpy as np
import pytest

from backend.checkpoint import FaceModel
from backend.codes import Codes
from backend.errors import BackendError
from backend.face.blend import blend
from backend.face.correspondence import level_mesh, propose, require_head, template_mesh
from backend.face.expressions import expression_code
from backend.face.generate import generate
from backend.face.regions import REGIONS, blend_regions, region_shares
from backend.mesh import vertex_normals
from backend.model.imface import UNIT_MM

Pair = tuple[Codes, Codes]


@pytest.fixture(scope="module")
def pair(bundled: FaceModel) -> Pair:
    """Return two people."""
    return generate(bundled, 1), generate(bundled, 2)


@pytest.fixture(scope="module")
def shares(bundled: FaceModel) -> tuple[np.ndarray, np.ndarray]:
    """Return the measured vertices (N,) and each region's share (R, N) of them."""
    rows, shares = region_shares(require_head(bundled).template)
    return rows.numpy(), shares.numpy()


def _apart(model: FaceModel, a: Codes, b: Codes, rows: np.ndarray) -> np.ndarray:
    offset = propose(model, a)[rows] - propose(model, b)[rows]
    return np.linalg.norm(offset, axis=1) * UNIT_MM


def test_regions_share_the_face(bundled: FaceModel, shares: tuple[np.ndarray, np.ndarray]) -> None:
    rows, share = shares
    assert share.min() >= 0
    assert share.sum(0).max() <= 1
    template = require_head(bundled).template
    for region, landmark in (("brows", 19), ("eyes", 37), ("nose", 30), ("mouth", 51), ("jaw", 8)):
        at = np.flatnonzero(rows == int(template.landmarks[landmark]))
        assert share[:, at].argmax() == REGIONS.index(region)
        assert share[:, at].max() > 0.4


@pytest.mark.parametrize("region", REGIONS)
def test_a_region_becomes_that_of_the_other_face_and_the_rest_stays(
    bundled: FaceModel, pair: Pair, shares: tuple[np.ndarray, np.ndarray], region: str
) -> None:
    a, b = pair
    rows, share = shares
    mixed = blend_regions(bundled, a, b, 1.0, "identity", [region])
    mine = share[REGIONS.index(region)]
    far = mine < 0.05
    before, after = _apart(bundled, a, b, rows), _apart(bundled, mixed, b, rows)
    near = mine > 0.8 * mine.max()
    assert after[near].mean() < 0.6 * before[near].mean()
    assert _apart(bundled, mixed, a, rows)[far].mean() < 0.12 * before[far].mean()


def test_there_is_no_seam(
    bundled: FaceModel, pair: Pair, shares: tuple[np.ndarray, np.ndarray]
) -> None:
    """Normals turn no more between neighbours on a region's border than in the two faces."""
    rows, share = shares
    nose = share[REGIONS.index("nose")]
    border = rows[(nose > 0.25) & (nose < 0.6)]
    mixed = blend_regions(bundled, *pair, 1.0, "identity", ["nose"])

    def turn(codes: Codes) -> float:
        mesh = level_mesh(bundled, template_mesh(bundled, codes).vertices, "head")
        normals = vertex_normals(mesh.vertices, mesh.triangles)
        edges = mesh.triangles[np.isin(mesh.triangles, border).all(1)][:, :2]
        cosines = (normals[edges[:, 0]] * normals[edges[:, 1]]).sum(1)
        return float(np.degrees(np.arccos(np.clip(cosines, -1, 1))).mean())

    assert turn(mixed) < 1.1 * max(map(turn, pair))


def test_nothing_of_the_other_face_changes_nothing(bundled: FaceModel, pair: Pair) -> None:
    a, b = pair
    mixed = blend_regions(bundled, a, b, 0.0, "both", REGIONS)
    np.testing.assert_allclose(mixed.identity, a.identity, atol=1e-6)
    assert mixed.expression is None
    assert mixed.weights == a.weights


def test_no_region_named_is_the_whole_face(bundled: FaceModel, pair: Pair) -> None:
    whole, same = blend(bundled, *pair, 0.3), blend_regions(bundled, *pair, 0.3)
    np.testing.assert_array_equal(whole.identity, same.identity)


def test_half_the_weight_goes_half_the_way(bundled: FaceModel, pair: Pair) -> None:
    a, b = pair
    half, full = (
        blend_regions(bundled, a, b, w, "identity", ["eyes", "nose"]).identity for w in (0.5, 1.0)
    )
    np.testing.assert_allclose(half - a.identity, 0.5 * (full - a.identity), atol=1e-5)


def test_an_expression_is_taken_in_its_region(
    bundled: FaceModel, pair: Pair, shares: tuple[np.ndarray, np.ndarray]
) -> None:
    """The jaw opens with the mouth's region; closing the eyes as well is left behind."""
    a, b = pair
    rows, share = shares
    weights = {"jawOpen": 1.0, "eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}
    b = replace(b, expression=expression_code(bundled, weights))
    mixed = blend_regions(bundled, a, b, 1.0, "expression", ["mouth", "jaw"])
    np.testing.assert_array_equal(mixed.identity, a.identity)
    assert mixed.expression is not None
    moved = _apart(bundled, mixed, a, rows)
    wanted = _apart(bundled, replace(a, expression=b.expression), a, rows)
    for region, low, high in (("mouth", 0.5, 1.1), ("eyes", 0.0, 0.3)):
        inside = share[REGIONS.index(region)] > 0.6
        assert low < moved[inside].mean() / wanted[inside].mean() < high, region


def test_a_region_that_does_not_exist_is_one_sentence(bundled: FaceModel, pair: Pair) -> None:
    with pytest.raises(BackendError, match="There is no region 'ear'. Choose brows, eyes, nose"):
        blend_regions(bundled, *pair, 0.5, "both", ["ear"])
    with pytest.raises(BackendError, match="weight 2 is out of range"):
        blend_regions(bundled, *pair, 2, "both", ["nose"])


def test_without_a_topology_there_are_no_regions(tiny_model: FaceModel) -> None:
    codes = generate(tiny_model, 1)
    with pytest.raises(BackendError, match="no common topology"):
        blend_regions(tiny_model, codes, codes, 0.5, "both", ["nose"])
