# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports without the garbage collector."""

import gc
from contextlib import suppress

from backend.importing import uncollected


def test_garbage_is_collected_again_even_if_an_import_fails() -> None:
    states = []
    with suppress(ModuleNotFoundError), uncollected():
        states.append(gc.isenabled())
        raise ModuleNotFoundError
    assert [*states, gc.isenabled()] == [False, True]


def test_what_was_imported_is_never_looked_through() -> None:
    before = gc.get_freeze_count()
    with uncollected():
        kept = [[] for _ in range(100)]  # type: ignore[var-annotated]
    assert gc.get_freeze_count() >= before + len(kept)
