# SPDX-License-Identifier: GPL-3.0-or-later
"""Training scans: recipes (which faces), preparation into a memory-mapped cache, batches."""

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from ..errors import DataError
from ..mesh import sample_surface, triangle_normals, triangulate
from ..scan.sampling import SheetDistance, uniform_in_ball
from ..scan.watertight import depth_map, visible_from_front, visible_sheet
from .ict import SKIN_PARTS, IctFaceKit, load_ict

CACHE_VERSION = 2
#: Cached coordinates are 16-bit fractions of this [model units]: steps of 0.004 mm.
_RANGE = 1.3
#: Shapes that open and close mouth and eyes: small regions, large motion, drawn more often.
_EMPHASISED = ("jawOpen", "eyeBlink", "mouthFunnel", "mouthUpperUp", "mouthLowerDown", "eyeWide")


@dataclass(frozen=True)
class DatasetConfig:
    """Which faces are made, and how many points of each are kept."""

    identities: int = 480  #: people
    expressions: int = 5  #: scans per person, the first neutral
    seed: int = 0  #: of everything that is drawn
    identity_sigma: float = 1.1  #: standard deviation of the coefficients
    mixed: float = 0.5  #: share of people whose regions come from two others
    corresponding: int = 4000  #: points with known neutral and template positions
    sheet: int = 1500  #: points on the closed sheet
    near: int = 1500  #: points near the sheet
    uniform: int = 1500  #: points anywhere in the ball
    near_sigma: float = 0.03  #: spread of near points [model units]
    carried_sigma: float = 0.02  #: spread of corresponding points off the surface [model units]

    @property
    def points(self) -> int:
        """Points per scan."""
        return self.corresponding + self.sheet + self.near + self.uniform


@dataclass(frozen=True)
class Recipes:
    """The faces of a data set as coefficients of the ICT model.

    Attributes
    ----------
    identity : ndarray (I, 2, 100)
        Two sets of coefficients per person.
    mask : ndarray (I, 2)
        Landmark and width [model units] of the smooth mask that mixes them; width 0: no mixing.
    expression : ndarray (I, E, 53)
        Weights in [0, 1]; row 0 is neutral.
    """

    identity: np.ndarray
    mask: np.ndarray
    expression: np.ndarray

    def mask_weights(self, ict: IctFaceKit, person: int) -> np.ndarray | None:
        """Return the share (V,) of the first set of coefficients at each vertex."""
        landmark, width = self.mask[person]
        if width == 0:
            return None
        center = ict.mean[ict.landmarks[int(landmark)]]
        return np.exp(-0.5 * ((ict.mean - center) ** 2).sum(1) / width**2)

    def neutral(self, ict: IctFaceKit, person: int) -> np.ndarray:
        """Return a person's neutral head (V, 3)."""
        mask = self.mask_weights(ict, person)
        return ict.neutral(
            self.identity[person] if mask is not None else self.identity[person, 0], mask
        )


def draw_recipes(config: DatasetConfig, names: tuple[str, ...], identity_modes: int) -> Recipes:
    """Draw people and expressions; the same seed gives the same faces."""
    rng = np.random.default_rng(config.seed)
    people = config.identities
    identity = rng.normal(0, config.identity_sigma, (people, 2, identity_modes))
    width = np.where(rng.random(people) < config.mixed, rng.uniform(0.15, 0.4, people), 0.0)
    mask = np.stack([rng.integers(0, 68, people), width], axis=1)
    groups = _symmetric_groups(names)
    expression = np.zeros((people, config.expressions, len(names)))
    for person in range(people):
        for state in range(1, config.expressions):
            # The people together walk through every single shape.
            single = person if state == 1 else None
            expression[person, state] = _draw_expression(groups, len(names), single, rng)
    return Recipes(identity, mask, expression)


def _symmetric_groups(names: tuple[str, ...]) -> list[list[int]]:
    """Pair left and right shapes: [[browDown_L, browDown_R], [jawOpen], ...] as indices."""
    stems: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        stems.setdefault(name.removesuffix("_L").removesuffix("_R"), []).append(i)
    emphasised = [g for stem, g in stems.items() if stem in _EMPHASISED]
    return list(stems.values()) + emphasised


