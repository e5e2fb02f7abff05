# SPDX-License-Identifier: GPL-3.0-or-later
"""Landmark files: every format gives the same points, and damage is told in a sentence."""

import json
from pathlib import Path

import numpy as np
import pytest

from backend.errors import LandmarkError
from backend.mesh import Mesh
from backend.scan.landmark_files import (
    landmark_file,
    read_landmark_indices,
    read_landmarks,
    read_scan_landmarks,
)
from tests.backend.scan.landmark_writer import write_landmarks

#: Two triangles of known corners.
SCAN = Mesh(
    np.array([[0, 0, 0], [4, 0, 0], [0, 8, 0], [0, 0, 2.0]]), np.array([[0, 1, 2], [1, 3, 2]])
)
EXTENSIONS = [".bnd", ".txt", ".csv", ".json", ".pts", ".ljson"]


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_every_format_gives_the_same_points(tmp_path: Path, extension: str) -> None:
    points = np.random.default_rng(0).normal(0, 50, (68, 3))
    path = tmp_path / f"face{extension}"
    write_landmarks(points, path)
    assert landmark_file(tmp_path / "face.ply") == path
    np.testing.assert_array_equal(read_landmarks(path), points)
    np.testing.assert_array_equal(read_scan_landmarks(path, SCAN), points)


def test_an_extension_may_be_in_capitals(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(0, 50, (68, 3))
    for extension in EXTENSIONS:
        folder = tmp_path / extension
        folder.mkdir()
        write_landmarks(points, folder / f"face{extension}")
        loud = (folder / f"face{extension}").rename(folder / f"face{extension.upper()}")
        found = landmark_file(folder / "face.ply")
        assert found is not None
        assert found.samefile(loud)
        np.testing.assert_array_equal(read_landmarks(loud), points)
        np.testing.assert_array_equal(read_scan_landmarks(loud, SCAN), points)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_scan_may_have_any_number_of_landmarks(tmp_path: Path, extension: str) -> None:
    points = np.random.default_rng(0).normal(0, 50, (5, 3))
    path = tmp_path / f"face{extension}"
    write_landmarks(points, path)
    np.testing.assert_array_equal(read_scan_landmarks(path, SCAN), points)


@pytest.mark.parametrize("names", [("jaw", "left_eye", "right_eye"), ("chin", "leye", "reye")])
def test_parts_of_a_face_may_come_in_any_order(tmp_path: Path, names: tuple[str, ...]) -> None:
    jaw, left, right = names
    sizes = {
        "mouth": 20,
        left: 6,
        jaw: 17,
        f"{right}brow": 5,
        "nose": 9,
        f"{left}brow": 5,
        right: 6,
    }
    first = dict(zip(sizes, np.cumsum([0, *sizes.values()]).tolist(), strict=False))
    labels = [
        {"label": name, "mask": list(range(first[name], first[name] + size))}
        for name, size in sizes.items()
    ]
    points = np.random.default_rng(0).normal(0, 50, (68, 3))
    group = {"landmarks": {"points": points.tolist()}, "labels": labels}
    path = tmp_path / "face.ljson"
    path.write_text(json.dumps({"version": 3, "groups": {"LJSON": group}}))
    order = [jaw, f"{left}brow", f"{right}brow", "nose", left, right, "mouth"]
    rows = np.concatenate([np.arange(first[name], first[name] + sizes[name]) for name in order])
    np.testing.assert_array_equal(read_landmarks(path), points[rows])


def test_places_on_triangles_are_points_of_the_scan(tmp_path: Path) -> None:
    path = tmp_path / "face.json"
    path.write_text('{"00": [0, 0.5, 0.25], "01": [1, 0, 0], "02": [1, 0, 1]}')
    found = read_scan_landmarks(path, SCAN)
    np.testing.assert_allclose(found, [[2, 2, 0], [4, 0, 0], [0, 8, 0]])
    with pytest.raises(LandmarkError, match="holds no list of points"):
        read_landmarks(path)  # whose triangles?


@pytest.mark.parametrize(
    "text", ['{"00": [2, 0, 0]}', '{"00": [0, 0]}', '{"00": ["a", 0, 0]}', '{"nose": [1.5, 2, 3]}']
)
def test_places_on_other_triangles_are_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "face.json"
    path.write_text(text)
    with pytest.raises(
        LandmarkError, match=r"^face.json does not name triangles of the scan. Give"
    ):
        read_scan_landmarks(path, SCAN)


def test_a_file_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(LandmarkError, match="There is no file"):
        read_scan_landmarks(tmp_path / "face.txt", SCAN)
    (tmp_path / "face.docx").write_text("1 2 3")
    with pytest.raises(LandmarkError, match=r"face.docx is no landmark file. Use .bnd, "):
        read_scan_landmarks(tmp_path / "face.docx", SCAN)


def test_points_of_a_bnd_file_go_by_their_index(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(0, 50, (68, 3))
    write_landmarks(points, tmp_path / "face.bnd")
    lines = (tmp_path / "face.bnd").read_text().splitlines()
    (tmp_path / "face.bnd").write_text("\n".join(lines[::-1]))
    np.testing.assert_array_equal(read_landmarks(tmp_path / "face.bnd"), points)


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("count", [0, 1, 67, 83])
def test_another_number_of_landmarks_is_one_sentence(
    tmp_path: Path, extension: str, count: int
) -> None:
    path = tmp_path / f"face{extension}"
    write_landmarks(np.ones((count, 3)), path)
    said = f"holds {count} landmarks. Give the 68" if count else "holds no list of points."
    with pytest.raises(LandmarkError, match=said):
        read_landmarks(path)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.txt", "Dear diary,\n", "holds no list of points. Write one x y z a line."),
        ("a.txt", "1 2 3\n4 5\n", "holds no list of points."),
        ("a.txt", "1 2\n" * 68, "holds no list of points."),
        ("a.txt", "1 2 nan\n" * 68, "has a landmark without a position."),
        ("a.bnd", "Dear diary,\n", "holds no list of points."),
        ("a.json", "[1, 2", "holds no list of points."),
        ("a.json", '{"points": []}', "holds no list of points."),
        ("a.json", "null", "holds no list of points."),
        ("a.pts", "version: 1\n", "holds no list of points."),
        ("a.ljson", '{"groups": {}}', "holds no list of points."),
        ("a.ljson", '{"groups": [{"landmarks": []}]}', "holds no list of points."),
        (
            "a.ljson",
            '{"groups": {"A": {"landmarks": {"points": [[1, 2, null]]}}}}',
            "has a landmark without a position. Write all of them.",
        ),
    ],
)
def test_damaged_landmarks_are_one_sentence(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(LandmarkError, match=rf"^{name} {said}"):
        read_landmarks(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 2 3", "holds 3 landmarks"),
        ("one two", "holds no vertex indices. Write 68 integers."),
        ("1.5 " * 68, "holds no vertex indices."),
        ("-1 " * 68, "holds no vertex indices."),
        ("9" * 30 + " 1" * 67, "holds no vertex indices."),
    ],
)
def test_a_damaged_list_of_indices_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "landmark_indices.txt"
    path.write_text(text)
    with pytest.raises(LandmarkError, match=said):
        read_landmark_indices(path)
