# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ``fit``: many scans, of which some may fail, or be done."""

import argparse
import errno
import json
import os
import sys
import traceback
from collections import Counter
from contextlib import closing
from dataclasses import replace
from glob import glob
from pathlib import Path
from typing import Any

from tqdm import tqdm

from .checkpoint import FaceModel, file_sha256
from .errors import BackendError, NoFaceError, refused_by_the_system
from .face.correspondence import SURFACES, require_head
from .face.extract import ExtractConfig
from .face.fit import Clock
from .face.fit_codes import Report
from .face.measured_fit import fit_and_measure
from .face.shapes import build_mesh
from .files import write_text
from .interruption import Interruption
from .mesh import FORMATS, load_scan, save_mesh
from .scan.landmark_files import read_scan_landmarks
from .torchrun import share

Options = argparse.Namespace
Answer = dict[str, Any]

_LANDMARKS_LEFT_OUT = "The landmarks were left out: without them the face matches plainly better."
_REPORT, _FIT, _CODES = "report.json", "fit.ply", "codes.json"


def fit_all(model: FaceModel, options: Options) -> Answer:
    """Fit this process's share of the scans.

    Returns
    -------
    dict
        ``reports`` by scan; ``failed``, a sentence by scan; and ``interrupted`` if Ctrl-C kept some
        scans from being fitted, or from being fitted to the end.

    Raises
    ------
    BackendError
        At once, if no scan could be fitted.
    """
    _check_choices(model, options)
    scans = share(options.scans)
    reports: dict[str, Answer] = {}
    failed: dict[str, str] = {}
    with Interruption() as interruption, closing(_Bar(len(scans), options.json)) as bar:

        def report(fraction: float, text: str) -> bool:
            bar.show(fraction, "Keeping the best so far" if interruption.wanted else text)
            return interruption.wanted

        for path in scans:
            if interruption.wanted:
                break
            bar.begin(path.name)
            try:
                done = _earlier_report(model, path, options) if options.resume else None
                reports[str(path)] = done or _fit_one(model, path, options, report)
            except BackendError as error:
                failed[str(path)] = str(error)
                tqdm.write(f"{path.name}: {error}", sys.stderr)
            except OSError as error:
                failed[str(path)] = refused_by_the_system(error)
                tqdm.write(f"{path.name}: {failed[str(path)]}", sys.stderr)
            except Exception as error:  # whatever ails one scan, the others are fitted
                failed[str(path)] = f"{type(error).__name__}: {error}"
                tqdm.write(f"{path.name}: {traceback.format_exc()}", sys.stderr)
    for scan, known in reports.items():
        _advise(Path(scan).name, known)
    answer: Answer = {"reports": reports, "failed": failed}
    finished = len(failed) + sum(not known["settled"] for known in reports.values())
    if finished < len(scans):
        left = len(scans) - finished
        print(f"Interrupted: {left} of {len(scans)} scans are left for --resume.", file=sys.stderr)
        answer["interrupted"] = True
    return answer


def _check_choices(model: FaceModel, options: Options) -> None:
    """Raise what would end the fit of every scan; OSError if nothing can be written."""
    options.out.mkdir(parents=True, exist_ok=True)
    if not os.access(options.out, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), options.out)
    ExtractConfig(resolution=options.resolution)
    if options.topology not in SURFACES:
        require_head(model)


class _Bar:
    """On a terminal, and without ``--json``: which scan is fitted, how far it is, and its loss."""

    def __init__(self, scans: int, hidden: bool) -> None:
        form = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
        self._bar = tqdm(total=scans, disable=hidden or None, bar_format=form)
        self._begun = 0

    def begin(self, name: str) -> None:
        """Show that the next scan's turn has come."""
        self._begun += 1
        self._bar.set_description_str(f"{name} ({self._begun}/{self._bar.total})", refresh=False)
        self.show(0.0, "Reading")

    def show(self, fraction: float, text: str) -> None:
        """Show how much of the scan is done, from 0 to 1, and what is done now."""
        self._bar.n = self._begun - 1 + fraction
        self._bar.set_postfix_str(text)

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()


def _advise(name: str, report: Answer) -> None:
    """Say what has to be known of a fit before it is used."""
    if report["landmarks_used"] is False:
        print(f"{name}: {_LANDMARKS_LEFT_OUT}", file=sys.stderr)
    if report["advice"]:
        off, unseen = report["scan_to_fit_mean_mm"], 100 - 100 * report["coverage"]
        figures = f"{off:.2f} mm mean distance, {unseen:.0f} % of the face not seen"
        print(f"{name}: {report['advice']} ({figures}).", file=sys.stderr)


