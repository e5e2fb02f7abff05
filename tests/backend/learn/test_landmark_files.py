# SPDX-License-Identifier: GPL-3.0-or-later
"""Landmark files: every format gives the same points, and damage is told in a sentence."""

from pathlib import Path

import numpy as np
import pytest

from backend.errors import DataError
from backend.learn.landmark_files import landmark_file, read_landmark_indices, read_landmarks
from tests.backend.learn.landmark_writer import write_landmarks


@pytest.mark.parametrize("extension", [".bnd", ".txt", ".json", ".pts"])
def test_every_format_gives_the_same_points(tmp_path: Path, extension: str) -> None:
    points = np.random.default_rng(0).normal(0, 50, (68, 3))
    path = tmp_path / f"face{extension}"
    write_landmarks(points, path)
    assert landmark_file(tmp_path / "face.ply") == path
    np.testing.assert_array_equal(read_landmarks(path), points)


def test_points_of_a_bnd_file_go_by_their_index(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(0, 50, (68, 3))
    write_landmarks(points, tmp_path / "face.bnd")
    lines = (tmp_path / "face.bnd").read_text().splitlines()
    (tmp_path / "face.bnd").write_text("\n".join(lines[::-1]))
    np.testing.assert_array_equal(read_landmarks(tmp_path / "face.bnd"), points)


@pytest.mark.parametrize("extension", [".bnd", ".txt", ".json", ".pts"])
@pytest.mark.parametrize("count", [0, 1, 67, 83])
def test_another_number_of_landmarks_is_one_sentence(
    tmp_path: Path, extension: str, count: int
) -> None:
    path = tmp_path / f"face{extension}"
    write_landmarks(np.ones((count, 3)), path)
    said = f"holds {count} landmarks. Give the 68" if count else "holds no list of points."
    with pytest.raises(DataError, match=said):
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
    ],
)
def test_damaged_landmarks_are_one_sentence(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=rf"^{name} {said}"):
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
    with pytest.raises(DataError, match=said):
        read_landmark_indices(path)
