"""Names that no file below a folder can have, or that lead out of it: 200 of them."""

from __future__ import annotations

import itertools

_CLIMBS = [
    "..",
    "../x",
    "../../x",
    "a/../../x",
    "a/..",
    "./x",
    ".",
    "a/./x",
    "/..",
    "a//x",
    "..\\x",
    "a\\..\\..\\x",
]
_ABSOLUTE = [
    "/x",
    "//host/share/x",
    "/etc/passwd",
    "\\x",
    "\\\\host\\share",
    "C:\\x",
    "C:/x",
    "c:x",
    "Z:",
    "C:",
]
_NUL = ["\0", "x\0", "\0x", "x\0.png", "a/\0/x", "../\0", "ok\0/../x"]
_EMPTY = ["", " ", "\t", "\n", "a/", "/", "//", "\\", " / ", ".. ", " ..", "a/ ../x"]
_LONG = ["x" * 300, "ü" * 200, "x/" + "y" * 256, "y" * 256 + "/x", "界" * 100, "🦊" * 70]
_BASE = [*_CLIMBS, *_ABSOLUTE, *_NUL, *_EMPTY, *_LONG]
_DEEPER = (
    f"{'../' * depth}{name}" for depth, name in itertools.product(range(1, 40), ("x", "y/..", "tmp/x", "."))
)

HOSTILE_NAMES = list(dict.fromkeys([*_BASE, *_DEEPER]))[:200]
HARMLESS_NAMES = [
    "00000",
    "a b",
    "a.b",
    "größe",
    "🦊",
    "...",
    "..x",
    "x..",
    "-",
    "~",
    "%2e%2e",
    "a/b",
    "x" * 251,
]
