# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of scans with landmarks: who is who, where the face is, and what cannot be used."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from backend.__main__ import main
from backend.checkpoint import FaceModel, save_face_model
from backend.errors import BackendError, DataError
from backend.learn.cache import DatasetConfig, ScanCache, ScanSamples, prepare
from backend.learn.folder_scans import FolderScans, list_scans
from backend.learn.ict import SKIN_PARTS, IctFaceKit
from backend.learn.publish import publish
from backend.learn.train import Trainer
from backend.learn.train_config import TrainConfig
from backend.mesh import Mesh, load_scan, save_mesh, triangulate
from backend.scan.landmark_files import landmark_file, read_landmarks
from backend.scan.sampling import NearestTriangle
from tests.backend.scan.landmark_writer import write_landmarks

STATES = {"1_neutral": {}, "2_smile": {"mouthSmile_L": 1, "mouthSmile_R": 1}} | {
    "3_mouth_stretch": {"jawOpen": 1}
}
#: Identity coefficients: the mean face, somebody, and the opposite of somebody.
PEOPLE = {"1": 0.0, "2": 1.0, "3": -1.0}
SOMEBODY = np.array([1.0, -0.8, 0.6, 0.5, -0.7, 0.4])
TURNED = Rotation.from_euler("xyz", [25, -40, 15], degrees=True).as_matrix()


@dataclass(frozen=True)
class Skin:
    """What a scanner sees of ICT faces: vertices of the head that are kept, and their mesh."""

    ict: IctFaceKit
    kept: np.ndarray
    triangles: np.ndarray
    landmarks: np.ndarray

    def face(self, person: str, state: str) -> np.ndarray:
        """Return a face (V, 3) in model space."""
        weights = [STATES[state].get(name, 0) for name in self.ict.expression_names]
        head = self.ict.neutral(PEOPLE[person] * SOMEBODY) + self.ict.expression(np.array(weights))
        return head[self.kept]


@pytest.fixture(scope="module")
def skin(ict: IctFaceKit) -> Skin:
    """Return the skin of the small head model."""
    triangles = triangulate(ict.part_polygons(SKIN_PARTS))
    kept, inverse = np.unique(triangles, return_inverse=True)
    landmarks = np.searchsorted(kept, ict.landmarks)
    return Skin(ict, kept, inverse.reshape(-1, 3), landmarks)


def _registered(skin: Skin, person: str, state: str) -> np.ndarray:
    """Return a face as a registered data set has it: in mm, each person in a frame of its own."""
    return 100 * skin.face(person, state) @ TURNED.T + [50 * int(person), -20, 1000]


@pytest.fixture(scope="module")
def folder(skin: Skin, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return three people in FaceScape's layout, a fourth without a neutral scan, and one of the
    third's scans damaged; tests only read it."""
    root = tmp_path_factory.mktemp("facescape")
    # Corners with different texture coordinates: readers split such vertices and renumber them.
    corners = np.repeat(np.arange(len(skin.triangles)) % 2, 3).reshape(-1, 3)
    for person in PEOPLE:
        for state in STATES:
            path = root / person / "models_reg" / f"{state}.obj"
            path.parent.mkdir(parents=True, exist_ok=True)
            vertices = _registered(skin, person, state)
            save_mesh(Mesh(vertices, skin.triangles, np.eye(2), corners), path)
    (root / "4" / "models_reg").mkdir(parents=True)
    shutil.copy(root / "1/models_reg/2_smile.obj", root / "4/models_reg/2_smile.obj")
    (root / "3/models_reg/3_mouth_stretch.obj").write_text("Dear diary,\n")
    (root / "1" / "models_reg" / "1_neutral.obj.mtl").write_text("newmtl skin\n")
    np.savetxt(root / "landmark_indices.txt", skin.landmarks, fmt="%d")
    return root


@pytest.fixture(scope="module")
def source(folder: Path, data_config: DatasetConfig) -> FolderScans:
    """Return the folder as training data."""
    return FolderScans(folder, data_config)


def _sample(source: FolderScans, name: str) -> ScanSamples:
    return source.sample(source.table().names.index(name))


Sampled = Callable[[str, str], ScanSamples]


@pytest.fixture(scope="module")
def sampled(source: FolderScans) -> Sampled:
    """Return what gives a person's samples in a state, each made once."""
    return cache(lambda person, state: _sample(source, f"{person}/models_reg/{state}.obj"))


def test_names_tell_people_and_neutral_scans(source: FolderScans) -> None:
    table = source.table()
    assert table.names == [
        *(f"{person}/models_reg/{state}.obj" for person in PEOPLE for state in STATES),
        "4/models_reg/2_smile.obj",
    ]
    assert table.person.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]
    assert np.flatnonzero(table.is_neutral).tolist() == [0, 3, 6]
    assert table.identity_coefficients.shape == (4, 0)
    assert table.expression_coefficients.shape == (10, 0)


