# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker's jobs: plain parameters and arrays in, JSON values and arrays out."""

from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from typing import Any

import numpy as np

from ..checkpoint import FaceModel, load_face_model
from ..codes import Codes
from ..face.blend import average
from ..face.correspondence import level_mesh, level_vertices, propose, require_head
from ..face.expressions import absent_names, set_names
from ..face.fit import Clock
from ..face.generate import express, generate
from ..face.groups import vertex_groups
from ..face.in_betweens import in_betweens
from ..face.measured_fit import fit_and_measure
from ..face.regions import blend_regions
from ..face.self_check import self_check
from ..face.shapes import build_mesh, materials, shape_keys
from ..face.sliders import reshaped_codes, sliders
from ..mesh import Mesh
from ..model.imface import UNIT_MM
from ..scan.align import Similarity
from ..scan.compare import vertex_errors
from ..scan.texture import Colors, CornerColors, ImageColors, PointColors, bake_colors
from ..texts import Text
from .protocol import Arrays
from .server import JobFunction, Report

#: Where a scan is farther than this from its fit, it does not show the face: hair is before it.
_COLOR_REACH_MM = 6.0
#: Outside this radius a head is a guess, and may be so much of the way farther from its scan.
_GUESS_RADIUS_MM, _GUESS_REACH = 90.0, 0.5
#: Beyond its reach a scan's colours fade over so much.
_COLOR_FADE_MM = 15.0

Params = dict[str, Any]
Answer = tuple[dict[str, Any], Arrays]
Progress = Callable[[float, str], object]


@cache
def face_model() -> FaceModel:
    """Return the bundled model, loaded once."""
    return load_face_model()


def _codes(data: Any) -> Codes:
    return reshaped_codes(face_model(), data)


def _mesh_answer(model: FaceModel, mesh: Mesh, topology: str) -> Answer:
    arrays: Arrays = {
        "vertices_mm": (mesh.vertices * UNIT_MM).astype(np.float32),
        "polygons": mesh.polygons.astype(np.int32),
    }
    values: dict[str, Any] = {"topology": topology}
    if mesh.uv is not None and mesh.uv_polygons is not None:
        arrays |= {"uv": mesh.uv, "uv_polygons": mesh.uv_polygons}
        values["materials"], arrays["material_index"] = materials(model, len(mesh.polygons))
        groups = vertex_groups(require_head(model).template, len(mesh.vertices))
        values["groups"] = list(groups)
        arrays["group_sizes"] = np.array([len(rows) for rows, _ in groups.values()], np.int32)
        arrays["group_vertices"], arrays["group_weights"] = map(
            np.concatenate, zip(*groups.values(), strict=True)
        )
    return values, arrays


def _face_answer(codes: Codes, params: Params, report: Progress) -> Answer:
    model = face_model()
    report(0.5, "Meshing the face")
    topology = params.get("topology", "head")
    mesh = build_mesh(model, codes, topology, int(params.get("resolution", 128)))
    values, arrays = _mesh_answer(model, mesh, topology)
    return {"codes": codes.to_json(), **values}, arrays


def generate_job(params: Params, arrays: Arrays, report: Report) -> Answer:
    """Draw a random face."""
    return _random_face(params, report)


def _random_face(params: Params, report: Progress) -> Answer:
    report(0.1, "Drawing codes")
    codes = generate(
        face_model(),
        int(params.get("seed", 1)),
        float(params.get("strength", 1.0)),
        params.get("expressions") or {},
    )
    return _face_answer(codes, params, report)


def gallery_job(params: Params, arrays: Arrays, report: Report) -> Answer:
    """Draw a random face of each of the `seeds`: `faces` holds what is said of each, and the name
    of each array starts with its place there, as in `0/vertices_mm`."""
    said, out, seeds = [], Arrays(), list(params["seeds"])
    for i, seed in enumerate(seeds):
        report(i / len(seeds), Text("Face {number} of {count}", number=i + 1, count=len(seeds)))
        values, made = _random_face(params | {"seed": seed}, lambda share, text: None)
        said.append(values)
        out |= {f"{i}/{name}": array for name, array in made.items()}
    return {"faces": said}, out


def mesh_job(params: Params, arrays: Arrays, report: Report) -> Answer:
    """Build the mesh of given codes."""
    return _face_answer(_codes(params.get("codes")), params, report)


