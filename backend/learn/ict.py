# SPDX-License-Identifier: GPL-3.0-or-later
"""The ICT Face Model Light as training data: faces from coefficients, in model space."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..scan.align import NOSE_TIP_POSITION

#: ICT files are in centimetres; one model unit is 100 mm.
_UNITS_PER_CM = 0.1
NOSE_TIP = 30
_MEAN_MESH = "generic_neutral_mesh.obj"
#: Parts that the front sees and that belong to the face's surface.
SKIN_PARTS = ("face", "head_and_neck", "eyeball_left", "eyeball_right")


@dataclass(frozen=True)
class IctFaceKit:
    """The linear head model.

    Attributes
    ----------
    mean : ndarray (V, 3)
        Mean head in model space (nose tip at (0, 0, 0.4)).
    identity_modes, expression_modes : ndarray (100, V, 3), (53, V, 3)
        Offsets [model units].
    expression_names : tuple of str
        ICT's names (jawOpen, eyeBlink_L, ...).
    polygons, uv, uv_polygons, landmarks : ndarray
        Topology; landmarks are the 68 vertex indices.
    parts : dict
        Part name -> (first vertex, end vertex, first polygon, end polygon).
    """

    mean: np.ndarray
    identity_modes: np.ndarray
    expression_modes: np.ndarray
    expression_names: tuple[str, ...]
    polygons: np.ndarray
    uv: np.ndarray
    uv_polygons: np.ndarray
    landmarks: np.ndarray
    parts: dict[str, tuple[int, int, int, int]]

    def neutral(self, identity: np.ndarray, shares: np.ndarray | None = None) -> np.ndarray:
        """Return a neutral head (V, 3), its nose tip at the model's.

        Parameters
        ----------
        identity : ndarray (100,) or (P, 100)
            Coefficients [standard deviations]; several rows are mixed by ``shares``.
        shares : ndarray (P, V)
            Of the rows at each vertex.
        """
        # In the modes' own precision: a tensor product of two kinds would copy all of them.
        offset = np.tensordot(np.float32(identity), self.identity_modes, 1)
        if shares is not None:
            offset = (shares[..., None] * offset).sum(0)
        head = self.mean + offset
        return head + (NOSE_TIP_POSITION - head[self.landmarks[NOSE_TIP]])

    def expression(self, weights: np.ndarray) -> np.ndarray:
        """Return the offsets (V, 3) that weights (53,) in [0, 1] add to a neutral head."""
        return np.tensordot(np.float32(weights), self.expression_modes, 1)

    def part_polygons(self, names: tuple[str, ...]) -> np.ndarray:
        """Return the polygons of the named parts."""
        return np.concatenate([self.polygons[slice(*self.parts[n][2:])] for n in names])


def ict_folder(folder: Path) -> Path | None:
    """Return where the meshes are in a clone of the public repository, None if it is no clone."""
    inner = (folder / "FaceXModel", folder)
    return next((place for place in inner if (place / _MEAN_MESH).is_file()), None)


def load_ict(path: Path) -> IctFaceKit:
    """Read the model from our .npz or from a clone of the public repository.

    Parameters
    ----------
    path : Path
        ``ict_facekit_light.npz``, or a folder that holds ``FaceXModel`` with its OBJ files.

    Raises
    ------
    DataError
        If neither is there or the data is incomplete.
    """
    try:
        return _from_folder(path) if path.is_dir() else _from_npz(path)
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise DataError(
            f"{path} is not ICT-FaceKit data ({error}). "
            "Give ict_facekit_light.npz or a clone of the ICT-FaceKit repository."
        ) from error


def _from_npz(path: Path) -> IctFaceKit:
    with np.load(path, allow_pickle=False) as data:
        modes = {
            kind: data[f"{kind}_modes_int16"].astype(np.float32)
            * data[f"{kind}_scale"][:, None, None]
            for kind in ("identity", "expression")
        }
        ranges = np.concatenate([data["part_vertex_ranges"], data["part_polygon_ranges"]], axis=1)
        kit = IctFaceKit(
            mean=data["mean_vertices"].astype(np.float64),
            identity_modes=modes["identity"],
            expression_modes=modes["expression"],
            expression_names=tuple(str(n) for n in data["expression_names"]),
            polygons=data["polygons"].astype(np.int32),
            uv=data["uv"].astype(np.float32),
            uv_polygons=data["uv_polygons"].astype(np.int32),
            landmarks=data["landmarks68"].astype(np.int64),
            parts={
                str(name): (int(row[0]), int(row[1]), int(row[2]), int(row[3]))
                for name, row in zip(data["part_names"], ranges, strict=True)
            },
        )
        return _in_model_space(kit)


def _in_model_space(centimetres: IctFaceKit) -> IctFaceKit:
    mean = centimetres.mean * _UNITS_PER_CM
    return replace(
        centimetres,
        mean=mean + (NOSE_TIP_POSITION - mean[centimetres.landmarks[NOSE_TIP]]),
        identity_modes=centimetres.identity_modes * np.float32(_UNITS_PER_CM),
        expression_modes=centimetres.expression_modes * np.float32(_UNITS_PER_CM),
    )


#: What the repository's OBJ files do not say (from its documentation): vertex and polygon ranges.
_PARTS = {
    "face": (0, 9409, 0, 9230),
    "head_and_neck": (9409, 11248, 9230, 11144),
    "mouth_socket": (11248, 13294, 11144, 13226),
    "eye_socket_left": (13294, 13678, 13226, 13630),
    "eye_socket_right": (13678, 14062, 13630, 14034),
    "gums_and_tongue": (14062, 17039, 14034, 17006),
    "teeth": (17039, 21451, 17006, 21496),
    "eyeball_left": (21451, 23021, 21496, 23094),
    "eyeball_right": (23021, 24591, 23094, 24692),
    "lacrimal_fluid_left": (24591, 24795, 24692, 24855),
    "lacrimal_fluid_right": (24795, 24999, 24855, 25018),
    "eye_blend_left": (24999, 25023, 25018, 25033),
    "eye_blend_right": (25023, 25047, 25033, 25048),
    "eye_occlusion_left": (25047, 25199, 25048, 25176),
    "eye_occlusion_right": (25199, 25351, 25176, 25304),
    "eyelashes_left": (25351, 26035, 25304, 25844),
    "eyelashes_right": (26035, 26719, 25844, 26384),
}
#: The Multi-PIE 68 landmarks as vertex indices of the ICT topology.
# fmt: off
_LANDMARKS = (
    1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088,
    3443, 268, 493, 1914, 2044, 1401, 3615, 4240, 4114, 2734, 2509, 978, 4527, 4942, 4857, 1140,
    2075, 1147, 4269, 3360, 1507, 1542, 1537, 1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732,
    5708, 5695, 2081, 0, 4275, 6200, 6213, 6346, 6461, 5518, 5957, 5841, 5702, 5711, 5533, 6216,
    6207, 6470, 5517, 5966,
)
# fmt: on
#: Shapes of the repository that are no ARKit expressions.
_NOT_ARKIT = re.compile(r"cheekRaiser|PupilDilate|identity|generic_neutral")


def _from_folder(folder: Path) -> IctFaceKit:
    folder = ict_folder(folder) or folder
    mean = obj_rows(folder / _MEAN_MESH, "v ")
    identities = sorted(folder.glob("identity*.obj"))
    expressions = sorted(p for p in folder.glob("*.obj") if not _NOT_ARKIT.match(p.stem))
    if not identities or not expressions:
        raise DataError(
            f"{folder} has no identity*.obj or expression files. Clone the whole repository."
        )
    polygons, uv_polygons = _obj_faces(folder / _MEAN_MESH)
    kit = IctFaceKit(
        mean=mean,
        identity_modes=_offsets(identities, mean),
        expression_modes=_offsets(expressions, mean),
        expression_names=tuple(p.stem for p in expressions),
        polygons=polygons,
        uv=obj_rows(folder / _MEAN_MESH, "vt ")[:, :2].astype(np.float32),
        uv_polygons=uv_polygons,
        landmarks=np.array(_LANDMARKS),
        parts=_PARTS,
    )
    return _in_model_space(kit)


def _offsets(paths: list[Path], mean: np.ndarray) -> np.ndarray:
    return np.stack([obj_rows(path, "v ") - mean for path in paths]).astype(np.float32)


def obj_rows(path: Path, key: str) -> np.ndarray:
    """Return the numbers (N, C) of an OBJ file's lines that start with a key, in file order."""
    with open(path) as file:
        rows = [line.split()[1:] for line in file if line.startswith(key)]
    return np.array(rows, np.float64)


def _obj_faces(path: Path) -> tuple[np.ndarray, np.ndarray]:
    polygons, uv_polygons = [], []
    with open(path) as file:
        for line in file:
            if line.startswith("f "):
                corners = [c.split("/") for c in line.split()[1:]]
                pad = [-1] * (4 - len(corners))
                polygons.append([int(c[0]) - 1 for c in corners] + pad)
                uv_polygons.append([int(c[1]) - 1 for c in corners] + pad)
    return np.array(polygons, np.int32), np.array(uv_polygons, np.int32)
