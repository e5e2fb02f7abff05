# SPDX-License-Identifier: GPL-3.0-or-later
"""Training scans drawn from the ICT model: recipes (which faces), and their samples."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..face.expressions import FACESCAPE, ict_weights
from ..mesh import sample_surface, triangle_normals, triangulate
from ..scan.align import NOSE_TIP_POSITION
from ..scan.sampling import SheetDistance, uniform_in_ball
from ..scan.watertight import depth_map, visible_from_front, visible_sheet
from .cache import DatasetConfig, ScanSamples, ScanTable
from .ict import NOSE_TIP, SKIN_PARTS, IctFaceKit, load_ict

#: Takes a place on one side of the face to the other.
MIRROR = np.array([-1.0, 1.0, 1.0])
#: Shapes that open and close mouth and eyes: small regions, large motion, drawn more often.
_EMPHASISED = ("jawOpen", "eyeBlink", "mouthFunnel", "mouthUpperUp", "mouthLowerDown", "eyeWide")
#: Faces that the components are found in, at most: enough for them, and those of the first
#: people stay as they are when there are more.
_BASIS_FACES = 2000
#: Points that corresponding ones are chosen from, at least: some have to be seen from the front.
_FEWEST_DRAWN = 100


@dataclass(frozen=True)
class Recipes:
    """The faces of a data set as coefficients of the ICT model.

    Attributes
    ----------
    identity : ndarray (I, R + 1, 100)
        A set of coefficients for each of a person's regions, and for what they leave.
    regions : ndarray (I, R, 3)
        Landmark and width [model units] of each, and 1 where it is on both sides of the face;
        width 0: the whole face, no mixing.
    expression : ndarray (I, E, 53)
        Weights in [0, 1]; row 0 is neutral.
    scans : ndarray (S, 2)
        Person and state of what is scanned: all states of some people, one of each other.
    """

    identity: np.ndarray
    regions: np.ndarray
    expression: np.ndarray
    scans: np.ndarray

    @property
    def scanned_expressions(self) -> np.ndarray:
        """The weights (S, 53) of the scans."""
        weights: np.ndarray = self.expression[self.scans[:, 0], self.scans[:, 1]]
        return weights

    def neutral(self, ict: IctFaceKit, person: int) -> np.ndarray:
        """Return a person's neutral head (V, 3)."""
        return ict.neutral(
            self.identity[person], mix_shares(ict, slice(None), self.regions[person])
        )

    def head(self, ict: IctFaceKit, person: int, state: int) -> np.ndarray:
        """Return the head (V, 3) of one scan."""
        return self.neutral(ict, person) + ict.expression(self.expression[person, state])


def mix_shares(ict: IctFaceKit, rows: np.ndarray | slice, regions: np.ndarray) -> np.ndarray:
    """Return the shares (R + 1, N) of a person's sets of coefficients at some vertices (N,) of the
    head: each region (R, 3) takes its share of what those before it have left."""
    vertices = ict.mean[rows]
    left = np.ones(len(vertices))
    shares = []
    for landmark, width, mirrored in regions:
        center = ict.mean[ict.landmarks[int(landmark)]]
        near, across = (
            np.exp(-0.5 * ((vertices - place) ** 2).sum(1) / width**2) if width else 1.0
            for place in (center, center * MIRROR)
        )
        shares.append((near + mirrored * across * (1 - near)) * left)
        left = left - shares[-1]
    return np.stack([*shares, left])


