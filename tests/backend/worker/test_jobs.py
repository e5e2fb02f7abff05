# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker's jobs, called as the server calls them, with the bundled model."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from backend.checkpoint import FaceModel
from backend.codes import Codes
from backend.errors import BackendError, LandmarkError, ScanError
from backend.face import measured_fit
from backend.face import self_check as self_check_module
from backend.face.fit import fit_scan
from backend.face.fit_codes import FitConfig
from backend.mesh import load_scan, sample_surface
from backend.model.imface import UNIT_MM, Face
from backend.scan import pose
from backend.scan.align import Similarity
from backend.scan.landmark_files import read_scan_landmarks
from backend.scan.sampling import NearestTriangle
from backend.worker import jobs
from backend.worker.protocol import Arrays


@pytest.fixture(autouse=True)
def _one_model(bundled: FaceModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "face_model", lambda: bundled)


def _run(name: str, params: dict[str, Any], **arrays: np.ndarray) -> tuple[dict[str, Any], Arrays]:
    told: list[float] = []

    def report(fraction: float = 0.0, message: str = "", preview: np.ndarray | None = None) -> None:
        if preview is None:
            told.append(fraction)

    values, out = jobs.JOBS[name](params, arrays, report)
    assert told == sorted(told)
    assert json.loads(json.dumps(values)) == values
    return values, out


def test_info_names_what_the_model_can_do() -> None:
    values, arrays = _run("info", {})
    assert len(values["expressions"]) == 51
    assert values["absent"] == ["tongueOut"]
    assert arrays == {}
    assert 0 < values["check"]["off_mm"] < 0.01  # float32 is not exact
    assert values["check"]["points_per_second"] > 0


