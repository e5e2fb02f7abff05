# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user reads, in the two parts by which the add-on can say it in another language."""


class Text(str):
    """A text that knows the template and the values of which it was made.

    Attributes
    ----------
    template : str
        With the names of the values in braces; without values it is the text as it stands.
    values : dict of str
        As they are to be read: numbers are already rounded.
    """

    template: str
    values: dict[str, str]

    def __new__(cls, template: str, **values: object) -> "Text":
        """Fill the values into the template."""
        texts = {name: str(value) for name, value in values.items()}
        text = super().__new__(cls, template.format(**texts) if texts else template)
        text.template, text.values = template, texts
        return text
