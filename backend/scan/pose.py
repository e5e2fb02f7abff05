# SPDX-License-Identifier: GPL-3.0-or-later
"""The pose of the face in a scan of any orientation, unit and winding; landmarks may help."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from ..mesh import Mesh, sample_surface, triangle_normals, vertex_normals
from .align import IDENTITY, Similarity, middle_of
from .clean import without_spikes
from .drawing import draw_points, some_triangles, steady
from .landmarks import landmark_pose
from .placement import FLOATING, NEAR, SPACING, Poses, likely_placements, turned_signatures
from .relief import WORST, face_relief, relief_error
from .watertight import depth_map, thin, visible_from_front

#: A scan whose best pose has a larger error holds no face.
NO_FACE = 0.072
#: A pose with a smaller error is right: no other one needs to be looked for.
_RIGHT = 0.6 * NO_FACE
#: Landmarks are left out if a pose without them has an error so much smaller.
_PLAINLY_BETTER = 0.75
#: Points drawn on a scan and again around its face, and the triangles they are drawn from at most.
_POINTS = 30_000
_FACE_POINTS = 15_000
_TRIANGLES = 200_000
#: A triangle counts as if its area was this many times the median at most: spikes are large.
_AREA = 8.0
#: A larger one gets no more points to begin with: else a floor of two triangles takes all of them.
_HUGE = 1000.0
#: Placements that are refined, and those of them that are refined to the end.
_STARTS = 60
_FINALISTS = 8
#: Rounds of ICP at first, to the end, and around the face.
_ROUNDS = (8, 8, 16)
#: A residual that counts a quarter in ICP [model units].
_WIDTH = 0.12
#: Radius of the part of a scan that is drawn again [model units].
_FACE_RADIUS = 1.3
#: A pose is rounded as seen from the scan's vertices that are nearest to these places, left, right
#: and below in the face, to such steps [radians, share of the scale, model units].
_SEEN_FROM = np.array([[-0.4, 0.3, 0.1], [0.4, 0.3, 0.1], [0.0, -0.5, 0.2]])
_STEP = 0.03
#: Where, from one refinement to the next: two poses that one rounding parts, another joins.
_PHASES = (0.0, 1 / 3, 2 / 3)
#: A face so far from another one is another [model units].
_ELSEWHERE = 1.5
#: The mean face is compared within this radius of a point in the middle of the head.
_MIDDLE, _RADIUS = np.array([0, 0.05, 0.2]), 0.8
_REFERENCE_SPACING = 0.085


@dataclass(frozen=True)
class _Face:
    """The mean face, as what a scan is compared with."""

    turned: np.ndarray  # (S, C) signatures around the nose tip
    points: np.ndarray  # (M, 3) what the front sees
    normals: np.ndarray  # (M, 3)
    relief: np.ndarray  # (G, G)


def find_pose(scan: Mesh, reference: Mesh, seed: int = 0) -> tuple[Similarity, float]:
    """Find the likeliest face in a scan; see ``find_faces``."""
    return find_faces(scan, reference, seed)[0]


def find_faces(scan: Mesh, reference: Mesh, seed: int = 0) -> list[tuple[Similarity, float]]:
    """Find the face in a scan of any orientation, unit and winding.

    Every point that stands out may be a nose tip, at every size the scan may have. The
    placements that look most like the mean face from the front are refined by ICP, and the
    relief of eyes, nose and mouth decides.

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
    list
        The best match; if that is a face, and there is a face elsewhere in the scan, that too.
        Of each the pose : Similarity, scan space -> model space; and the error : float, how unlike
        it and the mean face are: more than ``NO_FACE`` without a face.
    """
    triangles = without_spikes(scan.vertices, scan.triangles)
    cloud = _draw(scan.vertices, triangles, _POINTS, seed)
    if len(cloud) == 0:
        return [(IDENTITY, WORST)]
    face, unit = _measure(reference), _unit(cloud)
    candidates = _candidates(unit.apply(cloud), face)
    if len(candidates) == 0:
        return [(IDENTITY, WORST)]
    poses = _finalists(candidates, unit.apply(cloud), face)
    cloud = _draw_face(unit.apply(scan.vertices), triangles, poses.similarity(0), seed)
    poses = _refined(poses, cloud, face.points, face.normals, _ROUNDS[2])
    errors = _errors(poses, cloud, face)
    best = int(np.argmin(errors))
    # ICP ends near where it begins, and that depends on how the scan lies. Begun anew at the pose
    # rounded, on points drawn there, it ends where it does for a scan that lies elsewhere.
    pose, error = poses.similarity(best).after(unit), float(errors[best])
    for phase in _PHASES:
        start = _rounded(pose, scan.vertices, phase)
        _, (pose, error) = _matched(scan.vertices, triangles, start, face, seed)
    apart = _apart(candidates, pose.after(unit.inverse()))
    if error > NO_FACE or len(apart) == 0:
        return [(pose, error)]
    start = apart.similarity(0).after(unit)
    other = min(_matched(scan.vertices, triangles, start, face, seed), key=lambda one: one[1])
    return [(pose, error), other] if other[1] <= NO_FACE else [(pose, error)]


def find_pose_by_landmarks(
    scan: Mesh, reference: Mesh, landmarks: np.ndarray, mean: np.ndarray
) -> tuple[Similarity, float, bool]:
    """Find the face where landmarks show it, or without them if they are plainly wrong.

    Parameters
    ----------
    scan : Mesh
        Scan space.
    reference : Mesh
        The mean face, model space.
    landmarks : ndarray (K, 3)
        Scan space, see ``scan.landmarks``.
    mean : ndarray (68, 3)
        The mean face's landmarks, model space.

    Returns
    -------
    pose, error
        As of ``find_pose``, but that the error of what shows half a face, or less, says nothing.
    is_by_landmarks : bool
        Whether this is where the landmarks show a face.

    Raises
    ------
    LandmarkError
        If the landmarks cannot be used.
    """
    start, is_face = landmark_pose(landmarks, mean, scan)
    triangles = without_spikes(scan.vertices, scan.triangles)
    both = _matched(scan.vertices, triangles, start, _measure(reference))
    pose, error = min(both, key=lambda matched: matched[1])
    if error < _RIGHT:
        return pose, error, True
    found, without = find_pose(scan, reference)
    if without <= NO_FACE and without < _PLAINLY_BETTER * error:
        return found, without, False
    return pose, error, is_face or error <= NO_FACE


def _matched(
    vertices: np.ndarray, triangles: np.ndarray, start: Similarity, face: _Face, seed: int = 0
) -> list[tuple[Similarity, float]]:
    """Return a pose that is nearly right, and that pose refined, each with its error."""
    cloud = _draw_face(start.apply(vertices), triangles, IDENTITY, seed)
    if len(cloud) == 0:
        return [(start, WORST)] * 2
    given = Poses(np.eye(3)[None], np.zeros((1, 3)))
    both = (given, _refined(given, cloud, face.points, face.normals, _ROUNDS[2]))
    return [(p.similarity(0).after(start), float(_errors(p, cloud, face)[0])) for p in both]


def _rounded(pose: Similarity, vertices: np.ndarray, phase: float) -> Similarity:
    """Return nearly the pose of a scan (V, 3), rounded as three of its own vertices see it.

    Parameters
    ----------
    phase : float
        Where between two steps the values lie that it is rounded to, as a share of one.
    """
    places = pose.inverse().apply(_SEEN_FROM)
    nearest = [np.linalg.norm(vertices - place, axis=1).argmin() for place in places]
    left, right, below = vertices[nearest]
    across = right - left
    out = np.cross(across, left - below)
    if np.linalg.norm(out) <= 1e-3 * (across @ across):  # as good as one line
        return pose
    x, z = across / np.linalg.norm(across), out / np.linalg.norm(out)
    frame = np.stack([x, np.cross(z, x), z], axis=1)
    of_scan = Similarity(float(np.linalg.norm(across)), frame, left)
    seen = pose.after(of_scan)
    turn, growth, shift = (
        _STEP * (np.round(value / _STEP - phase) + phase)
        for value in (
            Rotation.from_matrix(seen.rotation).as_rotvec(),
            np.log(seen.scale),
            seen.translation,
        )
    )
    rounded = Similarity(float(np.exp(growth)), Rotation.from_rotvec(turn).as_matrix(), shift)
    return rounded.after(of_scan.inverse())


def _candidates(cloud: np.ndarray, face: _Face) -> Poses:
    """Return poses that match, the best first; none if nothing stands out."""
    poses = likely_placements(cloud, face.turned, _STARTS)
    poses = _refined(poses, cloud, face.points[::2], face.normals[::2], _ROUNDS[0])
    return poses[np.argsort(_errors(poses, cloud, face))]


def _finalists(poses: Poses, cloud: np.ndarray, face: _Face) -> Poses:
    """Return the best few of the candidates, refined, the best first."""
    poses = _refined(poses[:_FINALISTS], cloud, face.points, face.normals, _ROUNDS[1])
    return poses[np.argsort(_errors(poses, cloud, face))]


def _apart(poses: Poses, pose: Similarity) -> Poses:
    """Return those of the poses that show a face elsewhere than a pose of the same space does."""
    middles = pose.apply(poses.apply_inverse(np.zeros((1, 3)))[:, 0])
    return poses[np.linalg.norm(middles, axis=1) > _ELSEWHERE]


def _draw(
    vertices: np.ndarray,
    triangles: np.ndarray,
    count: int,
    seed: int,
    rounded: Callable[[float], float] = float,
) -> np.ndarray:
    """Draw about ``count`` points on a scan, fewer on triangles of unusual size; none if all have
    no area."""
    triangles = some_triangles(triangles, _TRIANGLES, seed)
    _, areas = triangle_normals(vertices, triangles)
    if not areas.any():
        return np.zeros((0, 3))
    usual = rounded(np.median(areas[areas > 0]))
    area = rounded(np.minimum(areas, _HUGE * usual).sum() / count)
    return draw_points(vertices, triangles, area, seed, _AREA * usual).points


def _draw_face(
    vertices: np.ndarray, triangles: np.ndarray, pose: Similarity, seed: int
) -> np.ndarray:
    """Draw points around a face found; what floats before it goes."""
    near = np.linalg.norm(pose.apply(vertices), axis=1) < _FACE_RADIUS
    touching = triangles[near[triangles].any(axis=1)]
    points = _draw(vertices, touching if len(touching) else triangles, _FACE_POINTS, seed, steady)
    if len(points) == 0:
        return points
    posed = pose.apply(points)
    tree = cKDTree(thin(posed, SPACING))
    neighbors = tree.query_ball_point(posed, NEAR, return_length=True, workers=-1)
    return points[neighbors > FLOATING * np.median(neighbors)]


def _unit(cloud: np.ndarray) -> Similarity:
    """Return what puts a cloud's middle at 0 and half of it within distance 1."""
    middle = middle_of(cloud)
    size = float(np.median(np.linalg.norm(cloud - middle, axis=1)))
    return Similarity(1 / size, np.eye(3), -middle / size)