def express_job(params: Params, arrays: Arrays, report: Report) -> Answer:
    """Give a person another expression; none named is neutral."""
    codes = _codes(params.get("codes"))
    return _face_answer(
        express(face_model(), codes, params.get("expressions") or {}), params, report
    )


def blend_job(params: Params, arrays: Arrays, report: Report) -> Answer:
    """Blend a face, `a`, with another one, or with the mean of several: `others`."""
    return _face_answer(_blended(params, report), params, report)


def blend_key_job(params: Params, arrays: Arrays, report: Report) -> Answer:
    """Return the vertices of a face, `a`, as it is (`basis_mm`) and blended (`vertices_mm`)."""
    blended, level = _blended(params, report), params.get("topology", "head")
    report(0.5, "Meshing the face")
    basis, vertices = (
        (build_mesh(face_model(), codes, level, 0).vertices * UNIT_MM).astype(np.float32)
        for codes in (_codes(params.get("a")), blended)
    )
    return {}, {"basis_mm": basis, "vertices_mm": vertices}


def _blended(params: Params, report: Report) -> Codes:
    report(0.1, "Blending")
    a = _codes(params.get("a"))
    b = average(face_model(), [_codes(face) for face in params["others"]])
    weight, what = float(params.get("weight", 0.5)), params.get("what", "identity")
    return blend_regions(face_model(), a, b, weight, what, params.get("regions") or ())


def fit_job(params: Params, arrays: Arrays, report: Report) -> Answer:
    """Fit a scan given as `vertices` (V, 3) in scan space and `triangles` (T, 3), or none; with
    `refine` its detail too.

    Settled while it searches, it has the best codes so far, and no detail. `landmarks` (5, 3) or
    (68, 3) in scan space may show where its face is (`scan.landmarks`). Its colours are carried
    over if they are given: `corner_colors` (T, 3, 3) uint8 of the triangles' corners, or `image`
    (H, W, 3) uint8 and `corner_uv` (T, 3, 2), or of points without triangles `point_colors` (V, 3)
    uint8.
    """
    model, clock = face_model(), Clock()
    scan = Mesh(arrays["vertices"].astype(np.float64), arrays["triangles"].astype(np.int64))

    def show(codes: Codes, pose: Similarity) -> None:
        if model.head is not None:
            report(preview=face_lines(model, codes, pose))

    refine = bool(params.get("refine"))
    fit = fit_and_measure(
        model,
        scan,
        refine=refine,
        resolution=192 if refine else 128,  # detail is as fine as 1.25 mm
        report=lambda share, text: report(0.9 * share, text),
        landmarks=arrays.get("landmarks"),
        show=show,
    )
    result, figures = fit.result, fit.report
    clock.add(figures["seconds"])
    values, out = _face_answer(result.codes, params, lambda _, text: report(0.95, text))
    values["pose"] = millimetres_to_scan(result.pose).tolist()
    vertices = out["vertices_mm"].astype(np.float64) / UNIT_MM
    out["error_mm"] = vertex_errors(result.visible, vertices).astype(np.float32)
    clock.lap("answer")
    colors = _scan_colors(arrays, result.surface)
    if colors is not None and "uv" in out:
        report(0.97, "Carrying the scan's colours over")
        skin = out["material_index"] == values["materials"].index("Skin")
        painted = scan if len(scan.polygons) else result.surface
        out["texture"] = _skin_texture(out, skin, painted, result.pose, colors)
        clock.lap("colours")
    values["report"] = figures | {"seconds": clock.total()}
    return values, out


def face_lines(model: FaceModel, codes: Codes, pose: Similarity) -> np.ndarray:
    """Return lines (N, 2, 3) float32, scan space, that show a face roughly and at once: the narrow
    face of the forward map, two sides of each polygon."""
    vertices = propose(model, codes)[: level_vertices(model, "narrow")]
    mesh = level_mesh(model, pose.inverse().apply(vertices), "narrow")
    return mesh.vertices[mesh.polygons[:, [[0, 1], [1, 2]]]].reshape(-1, 2, 3).astype(np.float32)


def _scan_colors(arrays: Arrays, surface: Mesh) -> Colors | None:
    """Return the colours of a scan's surface; of points, on the surface that joins them."""
    if "image" in arrays:
        return ImageColors(arrays["corner_uv"], arrays["image"])
    if "point_colors" in arrays:
        return PointColors(arrays["vertices"], arrays["point_colors"], surface)
    return CornerColors(arrays["corner_colors"]) if "corner_colors" in arrays else None


