# SPDX-License-Identifier: GPL-3.0-or-later
"""Regions: a face that is B where it is asked to be, A elsewhere, and smooth between them."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from backend.checkpoint import FaceModel
from backend.codes import DETAIL_SIDE, Codes
from backend.errors import BackendError
from backend.face.blend import blend
from backend.face.correspondence import (
    level_mesh,
    level_vertices,
    propose,
    require_head,
    template_mesh,
)
from backend.face.expressions import expression_code
from backend.face.generate import generate
from backend.face.regions import REGIONS, blend_regions, region_shares
from backend.mesh import vertex_normals
from backend.model.imface import UNIT_MM

Pair = tuple[Codes, Codes]

#: Seeds of people: alike, and as unlike as few are.
SEEDS = ((1, 2), (3, 4))


@pytest.fixture(scope="module")
def pair(bundled: FaceModel) -> Pair:
    """Return two people."""
    return generate(bundled, 1), generate(bundled, 2)


@pytest.fixture(scope="module")
def shares(bundled: FaceModel) -> tuple[np.ndarray, np.ndarray]:
    """Return the measured vertices (N,) and each region's share (R, N) of them."""
    return region_shares(require_head(bundled).template)


@dataclass(frozen=True)
class Mixed:
    """The exact heads (V, 3) of two people, and of the first with a region of the second."""

    a: np.ndarray
    b: np.ndarray
    by_region: dict[str, np.ndarray]


@pytest.fixture(scope="module", params=SEEDS, ids=str)
def mixed(bundled: FaceModel, request: pytest.FixtureRequest) -> Mixed:
    """Return two people, and each of the second's regions on the first."""
    a, b = (generate(bundled, seed) for seed in request.param)
    mixtures = {r: blend_regions(bundled, a, b, 1.0, "identity", [r]) for r in REGIONS}
    by_region = {r: template_mesh(bundled, codes).vertices for r, codes in mixtures.items()}
    return Mixed(*(template_mesh(bundled, codes).vertices for codes in (a, b)), by_region)


def _apart(model: FaceModel, a: Codes, b: Codes, rows: np.ndarray) -> np.ndarray:
    return _distance(propose(model, a)[rows], propose(model, b)[rows])


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    distance: np.ndarray = np.linalg.norm(a - b, axis=-1) * UNIT_MM
    return distance


def test_regions_share_the_face(bundled: FaceModel, shares: tuple[np.ndarray, np.ndarray]) -> None:
    rows, share = shares
    assert share.min() >= 0
    assert share.sum(0).max() <= 1
    template = require_head(bundled).template
    for region, landmark in (("brows", 19), ("eyes", 37), ("nose", 30), ("mouth", 51), ("jaw", 8)):
        at = np.flatnonzero(rows == int(template.landmarks[landmark]))
        assert share[:, at].argmax() == REGIONS.index(region)
        assert share[:, at].max() > 0.7


def test_a_region_becomes_that_of_the_other_face_and_the_rest_stays(
    bundled: FaceModel, mixed: Mixed, shares: tuple[np.ndarray, np.ndarray]
) -> None:
    rows, share = shares
    behind = np.setdiff1d(np.arange(level_vertices(bundled, "skin")), rows)
    before = _distance(mixed.a, mixed.b)
    for region, head in mixed.by_region.items():
        left, moved = _distance(head, mixed.b), _distance(head, mixed.a)
        core, far = (rows[mine] for mine in _core_and_far(share[REGIONS.index(region)]))
        assert left[core].mean() < 0.18 * before[core].mean(), region
        assert moved[far].mean() < 0.06 * before[far].mean(), region
        assert moved[behind].mean() < 0.14 * before[behind].mean(), region


