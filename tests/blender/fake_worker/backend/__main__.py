# SPDX-License-Identifier: GPL-3.0-or-later
"""A worker with known answers: no PyTorch, no model, a face of five vertices.

It stands in for the package `backend` when its parent folder is the backend's folder.
"""

import importlib.util
import os
import sys
from pathlib import Path

import numpy as np
from seeds import (
    BAD_INDEX,
    BAD_VERTEX,
    CTRL_C,
    DEATH,
    ENDLESS,
    INTERNAL_ERROR,
    USER_ERROR,
)

ADDON = Path(__file__).resolve().parents[4] / "imface_blender"


def addon_module(name):
    spec = importlib.util.spec_from_file_location(name, ADDON / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


wire, slider_names = addon_module("wire"), addon_module("slider_names")

# PyTorch for a GPU, in the tests, is what comes with this module.
HAS_GPU = importlib.util.find_spec("fake_cuda") is not None
DEVICE, TORCH_DEVICE = ("Fake GPU", "cuda:0") if HAS_GPU else ("CPU", "cpu")
EXPRESSIONS = ["jawOpen", "mouthSmileLeft", "mouthSmileRight"]
FACESCAPE = ["smile", "anger"]
VERTICES_MM = np.array(
    [[-50, -100, 10], [50, -100, 10], [50, 100, 10], [-50, 100, 10], [0, 150, -30]], np.float32
)
ERROR_MM = np.array([0, 0.5, 2, 9, -1], np.float32)
TEXTURE = np.zeros((4, 8, 3), np.uint8)
TEXTURE[0, 0] = (255, 51, 0)
POLYGONS = np.array([[0, 1, 2, 3], [3, 2, 4, -1]], np.int32)
UV = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0.5, 0.5]], np.float32)
POSE = [[0, 0, 2, 10], [0, 2, 0, 20], [-2, 0, 0, 30], [0, 0, 0, 1]]  # a quarter turn, scale 2
REPORT = {
    "seconds": {"total": 1.5},
    "chamfer_mm": 0.5,
    "scan_to_fit_mean_mm": 0.6,
    "within_2mm": 0.97,
    "coverage": 0.9,
}
POOR_SCAN = 3  # triangles
POOR_FIT = "poor fit: check that nothing hides eyes, nose and mouth"
SLIDERS = slider_names.NAMES
#: Each slider moves every vertex its own way.
OFFSETS_MM = 0.3 * np.random.default_rng(0).normal(size=(len(SLIDERS), 5, 3))
UNIT_MM = [1.0 + i for i in range(len(SLIDERS))]
#: Each random value has a tenth of all others in it.
SPREAD = 0.1 + 0.9 * np.eye(len(SLIDERS), dtype=np.float32)
HALF_WAY = {"message": "Half {what}", "values": {"what": "way"}}


class Refused(Exception):
    """Carries the kind, the message and the details of an error event, and the message's values."""


def codes(number, expression=None):
    return {"format": 1, "weights": "fake", "identity": [float(number)], "expression": expression}


def mesh(topology):
    values = {"topology": topology}
    arrays = {"vertices_mm": VERTICES_MM, "polygons": POLYGONS}
    if topology not in ("surface", "quads"):
        values["materials"] = ["Skin", "Eyes"]
        arrays |= {"uv": UV, "uv_polygons": POLYGONS, "material_index": np.array([0, 1], np.int32)}
        values["groups"] = ["Face", "Region Nose"]
        arrays["group_sizes"] = np.array([4, 2], np.int32)
        arrays["group_vertices"] = np.array([0, 1, 2, 3, 3, 4], np.int32)
        arrays["group_weights"] = np.array([1, 1, 1, 1, 0.25, 0.5], np.float32)
    return values, arrays


def generate(params, arrays):
    seed = params["seed"]
    if seed == USER_ERROR:
        raise Refused("user", "The weights are missing. Install the add-on again.", "")
    if seed == INTERNAL_ERROR:
        raise Refused("internal", "The worker failed.", "Traceback: a line of it")
    if seed == CTRL_C:
        raise Refused("cancelled", "The job was cancelled.", "")
    if seed == DEATH:
        print("last words", file=sys.stderr, flush=True)
        os._exit(3)
    values, answer = mesh(params["topology"])
    if seed == BAD_INDEX:
        answer["polygons"] = POLYGONS + 3
    if seed == BAD_VERTEX:
        answer["vertices_mm"] = VERTICES_MM * np.nan
    return values | {"codes": codes(seed + params["strength"])}, answer


def gallery(params, arrays):
    made = [generate(params | {"seed": seed}, {}) for seed in params["seeds"]]
    out = {f"{i}/{name}": array for i, (_, face) in enumerate(made) for name, array in face.items()}
    return {"faces": [values for values, _ in made]}, out


def fit(params, arrays):
    values, answer = mesh(params["topology"])
    answer["error_mm"] = ERROR_MM
    if {"corner_colors", "point_colors", "image"} & set(arrays):
        answer["texture"] = TEXTURE
    received = {name: array.tolist() for name, array in arrays.items()}
    received["refine"] = params["refine"]
    poor = len(arrays["triangles"]) == POOR_SCAN
    report = REPORT | {"poor": poor, "advice": POOR_FIT if poor else ""}
    return values | {"codes": codes(0) | received, "pose": POSE, "report": report}, answer


