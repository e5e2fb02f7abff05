# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's language. No bpy.

Blender itself translates names, descriptions and fixed labels, by the messages registered here.
What is put together at run time goes through `say`, `label` or UserError: a template, which is
translated first, and the values that fill it. Names of datablocks are never translated.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from ..slider_names import GROUPS, LOCK, LOCK_MEANING, NAMES, UNIT, title
from . import de

Translate = Callable[..., str]  # of a text, and of its context if it has one
Messages = dict[tuple[str, str], str]  # (context, English text) -> translation

TEXT_CONTEXT = "*"  # Blender's name for the usual one
OPERATOR_CONTEXT = "Operator"  # and for that of operators' names
#: For words that Blender's own catalogue, which comes first, means otherwise: a mesh's Face.
OWN_CONTEXT = "ImFace"

#: A locale's file serves all its countries: Blender asks for de_DE, then for de.
LANGUAGES: dict[str, ModuleType] = {"de": de}

_reports: Translate = str
_interface: Translate = str


def use(reports: Translate, interface: Translate) -> None:
    """Translate with these functions from now on: what is reported, and what is drawn."""
    global _reports, _interface
    _reports, _interface = reports, interface


def say(template: str, **values: object) -> str:
    """Return a sentence that is reported, in the user's language."""
    return _filled(_reports(template), values)


def label(template: str, **values: object) -> str:
    """Return a text that is drawn, in the user's language."""
    return _filled(_interface(template), values)


def word(text: str) -> str:
    """Return a word that is drawn, in the user's language, as we mean it."""
    return _interface(text, OWN_CONTEXT)


def _filled(template: str, values: dict[str, object]) -> str:
    return template.format(**values) if values else template  # it may have braces of its own


def dictionary() -> dict[str, Messages]:
    """Return the messages of all languages, as Blender wants them."""
    return {locale: messages(language) for locale, language in LANGUAGES.items()}


def messages(language: ModuleType) -> Messages:
    """Return a language's messages."""
    texts = language.TEXTS | _slider_texts(language.TEXTS)
    return {
        (context, text): translation
        for context, translations in (
            (TEXT_CONTEXT, texts),
            (OWN_CONTEXT, texts | language.WORDS),
            (OPERATOR_CONTEXT, language.OPERATORS),
        )
        for text, translation in translations.items()
    }


def _slider_texts(texts: dict[str, str]) -> dict[str, str]:
    """Return what `slider_properties` puts together before Blender sees it."""
    meanings = [text.capitalize() for group in GROUPS.values() for text in group.values()]
    described = {f"{text}. {UNIT}": f"{texts[text]}. {texts[UNIT]}" for text in meanings}
    locks = {
        template.format(slider=title(name)): texts[template].format(slider=texts[title(name)])
        for name in (*GROUPS, *NAMES)
        for template in (LOCK, LOCK_MEANING)
    }
    return described | locks
