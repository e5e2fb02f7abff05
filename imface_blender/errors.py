# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception by which the add-on refuses bad input."""


class UserError(Exception):
    """The message is a sentence for the user: the cause, then the remedy."""
