# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception by which the add-on refuses bad input."""

from .translations import say


class UserError(Exception):
    """Its text is a sentence for the user, in the user's language: the cause, then the remedy."""

    def __init__(self, template: str, **values: object) -> None:
        super().__init__(template)
        self.template = template
        self.values = values

    def __str__(self) -> str:
        """Return the sentence."""
        return say(self.template, **self.values)
