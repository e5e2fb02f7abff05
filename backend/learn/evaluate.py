# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures fits: ours beside linear models, in the same run on the same scans."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoint import FaceModel
from ..errors import ScanError
from ..face.correspondence import template_mesh
from ..face.fit import FitResult, fit_scan, refine_fit
from ..face.linear_fit import PARTS, LinearBasis
from ..face.shapes import build_mesh
from ..files import write_text
from ..mesh import Mesh, triangulate
from ..model.imface import UNIT_MM
from ..scan.align import Similarity
from ..scan.compare import compare_strict, front_surface, in_face_region
from .baselines import (
    fit_known_correspondence,
    fit_scan_linearly,
    ict_basis,
    training_basis,
)
from .cache import DatasetConfig
from .evaluation_sets import EvaluationScan
from .ict import IctFaceKit
from .metrics import HeatPanel, compare_as_paper, heat_map
from .rows import read_rows, rows_file

#: The pose of a scan in mm that already stands in model space.
IN_PLACE = Similarity(1 / UNIT_MM, np.eye(3), np.zeros(3))
#: Scans per set that the picture shows.
_SHOWN = 4

Row = dict[str, Any]


@dataclass(frozen=True)
class Fitted:
    """What a method made of a scan.

    Attributes
    ----------
    pose : Similarity
        Scan space -> model space.
    surface : Mesh
        Triangles, model space.
    seconds : float
    vertices : ndarray (V, 3) or None
        Of the face, model space, where the method has them.
    rows : ndarray (V,) int or None
        Where these stand in the ICT topology.
    result : FitResult or None
        Ours, of which more can be made.
    """

    pose: Similarity
    surface: Mesh
    seconds: float
    vertices: np.ndarray | None = None
    rows: np.ndarray | None = None
    result: FitResult | None = None


def fit_ours(model: FaceModel, scan: EvaluationScan) -> Fitted:
    """Fit the model; seconds are those to a mesh at resolution 256."""
    started = time.perf_counter()
    return _fitted(model, fit_scan(model, scan.given), started)


def fit_with_detail(model: FaceModel, ours: Fitted, result: FitResult) -> Fitted:
    """Capture the detail of our fit to a scan; seconds are those of both."""
    return _fitted(model, refine_fit(model, result), time.perf_counter() - ours.seconds)


def _fitted(model: FaceModel, result: FitResult, started: float) -> Fitted:
    surface = build_mesh(model, result.codes, "surface", 256)
    fitted = Fitted(result.pose, surface, time.perf_counter() - started, result=result)
    if model.head is None:
        return fitted
    rows = np.unique(triangulate(model.head.template.part_polygons(PARTS)))
    return replace(fitted, vertices=template_mesh(model, result.codes).vertices[rows], rows=rows)


def linear_ways(
    bases: Mapping[str, LinearBasis], scan: EvaluationScan, surface: Mesh, pose: Similarity
) -> dict[str, Callable[[], Fitted]]:
    """Return how linear models are fitted: by closest points, from a good pose, to the surface that
    ours was fitted to; and to a whole scan's true vertices where these are known, which no scan
    gives."""
    ways: dict[str, Callable[[], Fitted]] = {}
    for name, basis in bases.items():
        ways[f"{name}, closest points"] = partial(_fit_linearly, basis, surface, pose)
        if scan.truth is not None and scan.damaged is None:
            ways[f"{name}, known vertices"] = partial(_fit_vertices, basis, scan.truth)
    return ways


def _fit_linearly(basis: LinearBasis, surface: Mesh, pose: Similarity) -> Fitted:
    started = time.perf_counter()
    face, found = fit_scan_linearly(basis, surface, pose)
    seconds = time.perf_counter() - started
    return Fitted(found, face, seconds, face.vertices, basis.rows)


def _fit_vertices(basis: LinearBasis, truth: np.ndarray) -> Fitted:
    face = fit_known_correspondence(basis, truth / UNIT_MM)
    return Fitted(IN_PLACE, face, 0.0, face.vertices, basis.rows)


