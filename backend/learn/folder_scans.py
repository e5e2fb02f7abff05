# SPDX-License-Identifier: GPL-3.0-or-later
"""Training scans from a folder of meshes with landmarks: FaceScape, BU-3DFE, or one's own."""

import glob
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low

import numpy as np
from scipy.spatial import cKDTree

from ..errors import BackendError, DataError
from ..mesh import FORMATS, Mesh, load_scan
from ..scan.align import NOSE_TIP_POSITION, Similarity, best_rigid, best_similarity
from ..scan.landmark_files import landmark_file, read_landmark_indices, read_landmarks
from ..scan.sampling import sample_sdf
from ..scan.watertight import make_watertight
from .cache import DatasetConfig, ScanSamples, ScanTable
from .ict import NOSE_TIP, obj_rows

#: Beside the people's folders: vertex indices of the landmarks, for meshes of one topology.
INDICES_NAME = "landmark_indices.txt"
#: Beside the people's folders: mesh path -> expression, where the names do not tell.
LABELS_NAME = "labels.json"
#: What a neutral scan's name or label contains: a word, or BU-3DFE's code for it.
_NEUTRAL = re.compile(r"neutral|(?:^|_)NE00", re.IGNORECASE)
#: A folder of FaceScape's that stands between the person and the meshes.
_INNER_FOLDER = "models_reg"

#: Where landmarks that show a face's pose sit on the mean face, nose tip at (0, 0, 0.4) [model
#: units]: bridge and tip of the nose, corners of eyes and mouth. From the ICT Face Model Light,
#: Copyright (c) 2020 USC Institute for Creative Technologies, MIT licence.
_MEAN_FACE = {
    27: (0.000, 0.334, 0.167),
    30: (0.000, 0.000, 0.400),
    36: (-0.446, 0.303, -0.047),
    39: (-0.184, 0.285, 0.013),
    42: (0.184, 0.285, 0.013),
    45: (0.446, 0.303, -0.047),
    48: (-0.253, -0.393, 0.112),
    54: (0.253, -0.393, 0.112),
}
_POSE = list(_MEAN_FACE)
_MEAN_POSITIONS = np.array(list(_MEAN_FACE.values()))
#: Landmarks that expressions hardly move: the nose's ridge, corners of the eyes.
_STILL = [27, 28, 29, 30, 36, 39, 42, 45]
#: Expressions move the still ones this far [model units, rms]; more is a motion of the head.
_STILL_MOTION = 0.02
#: Faces differ from the mean face, or from themselves, by less than this [model units, rms].
_NO_FACE = 0.12
#: People differ in size by less than this factor; more is another unit.
_OTHER_UNIT = 1.5


@dataclass(frozen=True)
class FolderScan:
    """A mesh of the folder.

    Attributes
    ----------
    name : str
        Path below the folder, with slashes.
    person : str
    is_neutral : bool
    """

    name: str
    person: str
    is_neutral: bool


@dataclass(frozen=True)
class _Person:
    """Whose neutral landmarks (68, 3), in scan space, and whose pose are known."""

    landmarks: np.ndarray
    pose: Similarity


def list_scans(root: Path) -> list[FolderScan]:
    """Return the meshes below a folder by name; see ``FolderScans`` for the rules.

    Raises
    ------
    DataError
        If there are none, or the labels are no JSON object or name a mesh that is not there.
    """
    # Unlike Path.rglob, this follows linked folders and leaves out hidden files.
    found = glob.iglob("**/*", root_dir=root, recursive=True)
    names = sorted(Path(name).as_posix() for name in found if Path(name).suffix.lower() in FORMATS)
    if not names:
        raise DataError(
            f"There is no mesh in the folder {root}. Give a folder with {', '.join(FORMATS)} "
            "files, or ICT-FaceKit data."
        )
    labels = _labels(root / LABELS_NAME)
    unknown = next((name for name in labels if name not in names), None)
    if unknown is not None:
        raise DataError(f"{LABELS_NAME} names '{unknown}', which is no mesh here. Mend the path.")
    return [
        FolderScan(name, _person(name), bool(_NEUTRAL.search(labels.get(name, Path(name).stem))))
        for name in names
    ]


