"""The order of files that people number."""

from __future__ import annotations

import re


def natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """What to sort names by so that 2 comes before 10; the full name settles ties such as 1 and 01."""
    parts = re.split(r"([0-9]+)", name)
    # A part of other digits is text: only those of ASCII are split off.
    return [(0, int(p), "") if p.isdigit() and p.isascii() else (1, 0, p) for p in parts if p], name
