# SPDX-License-Identifier: GPL-3.0-or-later
"""A data set of three people with two states each, prepared once, and a network of its size."""

from dataclasses import replace
from pathlib import Path

import pytest

from backend.learn.dataset import DatasetConfig, ScanCache, prepare
from backend.learn.train import TrainConfig
from backend.model.imface import ModelConfig


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
    """Return the prepared cache; tests only read it."""
    folder = tmp_path_factory.mktemp("cache")
    prepare(ict_file, folder, data_config, workers=1)
    return folder


@pytest.fixture(scope="session")
def cache(cache_folder: Path) -> ScanCache:
    """Return the prepared cache as batches."""
    return ScanCache(cache_folder)


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