def _draw_expression(
    groups: list[list[int]], count: int, single: int | None, rng: np.random.Generator
) -> np.ndarray:
    weights = np.zeros(count)
    if single is None:
        chosen = rng.choice(len(groups), rng.integers(1, 5), replace=False)
    else:
        chosen = np.array([single % len(groups)])
    for index in chosen:
        group = groups[index]
        if len(group) == 2 and rng.random() < 0.2:
            group = [group[rng.integers(2)]]
        weights[group] = rng.uniform(0.6, 1.0) if single is not None else rng.uniform(0.3, 1.0)
    return weights


def region_weights(ict: IctFaceKit, triangles: np.ndarray) -> np.ndarray:
    """Return how much denser than elsewhere each triangle (T, 3) is sampled: lips and lids 4 x."""
    centers = ict.mean[triangles].mean(1)
    small = ict.mean[ict.landmarks[36:68]]
    distance = np.linalg.norm(centers[:, None] - small[None], axis=2).min(1)
    return 1 + 3 * np.exp(-0.5 * (distance / 0.06) ** 2)


@dataclass(frozen=True)
class ScanSamples:
    """One scan's cached points; the first ``corresponding`` ones have partners."""

    points: np.ndarray  #: (M, 3)
    sdf: np.ndarray  #: (M,)
    gradients: np.ndarray  #: (M, 3)
    neutral: np.ndarray  #: (C, 3) the same points on the neutral face
    template: np.ndarray  #: (C, 3) the same points on the mean face


def make_samples(
    ict: IctFaceKit, neutral: np.ndarray, offsets: np.ndarray, config: DatasetConfig, seed: int
) -> ScanSamples:
    """Sample one ICT face: head (V, 3) plus expression offsets (V, 3), through the full
    pseudo-watertight preprocessing."""
    rng = np.random.default_rng(seed)
    observed = neutral + offsets
    skin = triangulate(ict.part_polygons(SKIN_PARTS))
    skin = skin[triangle_normals(observed, skin)[0][:, 2] > 0]
    depth = depth_map(observed, skin)
    sheet = visible_sheet(observed, skin, depth, spacing=0.014, samples=90_000, seed=seed)
    distance = SheetDistance(sheet, cover=40_000, seed=seed)
    carried, normals_on = _carried_points(ict, observed, neutral, depth, config, rng)
    on, face, _ = sample_surface(sheet.vertices, sheet.polygons, config.sheet + config.near, rng)
    normals = triangle_normals(sheet.vertices, sheet.polygons)[0][face]
    around = np.arange(len(on)) >= config.sheet
    order = rng.permutation(len(on))
    on, normals = on[order], normals[order]
    on[around] += normals[around] * rng.normal(0, config.near_sigma, (around.sum(), 1))
    free = np.concatenate([on, uniform_in_ball(config.uniform, rng)])
    points = np.concatenate([carried[0], free])
    sdf, gradients = distance(points)
    # Every second carried point lies on the true surface, which the sheet only approximates.
    sdf[: config.corresponding : 2] = 0
    gradients[: config.corresponding : 2] = normals_on[::2]
    return ScanSamples(points, sdf, gradients, carried[1], carried[2])