def express(params, arrays):
    values, answer = mesh(params["topology"])
    return values | {"codes": params["codes"] | {"expression": None}}, answer


def blend(params, arrays):
    values, answer = mesh(params["topology"])
    others = [face["identity"][0] for face in params["others"]]
    a, b, weight = params["a"]["identity"][0], sum(others) / len(others), params["weight"]
    mixed = codes(a + weight * (b - a)) | {name: params[name] for name in ("what", "regions")}
    return values | {"codes": mixed}, answer


def blend_key(params, arrays):
    """The other face's last vertex is up by as many mm as its identity is more."""
    mixed = blend(params, arrays)[0]["codes"]["identity"][0]
    vertices = VERTICES_MM.copy()
    vertices[4, 1] += mixed - params["a"]["identity"][0]
    return {}, {"basis_mm": VERTICES_MM, "vertices_mm": vertices}


def exact_mm(values):
    """Each slider moves the face along its offsets, the last vertex up by a tenth of its square."""
    amounts = np.array([values.get(name, 0.0) for name in SLIDERS])
    vertices = VERTICES_MM + np.tensordot(amounts, OFFSETS_MM, 1)
    vertices[4, 1] += 0.1 * (amounts**2).sum()
    return vertices.astype(np.float32)


def shape_keys(params, arrays):
    """Each expression moves the last vertex along +Y, the first by 1 mm, the second by 2 ..."""
    kind = params["set"]
    names = params["names"] or {"arkit": EXPRESSIONS, "facescape": FACESCAPE}[kind]
    known = [*EXPRESSIONS, *FACESCAPE]
    if unknown := set(names) - set(known):
        template = "This model has no expression '{name}'. Leave it out."
        raise Refused("user", template, "", {"name": unknown.pop()})
    basis = exact_mm(params["codes"].get("sliders", {}))
    vertices = np.repeat(basis[None], len(names), axis=0)
    vertices[:, 4, 1] += [1 + known.index(name) for name in names]
    whole = kind == "arkit" and not params["names"]
    values = {"names": names, "absent": ["tongueOut"] if whole else []}
    return values, {"basis_mm": basis, "vertices_mm": vertices}


def mesh_of_codes(params, arrays):
    values, answer = mesh(params["topology"])
    answer["vertices_mm"] = exact_mm(params["codes"].get("sliders", {}))
    return values | {"codes": params["codes"]}, answer


def sliders(params, arrays):
    values, answer = mesh_of_codes(params, arrays)
    answer |= {
        "offsets_mm": OFFSETS_MM.astype(np.float32),
        "spread": SPREAD,
    }
    return values | {"names": list(SLIDERS), "unit_mm": UNIT_MM}, answer


def in_betweens(params, arrays):
    """Knots are the first, the middle and the last frame; there the last vertex moves along +Y by
    the square of jawOpen in mm."""
    jaw = arrays["weights"][:, params["names"].index("jawOpen")]
    knots = sorted({0, len(jaw) // 2, len(jaw) - 1})
    offsets = np.zeros((len(knots), *VERTICES_MM.shape), np.float32)
    offsets[:, 4, 1] = jaw[knots] ** 2
    values = {"knots": knots, "before_mm": 1.234, "after_mm": 0.056, "measured": 7}
    return values, {"basis_mm": VERTICES_MM, "offsets_mm": offsets}


def info(params, arrays):
    return {
        "expressions": EXPRESSIONS,
        "absent": ["tongueOut"],
        "check": {"off_mm": 0.00012, "points_per_second": 98765.4},
        "model": {"sha256": "0123456789abcdef", "device": TORCH_DEVICE},
    }, {}


WORK = (generate, gallery, fit, express, blend, blend_key, shape_keys, in_betweens, sliders, info)
JOBS = {f.__name__: f for f in WORK}
JOBS["mesh"] = mesh_of_codes


def send(header, arrays=None):
    sys.stdout.buffer.write(wire.pack(header, arrays))
    sys.stdout.buffer.flush()


def answer(header, arrays):
    """Do one job; a cancel and a settle are looked for only by the job that never ends."""
    number = header["id"]
    send({"type": "progress", "id": number, "fraction": 0.5, **HALF_WAY})
    send({"type": "progress", "id": number}, {"preview": np.zeros((2, 2, 3), np.float32)})
    endless = header["params"].get("seed") == ENDLESS
    if endless and wire.read_message(sys.stdin.buffer)[0]["type"] == "cancel":
        send({"type": "error", "id": number, "kind": "cancelled", "message": "", "details": ""})
        return
    try:
        values, result = JOBS[header["name"]](header["params"], arrays)
    except Refused as refused:
        what = dict(zip(("kind", "message", "details", "values"), refused.args, strict=False))
        send({"type": "error", "id": number} | what)
        return
    send({"type": "result", "id": number, "values": values}, result)


def serve():
    hello = {"package": "0.1.0", "python": "3.11.7", "torch": "2.13.0", "device": DEVICE}
    send({"type": "hello", "protocol": wire.PROTOCOL} | hello)
    while True:
        try:
            header, arrays = wire.read_message(sys.stdin.buffer)
        except EOFError:
            return
        if header["type"] == "quit":
            return
        if header["type"] == "job":
            answer(header, arrays)


serve()