def _measure(reference: Mesh) -> _Face:
    vertices, triangles = reference.vertices, reference.triangles
    dense, _, _ = sample_surface(vertices, triangles, _POINTS, np.random.default_rng(0))
    points, normals = _front(vertices, triangles)
    return _Face(turned_signatures(dense), points, normals, face_relief(dense))


def _front(vertices: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return points (M, 3) and normals of what a viewer at +z sees of a face, thinned."""
    normals = vertex_normals(vertices, triangles)
    seen = visible_from_front(vertices, normals, depth_map(vertices, triangles))
    off = (vertices - _MIDDLE) * [1, 1, 0.7]
    seen &= (np.abs(normals[:, 2]) > 0.25) & (np.linalg.norm(off, axis=1) < _RADIUS)
    voxel = np.floor(vertices[seen] / _REFERENCE_SPACING)
    _, rows = np.unique(voxel, axis=0, return_index=True)
    return vertices[seen][rows], normals[seen][rows]


def _errors(poses: Poses, cloud: np.ndarray, face: _Face) -> np.ndarray:
    """Return the error (K,) of each pose of a cloud."""
    each = (poses[np.array([k])].apply(cloud)[0] for k in range(len(poses)))
    return np.array([relief_error(points, face.relief) for points in each])


def _refined(
    poses: Poses, cloud: np.ndarray, points: np.ndarray, normals: np.ndarray, rounds: int
) -> Poses:
    """Run ICP from a cloud to the planes of a face's points, for all poses at once.

    A pair counts the less the larger its residual is, and not at all where the scan ends or has
    a hole: there the nearest point lies aside.
    """
    tree = cKDTree(cloud)
    spacing = np.median(tree.query(cloud, 2, workers=-1)[0][:, 1])
    for _ in range(rounds):
        _, nearest = tree.query(poses.apply_inverse(points), workers=-1)
        at = poses.apply(cloud[nearest])
        off = points - at
        residual = (off * normals).sum(-1)
        aside = np.sqrt(np.maximum((off * off).sum(-1) - residual**2, 0))
        weight = 1 / (1 + (residual / _WIDTH) ** 2) ** 2
        weight *= aside < 1.5 * spacing * poses.scale()[:, None] + 0.5 * np.abs(residual)
        poses = _step(poses, at, normals, residual, weight)
    return poses


def _step(
    poses: Poses, at: np.ndarray, normals: np.ndarray, residual: np.ndarray, weight: np.ndarray
) -> Poses:
    """Follow each pose by the small similarity that takes points (K, M, 3) to their planes."""
    along = np.broadcast_to(normals, at.shape)
    size = (at * along).sum(-1, keepdims=True)
    slopes = np.concatenate([np.cross(at, along), along, size], axis=-1)
    weighted = (slopes * weight[..., None]).transpose(0, 2, 1)
    damping = 1e-4 * at.shape[1] * np.diag([2.0, 2, 2, 1, 1, 1, 5])
    change = np.linalg.solve(weighted @ slopes + damping, weighted @ residual[..., None])[..., 0]
    growth = np.exp(np.clip(change[:, 6], -0.2, 0.2))[:, None, None]
    turn = growth * Rotation.from_rotvec(change[:, :3]).as_matrix()
    shift = (turn @ poses.shift[..., None])[..., 0] + change[:, 3:6]
    return Poses(turn @ poses.linear, shift)