def test_a_face_comes_to_model_space(sampled: Sampled, skin: Skin) -> None:
    """The mean face lies exactly where it was made."""
    for state in STATES:
        placed = sampled("1", state).landmarks
        truth = skin.face("1", state)[skin.landmarks]
        np.testing.assert_allclose(placed, truth, atol=0.002)  # 0.2 mm


def test_people_share_a_scale_and_the_nose_tip(sampled: Sampled, skin: Skin) -> None:
    for person in PEOPLE:
        placed = sampled(person, "1_neutral").landmarks
        truth = skin.face(person, "1_neutral")[skin.landmarks]
        np.testing.assert_allclose(placed[30], [0, 0, 0.4], atol=1e-6)
        sizes = [np.linalg.norm(points[36] - points[45]) for points in (placed, truth)]
        assert sizes[0] / sizes[1] == pytest.approx(1, abs=0.01)
        assert np.linalg.norm(placed - truth, axis=1).max() < 0.06  # turned a little, not resized


def test_registered_expressions_keep_their_frame(sampled: Sampled, skin: Skin) -> None:
    for person, state in (("1", "2_smile"), ("2", "2_smile"), ("2", "3_mouth_stretch")):
        samples = sampled(person, state)
        moved = np.linalg.norm(samples.landmarks - samples.neutral_landmarks, axis=1)
        truth = skin.face(person, state) - skin.face(person, "1_neutral")
        expected = np.linalg.norm(truth[skin.landmarks], axis=1)
        np.testing.assert_allclose(moved, expected, rtol=0.01, atol=1e-5)


def test_the_template_s_landmarks_are_the_people_s_mean(
    source: FolderScans, sampled: Sampled
) -> None:
    mean = np.mean([sampled(person, "1_neutral").landmarks for person in PEOPLE], axis=0)
    np.testing.assert_allclose(source.table().template_landmarks, mean, atol=1e-9)


def test_samples_are_those_of_the_closed_face(
    source: FolderScans, sampled: Sampled, skin: Skin
) -> None:
    config = source.config
    samples = sampled("1", "3_mouth_stretch")
    assert samples.points.shape == samples.gradients.shape == (600, 3)
    assert samples.neutral.shape == samples.template.shape == (0, 3)
    surface = config.corresponding + config.sheet
    assert (samples.sdf[:surface] == 0).all()
    assert (np.linalg.norm(samples.points, axis=1) < 1.001).all()
    near = samples.sdf[surface : surface + config.near]
    assert 0.7 * config.near_sigma < near.std() < 1.3 * config.near_sigma
    np.testing.assert_allclose(np.linalg.norm(samples.gradients, axis=1), 1, atol=1e-3)
    face = NearestTriangle(Mesh(skin.face("1", "3_mouth_stretch"), skin.triangles))
    _, _, distance = face(samples.points[:surface])
    assert np.quantile(distance, 0.9) < 0.005  # the rest closes the open mouth
    again = _sample(source, "1/models_reg/3_mouth_stretch.obj")
    np.testing.assert_array_equal(samples.points, again.points)


NEUTRAL, SMILE, SURPRISE = (f"anna/ANNA_{code}WH_F3D.ply" for code in ("NE00", "HA04", "SU04"))
#: Each mesh with a pose and a landmark format of its own.
RAW = {
    NEUTRAL: ("1_neutral", [10, 5, 0], ".bnd"),
    SMILE: ("2_smile", [-5, 20, 10], ".txt"),
    SURPRISE: ("3_mouth_stretch", [0, -25, 5], ".json"),
}