def _carried_points(
    ict: IctFaceKit,
    observed: np.ndarray,
    neutral: np.ndarray,
    depth: np.ndarray,
    config: DatasetConfig,
    rng: np.random.Generator,
) -> tuple[list[np.ndarray], np.ndarray]:
    """Draw points of the face seen from the front and move every odd one along the normal.

    Returns the same points on the observed, the neutral and the mean face, [(C, 3)] * 3, and
    their normals (C, 3) on the observed one.
    """
    face = triangulate(ict.part_polygons(("face",)))
    weight = region_weights(ict, face)
    points, owner, bary = sample_surface(observed, face, config.corresponding * 10, rng)
    normals, _ = triangle_normals(observed, face)
    seen = visible_from_front(points, normals[owner], depth)
    seen &= ((points * points).sum(1) <= 1) & (normals[owner, 2] > 0)
    candidates = np.flatnonzero(seen)
    share = weight[owner[candidates]]
    chosen = rng.choice(candidates, config.corresponding, replace=False, p=share / share.sum())
    shift = rng.normal(0, config.carried_sigma, (len(chosen), 1))
    shift[::2] = 0
    carried = []
    for head in (observed, neutral, ict.mean):
        corners = head[face[owner[chosen]]]
        normal = triangle_normals(head, face)[0][owner[chosen]]
        carried.append(np.einsum("nk,nkc->nc", bary[chosen], corners) + shift * normal)
    return carried, normals[owner[chosen]]


_worker: tuple[IctFaceKit, Recipes, DatasetConfig] | None = None


def _start_worker(data: Path, config: DatasetConfig) -> None:
    global _worker
    ict = load_ict(data)
    _worker = ict, draw_recipes(config, ict.expression_names, len(ict.identity_modes)), config


def _prepare_person(person: int) -> tuple[int, list[ScanSamples], np.ndarray, np.ndarray]:
    assert _worker is not None
    ict, recipes, config = _worker
    neutral = recipes.neutral(ict, person)
    offsets = [ict.expression(weights) for weights in recipes.expression[person]]
    samples = [
        make_samples(ict, neutral, offset, config, seed=(config.seed * 1_000_003 + person) * 64 + i)
        for i, offset in enumerate(offsets)
    ]
    landmarks = np.stack([(neutral + offset)[ict.landmarks] for offset in offsets])
    return person, samples, landmarks, neutral[ict.landmarks]


def cache_key(data: Path, config: DatasetConfig) -> str:
    """Return a hash of everything that shapes a cache."""
    source = data if data.is_file() else next(data.rglob("generic_neutral_mesh.obj"))
    text = json.dumps([CACHE_VERSION, asdict(config), source.stat().st_size])
    return hashlib.sha256(text.encode()).hexdigest()