def in_true_mm(fitted: Fitted) -> Fitted:
    """Return a fit to a scan in mm, resized so that a model unit is 100 of the scan's mm: where a
    pose makes the scan 5 % smaller, every distance would otherwise be 5 % too small."""
    size = fitted.pose.scale * UNIT_MM
    pose = Similarity(1 / UNIT_MM, fitted.pose.rotation, fitted.pose.translation / size)
    surface = replace(fitted.surface, vertices=fitted.surface.vertices / size)
    vertices = None if fitted.vertices is None else fitted.vertices / size
    return replace(fitted, pose=pose, surface=surface, vertices=vertices)


def measure(scan: EvaluationScan, fitted: Fitted) -> dict[str, float]:
    """Return every figure of one fit."""
    if scan.in_mm:
        fitted = in_true_mm(fitted)
    strict = compare_strict(front_surface(scan.mesh, fitted.pose, scan.mask), fitted.surface)
    figures = {f"strict_{name}": value for name, value in asdict(strict).items()}
    if scan.mask is not None:
        whole = compare_strict(front_surface(scan.mesh, fitted.pose), fitted.surface)
        figures["unmasked_chamfer_mm"] = whole.chamfer_mm
    if not scan.is_sheet:
        paper = asdict(compare_as_paper(scan.mesh, fitted.pose, fitted.surface))
        for name in ("chamfer_mm", "f_score_1mm", "normal_consistency"):
            figures[f"paper_{name}"] = paper[name]
    if scan.truth is not None and fitted.vertices is not None:
        wanted = fitted.pose.apply(scan.truth[fitted.rows])
        apart = np.linalg.norm(fitted.vertices - wanted, axis=1)[in_face_region(wanted)] * UNIT_MM
        for name, value in _statistics(apart).items():
            figures[f"correspondence_{name}_mm"] = value
    return figures | {"seconds": fitted.seconds}


def evaluate_set(
    name: str,
    scans: Iterable[EvaluationScan],
    model: FaceModel,
    bases: Mapping[str, LinearBasis],
    folder: Path,
    progress: Callable[[str], None] = lambda scan: None,
    refine: bool = False,
) -> list[Row]:
    """Fit and measure a set; call it again to go on after a stop.

    Rows, one per scan and method (with ``refine`` another one for our fit with detail), lie in
    a ``rows_file`` of the folder by the scan's ``key``; a picture of the first scans that this call
    fitted in ``folder/NAME.jpg``. Where a method cannot fit a scan,
    or its fit not be measured, its row has the error; where ours cannot, the others, which start
    from its pose, have no row. Points without faces are measured against the sheet that was fitted,
    strictly only.
    Only rows of the given scans are returned, whatever else is stored.
    """
    path = rows_file(folder, f"{name}, refined" if refine else name, model)
    stored = read_rows(path)
    rows: list[Row] = []
    panels: list[HeatPanel] = []
    for scan in scans:
        if scan.key not in stored:
            stored[scan.key] = _evaluate_scan(scan, model, bases, panels, refine)
            write_text(path, json.dumps(stored))
        rows += stored[scan.key]
        progress(scan.name)
    if panels:
        heat_map(folder / f"{name}.jpg", panels)
    return rows


def _evaluate_scan(
    scan: EvaluationScan,
    model: FaceModel,
    bases: Mapping[str, LinearBasis],
    panels: list[HeatPanel],
    refine: bool,
) -> list[Row]:
    try:
        ours = fit_ours(model, scan)
    except ScanError as error:
        return [{"scan": scan.name, "method": "ImFace", "error": str(error)}]
    surface = scan.given if ours.result is None else ours.result.surface
    ways: dict[str, Callable[[], Fitted]] = {"ImFace": lambda: ours}
    if refine and ours.result is not None:
        ways["ImFace, with detail"] = partial(fit_with_detail, model, ours, ours.result)
    ways |= linear_ways(bases, scan, surface, ours.pose)
    if len(scan.mesh.polygons) == 0:
        scan = replace(scan, mesh=surface, is_sheet=True)
    rows, shown = [], {}
    for method, fit in ways.items():
        row: Row = {"scan": scan.name, "method": method}
        try:
            fitted = fit()
            row |= measure(scan, fitted)
            shown[method] = (fitted.pose, fitted.surface)
        except ScanError as error:
            row["error"] = str(error)
        rows.append(row)
    if shown and len(panels) < _SHOWN:
        first = [method for method in shown if "known" not in method][:2]
        panels.append(HeatPanel(scan.name, scan.mesh, {method: shown[method] for method in first}))
    return rows


