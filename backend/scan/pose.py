# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the face is in a scan of any orientation, unit and winding; no landmarks.

Every point that stands out may be a nose tip, at every size the scan may have. What lies around it
is seen from several directions as depths on rings, and compared with the mean face under all turns
in the image plane. The likeliest placements are refined by ICP, and their relief decides.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from ..mesh import Mesh, sample_surface, triangle_normals, vertex_normals
from .align import IDENTITY, NOSE_TIP_POSITION, Similarity
from .clean import without_spikes
from .watertight import depth_map, thin, visible_from_front

#: Points drawn on a scan, and the triangles they are drawn from at most.
_POINTS = 30_000
_TRIANGLES = 200_000
#: Median distances of a scan's points from its middle that are tried [model units].
_SIZES = 0.5 * 1.2 ** np.arange(12)
#: Spacing of the points that are looked at [model units].
_SPACING = 0.06
#: A nose tip is what stands out most within this radius [model units].
_NOSE_RADIUS = 0.35
#: It stands out this far from the middle of what surrounds it at least [model units].
_NOSE_HEIGHT = 0.08
_NOSES = 40
#: Points with fewer neighbours than this share of the usual number float in the air.
_FLOATING = 0.3
_NEIGHBOURS = 10
#: What is looked at around a nose tip, and what tells its direction [model units].
_FACE_RADIUS = 0.95
_MIDDLE_RADIUS = 0.7
#: Rings around the nose tip [model units] and their sectors: the cells of a signature.
_RINGS = 0.06 + 0.1 * np.arange(8)
_SECTORS = 24
_CELLS = (len(_RINGS) - 1) * _SECTORS
#: Depths against the nose tip that a signature holds [model units].
_DEPTHS = (-0.75, 0.3)
#: Directions within this angle of the first guess are tried.
_CONE = np.radians(50)
_DIRECTIONS = 14
#: Cost of a signature's tilt and of its empty cells beside its relief.
_TILT = 0.1
_EMPTY = 0.01
#: Placements per nose, and in all, that are refined; and those that are refined to the end.
_PER_NOSE = 3
_STARTS = 50
_FINALISTS = 8
#: ICP: rounds at first and to the end, and the residual that counts a quarter [model units].
_ROUNDS = (8, 16)
_WIDTH = 0.12
#: Half side and pixel of the image of the relief [model units].
_HALF = 0.8
_PIXEL = 0.05
#: Weights of the relief's shape and of its missing part in a pose's error [model units].
_SHAPE = 0.2
_MISSING = 0.08
_WORST = 1.0
CAP=0
CAPN=1
_MIDDLE = np.array([0, 0.05, 0.2])