def _skin_texture(
    out: Arrays, skin: np.ndarray, scan: Mesh, pose: Similarity, colors: Colors
) -> np.ndarray:
    """Paint the UV map of the skin's polygons (F,) bool, its tiles side by side."""
    uv_polygons = out["uv_polygons"][skin]
    vertices = pose.inverse().apply(out["vertices_mm"].astype(np.float64) / UNIT_MM)
    fitted = Mesh(vertices, out["polygons"][skin], out["uv"], uv_polygons)
    tiles = int(np.ceil(out["uv"][uv_polygons[uv_polygons >= 0], 0].max()))
    guessed_mm = np.linalg.norm(out["vertices_mm"], axis=1) - _GUESS_RADIUS_MM
    reach_mm = _COLOR_REACH_MM + _GUESS_REACH * np.maximum(guessed_mm, 0)
    unit_mm = UNIT_MM * pose.scale
    return bake_colors(
        fitted, scan, colors, reach=reach_mm / unit_mm, fade=_COLOR_FADE_MM / unit_mm, tiles=tiles
    )


def millimetres_to_scan(pose: Similarity) -> np.ndarray:
    """Return the (4, 4) matrix from face space [mm] to scan space."""
    matrix = pose.inverse().matrix()
    matrix[:3, :3] /= UNIT_MM
    return matrix


def shape_keys_job(params: Params, arrays: Arrays, report: Report) -> Answer:
    """Build a neutral basis and one mesh per expression, named or of a set, on one topology."""
    model = face_model()
    codes = _codes(params.get("codes"))
    kind = params.get("set", "arkit")
    chosen = list(params.get("names") or ())
    names = chosen or set_names(model, kind)
    level = params.get("topology", "head")
    keys = shape_keys(model, codes, names, level, report)
    absent = absent_names(model) if kind == "arkit" and not chosen else []
    values = {"names": names, "absent": absent}
    return values, {"basis_mm": keys.basis_mm, "vertices_mm": keys.vertices_mm}


def in_betweens_job(params: Params, arrays: Arrays, report: Report) -> Answer:
    """Find the in-between shapes of an animation given as `weights` (F, E) of the names."""
    found = in_betweens(
        face_model(),
        _codes(params.get("codes")),
        list(params["names"]),
        arrays["weights"].astype(np.float64),
        params.get("topology", "head"),
        float(params.get("tolerance_mm", 0.1)),
        report,
    )
    values = {
        "knots": found.knots,
        "before_mm": found.before_mm,
        "after_mm": found.after_mm,
        "measured": found.measured,
    }
    return values, {"basis_mm": found.basis_mm, "offsets_mm": found.offsets_mm}


def sliders_job(params: Params, arrays: Arrays, report: Report) -> Answer:
    """Tell what sliders there are and what 1 of each adds to a level's vertices; the face of the
    given codes comes along as the place from where they move."""
    report(0.1, "Fitting the sliders")
    model = face_model()
    known = sliders(model)
    values, out = _face_answer(_codes(params.get("codes")), params, report)
    rows = level_vertices(model, values["topology"])
    values["names"] = list(known.names)
    values["unit_mm"] = known.unit_mm.tolist()
    return values, out | {
        "offsets_mm": known.offsets_mm[:, :rows],
        "spread": known.spread.astype(np.float32),
    }


def info_job(params: Params, arrays: Arrays, report: Report) -> Answer:
    """Tell what the model can do, and how well and fast this machine computes a known face."""
    model = face_model()
    report(0.5, "Computing a known face")
    return {
        "check": asdict(self_check(model)),
        "expressions": list(model.expression_names),
        "absent": absent_names(model),
        "model": {"sha256": model.sha256, "device": str(model.device)},
    }, {}


JOBS: dict[str, JobFunction] = {
    "generate": generate_job,
    "gallery": gallery_job,
    "mesh": mesh_job,
    "express": express_job,
    "fit": fit_job,
    "blend": blend_job,
    "blend_key": blend_key_job,
    "shape_keys": shape_keys_job,
    "in_betweens": in_betweens_job,
    "sliders": sliders_job,
    "info": info_job,
}