def summarise(rows: list[Row]) -> dict[str, dict[str, dict[str, float]]]:
    """Return method -> figure -> mean, median and 95th percentile over the scans."""
    table: dict[str, dict[str, dict[str, float]]] = {}
    for method in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in rows if row["method"] == method and "error" not in row]
        common = set.intersection(*(set(row) for row in mine)) if mine else set()
        names = [name for name in (mine[0] if mine else {}) if name in common - {"scan", "method"}]
        table[method] = {name: _statistics(np.array([row[name] for row in mine])) for name in names}
        failed = sum(row["method"] == method and "error" in row for row in rows)
        table[method]["scans"] = {"fitted": len(mine), "failed": failed}
    return table


def _statistics(values: np.ndarray) -> dict[str, float]:
    return {
        "mean": float(values.mean()),
        "median": float(np.median(values)),
        "p95": float(np.percentile(values, 95)),
    }


#: Columns of the printed tables: figure, heading, digits.
_COLUMNS = (
    ("strict_chamfer_mm", "Chamfer, strict [mm]", 2),
    ("unmasked_chamfer_mm", "with eye sockets [mm]", 2),
    ("strict_scan_to_fit_mean_mm", "scan to fit [mm]", 2),
    ("strict_f_score_1mm", "F@1mm [%]", 1),
    ("strict_normal_consistency", "normal consistency", 3),
    ("paper_chamfer_mm", "Chamfer, as the paper [mm]", 2),
    ("paper_f_score_1mm", "F@1mm, as the paper [%]", 1),
    ("correspondence_mean_mm", "correspondence, mean [mm]", 2),
    ("correspondence_median_mm", "correspondence, median [mm]", 2),
    ("seconds", "time [s]", 1),
)


def linear_bases(ict: IctFaceKit, model: FaceModel) -> dict[str, LinearBasis]:
    """Return the linear models beside ours: ICT's own, and a PCA of the default training set with
    as many numbers as the model's codes."""
    numbers = len(model.identity_prior.mean) + len(model.neutral_expression)
    if model.head is not None:
        numbers += len(model.head.forward_map.residual_scale)
    return {"linear ICT": ict_basis(ict), "PCA": training_basis(ict, DatasetConfig(), numbers)}


def markdown(figures: Mapping[str, Any]) -> str:
    """Return what ``evaluate`` measured as Markdown: mean / median / 95th percentile over scans,
    means over people for expressions and codes."""
    parts = [_set_markdown(name, methods) for name, methods in figures["sets"].items()]
    plain = [
        title for title in ("poses", "expressions", "gaps", "codes", "heads") if title in figures
    ]
    parts += [_plain_markdown(title, figures[title]) for title in plain]
    return "\n".join(parts)


def _plain_markdown(title: str, rows: Mapping[str, Mapping[str, float]]) -> str:
    lines = [f"### {title}", ""]
    shown: list[str] = []
    for name, row in rows.items():
        if list(row) != shown:
            shown = list(row)
            lines += ["", "| | " + " | ".join(shown) + " |", "|---" * (len(shown) + 1) + "|"]
        lines.append(f"| {name} | " + " | ".join(f"{value:.3g}" for value in row.values()) + " |")
    return "\n".join(lines) + "\n"


def _set_markdown(name: str, methods: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    columns = [c for c in _COLUMNS if any(c[0] in figures for figures in methods.values())]
    counted = next(iter(methods.values()))["scans"]
    lines = [
        f"### {name}: {counted['fitted']} scans, {counted['failed']} not fitted",
        "",
        "| method | " + " | ".join(heading for _, heading, _ in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for method, figures in methods.items():
        cells = [_cell(figures.get(key), digits) for key, _, digits in columns]
        fitted = figures["scans"]["fitted"]
        of = "" if fitted == counted["fitted"] else f", {fitted} scans"
        lines.append(f"| {method}{of} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(figure: Mapping[str, float] | None, digits: int) -> str:
    if figure is None:
        return ""
    return " / ".join(f"{figure[key]:.{digits}f}" for key in ("mean", "median", "p95"))
