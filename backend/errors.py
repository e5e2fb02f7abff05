# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong in a way that a user can mend; a message names the cause and the remedy."""

from .texts import Text


class BackendError(Exception):
    """A failure the user can act on; the message names the cause and the remedy.

    Where an artist can meet it, it is a template and its values, which the add-on translates.
    """

    def __init__(self, template: str, **values: object) -> None:
        self.text = Text(template, **values)
        super().__init__(self.text)


class ScanError(BackendError):
    """The scan cannot be used as it is."""


class NoFaceError(ScanError):
    """The scan shows no face."""


class LandmarkError(BackendError):
    """Landmarks, or a file of them, cannot be used."""


class WeightsError(BackendError):
    """A weights file is missing, damaged or made for another program version."""


class DataError(BackendError):
    """Training data or a prepared cache cannot be used."""


class Cancelled(BackendError):
    """The user cancelled the job."""


def refused_by_the_system(error: OSError) -> str:
    """Return in a sentence what could not be read or written."""
    where = error.filename or "The output cannot be written"  # a full disk names no file
    return f"{where}: {error.strerror}. Check path and free space."