def named_scans(paths: list[Path]) -> list[Path]:
    """Return the scans that paths name: one with wildcards, which Windows' shells leave as it is,
    stands for all files that match, and a folder for the scans that lie in it.

    Raises
    ------
    BackendError
        If no scan lies in a folder, or if results of two scans would go by one name, be it only
        where case does not count.
    """
    named: list[Path] = []
    for path in paths:
        matches = [] if os.path.exists(path) else sorted(glob(str(path)))
        named += map(Path, matches) if matches else [path]
    scans = [scan for path in named for scan in (_scans_in(path) if path.is_dir() else [path])]
    counts = Counter(path.stem.casefold() for path in scans)
    twice = next((path.stem for path in scans if counts[path.stem.casefold()] > 1), None)
    if twice is not None:
        raise BackendError(f"Two scans are called '{twice}'. Rename one, or choose another --out.")
    return scans


def _scans_in(folder: Path) -> list[Path]:
    """Return the scans that lie in a folder itself: below it may be results."""
    files = sorted(path for path in folder.glob("[!.]*") if path.is_file())
    scans = [path for path in files if path.suffix.lower() in FORMATS]
    if not scans:
        raise BackendError(
            f"No OBJ, PLY, STL or GLB file lies in the folder {folder} itself. Name the folder "
            "that holds the scans."
        )
    return scans


def _earlier_report(model: FaceModel, path: Path, options: Options) -> Answer | None:
    """Return the report of such a fit of this scan that an earlier call has finished.

    Raises
    ------
    NoFaceError
        If it found no face.
    """
    folder = options.out / path.stem
    try:
        report: Answer = json.loads((folder / _REPORT).read_text())
        made_from = _made_from(model, path, options)
        if {name: report[name] for name in made_from} != made_from:
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not report["face_found"]:
        raise NoFaceError(report["reason"])
    there = all((folder / name).is_file() for name in (_FIT, _CODES))
    as_wanted = report.get("settled") is False and ("refined" in report) == options.refine
    return report if there and as_wanted else None


def _fit_one(model: FaceModel, path: Path, options: Options, report: Report) -> Answer:
    clock = Clock()
    scan = load_scan(path)
    landmarks = options.landmarks and read_scan_landmarks(options.landmarks, scan)
    made_from = _read_from(path, options) | _made_from(model, path, options)
    folder = options.out / path.stem
    folder.mkdir(parents=True, exist_ok=True)
    clock.lap("loading")
    try:
        fit = fit_and_measure(
            model,
            scan,
            refine=options.refine,
            resolution=options.resolution,
            report=report,
            landmarks=landmarks,
        )
    except NoFaceError as error:
        missed = {"face_found": False, "reason": str(error)}
        _write_report(folder, made_from | missed)
        raise
    clock.add(fit.report["seconds"])
    mesh, codes = fit.surface, fit.result.codes
    if options.topology != "surface":
        mesh = build_mesh(model, codes, options.topology, options.resolution)
        clock.lap("topology")
    placed = fit.result.pose.inverse().apply(mesh.vertices)
    save_mesh(replace(mesh, vertices=placed), folder / _FIT)
    codes.save(folder / _CODES)
    clock.lap("writing")
    known = made_from | fit.report | {"seconds": clock.total()}
    _write_report(folder, known)
    if sys.stderr.isatty():
        mean_mm = known.get("refined", known)["face_mean_mm"]
        tqdm.write(f"{path.name}: {mean_mm:.2f} mm mean distance of the face", sys.stderr)
    return known


def _read_from(path: Path, options: Options) -> Answer:
    return {"scan": str(path), "landmarks": options.landmarks and str(options.landmarks)}


def _made_from(model: FaceModel, path: Path, options: Options) -> Answer:
    """Return what makes a fit the same one, whatever its files are called by."""
    return {
        "sha256": [file_sha256(file) for file in (path, options.landmarks) if file],
        "weights": model.fitted_by,
        "topology": options.topology,
        "resolution": options.resolution,
    }


def _write_report(folder: Path, report: Answer) -> None:
    write_text(folder / _REPORT, json.dumps(report, indent=1))