def draw_person(
    config: DatasetConfig, identity_modes: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a person: sets of coefficients (R + 1, M), and the regions (R, 3) that mix them."""
    identity = rng.normal(0, config.identity_sigma, (config.regions + 1, identity_modes))
    regions = np.zeros((config.regions, 3))
    for region in regions:
        if rng.random() < config.mixed:
            region[1] = rng.uniform(config.narrowest, config.widest)
        region[0] = rng.integers(68)
        # Drawn where it may happen alone: people of plainer settings stay who they were.
        region[2] = config.mirrored > 0 and rng.random() < config.mirrored
    return identity, regions


def draw_recipes(config: DatasetConfig, names: tuple[str, ...], identity_modes: int) -> Recipes:
    """Draw people and expressions; the same seed gives the same faces, however many.

    A person is neutral first, then shows two single shapes, a strong and a faint one, one of
    FaceScape's expressions, and random mixes; the people together walk through every shape and
    every FaceScape expression. Without faint ones a slider's first third would move nothing.
    """
    groups = _symmetric_groups(names)
    composed = [weights for mix in FACESCAPE.values() if (weights := ict_weights(mix, names)).any()]
    people = config.identities + config.further_identities
    identity = np.empty((people, config.regions + 1, identity_modes))
    regions = np.empty((people, config.regions, 3))
    expression = np.zeros((people, config.expressions, len(names)))
    for person in range(people):
        rng = np.random.default_rng([config.seed, person])
        identity[person], regions[person] = draw_person(config, identity_modes, rng)
        states = [
            np.zeros(len(names)),
            _draw_single(groups, len(names), person, (0.6, 1.0), rng),
            _draw_single(groups, len(names), person + len(groups) // 2, (0.1, 0.7), rng),
            composed[person % len(composed)] * rng.uniform(0.7, 1.0),
        ]
        while len(states) < config.expressions:
            states.append(_draw_mix(groups, len(names), rng))
        expression[person] = states[: config.expressions]
    scans = [
        (person, state)
        for person in range(people)
        for state in range(config.expressions)
        if person < config.identities or state == person % config.expressions
    ]
    return Recipes(identity, regions, expression, np.array(scans))


def _symmetric_groups(names: tuple[str, ...]) -> list[list[int]]:
    """Pair left and right shapes: [[browDown_L, browDown_R], [jawOpen], ...] as indices."""
    stems: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        stems.setdefault(name.removesuffix("_L").removesuffix("_R"), []).append(i)
    emphasised = [g for stem, g in stems.items() if stem in _EMPHASISED]
    return list(stems.values()) + emphasised


def _one_side(group: list[int], rng: np.random.Generator) -> list[int]:
    """Return a pair as it is in four of five cases, else one side of it."""
    return [group[rng.integers(2)]] if len(group) == 2 and rng.random() < 0.2 else group


def _draw_single(
    groups: list[list[int]],
    count: int,
    turn: int,
    strength: tuple[float, float],
    rng: np.random.Generator,
) -> np.ndarray:
    weights = np.zeros(count)
    weights[_one_side(groups[turn % len(groups)], rng)] = rng.uniform(*strength)
    return weights


def _draw_mix(groups: list[list[int]], count: int, rng: np.random.Generator) -> np.ndarray:
    weights = np.zeros(count)
    for index in rng.choice(len(groups), rng.integers(1, 5), replace=False):
        weights[_one_side(groups[index], rng)] = rng.uniform(0.05, 1.0)
    return weights


class IctScans:
    """The ICT model as a ``learn.cache.ScanSource``.

    Raises
    ------
    DataError
        If ``data`` is no ICT-FaceKit data, or the configuration wants nobody.
    """

    partners = True

    def __init__(self, data: Path, config: DatasetConfig) -> None:
        self.config = config
        self.ict = load_ict(data)
        self.triangles = len(face_triangles(self.ict))
        self.recipes = draw_recipes(config, self.ict.expression_names, len(self.ict.identity_modes))
        if not len(self.recipes.scans):
            raise DataError("There is nobody to draw. Set 'identities' to 1 or more.")

    def fingerprint(self) -> str:
        """Return a hash of the mean head and of every recipe: other draws are other faces."""
        drawn = (self.recipes.identity, self.recipes.regions, self.recipes.expression)
        digest = hashlib.sha256()
        for array in (self.ict.mean, *drawn):
            digest.update(np.float32(array).tobytes())
        return f"ict {digest.hexdigest()}"

    def table(self) -> ScanTable:
        """Return the scans with the numbers that made them."""
        person, state = self.recipes.scans.T
        return ScanTable(
            names=[f"person {p}, state {s}" for p, s in self.recipes.scans],
            person=person,
            is_neutral=state == 0,
            identity_coefficients=principal_coordinates(
                self.ict, self.recipes, self.config.components
            ),
            expression_coefficients=self.recipes.scanned_expressions,
            template_landmarks=self.ict.mean[self.ict.landmarks],
        )

    def sample(self, scan: int) -> ScanSamples:
        """Sample one face."""
        person, state = self.recipes.scans[scan]
        neutral = self.recipes.neutral(self.ict, person)
        return make_samples(
            self.ict,
            neutral,
            neutral + self.ict.expression(self.recipes.expression[person, state]),
            self.config,
            seed=(self.config.seed * 1_000_003 + person) * 64 + state,
        )


@dataclass(frozen=True)
class PrincipalCoordinates:
    """The numbers that a person's code is started from: unlike the ICT coefficients, principal
    components of neutral faces also describe people who are mixed from several.

    Attributes
    ----------
    mean : ndarray (P,)
        Of every so-maniest vertex of the neutral face, flat.
    axes : ndarray (P, K)
        Coordinates are of unit variance over the faces that they were found in.
    """

    mean: np.ndarray
    axes: np.ndarray

    def __call__(self, faces: np.ndarray) -> np.ndarray:
        """Return the coordinates (I, K) of faces (I, P); see ``principal_rows``."""
        return (faces - self.mean) @ self.axes


def principal_rows(ict: IctFaceKit) -> slice:
    """Return the vertices of a head that tell its principal coordinates."""
    return slice(0, ict.parts["face"][1], 4)


def find_principal(ict: IctFaceKit, recipes: Recipes, components: int) -> PrincipalCoordinates:
    """Find the leading principal components of the first people's neutral faces."""
    some = principal_faces(ict, recipes, min(len(recipes.identity), _BASIS_FACES))
    mean = some.mean(0)
    centered = (some - mean).astype(float)
    values, axes = np.linalg.eigh(centered @ centered.T)
    kept = min(components, int((values > values[-1] * 1e-9).sum()))
    # Contiguous: a product with reversed columns takes half a minute.
    directions = centered.T @ np.ascontiguousarray(axes[:, ::-1][:, :kept])
    # An eigenvector's sign is the machine's choice; weights have to mean the same on the next one.
    directions *= np.sign(directions[np.abs(directions).argmax(0), range(kept)])
    return PrincipalCoordinates(mean, directions / (centered @ directions).std(0))


def principal_faces(ict: IctFaceKit, recipes: Recipes, people: int) -> np.ndarray:
    """Return what tells the principal coordinates of the first people (people, P)."""
    # A whole head has thirty times as many vertices.
    rows = np.append(np.arange(len(ict.mean))[principal_rows(ict)], ict.landmarks[NOSE_TIP])
    mean, modes = ict.mean[rows], ict.identity_modes[:, rows].reshape(len(ict.identity_modes), -1)
    offsets = np.float32(recipes.identity[:people]) @ modes
    offsets = offsets.reshape(*offsets.shape[:2], -1, 3)
    faces = np.empty((people, 3 * len(rows) - 3), np.float32)
    for person, several in enumerate(offsets):
        shares = mix_shares(ict, rows, recipes.regions[person])
        face = mean + (shares[..., None] * several).sum(0)
        faces[person] = (face[:-1] + (NOSE_TIP_POSITION - face[-1])).ravel()
    return faces


def principal_coordinates(ict: IctFaceKit, recipes: Recipes, components: int) -> np.ndarray:
    """Return the principal coordinates (I, K) of a data set's people."""
    faces = principal_faces(ict, recipes, len(recipes.identity))
    return find_principal(ict, recipes, components)(faces)


def face_triangles(ict: IctFaceKit) -> np.ndarray:
    """Return the triangles (T, 3) that corresponding points are drawn on."""
    return triangulate(ict.part_polygons(("face",)))


def region_weights(ict: IctFaceKit, triangles: np.ndarray) -> np.ndarray:
    """Return how much denser than elsewhere each triangle (T, 3) is sampled: lips and lids 4 x."""
    centers = ict.mean[triangles].mean(1)
    small = ict.mean[ict.landmarks[36:68]]
    distance = np.linalg.norm(centers[:, None] - small[None], axis=2).min(1)
    return 1 + 3 * np.exp(-0.5 * (distance / 0.06) ** 2)


def make_samples(
    ict: IctFaceKit, neutral: np.ndarray, observed: np.ndarray, config: DatasetConfig, seed: int
) -> ScanSamples:
    """Sample one ICT face (V, 3), its neutral head (V, 3) given, through the full
    pseudo-watertight preprocessing."""
    rng = np.random.default_rng(seed)
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
    return ScanSamples(
        points=points,
        sdf=sdf,
        gradients=gradients,
        neutral=carried[1],
        template=carried[2],
        landmarks=observed[ict.landmarks],
        neutral_landmarks=neutral[ict.landmarks],
        seen=_seen_triangles(ict, observed, depth),
    )


def _seen_triangles(ict: IctFaceKit, head: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Tell which of the face's triangles (T,) of a head (V, 3) the front sees."""
    face = face_triangles(ict)
    normals, _ = triangle_normals(head, face)
    centers = head[face].mean(1)
    seen: np.ndarray = visible_from_front(centers, normals, depth) & (normals[:, 2] > 0)
    return seen & ((centers * centers).sum(1) < 1)


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
    face = face_triangles(ict)
    weight = region_weights(ict, face)
    drawn = max(10 * config.corresponding, _FEWEST_DRAWN)
    points, owner, bary = sample_surface(observed, face, drawn, rng)
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
