# SPDX-License-Identifier: GPL-3.0-or-later
"""Meshes of a face in any topology, and its expressions as shape keys."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..checkpoint import FaceModel
from ..codes import Codes
from ..mesh import Mesh
from ..model.imface import UNIT_MM
from ..texts import Text
from .correspondence import (
    SURFACES,
    level_mesh,
    level_vertices,
    require_head,
    template_mesh,
)
from .expressions import arkit_mix, check_names, expression_code
from .extract import ExtractConfig, extract_mesh, face_sdf
from .generate import face_of
from .quads import extract_quads

Report = Callable[[float, str], object]

#: Parts of the head by material.
_MATERIALS = {
    "Skin": ("face", "head_and_neck"),
    "Mouth": ("mouth_socket", "gums_and_tongue"),
    "Teeth": ("teeth",),
    "Eyes": ("eyeball_left", "eyeball_right"),
    "Eye Sockets": ("eye_socket_left", "eye_socket_right"),
    "Eye Fluid": (
        "lacrimal_fluid_left",
        "lacrimal_fluid_right",
        "eye_blend_left",
        "eye_blend_right",
        "eye_occlusion_left",
        "eye_occlusion_right",
    ),
    "Lashes": ("eyelashes_left", "eyelashes_right"),
}
#: What has a material of its own on eyeballs, and how far it reaches from the middle of their UV
#: squares: rings of polygons, so that eyes look somewhere in a viewport without textures too.
_EYE_RINGS = {"Iris": 0.155, "Pupil": 0.0545}


def build_mesh(model: FaceModel, codes: Codes, topology: str, resolution: int) -> Mesh:
    """Return a face's mesh in model space.

    Parameters
    ----------
    topology : str
        A level of detail of the fixed topology (quads, UVs), or the field's own zero level set:
        "surface" for triangles, "quads" for even quads.
    resolution : int
        Grid points per axis of the surface.

    Raises
    ------
    BackendError
        If the topology is unknown, or the model has no fixed one.
    """
    if topology in SURFACES:
        sdf = face_sdf(face_of(model, codes), model.device)
        extract = extract_quads if topology == "quads" else extract_mesh
        return extract(sdf, ExtractConfig(resolution=resolution))
    count = level_vertices(model, topology)
    return level_mesh(model, template_mesh(model, codes).vertices[:count], topology)


def materials(model: FaceModel, polygons: int) -> tuple[list[str], np.ndarray]:
    """Return the material names, and the index of each of the first so many polygons."""
    template = require_head(model).template
    parts = template.parts
    index = np.zeros(polygons, np.int32)
    for slot, names in enumerate(_MATERIALS.values()):
        for name in names:
            index[slice(*parts[name][2:])] = slot
    eyes = np.flatnonzero(index == list(_MATERIALS).index("Eyes"))
    corners = template.uv_polygons.cpu().numpy()[eyes]
    off = np.linalg.norm(template.uv.cpu().numpy()[corners] % 1 - 0.5, axis=2)
    reached = np.where(corners < 0, 0, off).max(1)  # a triangle has three corners
    for slot, reach in enumerate(_EYE_RINGS.values(), len(_MATERIALS)):
        index[eyes[reached < reach]] = slot
    return [*_MATERIALS, *_EYE_RINGS][: int(index.max()) + 1], index


@dataclass(frozen=True)
class ShapeKeys:
    """Expressions of one person on one topology.

    Attributes
    ----------
    basis_mm : ndarray (V, 3) float32
        The neutral face.
    vertices_mm : ndarray (N, V, 3) float32
        One face per name, at full strength.
    polygons : ndarray (F, 4)
    """

    basis_mm: np.ndarray
    vertices_mm: np.ndarray
    polygons: np.ndarray


def shape_keys(
    model: FaceModel,
    codes: Codes,
    names: list[str],
    level: str,
    report: Report,
) -> ShapeKeys:
    """Build a person's named expressions; the codes' own expression is left out.

    Raises
    ------
    BackendError
        If a name is unknown, or the model has no fixed topology.
    """
    check_names(model, names)
    basis = expressed_mm(model, codes, {}, level)
    keys = np.empty((len(names), *basis.shape), np.float32)
    for i, name in enumerate(names):
        report(i / len(names), Text("Expression {name}", name=name))
        keys[i] = expressed_mm(model, codes, {name: 1.0}, level)
    return ShapeKeys(basis, keys, level_mesh(model, basis, level).polygons)


def expressed_mm(
    model: FaceModel,
    codes: Codes,
    weights: Mapping[str, float],
    level: str,
) -> np.ndarray:
    """Return a person's vertices (V, 3) [mm] in a mix of named expressions, eyes turned.

    The codes' own expression is left out.
    """
    expressed = replace(codes, expression=expression_code(model, weights))
    count = level_vertices(model, level)
    vertices = template_mesh(model, expressed, arkit_mix(weights)).vertices[:count]
    return (vertices * UNIT_MM).astype(np.float32)
