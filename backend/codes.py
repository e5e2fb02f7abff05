# SPDX-License-Identifier: GPL-3.0-or-later
"""A face as numbers: one identity code, one expression code or none for neutral, and, of a scan,
what its surface asks for beyond them and its detail if that was captured."""

import base64
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .errors import BackendError
from .files import write_text

FORMAT = 1
#: The detail counts in steps; so many are the most that it moves the surface by, 5 mm.
DETAIL_STEPS = 32767
#: Control heights along each axis: one every 1.25 mm.
DETAIL_SIDE = 161
#: Codes that only a scan's face has.
_OF_SCAN = ("surface", "residual")


@dataclass(frozen=True)
class Codes:
    """The codes of one face.

    Attributes
    ----------
    identity : ndarray (D_id,) float32
    expression : ndarray (D_exp,) float32 or None
        None is the neutral face.
    weights : str
        The first 16 hex digits of the weights' sha256: codes mean nothing to other weights.
    detail : ndarray (S, S) int16 or None
        Control heights of ``model.refinement.Detail``, in steps; None where no detail was captured.
    surface : ndarray (D_id,) float32 or None
        Added to the identity for the field alone, which then lies closer to the scan. The identity
        says where each vertex is along the surface, and would say it worse if it had to do both.
    residual : ndarray (R,) float32 or None
        For the vertices alone: what a scan tells of them beyond the identity.
    """

    identity: np.ndarray
    expression: np.ndarray | None
    weights: str
    detail: np.ndarray | None = None
    surface: np.ndarray | None = None
    residual: np.ndarray | None = None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready object; ``from_json`` gives the codes back."""
        of_scan: dict[str, Any] = {} if self.detail is None else {"detail": _packed(self.detail)}
        for name in _OF_SCAN:
            if (code := getattr(self, name)) is not None:
                of_scan[name] = [float(x) for x in code]
        return {
            "format": FORMAT,
            "weights": self.weights,
            "identity": [float(x) for x in self.identity],
            "expression": None if self.expression is None else [float(x) for x in self.expression],
            **of_scan,
        }

    @staticmethod
    def from_json(data: Any) -> "Codes":
        """Read codes from a parsed JSON object.

        Raises
        ------
        BackendError
            If the object is not a set of codes.
        """
        try:
            if data["format"] != FORMAT:
                raise BackendError(
                    "The codes have format {theirs}; this version reads format {ours}. Update the "
                    "add-on or make the codes again.",
                    theirs=data["format"],
                    ours=FORMAT,
                )
            expression = data["expression"]
            codes = Codes(
                identity=np.asarray(data["identity"], np.float32),
                expression=None if expression is None else np.asarray(expression, np.float32),
                weights=str(data["weights"]),
                detail=_unpacked(data["detail"]) if "detail" in data else None,
                **{name: np.asarray(data[name], np.float32) for name in _OF_SCAN if name in data},
            )
        except (KeyError, TypeError, ValueError, zlib.error) as error:
            raise no_codes() from error
        arrays = [codes.identity, codes.expression, *(getattr(codes, name) for name in _OF_SCAN)]
        if any(a is not None and not (a.ndim == 1 and np.isfinite(a).all()) for a in arrays):
            raise BackendError("The codes hold values that are not numbers. Make the codes again.")
        return codes

    def save(self, path: Path) -> None:
        """Write the codes as JSON."""
        write_text(path, json.dumps(self.to_json()))

    @staticmethod
    def load(path: Path) -> "Codes":
        """Read codes from a JSON file (see ``from_json``)."""
        return Codes.from_json(read_json(path))


def no_codes() -> BackendError:
    """Return the error of what does not hold codes as ImFace writes them."""
    return BackendError(
        "This is not a set of ImFace codes. Choose a .codes.json file written by ImFace."
    )


def read_json(path: Path) -> Any:
    """Return what a file of codes holds; BackendError if it cannot be read or is no JSON."""
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise BackendError(
            f"The codes {path} cannot be read: {error.strerror}. Check the path."
        ) from error
    except ValueError as error:
        raise BackendError(
            f"{path.name} is not a JSON file. Choose a .codes.json file written by ImFace."
        ) from error


def _packed(detail: np.ndarray) -> str:
    """Return control heights (S, S) int16 as text: compressed, in base64."""
    return base64.b64encode(zlib.compress(detail.astype("<i2").tobytes(), 9)).decode("ascii")


def _unpacked(text: str) -> np.ndarray:
    """Read what ``_packed`` wrote; ValueError or zlib.error if it is something else."""
    unpacker = zlib.decompressobj()
    size = 2 * DETAIL_SIDE**2
    content = unpacker.decompress(base64.b64decode(text, validate=True), size + 1)
    steps = np.frombuffer(content, "<i2").astype(np.int16).reshape(DETAIL_SIDE, DETAIL_SIDE)
    return np.maximum(steps, -DETAIL_STEPS)
