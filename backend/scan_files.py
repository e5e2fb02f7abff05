# SPDX-License-Identifier: GPL-3.0-or-later
"""Mesh files that are legal, but that trimesh reads wrongly or not at all: put otherwise first."""

import codecs
import json
import re
import struct
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from .errors import ScanError

_SCALARS = {
    **dict.fromkeys(("char", "int8"), "b"),
    **dict.fromkeys(("uchar", "uint8"), "B"),
    **dict.fromkeys(("short", "int16"), "h"),
    **dict.fromkeys(("ushort", "uint16"), "H"),
    **dict.fromkeys(("int", "int32"), "i"),
    **dict.fromkeys(("uint", "uint32"), "I"),
    **dict.fromkeys(("float", "float32"), "f"),
    **dict.fromkeys(("double", "float64"), "d"),
}
_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">"}
_MATERIAL = re.compile(rb"^\s*usemtl[^\n]*", re.MULTILINE)
_RELATIVE = re.compile(rb"^\s*f\s[^\n]*-\d", re.MULTILINE)
_VERTEX = re.compile(rb"^\s*v\s+[-+.\d]", re.MULTILINE)
_FACE = re.compile(rb"^\s*f\s", re.MULTILINE)
_TEXTURED = re.compile(rb"^\s*vt\s", re.MULTILINE)
_COMPRESSIONS = {"KHR_draco_mesh_compression", "EXT_meshopt_compression"}


def readable(content: bytes, kind: str) -> bytes:
    """Return a file's content so that trimesh reads it right.

    Parameters
    ----------
    kind : str
        "obj", "ply", "stl" or "glb".

    Raises
    ------
    ScanError
        If it is of another kind, was cut off, or is compressed in a way that is not read.
    """
    if not _SIGNS[kind](content):
        found = next((other for other, shows in _SIGNS.items() if shows(content)), None)
        if found is not None:
            raise ScanError(
                "The file is named .{name} but holds {kind}. Rename it to .{extension}.",
                name=kind,
                kind=found.upper(),
                extension=found,
            )
        if kind == "stl":  # of any text trimesh makes an empty one
            raise ScanError("The file is damaged or holds no STL. Export it again.")
    return _REWRITERS.get(kind, bytes)(content)


def _is_stl(content: bytes) -> bool:
    """Tell whether a file is an STL, of text or binary."""
    if content.lstrip()[:5].lower() == b"solid" and b"facet" in content[:2000].lower():
        return True
    end = _end_of_stl(content)
    return 84 < end <= len(content)


def _end_of_stl(content: bytes) -> int:
    """Return where the triangles of a binary STL end."""
    count: int = struct.unpack_from("<I", content, 80)[0] if len(content) > 84 else 0
    return 84 + 50 * count


_SIGNS: dict[str, Callable[[bytes], bool]] = {
    "ply": lambda content: re.match(rb"ply\s", content) is not None,
    "glb": lambda content: content.startswith(b"glTF"),
    "obj": lambda content: b"\0" not in content[:1000] and _VERTEX.search(content) is not None,
    "stl": _is_stl,
}


def _plain(content: bytes) -> bytes:
    """Return an OBJ without materials, by which triangles would be sorted, whose words stand apart
    by spaces and whose faces count vertices from the first, not back from the last so far."""
    if _TEXTURED.search(content) and not _FACE.search(content):  # points have none
        raise ScanError(
            "The OBJ file has texture coordinates but no faces: it was cut off. Export it again."
        )
    content = _MATERIAL.sub(b"", content.removeprefix(codecs.BOM_UTF8).replace(b"\t", b" "))
    if _RELATIVE.search(content) is None:
        return content
    lines, vertices = [], 0
    for line in content.replace(b"\\\n", b" ").replace(b"\\\r\n", b" ").splitlines():
        key, *words = line.partition(b"#")[0].split() or [b""]
        vertices += key == b"v"
        if key == b"f":
            corners = [int(word.partition(b"/")[0]) for word in words]
            corners = [i if i > 0 else vertices + 1 + i for i in corners]
            line = b"f " + b" ".join(b"%d" % i for i in corners)
        lines.append(line)
    return b"\n".join(lines)