@pytest.fixture(scope="module")
def raw(skin: Skin, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return raw scans in BU-3DFE's layout, each in a pose of its own; tests only read them."""
    root = tmp_path_factory.mktemp("raw")
    (root / "anna").mkdir()
    for name, (state, angles, extension) in RAW.items():
        turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
        vertices = 100 * skin.face("1", state) @ turn.T + angles
        save_mesh(Mesh(vertices, skin.triangles), root / name)
        write_landmarks(vertices[skin.landmarks], (root / name).with_suffix(extension))
    return root


@pytest.fixture
def raw_copy(raw: Path, tmp_path: Path) -> Path:
    """Return a copy of the raw scans that a test may damage."""
    shutil.copytree(raw, tmp_path / "raw")
    return tmp_path / "raw"


def test_raw_scans_are_moved_to_the_neutral_one(
    raw: Path, data_config: DatasetConfig, skin: Skin
) -> None:
    source = FolderScans(raw, data_config)
    assert source.table().is_neutral.tolist() == [False, True, False]
    for name, (state, *_) in RAW.items():
        placed = _sample(source, name).landmarks
        truth = skin.face("1", state)[skin.landmarks]
        off = np.linalg.norm(placed - truth, axis=1)
        # What is still moves a little with a smile, and is taken for the head.
        assert off.max() < (0.001 if state == "1_neutral" else 0.02), name


def test_the_unit_does_not_matter(raw: Path, data_config: DatasetConfig, tmp_path: Path) -> None:
    (tmp_path / "anna").mkdir()
    for path in map(Path, RAW):
        mesh = load_scan(raw / path)
        file = landmark_file(raw / path)
        assert file is not None
        save_mesh(replace(mesh, vertices=mesh.vertices / 1000), tmp_path / path)
        write_landmarks(read_landmarks(file) / 1000, tmp_path / "anna" / file.name)
    millimetres, metres = (
        _sample(FolderScans(root, data_config), SMILE) for root in (raw, tmp_path)
    )
    np.testing.assert_allclose(metres.landmarks, millimetres.landmarks, atol=1e-5)


def _touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_layouts(tmp_path: Path) -> None:
    _touch(
        tmp_path,
        "set_1_100/7/models_reg/1_Neutral.OBJ",
        "F0001/F0001_NE00WH_F3D.ply",
        "F0001/F0001_ONE00_F3D.ply",
        "F0001/.F0001_NE00WH_F3D.ply",
        "F0001/F0001_NE00WH_F3D.bnd",
        "kim_neutral.stl",
        "kim_happy_2.glb",
        "notes.txt",
    )
    rows = {scan.name: (scan.person, scan.is_neutral) for scan in list_scans(tmp_path)}
    assert rows == {
        "F0001/F0001_NE00WH_F3D.ply": ("F0001", True),
        "F0001/F0001_ONE00_F3D.ply": ("F0001", False),
        "kim_happy_2.glb": ("kim", False),
        "kim_neutral.stl": ("kim", True),
        "set_1_100/7/models_reg/1_Neutral.OBJ": ("set_1_100/7", True),
    }


def test_labels_count_instead_of_names(tmp_path: Path) -> None:
    _touch(tmp_path, "kim/000.ply", "kim/001.ply", "kim/neutral_but_smiling.ply")
    for encoding in ("utf-8", "utf-8-sig"):  # the second one as Windows writes it
        (tmp_path / "labels.json").write_text(
            '{"kim/000.ply": "Neutral", "kim/neutral_but_smiling.ply": "smile"}', encoding
        )
        assert [scan.is_neutral for scan in list_scans(tmp_path)] == [True, False, False]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ('{"kim/0.ply": "neutral"}', "names 'kim/0.ply', which is no mesh here. Mend the path."),
        ("neutral", "is no list of labels. Write"),
        ('["kim/000.ply"]', "is no list of labels."),
    ],
)
def test_damaged_labels_are_one_sentence(tmp_path: Path, labels: str, said: str) -> None:
    _touch(tmp_path, "kim/000.ply")
    (tmp_path / "labels.json").write_text(labels)
    with pytest.raises(DataError, match=said):
        list_scans(tmp_path)


