# SPDX-License-Identifier: GPL-3.0-or-later
"""Benchmarks: every hot path beside the naive or released procedure, timed in the same run.

`python -m tests.bench.run_bench [NAME ...]`. What is too slow to run to its end is timed over a
part of its work and scaled up; the line says so.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

from backend.importing import let_waiting_threads_sleep

let_waiting_threads_sleep()  # as those of the command line and of the worker do

# ruff: noqa: E402
import numpy as np
import torch

from backend.checkpoint import FaceModel, load_face_model
from backend.codes import Codes
from backend.face.correspondence import invert_warp, propose, require_head, template_mesh
from backend.face.extract import ExtractConfig, extract_mesh, face_sdf
from backend.face.fit import fit_scan, mean_face
from backend.face.fit_codes import FitConfig
from backend.face.generate import code_tensors, face_of, generate
from backend.face.quads import extract_quads
from backend.face.shapes import build_mesh, shape_keys
from backend.mesh import load_scan
from backend.model.imface import Face, query_sdf
from backend.model.pieces import CACHE_POINTS
from backend.model.sensitivity import sdf_changes
from backend.scan.pose import find_pose
from backend.scan.sampling import SdfSamples, sample_sdf
from backend.scan.texture import CornerColors, bake_colors
from backend.scan.watertight import make_watertight
from tests.bench.released_fit import POINTS, STEPS, ReleasedFit

SCAN = Path(__file__).parents[1] / "data" / "scans" / "lee_perry_smith.obj"
RELEASED_CHUNK = 163_840
Row = tuple[str, float, float, str]


def seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """Return the best wall time [s] of a few runs."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def field(model: FaceModel, codes: Codes) -> Row:
    """The field at many points: a face written once, in cache-sized pieces, beside the released
    procedure, which runs the hypernetworks for every chunk of 163,840 points."""
    points = torch.rand(RELEASED_CHUNK, 3) * 1.2 - 0.6
    face = face_of(model, codes)
    ours = seconds(lambda: query_sdf(face, points))
    identity, expression = code_tensors(model, codes)

    def released() -> None:
        whole = model.imface.face(identity[None], None if expression is None else expression[None])
        with torch.enable_grad():
            whole.query(points[None])

    rate = RELEASED_CHUNK / ours / 1000
    return "field, 163,840 points", ours, seconds(released, 2), f"{rate:.0f} k points/s"


def side_by_side(model: FaceModel, codes: Codes) -> Row:
    """The same pieces, each on a core of its own, beside one after another with PyTorch's own
    threads."""
    points = torch.rand(50_000, 3) * 1.2 - 0.6
    face = face_of(model, codes)
    ours = seconds(lambda: query_sdf(face, points))

    @torch.no_grad()
    def in_turn() -> None:
        for piece in points.split(CACHE_POINTS):
            face.query(piece[None])

    return "50,000 points", ours, seconds(in_turn), "beside PyTorch's own threads"


def extraction(model: FaceModel, codes: Codes) -> Row:
    """The mesh at resolution 256, beside evaluating every grid point (timed over 1/64)."""
    face = face_of(model, codes)
    counted = 0
    sdf = face_sdf(face, model.device)

    def counting(points: np.ndarray) -> np.ndarray:
        nonlocal counted
        counted += len(points)
        return sdf(points)

    ours = seconds(lambda: extract_mesh(counting, ExtractConfig(256)), 1)
    share = f"{100 * counted / 256**3:.2f} % of the grid; dense scaled up from 1/64"
    return "mesh at 256", ours, _dense_seconds(face, 256), share


def quads(model: FaceModel, codes: Codes) -> Row:
    """The even quads at resolution 128, beside evaluating every grid point (timed over 1/64)."""
    face = face_of(model, codes)
    sdf = face_sdf(face, model.device)
    ours = seconds(lambda: extract_quads(sdf, ExtractConfig(128)), 1)
    return "quads at 128", ours, _dense_seconds(face, 128), "dense scaled up from 1/64"