@dataclass(frozen=True)
class _Poses:
    """K similarities x -> linear x + shift."""

    linear: np.ndarray  # (K, 3, 3) scale times rotation
    shift: np.ndarray  # (K, 3)

    def __len__(self) -> int:
        return len(self.shift)

    def __getitem__(self, rows: np.ndarray) -> "_Poses":
        return _Poses(self.linear[rows], self.shift[rows])

    def scale(self) -> np.ndarray:
        return np.cbrt(np.linalg.det(self.linear))

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Map points (N, 3) or (K, N, 3) by every pose."""
        return points @ self.linear.transpose(0, 2, 1) + self.shift[:, None]

    def apply_inverse(self, points: np.ndarray) -> np.ndarray:
        inverse = np.linalg.inv(self.linear)
        return (points - self.shift[:, None]) @ inverse.transpose(0, 2, 1)

    def similarity(self, k: int) -> Similarity:
        scale = float(self.scale()[k])
        return Similarity(scale, self.linear[k] / scale, self.shift[k])


@dataclass(frozen=True)
class _Face:
    """The mean face, as what a scan is compared with."""

    turned: np.ndarray  # (_SECTORS, _CELLS) the signature, turned in the image plane
    points: np.ndarray  # (M, 3) what the front sees
    normals: np.ndarray  # (M, 3)
    relief: np.ndarray  # (G, G) depths; NaN where nothing is compared


def find_pose(scan: Mesh, reference: Mesh, seed: int = 0) -> tuple[Similarity, float]:
    """Find the face in a scan of any orientation, unit and winding.

    Parameters
    ----------
    scan : Mesh
        Scan space.
    reference : Mesh
        The mean face, model space.
    seed : int
        Of the points drawn.

    Returns
    -------
    pose : Similarity
        Scan space -> model space.
    error : float
        How badly the best placement matches [model units]; small for a face.
    """
    rng = np.random.default_rng(seed)
    triangles = without_spikes(scan.vertices, scan.triangles)
    if len(triangles) == 0:
        return IDENTITY, _WORST
    face = _face(reference)
    cloud, unit = _cloud(scan.vertices, triangles, rng)
    poses = _placements(cloud, face)
    if len(poses) == 0:
        return IDENTITY, _WORST
    poses = _refined(poses, cloud, face.points[::2], face.normals[::2], _ROUNDS[0])
    poses = poses[np.argsort(_errors(poses, cloud, face))[:_FINALISTS]]
    poses = _refined(poses, cloud, face.points, face.normals, _ROUNDS[1])
    pose = poses.similarity(int(np.argmin(_errors(poses, cloud, face)))).after(unit)
    return _polished(pose, scan.vertices, triangles, face, rng)


def _polished(
    pose: Similarity,
    vertices: np.ndarray,
    triangles: np.ndarray,
    face: _Face,
    rng: np.random.Generator,
) -> tuple[Similarity, float]:
    """Refine a pose with as many points as the whole scan had near the face alone."""
    near = np.linalg.norm(pose.apply(vertices), axis=1) < 1.3
    triangles = triangles[near[triangles].any(axis=1)]
    if len(triangles) == 0:
        return pose, _WORST
    cloud = pose.apply(sample_surface(vertices, triangles, _POINTS // 2, rng)[0])
    near = cKDTree(thin(cloud, _SPACING)).query_ball_point(cloud, _NOSE_RADIUS, return_length=True)
    cloud = cloud[near > _FLOATING * np.median(near)]
    start = _Poses(np.eye(3)[None], np.zeros((1, 3)))
    found = _refined(start, cloud, face.points, face.normals, _ROUNDS[1])
    return found.similarity(0).after(pose), float(_errors(found, cloud, face)[0])


def _cloud(
    vertices: np.ndarray, triangles: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, Similarity]:
    """Draw points on a scan; put their middle at 0 and half of them within distance 1."""
    if len(triangles) > _TRIANGLES:
        triangles = triangles[rng.integers(0, len(triangles), _TRIANGLES)]
    points, owner, _ = sample_surface(vertices, triangles, CAPN * _POINTS, rng)
    if CAP:
        _, areas = triangle_normals(vertices, triangles)
        points = points[rng.random(len(points)) * areas[owner] < CAP * np.median(areas)]
    distance = np.linalg.norm(points - points.mean(0), axis=1)
    middle = points[distance <= 2 * np.median(distance)].mean(0)
    size = float(np.median(np.linalg.norm(points - middle, axis=1)))
    return (points - middle) / size, Similarity(1 / size, np.eye(3), -middle / size)


def _placements(cloud: np.ndarray, face: _Face) -> _Poses:
    """Return the likeliest placements of a cloud of size 1, the best first."""
    found = [_placements_at(size, thin(size * cloud, _SPACING), face) for size in _SIZES]
    cost, linear, shift = (np.concatenate(part) for part in zip(*found, strict=True))
    best = np.argsort(cost)[:_STARTS]
    return _Poses(linear[best], shift[best])


def _placements_at(
    size: float, points: np.ndarray, face: _Face
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return costs (K,), linear maps (K, 3, 3) and shifts (K, 3) for noses at one size."""
    costs, linear, shift = [np.zeros(0)], [np.zeros((0, 3, 3))], [np.zeros((0, 3))]
    points, noses = _noses(points)
    tree = cKDTree(points)
    for nose, rows in zip(noses, tree.query_ball_point(noses, _FACE_RADIUS), strict=True):
        around = points[rows] - nose
        middle = around[np.linalg.norm(around, axis=1) < _MIDDLE_RADIUS].mean(0)
        frames = _directions() @ _frame(-middle)
        cost = _mismatch(_signatures(around @ frames.transpose(0, 2, 1)), face.turned)
        best = np.argsort(cost, axis=None)[:_PER_NOSE]
        view, turn = np.unravel_index(best, cost.shape)
        rotation = _turns()[turn] @ frames[view]
        costs.append(cost[view, turn])
        linear.append(size * rotation)
        shift.append(NOSE_TIP_POSITION - rotation @ nose)
    return np.concatenate(costs), np.concatenate(linear), np.concatenate(shift)


