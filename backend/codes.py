# SPDX-License-Identifier: GPL-3.0-or-later
"""A face as numbers: one identity code, one expression code or none for neutral."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .errors import BackendError

FORMAT = 1


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
    """

    identity: np.ndarray
    expression: np.ndarray | None
    weights: str

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready object; ``from_json`` gives the codes back."""
        return {
            "format": FORMAT,
            "weights": self.weights,
            "identity": [float(x) for x in self.identity],
            "expression": None if self.expression is None else [float(x) for x in self.expression],
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
                    f"The codes have format {data['format']}; this version reads format {FORMAT}. "
                    "Update the add-on or make the codes again."
                )
            expression = data["expression"]
            codes = Codes(
                identity=np.asarray(data["identity"], np.float32),
                expression=None if expression is None else np.asarray(expression, np.float32),
                weights=str(data["weights"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BackendError(
                "This is not a set of ImFace codes. Choose a .codes.json file written by ImFace."
            ) from error
        arrays = [codes.identity] + ([] if codes.expression is None else [codes.expression])
        if any(a.ndim != 1 or not np.isfinite(a).all() for a in arrays):
            raise BackendError("The codes hold values that are not numbers. Make the codes again.")
        return codes

    def save(self, path: Path) -> None:
        """Write the codes as JSON."""
        path.write_text(json.dumps(self.to_json()))

    @staticmethod
    def load(path: Path) -> "Codes":
        """Read codes from a JSON file (see ``from_json``)."""
        try:
            data = json.loads(path.read_text())
        except OSError as error:
            raise BackendError(
                f"The codes {path} cannot be read: {error.strerror}. Check the path."
            ) from error
        except ValueError as error:
            raise BackendError(
                f"{path.name} is not a JSON file. Choose a .codes.json file written by ImFace."
            ) from error
        return Codes.from_json(data)
