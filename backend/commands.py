# SPDX-License-Identifier: GPL-3.0-or-later
"""What the command line does; each command returns what ``--json`` prints."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from importlib.util import find_spec
from pathlib import Path
from shutil import copyfile
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from tqdm import tqdm

from .checkpoint import (
    BUNDLED,
    CARD_NAME,
    HEAD_NAME,
    FaceModel,
    choose_device,
    file_sha256,
    is_published,
    load_face_model,
    model_from_tables,
    save_face_model,
    save_head,
)
from .codes import Codes, read_json
from .errors import BackendError, ScanError
from .face.blend import average
from .face.correspondence import check_against_warp
from .face.generate import express, generate
from .face.regions import blend_regions
from .face.shapes import build_mesh, shape_keys
from .face.sliders import (
    LARGEST_VALUE,
    MEASUREMENTS,
    apply_sliders,
    exact_matrix_mm,
    reshaped_codes,
    sliders,
)
from .files import write_arrays, write_text
from .fit_command import fit_all, named_scans
from .learn.ablate import VARIANTS, Ablation
from .learn.cache import DatasetConfig, ScanCache, ScanSource, prepare
from .learn.evaluate import evaluate_set, linear_bases, markdown, summarise
from .learn.evaluate_codes import code_figures
from .learn.evaluate_heads import head_figures
from .learn.evaluate_poses import pose_figures
from .learn.evaluation_sets import damaged_ict, held_out_ict, makehuman, real_scans
from .learn.folder_scans import FolderScans
from .learn.ict import IctFaceKit, ict_folder, load_ict
from .learn.ict_scans import IctScans
from .learn.publish import head_of_published, publish, training_directions, training_summary
from .learn.rows import program
from .learn.train import Trainer
from .learn.train_config import load_config
from .mesh import FORMATS, Mesh, save_mesh
from .model.imface import UNIT_MM, FieldValues, query_gradient
from .model.released import load_released_checkpoint

Options = argparse.Namespace
Answer = dict[str, Any]

#: MakeHuman's heads that are laid other ways.
_POSED_HEADS = 20


def _model(options: Options) -> FaceModel:
    if options.weights:
        _check_weights(options.weights)
    return load_face_model(options.weights or BUNDLED)


def _check_weights(path: Path) -> None:
    """Refuse what stands beside a weights file and is easily taken for it."""
    if path.is_dir():
        raise BackendError(f"{path} is a folder. Give the file in it: {path / BUNDLED.name}.")
    if path.suffix in (".pt", ".pth"):
        raise BackendError(
            f"{path.name} is a checkpoint of a training. Make a weights file of it first: by "
            "'publish' or, if it is of the paper's code, by 'import-checkpoint'."
        )


def _codes(model: FaceModel, path: Path) -> Codes:
    return reshaped_codes(model, read_json(path))


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(text, file=sys.stderr)


def _check_output(path: Path, extensions: tuple[str, ...]) -> None:
    """Refuse a wrong extension before any work is done."""
    if path.suffix.lower() not in extensions:
        raise BackendError(f"{path.name} has no known extension. Use {', '.join(extensions)}.")
    path.parent.mkdir(parents=True, exist_ok=True)


def _check_face(options: Options, *read: Path) -> None:
    """Refuse, before any work is done, a name of no mesh, and one whose codes would take the place
    of those that are read."""
    _check_output(options.out, FORMATS)
    codes = _codes_file(options.out)
    if codes.exists() and any(path.exists() and path.samefile(codes) for path in read):
        raise BackendError(
            f"{codes.name}, to be written beside --out, is a face that is read. Choose another "
            "name for --out."
        )


def _codes_file(mesh: Path) -> Path:
    return mesh.with_suffix(".codes.json")


def _in_mm(mesh: Mesh) -> Mesh:
    return replace(mesh, vertices=mesh.vertices * UNIT_MM)


def _write_face(model: FaceModel, codes: Codes, options: Options) -> Answer:
    mesh = build_mesh(model, codes, options.topology, options.resolution)
    save_mesh(_in_mm(mesh), options.out)
    codes_file = _codes_file(options.out)
    codes.save(codes_file)
    _say(f"{options.out}: {len(mesh.vertices)} vertices, {len(mesh.polygons)} polygons")
    return {"mesh": str(options.out), "codes": str(codes_file), "vertices": len(mesh.vertices)}


def _generate(options: Options) -> Answer:
    _check_face(options)
    model = _model(options)
    codes = generate(model, options.seed, options.strength, _weights(options.expression))
    return _write_face(model, _slide(model, codes, options), options)


def _weights(pairs: list[str]) -> dict[str, float]:
    return _values(pairs, "expression", 0.0, 1.0)


def _slide(model: FaceModel, codes: Codes, options: Options) -> Codes:
    values = _values(options.slider, "slider", -LARGEST_VALUE, LARGEST_VALUE)
    return apply_sliders(model, codes, values)


def _values(pairs: list[str], kind: str, low: float, high: float) -> dict[str, float]:
    values = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        try:
            values[name] = float(value)
        except ValueError as error:
            raise BackendError(f"'{pair}' is no {kind}. Write NAME=VALUE.") from error
        if not separator or not low <= values[name] <= high:
            raise BackendError(
                f"The value in '{pair}' is out of range. Choose {low:g} to {high:g}."
            )
    return values


def _express(options: Options) -> Answer:
    _check_face(options, options.codes)
    model = _model(options)
    codes = express(model, _codes(model, options.codes), _weights(options.expression))
    return _write_face(model, _slide(model, codes, options), options)


def _blend(options: Options) -> Answer:
    _check_face(options, options.a, *options.others)
    model = _model(options)
    a, b = _codes(model, options.a), average(model, [_codes(model, o) for o in options.others])
    codes = blend_regions(model, a, b, options.weight, options.what, options.regions)
    return _write_face(model, codes, options)


def _fit(options: Options) -> Answer:
    options.scans = named_scans(options.scans)
    if options.landmarks is not None and len(options.scans) > 1:
        raise BackendError("Landmarks are of one scan. Fit each scan in a call of its own.")
    return fit_all(_model(options), options)


def _shape_keys(options: Options) -> Answer:
    _check_output(options.out, (".npz",))
    model = _model(options)
    names = options.names or list(model.expression_names)
    bar = tqdm(total=100, disable=None, unit="%")

    def progress(fraction: float, _: str) -> None:
        bar.update(int(100 * fraction) - bar.n)

    codes = replace(_codes(model, options.codes), expression=None)
    keys = shape_keys(model, codes, names, options.topology, progress)
    bar.close()
    write_arrays(
        options.out,
        names=np.array(names),
        basis=keys.basis_mm,
        vertices=keys.vertices_mm,
        polygons=keys.polygons,
    )
    residual = check_against_warp(model, codes)
    return {"file": str(options.out), "names": names, "residual": residual}


def _sliders(options: Options) -> Answer:
    model = _model(options)
    known = sliders(model)
    answer: Answer = {
        "sliders": [
            {"name": name, "group": group, "meaning": meaning, "unit_mm": float(unit)}
            for name, group, meaning, unit in zip(
                known.names, known.groups, known.meanings, known.unit_mm, strict=True
            )
        ],
        "measurements": [m.name for m in MEASUREMENTS],
        "matrix_mm": known.matrix_mm.tolist(),
    }
    if options.people:
        people = [generate(model, seed) for seed in range(1, options.people + 1)]
        answer["exact_matrix_mm"] = exact_matrix_mm(model, people, known.names).tolist()
    if not options.json:
        print(_slider_tables(answer))
    return answer


def _slider_tables(answer: Answer) -> str:
    """Return the sliders, then what each does to every measurement, in per cent of what that
    measurement's own slider does."""
    lines = [
        f"{s['name']:16}{s['group']:16}{s['unit_mm']:6.2f} mm  {s['meaning']}"
        for s in answer["sliders"]
    ]
    units = [s["unit_mm"] for s in answer["sliders"][: len(answer["measurements"])]]
    heads = "".join(f"{name[:9]:>10}" for name in answer["measurements"])
    for key in ("matrix_mm", "exact_matrix_mm"):
        if key in answer:
            lines += ["", f"{key.removesuffix('_mm').replace('_', ' ') + ' [%]':16}{heads}"]
            for slider, row in zip(answer["sliders"], np.array(answer[key]) / units, strict=True):
                lines.append(f"{slider['name']:16}" + "".join(f"{100 * x:10.0f}" for x in row))
    return "\n".join(lines)


