"""The order of files that people number."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import TypeVar

T = TypeVar("T")
NaturalKey = tuple[list[tuple[int, int | Decimal, str]], str]

# A sign counts at the start, or after what cannot be its left side: the - of shot-5 joins two words.
_SIGN = r"(?:(?:^|(?<=[_ =]))-)?"
_WHOLE = re.compile(rf"({_SIGN}[0-9]+)")
# Not a part of 1.2.10, nor the number behind the point of shot.0001.
_DECIMAL = re.compile(rf"({_SIGN}(?<![0-9.])[0-9]+\.[0-9]+(?!\.?[0-9])|{_SIGN}[0-9]+)")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def natural_key(name: str, *, decimals: bool = True) -> NaturalKey:
    """What to sort names by so that 2 comes before 10; the full name settles ties such as 1 and 01.

    Args:
        name: The name.
        decimals: Whether 0.2 is a number, more than 0.04; else it is two, 0 and 2.
    """
    parts = (_DECIMAL if decimals else _WHOLE).split(name)
    # A part of other digits is text: only those of ASCII are split off.
    return [_part(part) for part in parts if part], name


def _part(part: str) -> tuple[int, int | Decimal, str]:
    if not _NUMBER.fullmatch(part):
        return 1, 0, part
    return 0, Decimal(part) if "." in part else int(part), ""


def natural_order(things: Iterable[T], name: Callable[[T], str] = str) -> list[T]:
    """Things in the natural order of their names.

    Numbers with a point are decimals, such as seconds, unless the digits behind it look counted: 1.9 and 1.10
    together are parts 9 and 10 of 1, for nobody writes a decimal as 1.10 beside one of another length.
    """
    found = list(things)
    behind = {
        part.partition(".")[2] for thing in found for part in _DECIMAL.findall(name(thing)) if "." in part
    }
    counted = len({len(digits) for digits in behind}) > 1 and any(
        len(digits) > 1 and digits.endswith("0") for digits in behind
    )
    return sorted(found, key=lambda thing: natural_key(name(thing), decimals=not counted))