def _noses(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return points (N', 3) without those that float, and those that stand out (K, 3)."""
    pairs = cKDTree(points).query_pairs(_NOSE_RADIUS, output_type="ndarray")
    here, there = np.concatenate([pairs, pairs[:, ::-1]]).T
    count = np.bincount(here, minlength=len(points))
    solid = count > _FLOATING * np.median(count)
    here, there = here[solid[there]], there[solid[there]]
    count = np.bincount(here, minlength=len(points))
    total = [np.bincount(here, points[there, i], len(points)) for i in range(3)]
    middle = np.stack(total, axis=1) / np.maximum(count, 1)[:, None]
    height = np.linalg.norm(points - middle, axis=1) * (solid & (count > _NEIGHBOURS))
    highest = np.zeros(len(points))
    np.maximum.at(highest, here, height[there])
    noses = np.flatnonzero((height >= highest) & (height > _NOSE_HEIGHT))
    noses = noses[np.argsort(-height[noses])[:_NOSES]]
    return points[solid], points[noses]


def _frame(z: np.ndarray) -> np.ndarray:
    """Return some rotation (3, 3) that takes a direction to +z."""
    z = z / max(np.linalg.norm(z), 1e-300)
    x = np.cross(np.eye(3)[np.argmin(np.abs(z))], z)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z])


def _directions() -> np.ndarray:
    """Return rotations (_DIRECTIONS, 3, 3) that take evenly spread directions around z to z."""
    i = np.arange(_DIRECTIONS) + 0.5
    z = 1 - i / _DIRECTIONS * (1 - np.cos(_CONE))
    angle = i * np.pi * (3 - np.sqrt(5))
    r = np.sqrt(1 - z * z)
    return np.stack([_frame(d) for d in np.stack([r * np.cos(angle), r * np.sin(angle), z], 1)])


def _turns() -> np.ndarray:
    """Return the rotations (_SECTORS, 3, 3) about z that turn sector k to sector 0."""
    angle = np.arange(_SECTORS) * 2 * np.pi / _SECTORS
    return Rotation.from_euler("z", -angle[:, None]).as_matrix()


def _signatures(points: np.ndarray) -> np.ndarray:
    """Return the foremost depths (D, _CELLS) of views (D, N, 3) around the nose tip; -inf: none."""
    ring = np.searchsorted(_RINGS, np.hypot(points[..., 0], points[..., 1])) - 1
    angle = np.arctan2(points[..., 1], points[..., 0]) / (2 * np.pi)
    sector = np.floor(angle * _SECTORS).astype(int) % _SECTORS
    cell = np.arange(len(points))[:, None] * _CELLS + ring * _SECTORS + sector
    inside = (ring >= 0) & (ring < len(_RINGS) - 1)
    out = np.full(len(points) * _CELLS, -np.inf)
    np.maximum.at(out, cell[inside], points[..., 2][inside])
    return out.reshape(len(points), _CELLS)


def _cells() -> tuple[np.ndarray, np.ndarray]:
    """Return the plane's basis 1, x, y (3, _CELLS) at a signature's cells, and their areas."""
    radius = np.repeat((_RINGS[1:] + _RINGS[:-1]) / 2, _SECTORS)
    angle = np.tile((np.arange(_SECTORS) + 0.5) * 2 * np.pi / _SECTORS, len(_RINGS) - 1)
    basis = np.stack([np.ones(_CELLS), radius * np.cos(angle), radius * np.sin(angle)])
    return basis, radius / radius.sum()