def _dense_seconds(face: Face, resolution: int) -> float:
    """Return how long the released procedure takes for all of a grid's points."""
    part = torch.rand(resolution**3 // 64, 3) * 2 - 1
    return 64 * seconds(lambda: [face.query(p[None]) for p in part.split(RELEASED_CHUNK)], 1)


def fitting(model: FaceModel, codes: Codes) -> Row:
    """A fit of the bundled scan from file to codes, beside the released 1,500 Adam steps over
    16,384 points with normals and eikonal (timed over 2 steps)."""
    scan = load_scan(SCAN)
    ours = seconds(lambda: fit_scan(model, scan), 1)
    return "fit of a scan", ours, _released_seconds(model), "released scaled up from single steps"


def code_slopes(model: FaceModel, codes: Codes) -> Row:
    """How 800 points follow every number of the identity code, in one backward pass, beside
    evaluating a face for each number."""
    identity, _ = code_tensors(model, codes)
    points = torch.rand(800, 3) - 0.5
    nearby = identity + 0.1 * torch.eye(len(identity))
    expression = model.neutral_expression[None]

    def ours() -> object:
        others = model.imface.face(nearby, expression.expand(len(nearby), -1))
        return sdf_changes(model.imface.face(identity[None], expression), others, points)

    @torch.no_grad()
    def one_by_one() -> None:
        for near in nearby:
            model.imface.face(near[None], expression).query(points[None])

    return "slopes over a code", seconds(ours), seconds(one_by_one, 1), ""


def _released_seconds(model: FaceModel) -> float:
    """Return how long the released fit takes, as two of its steps say; what it is given does not
    matter for that."""
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (POINTS, 3))
    samples = SdfSamples(points, points[:, 2], points, 0)
    return STEPS * seconds(ReleasedFit(model, samples, points[:68]).step, 2)


def middling_scan(model: FaceModel, codes: Codes) -> Row:
    """`backend fit` of some 100,000 triangles, beside the released procedure."""
    return _fit_command(model, 100_000)


def refined_scan(model: FaceModel, codes: Codes) -> Row:
    """`backend fit --refine` of some 100,000 triangles, beside the released procedure, which
    captures no detail."""
    return _fit_command(model, 100_000, "--refine")


def large_scan(model: FaceModel, codes: Codes) -> Row:
    """`backend fit` of some million triangles, beside the released procedure."""
    return _fit_command(model, 1_000_000)


def _fit_command(model: FaceModel, triangles: int, *options: str) -> Row:
    """From a file of about so many triangles, lying on its side, to a mesh at 256 in a file."""
    import trimesh

    scan = load_scan(SCAN)
    vertices, faces = scan.vertices[:, [2, 0, 1]], scan.triangles
    for _ in range(round(np.log(triangles / len(faces)) / np.log(4))):
        vertices, faces = trimesh.remesh.subdivide(vertices, faces)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.ply"
        trimesh.Trimesh(vertices, faces, process=False).export(path)
        command = [sys.executable, "-m", "backend", "fit", str(path), "--out", folder]
        command += ["--resolution", "256", *options]
        ours = seconds(lambda: subprocess.run(command, capture_output=True, check=True), 1)
        report = json.loads((Path(folder) / path.stem / "report.json").read_text())
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    title = " ".join([f"file of {len(faces) / 1e6:.2f} M triangles", *options])
    warm = f"{report['seconds']['total']:.1f} s where Python and PyTorch run already"
    remark = f"{warm}; {peak:.1f} GiB at most"
    return title, ours, _released_seconds(model), remark