def _with_triangles(content: bytes) -> bytes:
    """Return a binary PLY whose faces have different numbers of corners, as Blender writes it, with
    triangles only."""
    header = re.match(rb"ply\s.*?end_header\r?\n", content, re.DOTALL)
    if header is None:
        return content
    words = [line.split() for line in header[0].decode("ascii", "replace").splitlines()]
    order = next((_ORDERS.get(w[1]) for w in words if w[:1] == ["format"]), None)
    starts = [i for i, w in enumerate(words) if w[:1] == ["element"]]
    elements = [words[a:b] for a, b in pairwise([*starts, len(words) - 1])]
    if order is None or [e[0][1] for e in elements[:2]] != ["vertex", "face"]:
        return content
    (_, _, vertices), *fields = elements[0]
    (_, _, faces), *lists = elements[1]
    if any(w[1] == "list" for w in fields):
        return content
    size = sum(struct.calcsize(_SCALARS[w[1]]) for w in fields)
    first = header.end() + size * int(vertices)
    if _are_alike(content, first, int(faces), lists, order):
        return content
    polygons = _lists(content, first, int(faces), lists, order)
    fans = [(p[0], b, c) for p in polygons for b, c in pairwise(p[1:])]
    rows = np.zeros(len(fans), [("corners", "u1"), ("triangle", f"{order}i4", 3)])
    rows["corners"], rows["triangle"] = 3, fans
    own = header[0][: header[0].index(b"element face")]
    own += b"element face %d\nproperty list uchar int vertex_indices\nend_header\n" % len(fans)
    return own + content[header.end() : first] + rows.tobytes()


def _are_alike(content: bytes, at: int, rows: int, properties: list[list[str]], order: str) -> bool:
    """Tell whether all faces of a binary PLY have as many corners as the first, and no more."""
    if rows == 0 or len(properties) > 1:
        return rows == 0
    _, _, counts, numbers, _ = properties[0]
    (corners,) = struct.unpack_from(order + _SCALARS[counts], content, at)
    row = np.dtype(
        [("corners", order + _SCALARS[counts]), ("of", order + _SCALARS[numbers], corners)]
    )
    if len(content) < at + rows * row.itemsize:
        return False
    every = np.frombuffer(content, row, rows, at)["corners"]
    return bool((every == corners).all())


def _lists(
    content: bytes, at: int, rows: int, properties: list[list[str]], order: str
) -> list[tuple[int, ...]]:
    """Return the vertices of each face of a binary PLY whose faces start at a byte."""
    polygons = []
    for _ in range(rows):
        for words in properties:
            count = 1
            if words[1] == "list":
                (count,) = struct.unpack_from(order + _SCALARS[words[2]], content, at)
                at += struct.calcsize(_SCALARS[words[2]])
            kind = f"{order}{count}{_SCALARS[words[-2]]}"
            if words[-1] in ("vertex_indices", "vertex_index"):
                polygons.append(struct.unpack_from(kind, content, at))
            at += struct.calcsize(kind)
    return polygons


def _uncompressed(content: bytes) -> bytes:
    """Return a GLB, or raise ScanError if its meshes are compressed."""
    length, kind = struct.unpack_from("<I4s", content, 12)
    if kind != b"JSON":
        return content
    document = json.loads(content[20 : 20 + length])
    required, accessors = document.get("extensionsRequired", ()), document.get("accessors", ())
    parts = [part for mesh in document.get("meshes", ()) for part in mesh["primitives"]]
    places = {part["attributes"].get("POSITION") for part in parts} - {None}
    if _COMPRESSIONS.intersection(required) or any(accessors[i].get("normalized") for i in places):
        raise ScanError("The meshes in this file are compressed. Export it without compression.")
    return content


def _without_rest(content: bytes) -> bytes:
    """Return an STL without what some programs write after its triangles."""
    return content[: _end_of_stl(content)]  # of text, whose count is huge, that is all


_REWRITERS: dict[str, Callable[[bytes], bytes]] = {
    "obj": _plain,
    "ply": _with_triangles,
    "stl": _without_rest,
    "glb": _uncompressed,
}