def prepare(
    data: Path,
    folder: Path,
    config: DatasetConfig,
    *,
    workers: int = 2,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Fill a cache folder with samples; call it again to go on after a stop.

    Raises
    ------
    DataError
        If the folder holds a cache made with other settings.
    """
    load_ict(data)  # wrong data is refused here, before anything is written
    arrays = _open_cache(folder, config, cache_key(data, config))
    todo = np.flatnonzero(~arrays["done"])
    with ProcessPoolExecutor(workers, initializer=_start_worker, initargs=(data, config)) as pool:
        for i, result in enumerate(pool.map(_prepare_person, todo.tolist())):
            _store(arrays, *result)
            progress(config.identities - len(todo) + i + 1, config.identities)


def _store(
    arrays: dict[str, np.ndarray],
    person: int,
    samples: list[ScanSamples],
    landmarks: np.ndarray,
    neutral_landmarks: np.ndarray,
) -> None:
    for state, scan in enumerate(samples):
        for name in ("points", "sdf", "neutral", "template"):
            arrays[name][person, state] = _pack(getattr(scan, name), _RANGE)
        arrays["gradients"][person, state] = _pack(scan.gradients, 1.0)
    arrays["landmarks"][person] = landmarks
    arrays["neutral_landmarks"][person] = neutral_landmarks
    arrays["done"][person] = True


def _pack(values: np.ndarray, limit: float) -> np.ndarray:
    return np.round(np.clip(values / limit, -1, 1) * 32767).astype(np.int16)


def _layout(config: DatasetConfig) -> dict[str, tuple[tuple[int, ...], str]]:
    scans = (config.identities, config.expressions)
    return {
        "points": ((*scans, config.points, 3), "int16"),
        "sdf": ((*scans, config.points), "int16"),
        "gradients": ((*scans, config.points, 3), "int16"),
        "neutral": ((*scans, config.corresponding, 3), "int16"),
        "template": ((*scans, config.corresponding, 3), "int16"),
        "landmarks": ((*scans, 68, 3), "float32"),
        "neutral_landmarks": ((config.identities, 68, 3), "float32"),
        "done": ((config.identities,), "bool"),
    }


def _open_cache(folder: Path, config: DatasetConfig, key: str) -> dict[str, np.ndarray]:
    folder.mkdir(parents=True, exist_ok=True)
    header = folder / "cache.json"
    if not header.exists():
        for name, (shape, dtype) in _layout(config).items():
            open_memmap(folder / f"{name}.npy", "w+", dtype=dtype, shape=shape)
        header.write_text(json.dumps({"key": key, "config": asdict(config)}, indent=1))
    elif json.loads(header.read_text())["key"] != key:
        raise DataError(
            f"{folder} holds a cache made with other settings or another version. "
            "Choose an empty folder."
        )
    return {name: np.load(folder / f"{name}.npy", mmap_mode="r+") for name in _layout(config)}


@dataclass(frozen=True)
class Batch:
    """B scans with N points each, the first C of them corresponding; float32, model space."""

    person: np.ndarray  #: (B,) int
    state: np.ndarray  #: (B,) int, 0 is neutral
    points: np.ndarray  #: (B, N, 3)
    sdf: np.ndarray  #: (B, N)
    gradients: np.ndarray  #: (B, N, 3)
    neutral: np.ndarray  #: (B, C, 3)
    template: np.ndarray  #: (B, C, 3)
    landmarks: np.ndarray  #: (B, 68, 3)
    neutral_landmarks: np.ndarray  #: (B, 68, 3)


class ScanCache:
    """A prepared cache, read as batches."""

    def __init__(self, folder: Path) -> None:
        try:
            header = json.loads((folder / "cache.json").read_text())
            self.config = DatasetConfig(**header["config"])
            self._arrays = {
                name: np.load(folder / f"{name}.npy", mmap_mode="r")
                for name in _layout(self.config)
            }
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{folder} is not a prepared cache. Run 'prepare' first.") from error
        if not self._arrays["done"].all():
            raise DataError(
                f"The cache {folder} is unfinished. Run 'prepare' again to complete it."
            )

    def batches(
        self, step: int, seed: int, scans: int, points: int, part: int = 0, parts: int = 1
    ) -> Batch:
        """Draw the batch of a training step; a pure function of (seed, step), so a resumed run
        sees what an unbroken one would. Process ``part`` of ``parts`` gets its share of it."""
        rng = np.random.default_rng([seed, step])
        people = rng.integers(0, self.config.identities, scans)
        states = rng.integers(0, self.config.expressions, scans)
        seeds = rng.integers(0, 2**63, scans)
        mine = slice(part * scans // parts, (part + 1) * scans // parts)
        rows = [
            self._scan(p, s, points, np.random.default_rng(r))
            for p, s, r in zip(people[mine], states[mine], seeds[mine], strict=True)
        ]
        stacked = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        return Batch(person=people[mine], state=states[mine], **stacked)

    def _scan(
        self, person: int, state: int, points: int, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        at = person, state
        carried = np.sort(rng.choice(self.config.corresponding, points // 2, replace=False))
        free = self.config.points - self.config.corresponding
        others = self.config.corresponding + np.sort(
            rng.choice(free, points - points // 2, replace=False)
        )
        rows = np.concatenate([carried, others])
        arrays = self._arrays
        return {
            "points": _unpack(arrays["points"][at][rows], _RANGE),
            "sdf": _unpack(arrays["sdf"][at][rows], _RANGE),
            "gradients": _unpack(arrays["gradients"][at][rows], 1.0),
            "neutral": _unpack(arrays["neutral"][at][carried], _RANGE),
            "template": _unpack(arrays["template"][at][carried], _RANGE),
            "landmarks": arrays["landmarks"][at],
            "neutral_landmarks": arrays["neutral_landmarks"][person],
        }


def _unpack(values: np.ndarray, limit: float) -> np.ndarray:
    return values.astype(np.float32) * np.float32(limit / 32767)