def _mismatch(signatures: np.ndarray, turned: np.ndarray) -> np.ndarray:
    """Return the cost (D, _SECTORS) of signatures (D, _CELLS) against each turn of the face's.

    It is the mean squared difference of the depths but for a plane, since the direction is a
    guess; what the plane takes away costs little, and so do empty cells.
    """
    basis, area = _cells()
    seen = np.isfinite(signatures)
    depth = np.where(seen, np.clip(signatures, *_DEPTHS), 0)
    weight = seen * area
    whole = (weight * depth**2).sum(1)[:, None] - 2 * (weight * depth) @ turned.T
    whole = whole + weight @ (turned**2).T
    slope = ((weight * depth) @ basis.T)[:, None] - np.einsum(
        "dc,tc,bc->dtb", weight, turned, basis, optimize=True
    )
    normal = np.einsum("dc,ac,bc->dab", weight, basis, basis, optimize=True) + 1e-3 * np.eye(3)
    plane = (np.linalg.solve(normal[:, None], slope[..., None])[..., 0] * slope).sum(-1)
    share = weight.sum(1)[:, None]
    relief = (whole - plane) / np.maximum(share, 1e-9)
    return relief + _TILT * whole / np.maximum(share, 1e-9) + _EMPTY * (1 - share)


def _refined(
    poses: _Poses,
    cloud: np.ndarray,
    points: np.ndarray,
    normals: np.ndarray,
    rounds: int,
) -> _Poses:
    """Run ICP, point to plane, for all poses at once.

    A pair counts the less the larger its residual is, and not at all where the scan ends or has
    a hole: there its nearest point lies aside.
    """
    tree = cKDTree(cloud)
    spacing = np.median(tree.query(cloud[:500], 2)[0][:, 1]) * poses.scale()[:, None]
    for _ in range(rounds):
        _, nearest = tree.query(poses.apply_inverse(points[None]))
        at = poses.apply(cloud[nearest])
        off = points - at
        residual = (off * normals).sum(-1)
        aside = np.sqrt(np.maximum((off * off).sum(-1) - residual**2, 0))
        weight = 1 / (1 + (residual / _WIDTH) ** 2) ** 2
        weight *= aside < 1.5 * spacing + 0.5 * np.abs(residual)
        poses = _step(poses, at, normals, residual, weight)
    return poses


def _step(
    poses: _Poses,
    at: np.ndarray,
    normals: np.ndarray,
    residual: np.ndarray,
    weight: np.ndarray,
) -> _Poses:
    """Move poses by the small similarity that takes points (K, N, 3) to their planes."""
    along = np.broadcast_to(normals, at.shape)
    slopes = np.concatenate(
        [np.cross(at, along), along, (at * along).sum(-1, keepdims=True)], axis=-1
    )
    weighted = (slopes * weight[..., None]).transpose(0, 2, 1)
    damping = 1e-4 * at.shape[1] * np.diag([2.0, 2, 2, 1, 1, 1, 5])
    change = np.linalg.solve(weighted @ slopes + damping, weighted @ residual[..., None])[..., 0]
    growth = np.exp(np.clip(change[:, 6], -0.2, 0.2))[:, None]
    turn = Rotation.from_rotvec(change[:, :3]).as_matrix() * growth[..., None]
    shift = (turn @ poses.shift[..., None])[..., 0] + change[:, 3:6]
    return _Poses(turn @ poses.linear, shift)


def _errors(poses: _Poses, cloud: np.ndarray, face: _Face) -> np.ndarray:
    """Return how badly each pose matches (K,) [model units]."""
    return np.array([_error(poses[[k]].apply(cloud)[0], face.relief) for k in range(len(poses))])