def _core_and_far(mine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return mine > 0.9, mine < 0.05


def test_there_is_no_seam(
    bundled: FaceModel, mixed: Mixed, shares: tuple[np.ndarray, np.ndarray]
) -> None:
    """Normals turn no more between neighbours across a region's border than inside it; around the
    brows, which are flatter than what surrounds them in every face, no more than in the two."""
    rows, share = shares
    triangles = level_mesh(bundled, mixed.a, "face").triangles
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges = edges[np.isin(edges, rows).all(1)]

    def turns(head: np.ndarray) -> np.ndarray:
        normals = vertex_normals(head, triangles)
        cosines = (normals[edges[:, 0]] * normals[edges[:, 1]]).sum(1)
        degrees: np.ndarray = np.degrees(np.arccos(np.clip(cosines, -1, 1)))
        return degrees

    parents = turns(mixed.a), turns(mixed.b)
    for region, head in mixed.by_region.items():
        mine = share[REGIONS.index(region)][np.searchsorted(rows, edges)]
        inside, border = (mine >= 0.9).all(1), ((mine > 0.1) & (mine < 0.9)).all(1)
        turned = turns(head)
        known = max(parent[border].mean() for parent in parents)
        assert turned[border].mean() < max(turned[inside].mean(), known), region
        assert turned[border].mean() < 1.1 * known, region


def test_all_regions_are_the_other_face(bundled: FaceModel, pair: Pair) -> None:
    whole = blend_regions(bundled, *pair, 1.0, "identity", REGIONS)
    np.testing.assert_array_equal(whole.identity, pair[1].identity)


def test_what_a_scan_tells_of_a_region_is_taken_along(
    bundled: FaceModel, pair: Pair, shares: tuple[np.ndarray, np.ndarray]
) -> None:
    """Of two fits of one identity: the residual, what the surface asks for, and the detail."""
    rng, (first, _) = np.random.default_rng(0), pair
    count = len(require_head(bundled).forward_map.residual_scale)
    flat = np.zeros((DETAIL_SIDE, DETAIL_SIDE), np.int16)
    a, b = (
        replace(
            first,
            residual=rng.normal(size=count).astype(np.float32),
            surface=bundled.identity_prior.factor.numpy() @ rng.normal(0, 0.1, 256).astype("f4"),
            detail=flat + height,
        )
        for height in (-1000, 2000)
    )
    mixed = blend_regions(bundled, a, b, 1.0, "identity", ["nose"])
    rows, share = shares
    mine = share[REGIONS.index("nose")]
    core, far = _core_and_far(mine)
    vertices, field = (a, b, mixed), tuple(map(_as_identity, (a, b, mixed)))
    for (x, y, z), most in ((vertices, 0.4), (field, 0.2)):  # the residual is 0.2 mm in all
        apart = _apart(bundled, x, y, rows)
        assert _apart(bundled, z, y, rows)[core].mean() < most * apart[core].mean()
        assert _apart(bundled, z, x, rows)[far].mean() < most * apart[far].mean()
    assert mixed.detail is not None
    middle = DETAIL_SIDE // 2  # the nose tip's place
    assert mixed.detail[middle, middle] == pytest.approx(2000, abs=30)
    assert mixed.detail[DETAIL_SIDE - 20, middle] == pytest.approx(-1000, abs=30)


def _as_identity(codes: Codes) -> Codes:
    """Return the identity that the field is written by as codes of its own."""
    assert codes.surface is not None
    return Codes(codes.identity + codes.surface, None, codes.weights)


def test_detail_of_one_face_alone_stays_in_its_regions(bundled: FaceModel, pair: Pair) -> None:
    a, b = pair
    b = replace(b, detail=np.full((DETAIL_SIDE, DETAIL_SIDE), 3000, np.int16))
    detail = blend_regions(bundled, a, b, 0.5, "both", ["nose"]).detail
    assert detail is not None
    assert detail.max() == pytest.approx(1500, abs=30)
    assert detail.min() == 0
    assert blend_regions(bundled, a, b, 0.5, "expression", ["nose"]).detail is None


def test_nothing_of_the_other_face_changes_nothing(bundled: FaceModel, pair: Pair) -> None:
    a, b = pair
    assert blend_regions(bundled, a, b, 0.0, "both", ["nose"]) == a


def test_no_region_named_is_the_whole_face(bundled: FaceModel, pair: Pair) -> None:
    whole, same = blend(bundled, *pair, 0.3), blend_regions(bundled, *pair, 0.3)
    np.testing.assert_array_equal(whole.identity, same.identity)


def test_half_the_weight_goes_half_the_way(bundled: FaceModel, pair: Pair) -> None:
    a, b = pair
    half, full = (blend_regions(bundled, a, b, w, "identity", ["eyes", "nose"]) for w in (0.5, 1.0))
    moved = 0.5 * (full.identity - a.identity)
    np.testing.assert_allclose(half.identity - a.identity, moved, atol=1e-5)
    assert half.residual is not None
    assert full.residual is not None
    np.testing.assert_allclose(half.residual, 0.5 * full.residual, atol=1e-3)


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