def _query(options: Options) -> Answer:
    _check_output(options.out, (".npz",))
    model = _model(options)
    config = model.imface.config
    rows = config.expressions // max(config.identities, 1)
    if not (0 <= options.identity < config.identities and 0 <= options.expression < rows):
        raise BackendError(
            f"The tables hold {config.identities} identities and {rows} expressions, counted "
            "from 0. Choose among them."
        )
    points = _load_points(options.points).to(model.device)
    face = model.imface.indexed_face(options.identity, options.expression)
    with torch.no_grad():
        values = face.query(points[None])
    names = [f.name for f in fields(FieldValues) if f.name != "expression_deformation"]
    arrays = {name: getattr(values, name)[0].cpu().numpy() for name in names}
    arrays["gradient"] = query_gradient(face, points)[1].cpu().numpy()
    write_arrays(options.out, **arrays)
    return {"file": str(options.out), "points": len(points)}


def _load_points(path: Path) -> torch.Tensor:
    try:
        points = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise BackendError(f"{path} is no .npy array of points. Write one with np.save.") from error
    is_array = isinstance(points, np.ndarray) and points.dtype.kind in "fiu"
    if not is_array or points.ndim != 2 or points.shape[1] != 3:
        raise BackendError(f"{path.name} does not hold points (N, 3). Write one with np.save.")
    return torch.from_numpy(points.astype(np.float32))


