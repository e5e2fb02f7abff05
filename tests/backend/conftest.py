# SPDX-License-Identifier: GPL-3.0-or-later
"""What the backend's tests share: the bundled model, a tiny one, small training data, spheres."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from backend.checkpoint import FaceModel, load_face_model
from backend.learn.ict import IctFaceKit, load_ict
from backend.mesh import Mesh
from backend.model.imface import ImFace, ModelConfig
from backend.model.prior import fit_prior

DATA = Path(__file__).resolve().parents[1] / "data"


@pytest.fixture(autouse=True, scope="session")
def two_threads() -> Iterator[None]:
    """Use as many threads as the smallest machine has cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def bundled() -> FaceModel:
    """Return the model that ships with the repository."""
    return load_face_model(device=torch.device("cpu"))


@pytest.fixture(scope="session")
def ict_file() -> Path:
    """Return the file of a linear head model with 6 identity and 8 expression modes."""
    return DATA / "ict_small.npz"


@pytest.fixture(scope="session")
def ict(ict_file: Path) -> IctFaceKit:
    """Return the small head model."""
    return load_ict(ict_file)


@pytest.fixture(scope="session")
def lee_perry_smith() -> Path:
    """Return the file of a real scan."""
    return DATA / "scans" / "lee_perry_smith.obj"


@pytest.fixture(scope="session")
def lee_perry_smith_landmarks() -> Path:
    """Return the file of that scan's landmarks."""
    return DATA / "scans" / "lee_perry_smith.landmarks.json"


TINY = ModelConfig(
    identity_dim=8,
    expression_dim=6,
    identity_hidden=16,
    expression_hidden=12,
    hidden_layers=1,
    identity_hyper_hidden=10,
    expression_hyper_hidden=14,
)


@pytest.fixture(scope="session")
def tiny_config() -> ModelConfig:
    """Return the sizes of a network that takes no time; every size differs from the others."""
    return TINY


@pytest.fixture(scope="session")
def tiny_model() -> FaceModel:
    """Return an untrained model of random weights with two named expressions and no head."""
    torch.manual_seed(5)
    return FaceModel(
        imface=ImFace(TINY).eval().requires_grad_(False),
        identity_prior=fit_prior(torch.randn(40, TINY.identity_dim)),
        expression_prior=fit_prior(torch.randn(40, TINY.expression_dim)),
        neutral_expression=torch.randn(TINY.expression_dim),
        expression_names=("jawOpen", "mouthSmileLeft"),
        expression_directions=torch.randn(2, TINY.expression_dim),
        head=None,
        sha256="0123456789abcdef" * 4,
    )


@pytest.fixture(scope="session")
def sphere() -> Mesh:
    """Return a sphere of radius 0.6 around the origin, exact to 1e-4."""
    ball = trimesh.creation.icosphere(subdivisions=5, radius=0.6)
    return Mesh(np.asarray(ball.vertices), np.asarray(ball.faces))
