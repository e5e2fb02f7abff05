# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of all operators in docs/scripting.md, from what Blender knows of them.

`python -m tests.blender.operator_tables` writes them into the page.
"""

from collections import defaultdict

import bpy

import imface_blender
from imface_blender.operators import CLASSES
from tests.pages import DOCS, text_of

PAGE = DOCS / "scripting.md"
FOR_SCRIPTS = [cls for cls in CLASSES if "INTERNAL" not in getattr(cls, "bl_options", ())]
UNLISTED = ("rna_type", "filter_glob", "check_existing", "by_itself")
START, END = "<!-- The tables, by tests/blender/operator_tables.py -->\n\n", "\n<!-- End -->\n"


def main():
    """Write the tables into the page."""
    imface_blender.register()
    head, rest = text_of(PAGE).split(START)
    PAGE.write_text(head + START + tables() + END + rest.split(END)[1], encoding="utf-8")
    imface_blender.unregister()


def tables():
    """Return a table of the operators and one of their arguments."""
    calls, meanings = [], defaultdict(list)
    for cls in FOR_SCRIPTS:
        name = cls.bl_idname.split(".")[1]
        rna = getattr(bpy.ops.imface, name).get_rna_type()
        arguments = [p for p in rna.properties if p.identifier not in UNLISTED]
        call = f"{name}({', '.join(map(_with_default, arguments))})"
        calls.append(_row(f"`{call}`", rna.name, rna.description))
        for argument in arguments:
            row = f"`{argument.identifier}`", _values(argument), argument.description
            meanings[row].append(f"`{name}`")
    rows = [_row(name, ", ".join(of), *rest) for (name, *rest), of in meanings.items()]
    return (
        _table("operator", "button", "does", calls)
        + "\n"
        + _table("argument", "of", "values", "meaning", rows)
    )


def _with_default(argument):
    name = argument.identifier
    if argument.type == "ENUM":
        return f"{name}=set()" if argument.is_enum_flag else f"{name}={argument.default!r}"
    if argument.type == "FLOAT":
        return name if argument.is_array else f"{name}={argument.default:g}"
    return f"{name}={argument.default!r}"


def _values(argument):
    if argument.type == "ENUM":
        names = ", ".join(f"`'{item.identifier}'`" for item in argument.enum_items)
        return f"a set of {names}" if argument.is_enum_flag else names
    if argument.type == "BOOLEAN":
        return "`True`, `False`"
    if argument.type == "STRING":
        return "text"
    if argument.is_array:
        return "`(x, y, z)`"
    low, high = argument.hard_min, argument.hard_max
    if high < 2**31 - 1:
        return f"{low:g} to {high:g}"
    return f"{low:g} or more" if low > -(2**31) else "any"


def _row(*cells):
    return f"| {' | '.join(cells)} |\n"


def _table(*heads_and_rows):
    *heads, rows = heads_and_rows
    return _row(*heads) + f"|{'---|' * len(heads)}\n" + "".join(rows)


if __name__ == "__main__":
    main()
