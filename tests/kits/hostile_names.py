"""Names that no file below a folder can have, or that lead out of it: 200 of them; and 200 curious ones."""

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
_SLASHES = "\u2044\u2215\u29f8\uff0f\u29f5\ufe68\uff3c\u1735"  # look like slashes, and are none
_DEVICES = ["con", "NUL", "aux", "PRN", "COM1", "lpt9", "CONIN$", "CLOCK$"]
_SHAPES = ["..{0}x", "{0}x", "..{0}..{0}x", "x{0}..", "C:{0}x".replace(":", "\u2236")]
_ENDINGS = [
    ".",
    "..",
    " .",
    ". ",
    "...",
    "\u3000",
    "\u00a0",
    "\u200b",
    "\n",
    "\r",
    "\t",
    "~",
    "$",
    "%",
    "%00",
    "%2f..",
]
_UNICODE = [chr(code) for code in (0x202E, 0x200F, 0xFEFF, 0x0301, 0x2025, 0x2026, 0xFF0E, 0xDC80, 0x1F98A)]
_LINKED = [f"{link}{tail}" for link in ("link", "a/link") for tail in ("/x", "/y/x", "/link/x", "/.x")]
_CURIOUS = [
    *(shape.format(slash) for shape in _SHAPES for slash in _SLASHES),
    *(f"{name}{ending}" for name in _DEVICES for ending in ("", ".", ".png", ".tar.gz", "/x", ":")),
    *(f"{name}{ending}" for name in ("x", "00000") for ending in _ENDINGS),
    *(
        f"{before}{letter}{after}"
        for letter in _UNICODE
        for before in ("", "..")
        for after in ("", "x", "/x")
    ),
    *(letter * ((255 - 4) // len(letter.encode())) for letter in "x\u00fc\u754c\U0001f98a"),
    *("-rf", "--out", "~", "~root", "$HOME", "`id`", "*", "?", "[x]", "x;y", "x|y", "<x>", '"', "'"),
    *_LINKED,
]
CURIOUS_NAMES = list(dict.fromkeys(_CURIOUS))[-200:]
"""Names that may be files below a folder or not, but never lead out of it: 200 of them. In a folder where
`link` and `a/link` are links to elsewhere, some would."""

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