def samples(model: FaceModel, codes: Codes) -> Row:
    """Pose, sheet and 350,000 SDF samples of the bundled scan, beside exact triangle searches by
    trimesh for the free points (timed over 1/50 of them)."""
    import trimesh

    scan = load_scan(SCAN)
    reference = mean_face(model)

    def prepare() -> None:
        pose, _ = find_pose(scan, reference)
        sample_sdf(make_watertight(scan, pose))

    ours = seconds(prepare, 1)
    pose, _ = find_pose(scan, reference)
    sheet = make_watertight(scan, pose)
    exact = trimesh.Trimesh(sheet.vertices, sheet.polygons, process=False)
    free = np.random.default_rng(0).uniform(-0.5, 0.5, (115_000 // 50, 3))
    naive = 50 * seconds(lambda: _brute_force(exact, free), 1)
    return "samples of a scan", ours, naive, "exact search scaled up from 1/50"


def _brute_force(mesh: object, points: np.ndarray) -> None:
    """Distance to every triangle's centre, then the exact distance to the 64 nearest."""
    from scipy.spatial.distance import cdist
    from trimesh.triangles import closest_point

    corners = mesh.triangles  # type: ignore[attr-defined]
    for rows in np.array_split(points, max(len(points) // 200, 1)):
        nearest = np.argpartition(cdist(rows, corners.mean(1)), 64, axis=1)[:, :64]
        closest_point(corners[nearest.ravel()], np.repeat(rows, 64, axis=0))


def colours(model: FaceModel, codes: Codes) -> Row:
    """A scan's colours on the face's UV map, 512 pixels square, beside exact triangle searches by
    trimesh for every pixel (timed over 2,000 of them)."""
    import trimesh

    scan = load_scan(SCAN)
    result = fit_scan(model, scan, FitConfig(rounds=1))
    face = build_mesh(model, result.codes, "face", 0)
    fitted = replace(face, vertices=result.pose.inverse().apply(face.vertices))
    colors = CornerColors(scan.vertices[scan.polygons])
    near = {"reach": 0.06 / result.pose.scale, "fade": 0.15 / result.pose.scale}
    ours = seconds(lambda: bake_colors(fitted, scan, colors, size=512, **near), 1)
    surface = trimesh.Trimesh(scan.vertices, scan.polygons, process=False)
    part = fitted.vertices[np.random.default_rng(0).integers(0, len(fitted.vertices), 2000)]
    exact = seconds(lambda: trimesh.proximity.closest_point(surface, part), 1)
    return (
        "colours of a scan",
        ours,
        exact * 512**2 / 2000,
        "exact search scaled up from 2,000",
    )


def warps(model: FaceModel, codes: Codes) -> Row:
    """A new person's template vertices carried to the face by the forward map and the field, beside
    the plain fixed point of the inverse warp from template positions; and those of a person that is
    known already, who has another expression."""
    template = require_head(model).template
    end = template.parts["face"][1]
    targets = template.vertices[:end].cpu().numpy()
    targets = targets[np.linalg.norm(targets, axis=1) < 0.95]
    people = (replace(codes, identity=generate(model, seed).identity) for seed in count())
    ours = seconds(lambda: template_mesh(model, next(people)), 4)
    known = seconds(lambda: template_mesh(model, codes), 4)
    face = face_of(model, codes)
    naive = seconds(lambda: invert_warp(face.through_warps, targets, targets, model.device), 1)
    return (
        "face on the template",
        ours,
        naive,
        f"inverting warps; known person {known * 1000:.0f} ms",
    )


def forward_map(model: FaceModel, codes: Codes) -> Row:
    """The whole head by the forward map alone, as it is for live use: another expression of a known
    person, beside the exact one; and that of a new person."""
    people = (replace(codes, identity=generate(model, seed).identity) for seed in count())
    ours = seconds(lambda: propose(model, codes), 6)
    new = seconds(lambda: propose(model, next(people)), 4)
    exact = seconds(lambda: template_mesh(model, codes), 4)
    return "forward map alone", ours, exact, f"{1000 * ours:.1f} ms; new person {1000 * new:.0f} ms"


def expressions(model: FaceModel, codes: Codes) -> Row:
    """Ten shape keys of the whole head, beside extracting ten surfaces at 128."""
    names = list(model.expression_names[:10])
    ours = seconds(lambda: shape_keys(model, codes, names, "head", lambda _, __: None), 1)
    sdf = face_sdf(face_of(model, codes), model.device)
    one = seconds(lambda: extract_mesh(sdf, ExtractConfig(128)), 1)
    return "10 shape keys", ours, 10 * one, "beside 10 surfaces, which share no vertices"


def dragging(model: FaceModel, codes: Codes) -> Row:
    """One update of the head in Blender while a slider is dragged, beside computing it exactly."""
    command = [sys.executable, "-m", "tests.bench.drag"]
    environment = {**os.environ, "IMFACE_PYTHON": sys.executable}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    words = said.stdout.splitlines()[-1].split()
    alone, plain, keyed_alone, keyed = (1000 * float(word) for word in words)
    exact = seconds(lambda: template_mesh(model, codes), 2)
    return (
        "drag of a slider",
        plain / 1000,
        exact,
        f"{plain:.1f} ms, of which the property {alone:.1f}; "
        f"with 51 keys {keyed:.1f}, of which {keyed_alone:.1f}",
    )


BENCHMARKS = {
    f.__name__: f
    for f in (
        field,
        side_by_side,
        extraction,
        quads,
        samples,
        fitting,
        code_slopes,
        middling_scan,
        refined_scan,
        large_scan,
        colours,
        warps,
        forward_map,
        expressions,
        dragging,
    )
}


def main(names: Sequence[str]) -> int:
    """Run the named benchmarks, or all."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"There is no benchmark {unknown[0]}. Choose: {', '.join(BENCHMARKS)}.")
        return 2
    model = load_face_model()
    codes = generate(model, 1, 1.0, {"jawOpen": 0.5})
    rounds = FitConfig().rounds
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, fit of {rounds} rounds")
    print(f"{'':34}{'ours':>10}{'naive':>12}{'ratio':>9}")
    for name in names or BENCHMARKS:
        title, ours, naive, remark = BENCHMARKS[name](model, codes)
        print(f"{title:34}{ours:9.2f}s{naive:11.2f}s{naive / ours:8.1f}x  {remark}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
