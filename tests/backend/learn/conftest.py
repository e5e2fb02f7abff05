# SPDX-License-Identifier: GPL-3.0-or-later
"""Small training data, of the ICT model and of spheres, and a network of its size."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from backend.errors import ScanError
from backend.learn.cache import DatasetConfig, ScanCache, ScanSamples, ScanTable, prepare
from backend.learn.ict_scans import IctScans
from backend.learn.train_config import TrainConfig
from backend.model.imface import ModelConfig
from backend.scan.sampling import uniform_in_ball


@pytest.fixture(scope="session")
def data_config() -> DatasetConfig:
    """Return the smallest data set that has everything."""
    return DatasetConfig(
        identities=3, expressions=2, corresponding=300, sheet=100, near=100, uniform=100
    )


@pytest.fixture(scope="session")
def cache_folder(
    ict_file: Path, data_config: DatasetConfig, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return the prepared cache of ICT faces; tests only read it."""
    folder = tmp_path_factory.mktemp("cache")
    assert prepare(IctScans(ict_file, data_config), folder, workers=1) == {}
    return folder


@pytest.fixture(scope="session")
def cache(cache_folder: Path) -> ScanCache:
    """Return the prepared cache as batches."""
    return ScanCache(cache_folder)


PEOPLE, STATES = 2, 3
SCANS = PEOPLE * STATES


@dataclass
class SphereScans:
    """A ``ScanSource`` of scans without partners or coefficients: spheres around the origin.

    Each scan is a file ``<scan>.txt`` that holds its radius; the files may change.
    """

    config: DatasetConfig
    folder: Path
    partners: bool = False
    triangles: int = 0

    def fingerprint(self) -> str:
        return "spheres"

    def table(self) -> ScanTable:
        return ScanTable(
            names=[f"{scan}.txt" for scan in range(SCANS)],
            person=np.repeat(np.arange(PEOPLE), STATES),
            is_neutral=np.tile(np.arange(STATES) == 0, PEOPLE),
            identity_coefficients=np.zeros((PEOPLE, 0)),
            expression_coefficients=np.zeros((SCANS, 0)),
            template_landmarks=_directions(),
        )

    def sample(self, scan: int) -> ScanSamples:
        text = (self.folder / f"{scan}.txt").read_text()
        if not text:
            raise ScanError(f"{scan}.txt is empty. Export it again.")
        points = uniform_in_ball(self.config.points, np.random.default_rng(scan))
        norm = np.linalg.norm(points, axis=1)
        landmarks = _directions() * float(text)
        none, seen = np.empty((0, 3)), np.zeros(0, bool)
        gradients, sdf = points / norm[:, None], norm - float(text)
        return ScanSamples(points, sdf, gradients, none, none, landmarks, landmarks, seen)


def _directions() -> np.ndarray:
    rows = np.random.default_rng(0).normal(size=(68, 3))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def spheres(tmp_path: Path, data_config: DatasetConfig) -> SphereScans:
    """Return six spheres of radius 0.3, 0.4, ..., 0.8 whose files a test may change."""
    folder = tmp_path / "spheres"
    folder.mkdir()
    for scan in range(SCANS):
        (folder / f"{scan}.txt").write_text(str(0.3 + 0.1 * scan))
    return SphereScans(data_config, folder)


@pytest.fixture(scope="session")
def train_config(tiny_config: ModelConfig, data_config: DatasetConfig) -> TrainConfig:
    """Return settings with which a step takes milliseconds."""
    return TrainConfig(
        steps=20,
        scans=4,
        points=64,
        piece=2,
        warmup=1,
        learning_rate=3e-3,
        bfloat16=False,
        model=replace(tiny_config),
        data=data_config,
    )