def test_the_fingerprint_tells_data_apart(
    raw: Path, data_config: DatasetConfig, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(raw, copy)
    prints = [FolderScans(root, data_config).fingerprint() for root in (raw, copy)]
    assert prints[0] == prints[1]
    with open(copy / "anna/ANNA_HA04WH_F3D.txt", "a") as file:
        file.write("\n")
    prints.append(FolderScans(copy, data_config).fingerprint())
    (copy / "labels.json").write_text('{"anna/ANNA_SU04WH_F3D.ply": "neutral"}')
    prints.append(FolderScans(copy, data_config).fingerprint())
    (copy / "anna/ANNA_HA04WH_F3D.ply").unlink()
    prints.append(FolderScans(copy, data_config).fingerprint())
    assert len(set(prints)) == 4


def _change_landmarks(root: Path, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    file = landmark_file(root / name)
    assert file is not None
    write_landmarks(change(read_landmarks(file)), file)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (
            lambda root: (root / SMILE).with_suffix(".txt").unlink(),
            f"{SMILE} has no landmarks. Put a .bnd",
        ),
        (
            lambda root: _change_landmarks(root, SMILE, lambda points: points[::-1]),
            f"The landmarks of {SMILE} do not fit those of the person's neutral scan.",
        ),
        (
            lambda root: _change_landmarks(root, SMILE, lambda points: points / 1000),
            f"The landmarks of {SMILE} do not fit",
        ),
        (
            lambda root: _change_landmarks(root, SMILE, lambda points: points + 100),
            f"The landmarks of {SMILE} do not lie on its mesh. Export both anew.",
        ),
        (lambda root: (root / SMILE).write_bytes(b"ply\n"), "Export it again."),
    ],
    ids=["none", "order", "unit", "offset", "mesh"],
)
def test_a_scan_that_cannot_be_used_is_one_sentence(
    raw_copy: Path, data_config: DatasetConfig, damage: Callable, said: str
) -> None:
    damage(raw_copy)
    with pytest.raises(BackendError, match=said):
        _sample(FolderScans(raw_copy, data_config), SMILE)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (
            lambda points: points[::-1],
            "not those of a face. Give the 68 of Multi-PIE, in order, in a right-handed space.",
        ),
        (lambda points: np.roll(points, -1, axis=0), "not those of a face."),  # counted from 1
        (lambda points: points * [-1, 1, 1], "not those of a face."),  # mirrored
        (lambda points: 0 * points, f"The landmarks of {NEUTRAL} lie in one point."),
        (lambda points: points[:-1], "holds 67 landmarks."),
    ],
    ids=["order", "from 1", "mirrored", "one point", "67"],
)
def test_a_folder_where_nobody_can_be_used_is_one_sentence(
    raw_copy: Path, data_config: DatasetConfig, damage: Callable, said: str
) -> None:
    _change_landmarks(raw_copy, NEUTRAL, damage)
    with pytest.raises(DataError, match=rf"Nobody in {raw_copy} can be used. .*{said}"):
        FolderScans(raw_copy, data_config)


def test_a_person_in_another_unit_is_left_out(
    raw: Path, data_config: DatasetConfig, tmp_path: Path
) -> None:
    for person, factor in (("a", 1000.0), ("b", 1000.0), ("c", 1.0)):
        (tmp_path / person).mkdir()
        file = landmark_file(raw / NEUTRAL)
        assert file is not None
        _touch(tmp_path, f"{person}/neutral.ply")
        write_landmarks(read_landmarks(file) * factor, tmp_path / person / "neutral.txt")
    source = FolderScans(tmp_path, data_config)
    with pytest.raises(DataError, match="c is 0.001 times as large as most people here."):
        source.sample(2)


def test_a_list_of_indices_is_for_obj_files(
    folder: Path, data_config: DatasetConfig, tmp_path: Path
) -> None:
    _touch(tmp_path, "kim/pose.ply")
    shutil.copy(folder / "1/models_reg/1_neutral.obj", tmp_path / "kim/neutral.obj")
    shutil.copy(folder / "landmark_indices.txt", tmp_path)
    (tmp_path / "kim/smile.obj").write_text("v 0 0 0\n")
    (tmp_path / "kim/grin.obj").write_text("v nan 0 0\n" * 20_000)
    source = FolderScans(tmp_path, data_config)
    with pytest.raises(DataError, match=r"pose.ply is no OBJ file"):
        _sample(source, "kim/pose.ply")
    for name in ("smile", "grin"):
        with pytest.raises(DataError, match=rf"{name}.obj does not hold the vertices"):
            _sample(source, f"kim/{name}.obj")


