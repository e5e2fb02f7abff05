# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes ``ict_small.npz``, the part of the ICT Face Model Light that the tests need.

Run ``python tests/data/make_ict_small.py ict_facekit_light.npz`` with the training data's file.
All vertices and polygons stay; only the modes become fewer. Modes stay 16-bit integers times a
scale, so what is left equals the original to the bit.
"""

import sys
from pathlib import Path

import numpy as np

IDENTITY_MODES = 6
EXPRESSIONS = (
    "browInnerUp_L",
    "browInnerUp_R",
    "eyeBlink_L",
    "eyeBlink_R",
    "jawLeft",
    "jawOpen",
    "mouthSmile_L",
    "mouthSmile_R",
)
TARGET = Path(__file__).with_name("ict_small.npz")


def main(source: Path) -> None:
    """Write ``ict_small.npz`` beside this file."""
    with np.load(source, allow_pickle=False) as data:
        arrays = dict(data)
    rows = [list(arrays["expression_names"]).index(name) for name in EXPRESSIONS]
    for key in ("identity_modes_int16", "identity_scale"):
        arrays[key] = arrays[key][:IDENTITY_MODES]
    for key in ("expression_modes_int16", "expression_scale", "expression_names"):
        arrays[key] = arrays[key][rows]
    np.savez_compressed(TARGET, **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
