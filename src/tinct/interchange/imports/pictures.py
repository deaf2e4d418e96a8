"""The common form of annotation files: pictures with regions, each of a named object."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinct.errors import MaskError
from tinct.shapes import BACKGROUND, VOID, BinaryMask, holds_arrays

_LABELS = {
    "_background_": BACKGROUND,
    "__background__": BACKGROUND,
    "background": BACKGROUND,
    "_ignore_": VOID,
    "__ignore__": VOID,
}
"""Names that LabelMe and CVAT use for pixels of no object, and those that nobody decided."""

MAX_NAME_LENGTH = 100
"""Maximum number of characters of an object's name."""


@dataclass(frozen=True)
class AnnotatedObject:
    """An object of an annotation file.

    Args:
        key: Identifies it within the file.
        name: The name for people; "" for none.
        wanted_id: The id in the file, if there is one.
        rank: The order in which objects without an id are numbered; then the order of the file.
        label: Its value in label maps if it is no object: background (0) or void (255); else None.
        by_label: Whether nothing but the label says that shapes are of this object.
    """

    key: str
    name: str
    wanted_id: int | None = None
    rank: tuple[int, int] = (0, 0)
    label: int | None = None
    by_label: bool = False


@holds_arrays
@dataclass(frozen=True, repr=False)
class Region:
    """One part of one object in one picture.

    Args:
        owner: The object.
        mask: Draws the mask, bool [H, W]; called when the label map is drawn.
    """

    owner: AnnotatedObject
    mask: Callable[[], BinaryMask]


@dataclass(frozen=True)
class AnnotatedPicture:
    """One picture and its regions.

    Args:
        file_name: The name of the picture in the file.
        size: (H, W) in the file; None if it is not given.
        regions: From bottom to top.
        left_out: Why other shapes of the picture have no region, a sentence each.
        index: Index of the frame, if the file says that; None if the name says it.
    """

    file_name: str
    size: tuple[int, int] | None
    regions: tuple[Region, ...]
    left_out: tuple[str, ...] = ()
    index: int | None = None

    @property
    def has_objects(self) -> bool:
        """Whether there is a region of an object in it."""
        return any(region.owner.label is None for region in self.regions)

    @property
    def title(self) -> str:
        """What to call it in messages."""
        unnamed = "a picture without a name" if self.index is None else f"frame {self.index}"
        return self.file_name or unnamed


class NoAreaError(MaskError):
    """A shape that cannot be a mask (a point, a line), in a file that is otherwise in order."""


def regions_of(readers: Iterable[Callable[[], Region]]) -> tuple[tuple[Region, ...], tuple[str, ...]]:
    """(regions, left_out): the regions of those shapes that have an area, and why the others have none.

    Args:
        readers: Each reads one shape; its `NoAreaError` becomes a reason.
    """
    regions, left_out = [], []
    for read in readers:
        try:
            regions.append(read())
        except NoAreaError as error:
            left_out.append(str(error))
    return tuple(regions), tuple(left_out)


def named(
    key: str,
    label: str,
    wanted_id: int | None = None,
    rank: tuple[int, int] = (0, 0),
    *,
    by_label: bool = False,
) -> AnnotatedObject:
    """An object with a cleaned label; `object 3`, which exports of tinct use for no name, means id 3.

    `background` and `__ignore__`, in the forms of LabelMe and CVAT, are no objects but labels.
    """
    name = re.sub(r"[\x00-\x1f\x7f]+", " ", label).strip()[:MAX_NAME_LENGTH]
    if name.lower() in _LABELS:
        return AnnotatedObject(name.lower(), name, None, rank, _LABELS[name.lower()])
    own = re.fullmatch(r"object (\d{1,3})", name, re.ASCII)
    if own:
        return AnnotatedObject(key, "", int(own[1]) if wanted_id is None else wanted_id, rank)
    return AnnotatedObject(key, name, wanted_id, rank, by_label=by_label)


def number(value: Any, what: str) -> float:
    """Parse a finite number.

    Raises:
        MaskError: The value is no such number; `what` says where it was.
    """
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found) or isinstance(value, bool):
        raise MaskError(f"{what}: {value!r} came, expected a number. Export the file again.")
    return found


def whole_number(value: Any, what: str) -> int:
    """Parse a whole number.

    Raises:
        MaskError: The value is no such number; `what` says where it was.
    """
    found = number(value, what)
    if found != int(found):
        raise MaskError(f"{what}: {value!r} came, expected a whole number. Export the file again.")
    return int(found)


def decode_runs(counts: list[int], shape: tuple[int, int], what: str, container: str) -> BinaryMask:
    """A mask from run lengths along the last axis of `shape`, which begin with pixels outside.

    Raises:
        MaskError: The run lengths do not fill the shape; `what` and `container` are for the message.
    """
    pixels = shape[0] * shape[1]
    if min(counts, default=0) < 0:
        raise MaskError(f"{what}, and one of them is negative ({min(counts)}); export it again.")
    if sum(counts) != pixels:
        raise MaskError(f"{what} of {sum(counts)} pixels, and {container} has {pixels}; export it again.")
    mask: BinaryMask = np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(shape)
    return mask