def test_a_folder_without_meshes_is_one_sentence(
    tmp_path: Path, data_config: DatasetConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DataError, match=rf"There is no mesh in the folder {tmp_path}. Give"):
        FolderScans(tmp_path, data_config)
    assert main(["prepare", "--data", str(tmp_path), "--cache", str(tmp_path / "cache")]) == 2
    assert "There is no mesh in the folder" in capsys.readouterr().err


def test_a_clone_of_ict_facekit_is_no_folder_of_scans(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _touch(tmp_path, "FaceXModel/generic_neutral_mesh.obj")
    for data in (tmp_path, tmp_path / "FaceXModel"):
        assert main(["prepare", "--data", str(data), "--cache", str(tmp_path / "cache")]) == 2
        assert "Clone the whole repository." in capsys.readouterr().err


@pytest.fixture(scope="module")
def prepared(source: FolderScans, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the cache of the people in FaceScape's layout."""
    cache_folder = tmp_path_factory.mktemp("cache")
    prepare(source, cache_folder, workers=1)
    return cache_folder


@pytest.fixture(scope="module")
def run(
    prepared: Path, train_config: TrainConfig, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return the folder of a short run on them."""
    out = tmp_path_factory.mktemp("run")
    config = replace(train_config, steps=30)
    trainer = Trainer(ScanCache(prepared), out, config)
    terms = [trainer.train_step() for _ in range(config.steps)]
    assert "correspondence" not in terms[0]
    totals = [term["total"] for term in terms]
    assert np.mean(totals[-5:]) < 0.5 * np.mean(totals[:5])
    trainer.save()
    return out


@pytest.fixture(scope="module")
def published(run: Path) -> FaceModel:
    """Return the model made of it."""
    return publish(run / "checkpoint.pt", None)


def test_prepare_goes_on_without_what_is_broken(
    folder: Path,
    prepared: Path,
    data_config: DatasetConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fields = "\n".join(f"{name} = {value}" for name, value in asdict(data_config).items())
    (tmp_path / "tiny.toml").write_text(f"[data]\n{fields}\n")
    words = ["--data", folder, "--cache", prepared, "--config", tmp_path / "tiny.toml"]
    assert main(["prepare", *map(str, words), "--workers", "1", "--json"]) == 0
    captured = capsys.readouterr()
    broken = json.loads(captured.out.splitlines()[-1])["broken"]
    assert set(broken) == {"3/models_reg/3_mouth_stretch.obj", "4/models_reg/2_smile.obj"}
    assert broken["4/models_reg/2_smile.obj"].startswith("4 has no neutral scan. Name one")
    left_out = [line for line in captured.err.splitlines() if line.startswith("Left out: ")]
    assert len(left_out) == 2
    assert ScanCache(prepared).usable.tolist() == list(range(8))


def test_the_published_model_knows_only_what_was_trained(run: Path, published: FaceModel) -> None:
    state = torch.load(run / "checkpoint.pt", weights_only=True)["model"]
    people, scans = state["identities.free"], state["expressions.free"]
    assert (len(people), len(scans)) == (4, 10)
    torch.testing.assert_close(published.identity_prior.mean, people[:3].mean(0))
    torch.testing.assert_close(published.expression_prior.mean, scans[:8].mean(0))
    torch.testing.assert_close(published.neutral_expression, scans[[0, 3, 6]].mean(0))
    assert published.head is None
    assert published.expression_names == ()


def test_a_surface_is_generated_without_a_head(
    published: FaceModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "imface.safetensors"
    save_face_model(published, weights, half=True)
    words = ["generate", "--weights", str(weights), "--resolution", "32", "--out"]
    assert main([*words, str(tmp_path / "a.ply")]) == 0
    assert len(load_scan(tmp_path / "a.ply").vertices) > 100
    assert main([*words, str(tmp_path / "b.ply"), "--topology", "head"]) == 2
    assert main([*words, str(tmp_path / "b.ply"), "--expression", "jawOpen=1"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert errors[1] == "This model has no expression 'jawOpen'. Leave it out."


def test_publish_needs_no_data(run: Path, ict_file: Path, tmp_path: Path) -> None:
    words = ["publish", str(run / "checkpoint.pt"), "--out", str(tmp_path)]
    assert main(words) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"imface.safetensors", "model_card.json"}
    assert main([*words, "--data", str(ict_file)]) == 2  # it was trained on other faces
