# SPDX-License-Identifier: GPL-3.0-or-later
"""The linear head model: from our file and from the public repository's folder alike."""

from pathlib import Path

import numpy as np
import pytest

from backend.errors import DataError
from backend.learn import ict as ict_module
from backend.learn.ict import NOSE_TIP, SKIN_PARTS, IctFaceKit, load_ict

IDENTITIES, EXPRESSIONS = 2, ("browInnerUp_L", "jawOpen")


def test_the_mean_head_stands_in_model_space(ict: IctFaceKit) -> None:
    marks = ict.mean[ict.landmarks]
    np.testing.assert_allclose(marks[NOSE_TIP], [0, 0, 0.4], atol=1e-12)
    assert marks[27, 1] > marks[NOSE_TIP, 1] > marks[8, 1]  # the chin is below
    assert marks[36, 0] < 0 < marks[45, 0]  # the person's left eye is on the image's right
    assert 0.8 < marks[45, 0] - marks[36, 0] < 1.2  # outer eye corners: about 100 mm
    assert ict.mean.shape == (26719, 3)
    assert ict.identity_modes.shape == (6, 26719, 3)


def test_neutral_keeps_the_nose_tip_and_mixes_by_shares(ict: IctFaceKit) -> None:
    rng = np.random.default_rng(0)
    two = rng.normal(size=(2, 6))
    first, second = (ict.neutral(coefficients) for coefficients in two)
    np.testing.assert_allclose(first[ict.landmarks[NOSE_TIP]], [0, 0, 0.4], atol=1e-12)
    by_hand = ict.mean + np.einsum("k,kvc->vc", two[0], ict.identity_modes)
    shift = first - by_hand
    np.testing.assert_allclose(shift, np.broadcast_to(shift[0], shift.shape), atol=1e-6)
    for share, wanted in ((1.0, first), (0.0, second)):
        shares = np.full((2, 26719), [[share], [1 - share]])
        np.testing.assert_allclose(ict.neutral(two, shares), wanted, atol=1e-6)


def test_expressions_add_up(ict: IctFaceKit) -> None:
    weights = np.zeros(8)
    weights[ict.expression_names.index("jawOpen")] = 0.5
    offsets = ict.expression(weights)
    jaw = ict.expression_modes[ict.expression_names.index("jawOpen")]
    np.testing.assert_allclose(offsets, 0.5 * jaw)
    assert offsets[ict.landmarks[8], 1] < -0.05  # the chin goes down by more than 5 mm


def test_parts_are_polygons_of_their_own_vertices(ict: IctFaceKit) -> None:
    for first, end, *_ in ict.parts.values():
        assert first < end <= 26719
    for name, (first, end, *_) in ict.parts.items():
        polygons = ict.part_polygons((name,))
        assert set(range(first, end)) <= set(polygons[polygons >= 0])
        assert polygons.max() == end - 1  # seams share vertices of parts before them only
    both = ict.part_polygons(SKIN_PARTS)
    assert len(both) == sum(len(ict.part_polygons((name,))) for name in SKIN_PARTS)


def test_what_the_folder_lacks_is_known_by_heart(ict: IctFaceKit) -> None:
    assert ict.parts == ict_module._PARTS
    assert list(ict_module._LANDMARKS) == ict.landmarks.tolist()


def _write_obj(path: Path, vertices: np.ndarray, faces: str = "") -> None:
    rows = "\n".join(f"v {x:.7f} {y:.7f} {z:.7f}" for x, y, z in vertices.tolist())
    path.write_text(f"# a comment\n{rows}\n{faces}")


@pytest.fixture(scope="module")
def repository(ict: IctFaceKit, ict_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder laid out like a clone of the public repository."""
    root = tmp_path_factory.mktemp("ICT-FaceKit")
    folder = root / "FaceXModel"
    folder.mkdir()
    with np.load(ict_file) as data:
        mean = data["mean_vertices"].astype(np.float64)
        uv = data["uv"]
    corners = [
        " ".join(f"{v + 1}/{t + 1}/{v + 1}" for v, t in zip(face, at, strict=True) if v >= 0)
        for face, at in zip(ict.polygons.tolist(), ict.uv_polygons.tolist(), strict=True)
    ]
    faces = "".join(f"vt {u:.7f} {v:.7f} 0.0\n" for u, v in uv.tolist())
    faces += "usemtl M_Face\n" + "".join(f"f {face}\n" for face in corners)
    _write_obj(folder / "generic_neutral_mesh.obj", mean, faces)
    for i in range(IDENTITIES):
        _write_obj(folder / f"identity{i:03}.obj", mean + 10 * ict.identity_modes[i])
    for name in EXPRESSIONS:
        mode = ict.expression_modes[ict.expression_names.index(name)]
        _write_obj(folder / f"{name}.obj", mean + 10 * mode)
    _write_obj(folder / "cheekRaiser_L.obj", mean)  # no ARKit expression: to be left out
    _write_obj(folder / "PupilDilate_L.obj", mean)
    return root


def test_the_repositorys_folder_gives_the_same_model(ict: IctFaceKit, repository: Path) -> None:
    kit = load_ict(repository)
    assert kit.expression_names == EXPRESSIONS
    np.testing.assert_allclose(kit.mean, ict.mean, atol=2e-8)
    np.testing.assert_allclose(kit.identity_modes, ict.identity_modes[:IDENTITIES], atol=2e-8)
    rows = [ict.expression_names.index(name) for name in EXPRESSIONS]
    np.testing.assert_allclose(kit.expression_modes, ict.expression_modes[rows], atol=2e-8)
    for name in ("polygons", "uv_polygons", "landmarks"):
        np.testing.assert_array_equal(getattr(kit, name), getattr(ict, name))
    np.testing.assert_allclose(kit.uv, ict.uv, atol=1e-6)
    assert kit.parts == ict.parts
    inner = load_ict(repository / "FaceXModel")  # the folder itself will do, too
    np.testing.assert_array_equal(inner.mean, kit.mean)


def test_other_data_is_one_sentence(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.npz"):
        with pytest.raises(DataError, match="is not ICT-FaceKit data .* Give ict_facekit_light"):
            load_ict(path)
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(DataError, match="is not ICT-FaceKit data"):
        load_ict(tmp_path / "other.npz")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(DataError, match="is not ICT-FaceKit data"):
        load_ict(tmp_path / "text.npz")
    (tmp_path / "FaceXModel").mkdir()
    _write_obj(tmp_path / "FaceXModel" / "generic_neutral_mesh.obj", np.zeros((3, 3)))
    with pytest.raises(DataError, match="no identity.* Clone the whole repository"):
        load_ict(tmp_path)
