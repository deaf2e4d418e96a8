"""What a file says was painted: pictures with regions, each of an object with a name."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tinct.errors import MaskError
from tinct.shapes import BinaryMask, holds_arrays

LONGEST_NAME = 100
"""Characters of an object's name that are kept."""


@dataclass(frozen=True)
class AnnotatedObject:
    """An object as its file knows it.

    Args:
        key: What tells it from the file's other objects.
        name: What people call it; "" if they do not.
        wanted_id: The id that the file gives it, if it does.
        rank: Objects without an id are numbered by it, and those of one rank as they are met.
    """

    key: str
    name: str
    wanted_id: int | None = None
    rank: tuple[int, int] = (0, 0)


@holds_arrays
@dataclass(frozen=True, repr=False)
class Region:
    """One part of one object in one picture.

    Args:
        owner: The object.
        mask: Makes the pixels, bool [H, W]; called when the picture is painted.
    """

    owner: AnnotatedObject
    mask: Callable[[], BinaryMask]


@dataclass(frozen=True)
class AnnotatedPicture:
    """One picture with what was painted on it.

    Args:
        file_name: What the file calls the picture.
        size: (H, W) as the file has it; None if it does not say.
        regions: From the lowest to the topmost.
    """

    file_name: str
    size: tuple[int, int] | None
    regions: tuple[Region, ...]


def named(
    key: str, label: str, wanted_id: int | None = None, rank: tuple[int, int] = (0, 0)
) -> AnnotatedObject:
    """An object by its label; `object 3`, as tinct's exports call what has no name, is id 3."""
    name = re.sub(r"[\x00-\x1f\x7f]+", " ", label).strip()[:LONGEST_NAME]
    own = re.fullmatch(r"object (\d{1,3})", name, re.ASCII)
    if own:
        return AnnotatedObject(key, "", int(own[1]) if wanted_id is None else wanted_id, rank)
    return AnnotatedObject(key, name, wanted_id, rank)


def number(value: Any, what: str) -> float:
    """A finite number of a file.

    Raises:
        MaskError: It is none; `what` says where it stood.
    """
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found) or isinstance(value, bool):
        raise MaskError(f"{what}: {value!r} came, expected a number. Export the file again.")
    return found


def whole_number(value: Any, what: str) -> int:
    """A whole number of a file.

    Raises:
        MaskError: It is none; `what` says where it stood.
    """
    found = number(value, what)
    if found != int(found):
        raise MaskError(f"{what}: {value!r} came, expected a whole number. Export the file again.")
    return int(found)