def _import_checkpoint(options: Options) -> Answer:
    _check_output(options.out, (".safetensors",))
    model = model_from_tables(load_released_checkpoint(options.folder))
    digest = save_face_model(model, options.out, half=False)
    config = model.imface.config
    _say(f"{config.identities} identities, {config.expressions} expression codes, {config.warp}")
    return {"file": str(options.out), "sha256": digest, "warp": config.warp}


def _prepare(options: Options) -> Answer:
    source = _scan_source(options.data, load_config(options.config).data)
    with tqdm(disable=None, unit="scan") as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        broken = prepare(source, options.cache, workers=options.workers, progress=progress)
    for name, reason in broken.items():
        print(f"Left out: {name}: {reason}", file=sys.stderr)
    return {"cache": str(options.cache), "broken": broken}


def _scan_source(data: Path, config: DatasetConfig) -> ScanSource:
    """Tell a folder of scans from ICT-FaceKit data, which is a file or holds the mean mesh."""
    of_scans = data.is_dir() and ict_folder(data) is None
    return FolderScans(data, config) if of_scans else IctScans(data, config)


def _require_matplotlib() -> None:
    """Raise BackendError, before hours of work, where their pictures could not be drawn."""
    if find_spec("matplotlib") is None:
        raise BackendError(
            "Pictures are drawn with matplotlib, which this Python does not have. Install it, or "
            "use the environment that build.py makes."
        )


def _train(options: Options) -> Answer:
    _require_matplotlib()
    config = load_config(options.config)
    if options.minutes:
        config = replace(config, minutes=options.minutes)
    trainer = Trainer(ScanCache(options.cache, choose_device()), options.out, config, options.data)
    if options.resume:
        trainer.resume()
    elif trainer.checkpoint.is_file():
        raise BackendError(
            f"{options.out} holds a training run. Go on with it by --resume, or choose another "
            "folder."
        )
    elif options.start_from:
        trainer.start_from(options.start_from)
    trainer.run()
    return {"checkpoint": str(trainer.checkpoint), "step": trainer.step}


def _publish(options: Options) -> Answer:
    options.out.mkdir(parents=True, exist_ok=True)
    source, path = options.checkpoint, options.out / BUNDLED.name
    training = training_summary(source)
    if is_published(source):
        _publish_anew(source, path, options.data)
    else:
        model = publish(source, load_ict(options.data) if options.data else None)
        save_face_model(model, path, half=True, training=training_directions(source))
    written = (HEAD_NAME, path.name) if options.data else (path.name,)
    files = {name: file_sha256(options.out / name) for name in written}
    _write_card(options.out / CARD_NAME, {"format": 1, "files": files, "training": training})
    return {"files": files}


def _publish_anew(source: Path, path: Path, data: Path | None) -> None:
    """Write a published model with its head made anew, in its own folder or another one."""
    if data is None:
        raise BackendError("A published model's head is made of its data. Give them by --data.")
    head = head_of_published(source, load_ict(data))
    if not (path.exists() and path.samefile(source)):
        copyfile(source, path)
    save_head(head, path.with_name(HEAD_NAME), file_sha256(source))


def _write_card(path: Path, card: Answer) -> None:
    write_text(path, json.dumps(card, indent=1) + "\n")