def _labels(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        return {name: str(label) for name, label in json.loads(path.read_text("utf-8-sig")).items()}
    except (ValueError, AttributeError) as error:
        raise DataError(
            f'{path} is no list of labels. Write {{"person/mesh.obj": "neutral", ...}}.'
        ) from error


def _person(name: str) -> str:
    path = Path(name)
    folder = path.parent.parent if path.parent.name == _INNER_FOLDER else path.parent
    return path.stem.partition("_")[0] if folder == Path() else folder.as_posix()


def _rms(offsets: np.ndarray) -> float:
    return float(np.sqrt((offsets * offsets).sum(1).mean()))


class FolderScans:
    """A folder of face meshes as a ``learn.cache.ScanSource``; units and pose may be any.

    Meshes
        Every OBJ, PLY, STL or GLB file below the folder; hidden ones are left out.
    People
        A person is a folder: meshes in the same one are of the same person. A folder
        ``models_reg`` (FaceScape) counts as the one above it. Of meshes that lie in the root
        itself, the person is the name's part before the first underscore.
    Neutral scans
        Those whose file name, less the extension, contains "neutral" (``1_neutral.obj``), or
        starts with or has after an underscore "NE00" (BU-3DFE: ``F0001_NE00WH_F3D.obj``); any
        case. ``labels.json`` in the root may map a mesh's path below it to a label; the label
        then counts instead of the name. Every person needs a neutral scan; the first by name is
        what the others are compared with.
    Landmarks
        68 in Multi-PIE order, in the mesh's own coordinates: in a file beside the mesh (see
        ``scan.landmark_files``), else the vertices that ``landmark_indices.txt`` in the root
        lists, for OBJ files of one topology.
    Pose
        Found from landmarks. One scale is for the whole folder (the median over the people's
        neutral scans), so people keep their size. A person's neutral scan is turned to the mean
        face and its nose tip put to the model's. Other scans of the person share that pose where
        the landmarks that expressions hardly move lie as in the neutral scan (2 mm rms), as in
        registered data; elsewhere they are moved rigidly so that these landmarks fit.

    Raises
    ------
    DataError
        If there is no mesh, no person with a usable neutral scan, or a list that cannot be read.
    """

    partners = False
    triangles = 0

    def __init__(self, root: Path, config: DatasetConfig) -> None:
        self.config = config
        self.root = root
        self.scans = list_scans(root)
        self.people = sorted({scan.person for scan in self.scans})
        indices = root / INDICES_NAME
        self._indices = read_landmark_indices(indices) if indices.is_file() else None
        self._known, self._unknown = self._find_people()

    def _find_people(self) -> tuple[dict[str, _Person], dict[str, str]]:
        """Return the people whose neutral scan has good landmarks, and why others have none."""
        landmarks: dict[str, np.ndarray] = {}
        unknown: dict[str, str] = {}
        for person, neutral in self._neutral_scans().items():
            try:
                landmarks[person] = self._neutral_landmarks(person, neutral)
            except BackendError as error:
                unknown[person] = str(error)
        if not landmarks:
            raise DataError(f"Nobody in {self.root} can be used. {next(iter(unknown.values()))}")
        fits = {person: _fit(points) for person, points in landmarks.items()}
        scale = median_low(fit.scale for fit in fits.values())
        known = {}
        for person, fit in fits.items():
            if 1 / _OTHER_UNIT < fit.scale / scale < _OTHER_UNIT:
                known[person] = _Person(
                    landmarks[person], _placed(landmarks[person], fit.rotation, scale)
                )
            else:
                unknown[person] = (
                    f"{person} is {scale / fit.scale:.3g} times as large as most people here. "
                    "Export all scans in one unit."
                )
        return known, unknown

    def _neutral_scans(self) -> dict[str, str | None]:
        """Return each person's first neutral scan."""
        neutral: dict[str, str | None] = dict.fromkeys(self.people)
        for scan in self.scans:
            if scan.is_neutral and neutral[scan.person] is None:
                neutral[scan.person] = scan.name
        return neutral

    def _neutral_landmarks(self, person: str, neutral: str | None) -> np.ndarray:
        if neutral is None:
            raise DataError(
                f"{person} has no neutral scan. Name one 'neutral' or label it in {LABELS_NAME}."
            )
        landmarks = self._landmarks(neutral)
        fit = _fit(landmarks)
        if _rms(fit.apply(landmarks[_POSE]) - _MEAN_POSITIONS) > _NO_FACE:
            raise DataError(
                f"The landmarks of {neutral} are not those of a face. "
                "Give the 68 of Multi-PIE, in order, in a right-handed space."
            )
        return landmarks

    def _landmarks(self, name: str) -> np.ndarray:
        """Return a scan's landmarks (68, 3) in scan space."""
        path = landmark_file(self.root / name)
        if path is not None:
            landmarks = read_landmarks(path)
        elif self._indices is not None:
            landmarks = _indexed_landmarks(self.root / name, self._indices)
        else:
            raise DataError(
                f"{name} has no landmarks. Put a .bnd, .txt, .json, .pts, .ljson or .csv file of "
                f"its name beside it, or {INDICES_NAME} into the root."
            )
        if np.ptp(landmarks[_POSE], axis=0).max() <= 0:
            raise DataError(f"The landmarks of {name} lie in one point. Find them anew.")
        return landmarks

    def fingerprint(self) -> str:
        """Return a hash of what the folder holds: names, sizes, and what the lists say."""
        rows = [
            (scan.name, scan.is_neutral, self._size(scan.name), self._landmark_size(scan.name))
            for scan in self.scans
        ]
        indices = None if self._indices is None else self._indices.tolist()
        return "folder " + hashlib.sha256(json.dumps([rows, indices]).encode()).hexdigest()

    def _size(self, name: str) -> int:
        return (self.root / name).stat().st_size

    def _landmark_size(self, name: str) -> tuple[str, int] | None:
        path = landmark_file(self.root / name)
        return None if path is None else (path.suffix, path.stat().st_size)

    def table(self) -> ScanTable:
        """Return the scans; nothing is known that codes could be started from."""
        row = {person: i for i, person in enumerate(self.people)}
        known = self._known.values()
        return ScanTable(
            names=[scan.name for scan in self.scans],
            person=np.array([row[scan.person] for scan in self.scans]),
            is_neutral=np.array([scan.is_neutral for scan in self.scans]),
            identity_coefficients=np.zeros((len(self.people), 0)),
            expression_coefficients=np.zeros((len(self.scans), 0)),
            template_landmarks=np.mean([p.pose.apply(p.landmarks) for p in known], axis=0),
        )

    def sample(self, scan: int) -> ScanSamples:
        """Sample one scan through the pseudo-watertight preprocessing."""
        name, person = self.scans[scan].name, self.scans[scan].person
        if person not in self._known:
            raise DataError(self._unknown[person])
        neutral = self._known[person]
        landmarks = self._landmarks(name)
        pose = _pose_like(neutral, landmarks, name)
        mesh = load_scan(self.root / name)
        placed = pose.apply(landmarks)
        distance, _ = cKDTree(pose.apply(mesh.vertices)).query(placed)
        if np.median(distance) > _NO_FACE:
            raise DataError(f"The landmarks of {name} do not lie on its mesh. Export both anew.")
        seed = self.config.seed * 1_000_003 + scan
        points, sdf, gradients = _sheet_samples(mesh, pose, self.config, seed)
        return ScanSamples(
            points=points,
            sdf=sdf,
            gradients=gradients,
            neutral=np.zeros((0, 3)),
            template=np.zeros((0, 3)),
            landmarks=placed,
            neutral_landmarks=neutral.pose.apply(neutral.landmarks),
            seen=np.zeros(0, bool),
        )


def _fit(landmarks: np.ndarray) -> Similarity:
    return best_similarity(landmarks[_POSE], _MEAN_POSITIONS)


def _placed(landmarks: np.ndarray, rotation: np.ndarray, scale: float) -> Similarity:
    """Return the pose of a neutral scan: its nose tip comes to the model's."""
    return Similarity(scale, rotation, NOSE_TIP_POSITION - scale * rotation @ landmarks[NOSE_TIP])


def _pose_like(neutral: _Person, landmarks: np.ndarray, name: str) -> Similarity:
    """Return the pose of a person's scan from where the still landmarks are."""
    here, there = landmarks[_STILL], neutral.landmarks[_STILL]
    unit = neutral.pose.scale
    if _rms(here - there) * unit < _STILL_MOTION:
        return neutral.pose
    motion = best_rigid(here, there)
    if _rms(motion.apply(here) - there) * unit > _NO_FACE:
        raise DataError(
            f"The landmarks of {name} do not fit those of the person's neutral scan. "
            "Check their order and unit."
        )
    return neutral.pose.after(motion)


def _indexed_landmarks(mesh: Path, indices: np.ndarray) -> np.ndarray:
    """Return vertices of an OBJ file in its own order, which ``load_scan`` may change."""
    if mesh.suffix.lower() != ".obj":
        raise DataError(f"{mesh.name} is no OBJ file, and {INDICES_NAME} is for those. Export it.")
    try:
        landmarks = obj_rows(mesh, "v ")[indices, :3]
        if not np.isfinite(landmarks).all():
            raise ValueError("not finite")
        return landmarks
    except (OSError, ValueError, IndexError) as error:
        raise DataError(
            f"{mesh.name} does not hold the vertices that {INDICES_NAME} lists. Export it anew."
        ) from error


def _sheet_samples(
    mesh: Mesh, pose: Similarity, config: DatasetConfig, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points (M, 3), distances (M,) and gradients (M, 3), M as the configuration says."""
    surface = config.corresponding + config.sheet
    # Near points that leave the ball are dropped: of twice as many, enough remain.
    drawn = sample_sdf(
        make_watertight(mesh, pose, seed=seed),
        surface=surface,
        near=2 * config.near,
        uniform=config.uniform,
        near_sigma=config.near_sigma,
        seed=seed,
    )
    count = len(drawn.points)
    keep = np.r_[0 : surface + config.near, count - config.uniform : count]
    return drawn.points[keep], drawn.sdf[keep], drawn.gradients[keep]