def test_a_machine_that_computes_wrongly_is_found_out(
    bundled: FaceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = self_check_module.query_sdf

    def wrong(face: Face, points: Tensor) -> Tensor:
        return true(face, points) + (0.001 if points.dtype == torch.float32 else 0)

    monkeypatch.setattr(self_check_module, "query_sdf", wrong)
    with pytest.raises(BackendError, match=r"cpu computes a known face wrongly, by 0\.1 mm"):
        self_check_module.self_check(bundled)


def test_generate_blend_and_mesh_answer_alike() -> None:
    a, first = _run("generate", {"seed": 1, "topology": "face"})
    assert first["vertices_mm"].shape == (9409, 3)
    assert first["vertices_mm"].dtype == np.float32
    assert first["polygons"].shape == first["uv_polygons"].shape == (9230, 4)
    assert first["polygons"].dtype == first["uv_polygons"].dtype == np.int32
    assert 150 < np.ptp(first["vertices_mm"][:, 1]) < 350  # millimetres
    assert a["materials"] == ["Skin"]
    assert first["material_index"].shape == (9230,)
    assert a["groups"][0] == "Face"
    assert len(first["group_sizes"]) == len(a["groups"])
    assert first["group_sizes"].sum() == len(first["group_vertices"]) == len(first["group_weights"])
    assert first["group_vertices"].max() < 9409
    b, _ = _run("generate", {"seed": 2, "topology": "surface", "resolution": 16})
    both = {"a": a["codes"], "others": [b["codes"]], "topology": "face"}
    blended, mesh = _run("blend", {**both, "weight": 0.0})
    assert blended["codes"] == a["codes"]
    np.testing.assert_allclose(mesh["vertices_mm"], first["vertices_mm"], atol=1e-3)
    again, mesh = _run("mesh", {"codes": a["codes"], "topology": "surface", "resolution": 24})
    assert again["topology"] == "surface"
    assert "materials" not in again
    assert set(mesh) == {"vertices_mm", "polygons"}
    assert mesh["polygons"].shape[1] == 3


def test_a_blend_key_leads_from_the_face_to_its_blend() -> None:
    a, first = _run("generate", {"seed": 1, "topology": "narrow"})
    b, _ = _run("generate", {"seed": 2, "topology": "narrow"})
    asked = {"a": a["codes"], "others": [b["codes"]], "regions": ["nose"], "topology": "narrow"}
    _, key = _run("blend_key", {**asked, "weight": 1.0})
    np.testing.assert_array_equal(key["basis_mm"], first["vertices_mm"])
    _, whole = _run("blend", {**asked, "weight": 1.0})
    np.testing.assert_array_equal(key["vertices_mm"], whole["vertices_mm"])
    _, half = _run("blend", {**asked, "weight": 0.5})
    between = (key["basis_mm"] + key["vertices_mm"]) / 2
    assert np.abs(whole["vertices_mm"] - first["vertices_mm"]).max() > 2
    assert np.linalg.norm(between - half["vertices_mm"], axis=1).max() < 0.5


def test_a_gallery_is_the_faces_of_its_seeds() -> None:
    values, arrays = _run("gallery", {"seeds": [4, 5], "topology": "face"})
    for i, seed in enumerate((4, 5)):
        said, made = _run("generate", {"seed": seed, "topology": "face"})
        assert values["faces"][i] == said
        for name, array in made.items():
            np.testing.assert_array_equal(arrays[f"{i}/{name}"], array)
    assert len(arrays) == 2 * len(made)


def test_express_changes_the_expression_alone() -> None:
    small = {"topology": "surface", "resolution": 16}
    values, _ = _run("generate", {"seed": 1, "expressions": {"jawOpen": 0.5}, **small})
    codes = values["codes"]
    neutral, _ = _run("express", {"codes": codes, **small})
    assert neutral["codes"] == codes | {"expression": None}
    again, _ = _run("express", {"codes": codes, "expressions": {"jawOpen": 0.5}, **small})
    assert again["codes"] == codes


def test_shape_keys_answer_names_and_basis(monkeypatch: pytest.MonkeyPatch) -> None:
    values, _ = _run("generate", {"seed": 1, "topology": "surface", "resolution": 16})
    params = {"codes": values["codes"], "topology": "face", "names": ["jawOpen"]}
    values, arrays = _run("shape_keys", params)
    assert values == {"names": ["jawOpen"], "absent": []}  # nobody asked for tongueOut
    assert arrays["basis_mm"].shape == (9409, 3)
    assert arrays["vertices_mm"].shape == (1, 9409, 3)
    values, _ = _run("shape_keys", params | {"names": ["smile"], "set": "facescape"})
    assert values == {"names": ["smile"], "absent": []}  # tongueOut is none of FaceScape's
    monkeypatch.setattr(jobs, "set_names", lambda model, kind: ["jawOpen"])
    values, _ = _run("shape_keys", params | {"names": None})
    assert values == {"names": ["jawOpen"], "absent": ["tongueOut"]}


def test_in_betweens_of_an_animation() -> None:
    values, _ = _run("generate", {"seed": 1, "topology": "surface", "resolution": 16})
    params = {"codes": values["codes"], "topology": "face", "names": ["jawOpen"]}
    values, arrays = _run("in_betweens", params, weights=np.array([[0], [1], [0]], np.float32))
    assert values["knots"] == [0, 2]
    assert values["measured"] == 2  # neutral counts once
    assert values["before_mm"] < 1e-3  # a key at full strength is the surface itself
    assert arrays["basis_mm"].shape == (9409, 3)
    assert arrays["offsets_mm"].shape == (2, 9409, 3)


def test_sliders_say_what_they_do_and_every_job_heeds_them() -> None:
    values, _ = _run("generate", {"seed": 1, "topology": "surface", "resolution": 16})
    slid = values["codes"] | {"sliders": {"noseLength": 1.0}}
    params = {"codes": values["codes"], "topology": "face"}
    known, arrays = _run("sliders", params)
    count = len(known["names"])
    assert len(known["unit_mm"]) == count
    assert arrays["offsets_mm"].shape == (count, 9409, 3)
    assert arrays["offsets_mm"].dtype == np.float32
    assert arrays["spread"].shape == (count, count)
    moved, there = _run("mesh", params | {"codes": slid})
    assert "sliders" not in moved["codes"]  # they are in the identity now
    offset = arrays["offsets_mm"][known["names"].index("noseLength")]
    apart = np.linalg.norm(there["vertices_mm"] - arrays["vertices_mm"] - offset, axis=1)
    assert np.median(apart) < 0.5 * np.median(np.linalg.norm(offset, axis=1))
    blended, _ = _run(
        "blend", {"a": slid, "others": [slid], "topology": "surface", "resolution": 16}
    )
    assert blended["codes"] == moved["codes"]
    nose = {"codes": values["codes"] | {"sliders": {"nose": 1.0}}}
    with pytest.raises(BackendError, match="There is no slider 'nose'"):
        _run("mesh", nose)


def test_a_fit_says_how_well_it_went_where(lee_perry_smith: Path) -> None:
    scan = load_scan(lee_perry_smith)
    corners = scan.vertices[scan.polygons]
    left = corners[..., :1] > np.median(corners[..., 0])  # the scan looks along +z
    values, out = _run(
        "fit",
        {"refine": True},
        vertices=scan.vertices,
        triangles=scan.polygons,
        corner_colors=np.where(left, [200, 0, 0], [0, 0, 200]).astype(np.uint8),
    )
    texture = out["texture"]
    assert texture.shape == (1024, 2048, 3)  # the face and the rest of the head
    face = texture[300:700, :1024].astype(int)
    assert (face[:, 600:900, 0] > 150).mean() > 0.9  # u grows to the person's left, as x does
    assert (face[:, 100:400, 2] > 150).mean() > 0.9
    back = texture[:, 1024:].astype(int)  # the scan shows it, though the fit is a guess there
    assert (np.abs(back[..., 0] - back[..., 2]) > 190).mean() > 0.9
    report, errors = values["report"], out["error_mm"]
    assert report["face_found"]
    assert report["within_2mm"] > 0.9
    assert report["refined"]["scan_to_fit_mean_mm"] < 0.6 * report["scan_to_fit_mean_mm"]
    assert Codes.from_json(values["codes"]).detail is not None
    assert errors.shape == (len(out["vertices_mm"]),)
    shown = errors >= 0
    assert 0.1 < shown.mean() < 0.7  # neither the back of the head nor the teeth
    assert np.median(errors[shown]) < 1.5
    assert (errors[~shown] == -1).all()


def test_a_fit_shows_itself_in_the_scans_place(
    lee_perry_smith: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = load_scan(lee_perry_smith)
    monkeypatch.setattr(measured_fit, "fit_scan", partial(fit_scan, config=FitConfig(rounds=4)))
    shown = []

    def report(fraction: float = 0.0, message: str = "", preview: np.ndarray | None = None) -> bool:
        if preview is not None:
            shown.append(preview)
        return False

    arrays = {"vertices": scan.vertices, "triangles": scan.polygons}
    values, _ = jobs.JOBS["fit"]({"topology": "surface", "resolution": 16}, arrays, report)
    assert len(shown) == 2
    assert shown[-1].shape[1:] == (2, 3)
    _, _, distance = NearestTriangle(scan)(shown[-1].reshape(-1, 3).astype(float))
    mm = UNIT_MM * values["report"]["scale"]
    assert np.median(distance) * mm < 1
    sides = np.linalg.norm(np.diff(shown[-1], axis=1), axis=-1)
    assert 0.1 < np.median(sides) * mm < 5


def test_a_fit_that_is_settled_has_the_codes_so_far(lee_perry_smith: Path) -> None:
    scan = load_scan(lee_perry_smith)
    heard: list[str] = []

    def report(fraction: float = 0.0, message: str = "", preview: np.ndarray | None = None) -> bool:
        heard.append(message)
        return any(said.startswith("Fitting: ") and said.endswith(" mm") for said in heard)

    arrays = {"vertices": scan.vertices, "triangles": scan.polygons}
    params = {"topology": "surface", "resolution": 16, "refine": True}
    values, _ = jobs.JOBS["fit"](params, arrays, report)
    assert sum(message.endswith(" mm") for message in heard) == 1
    assert values["report"]["settled"]
    assert values["report"]["scan_to_fit_mean_mm"] < 0.6
    assert "refined" not in values["report"]
    assert heard[-1] == "Meshing the face"


def test_coloured_points_carry_their_colours_over(
    lee_perry_smith: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = load_scan(lee_perry_smith)
    monkeypatch.setattr(measured_fit, "fit_scan", partial(fit_scan, config=FitConfig(rounds=4)))
    rng = np.random.default_rng(0)
    points, _, _ = sample_surface(scan.vertices, scan.polygons, 20_000, rng)
    left = points[:, :1] > np.median(points[:, 0])  # the scan looks along +z
    values, out = _run(
        "fit",
        {"topology": "face"},
        vertices=points,
        triangles=np.zeros((0, 3), np.int32),
        point_colors=np.where(left, [200, 0, 0], [0, 0, 200]).astype(np.uint8),
    )
    assert values["report"]["face_found"]
    face = out["texture"][300:700].astype(int)
    assert (face[:, 600:900, 0] > 150).mean() > 0.9  # u grows to the person's left, as x does
    assert (face[:, 100:400, 2] > 150).mean() > 0.9


def test_landmarks_come_as_an_array(
    lee_perry_smith: Path, lee_perry_smith_landmarks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = load_scan(lee_perry_smith)
    seven = read_scan_landmarks(lee_perry_smith_landmarks, scan)
    arrays = {"vertices": scan.vertices, "triangles": scan.polygons, "landmarks": seven}
    with pytest.raises(LandmarkError, match="There are 4 landmarks"):
        _run("fit", {}, **arrays | {"landmarks": seven[:4]})

    def without(*_: object) -> None:
        raise AssertionError("searched")

    monkeypatch.setattr(pose, "find_pose", without)
    monkeypatch.setattr(measured_fit, "fit_scan", partial(fit_scan, config=FitConfig(rounds=1)))
    five = {"landmarks": seven[[0, 3, 4, 5, 6]]}
    values, _ = _run("fit", {"topology": "surface", "resolution": 16}, **arrays | five)
    assert values["report"]["landmarks_used"] is True


def test_the_pose_leads_from_millimetres_to_the_scan() -> None:
    rotation = Rotation.from_rotvec([0.1, 0.2, 0.3]).as_matrix()
    pose = Similarity(4.0, rotation, np.array([0.1, 0.2, 0.3]))  # scan of 1 unit = 400 mm
    scan = np.array([[0.05, -0.02, 0.1]])
    face_mm = 100 * pose.apply(scan)
    matrix = jobs.millimetres_to_scan(pose)
    np.testing.assert_allclose(matrix @ [*face_mm[0], 1], [*scan[0], 1], atol=1e-12)


def test_bad_input_is_for_the_user() -> None:
    with pytest.raises(BackendError, match="not a set of ImFace codes"):
        _run("mesh", {"codes": None})
    with pytest.raises(BackendError, match="There is no topology"):
        _run("generate", {"topology": "hair"})
    with pytest.raises(ScanError, match="has no faces"):
        _run("fit", {}, vertices=np.zeros((3, 3)), triangles=np.zeros((0, 3), np.int32))