def _evaluate(options: Options) -> Answer:
    _require_matplotlib()
    options.scans = named_scans(options.scans)
    model, ict = _model(options), load_ict(options.data)
    card = (options.weights or BUNDLED).with_name(CARD_NAME)
    _check_measurable(model, options, card)
    options.out.mkdir(parents=True, exist_ok=True)
    sets = {
        "held-out ICT": held_out_ict(ict, options.people),
        "MakeHuman": list(makehuman(options.makehuman, options.limit)) if options.makehuman else (),
        "real scans": list(real_scans(options.scans)),  # now, not after an hour of the others
    } | damaged_ict(ict, options.damaged, options.graded)
    bases = linear_bases(ict, model)
    figures: Answer = {"weights": model.sha256, "head": model.head and model.head.sha256}
    figures["sets"] = {}
    with tqdm(disable=None, unit="scan") as bar:

        def progress(scan: str) -> None:
            bar.set_description(scan)
            bar.update()

        for name, scans in sets.items():
            rows = evaluate_set(name, scans, model, bases, options.out, progress, options.refine)
            figures["sets"] |= {name: summarise(rows)} if rows else {}
    if options.poses:
        heads = makehuman(options.makehuman, _POSED_HEADS) if options.makehuman else ()
        posed = [*sets["real scans"], *heads]
        figures["poses"] = pose_figures(model, posed, options.poses, options.out, _say)
    if options.expressed:
        figures |= _code_figures(model, ict, options)
    if options.heads and model.head:
        figures["heads"] = head_figures(model, ict, options.heads, _say)
    answer = {"program": program()} | figures
    write_text(options.out / "evaluation.json", json.dumps(answer, indent=1))
    text = markdown(figures)
    write_text(options.out / "evaluation.md", text)
    print(text)
    if options.card:
        known = json.loads(card.read_text())
        _write_card(card, known | {"figures": _merged(known.get("figures", {}), figures)})
    return answer


def _code_figures(model: FaceModel, ict: IctFaceKit, options: Options) -> Answer:
    """Measure what the codes mean, unless the model is too weak to fit the people for it: what was
    measured of it before is then all the more worth having."""
    picture = options.out / "random_faces.jpg"
    try:
        return code_figures(model, ict, options.expressed, options.faces, picture, _say)
    except ScanError as error:
        print(
            f"Expressions and codes are not measured, as a held-out person cannot be fitted: "
            f"{error}",
            file=sys.stderr,
        )
        return {}


def _check_measurable(model: FaceModel, options: Options, card: Path) -> None:
    """Raise BackendError, before hours of work, for what could not be measured or written."""
    if model.head is None and (options.expressed or options.poses):
        raise BackendError(
            "These weights have no named expressions and no common topology. Give --expressed 0 "
            "and no --poses."
        )
    if options.expressed == 1:
        raise BackendError(
            "Codes are swapped between people, of whom one is too few. Give --expressed 2 or more, "
            "or 0."
        )
    if options.card and not card.is_file():
        raise BackendError(f"There is no card {card}. Leave out --card, or run 'publish' first.")


def _merged(before: Answer, figures: Answer) -> Answer:
    """Return new figures over those that were measured of the same files before."""
    if any(before.get(file) != figures[file] for file in ("weights", "head")):
        return figures
    rows = {name: before.get(name, {}) | figures.get(name, {}) for name in ("sets", "codes")}
    return before | figures | {name: table for name, table in rows.items() if table}


def _ablate(options: Options) -> Answer:
    _require_matplotlib()
    config = replace(load_config(options.config), minutes=options.minutes)
    ablation = Ablation(
        ScanCache(options.cache, choose_device()), options.data, config, options.out
    )
    names = options.variants or list(VARIANTS)
    unknown = next((name for name in names if name not in VARIANTS), None)
    if unknown is not None:
        raise BackendError(f"There is no variant '{unknown}'. Choose: {', '.join(VARIANTS)}.")
    if not ablation.train(names):
        return {}
    table = ablation.evaluate(names, options.people, _say)
    _write_card(options.out / "ablations.json", table)
    text = markdown({"sets": {f"{options.minutes:g} minutes of training": table}})
    write_text(options.out / "ablations.md", text)
    print(text)
    return table


COMMANDS: dict[str, Callable[[Options], Answer]] = {
    "generate": _generate,
    "fit": _fit,
    "express": _express,
    "blend": _blend,
    "shape-keys": _shape_keys,
    "sliders": _sliders,
    "query": _query,
    "import-checkpoint": _import_checkpoint,
    "prepare": _prepare,
    "train": _train,
    "publish": _publish,
    "evaluate": _evaluate,
    "ablate": _ablate,
}