def _error(points: np.ndarray, relief: np.ndarray) -> float:
    """Compare the depths of a posed scan with the mean face's.

    To the mean difference comes what says how alike the reliefs are, however flat: 1 minus the
    correlation of what a quadratic surface leaves of either.
    """
    seen = _depths(points)
    both = np.isfinite(relief) & np.isfinite(seen)
    share = both.sum() / np.isfinite(relief).sum()
    if both.sum() < 50:
        return _WORST
    off = np.abs(seen - relief)[both]
    row, column = np.nonzero(both)
    x, y = column * _PIXEL - _HALF, row * _PIXEL - _HALF
    weight = 1 / (1 + (off / 0.1) ** 2)
    root = np.sqrt(weight)[:, None]
    basis, _ = np.linalg.qr(np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], 1) * root)
    pair = np.stack([seen[both], relief[both]], 1) * root
    pair = pair - basis @ (basis.T @ pair)
    alike = pair[:, 0] @ pair[:, 1] / max(np.linalg.norm(pair, axis=0).prod(), 1e-12)
    global LAST
    LAST=dict(mad=np.minimum(off, 0.2).mean(),ncc=alike,cov=share,front=(seen[both]-relief[both]>.1).mean())
    return float(np.minimum(off, 0.2).mean() + _SHAPE * (1 - alike) + _MISSING * (1 - share))


def _depths(points: np.ndarray) -> np.ndarray:
    """Return the foremost depth per pixel (G, G) of points in model space; -inf: none."""
    size = round(2 * _HALF / _PIXEL)
    pixel = np.floor((points[:, :2] + _HALF) / _PIXEL).astype(int)
    inside = (pixel >= 0).all(1) & (pixel < size).all(1) & (np.abs(points[:, 2]) < 1)
    out = np.full(size * size, -np.inf)
    np.maximum.at(out, pixel[inside] @ [1, size], points[inside, 2])
    image = np.pad(np.where(np.isfinite(out), out, np.nan).reshape(size, size), 1, constant_values=np.nan)
    win = np.sort(np.lib.stride_tricks.sliding_window_view(image, (3, 3)).reshape(size, size, 9), axis=2)
    n = np.isfinite(win).sum(2)
    med = (np.take_along_axis(win, np.maximum((n - 1) // 2, 0)[..., None], 2) + np.take_along_axis(win, (n // 2).clip(0,8)[..., None], 2))[..., 0] / 2
    return np.where(n >= 3, med, -np.inf)


def _face(reference: Mesh) -> _Face:
    """Measure the mean face."""
    rng = np.random.default_rng(0)
    vertices, triangles = reference.vertices, reference.triangles
    dense, _, _ = sample_surface(vertices, triangles, _POINTS, rng)
    points, normals = _front(vertices, triangles)
    signature = _signature(dense)
    turned = [np.roll(signature.reshape(-1, _SECTORS), k, axis=1).ravel() for k in range(_SECTORS)]
    return _Face(np.stack(turned), points, normals, _relief(dense))


def _signature(dense: np.ndarray) -> np.ndarray:
    """Return the signature (_CELLS,) that a face thinned like a scan has on average."""
    rng = np.random.default_rng(0)
    views = []
    for _ in range(8):
        offset = rng.random(3) * _SPACING
        thinned = thin(rng.permutation(dense) + offset, _SPACING) - offset - NOSE_TIP_POSITION
        views.append(_signatures(thinned[None])[0])
    seen = np.isfinite(views)
    mean = np.where(seen, views, 0).sum(0) / np.maximum(seen.sum(0), 1)
    return np.clip(np.where(seen.any(0), mean, _DEPTHS[0]), *_DEPTHS)


def _front(vertices: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return points (M, 3) and normals of what a viewer at +z sees of a face, thinned."""
    normals = vertex_normals(vertices, triangles)
    seen = visible_from_front(vertices, normals, depth_map(vertices, triangles))
    off = (vertices - _MIDDLE) * [1, 1, 0.7]
    seen &= (np.abs(normals[:, 2]) > 0.25) & (np.linalg.norm(off, axis=1) < 0.8)
    _, rows = np.unique(np.floor(vertices[seen] / 0.085), axis=0, return_index=True)
    return vertices[seen][rows], normals[seen][rows]


def _relief(dense: np.ndarray) -> np.ndarray:
    """Return the depths (G, G) of eyes, nose and mouth, and NaN elsewhere."""
    depth = _depths(dense)
    y, x = (np.indices(depth.shape) + 0.5) * _PIXEL - _HALF
    compared = ((x / 0.55) ** 2 + ((y - 0.02) / 0.62) ** 2 < 1) & (depth > -0.35)
    return np.where(compared, depth, np.nan)
