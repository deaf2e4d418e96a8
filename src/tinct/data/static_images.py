"""Still images with object masks: any folder that holds `images/NAME.*` beside `masks/NAME.png`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from tinct.data.images import read_indices, read_rgb
from tinct.data.mixture import MixedEntries, fingerprint, joined
from tinct.errors import DatasetError
from tinct.shapes import Image, LabelMap

PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


@runtime_checkable
class Photo(Protocol):
    """A photo with a label map."""

    @property
    def image(self) -> Path:
        """The photo's file."""
        ...

    def read(self) -> tuple[Image, LabelMap]:
        """Read the photo as uint8 RGB, and its label map (ids, 0 background, 255 void).

        Raises:
            DatasetError: A file is broken, or both are of different sizes.
        """
        ...


SALIENT_ABOVE = 127
"""Grey levels above it are of the salient object: what half of PASCAL-S's twelve subjects, or more, chose."""


@dataclass(frozen=True)
class Still:
    """A photo and its label PNG, grey or palette (ids, 0 background, 255 void).

    Attributes:
        image: The photo's file.
        mask: The label PNG's.
        saliency: The mask is of grey levels, above `SALIENT_ABOVE` of object 1.
    """

    image: Path
    mask: Path
    saliency: bool = False

    def read(self) -> tuple[Image, LabelMap]:
        """Read the photo as uint8 RGB, and its label map.

        Raises:
            DatasetError: Either file is broken, or they are of different sizes.
        """
        image, (labels, _) = read_rgb(self.image), read_indices(self.mask)
        if image.shape[:2] != labels.shape:
            raise DatasetError(
                f"{self.mask} is {labels.shape[1]}×{labels.shape[0]}, but its photo {self.image.name} is "
                f"{image.shape[1]}×{image.shape[0]}; make the mask again, at the photo's size."
            )
        return image, (labels > SALIENT_ABOVE).astype(np.uint8) if self.saliency else labels


StillFilter = Callable[[Photo], bool]
"""A predicate on photos, such as `tinct.data.held_out.held_out`."""


class Photos(MixedEntries[Photo]):
    """Photos with object masks, in order."""

    @classmethod
    def mixed(cls, sets: Sequence[tuple[Photos, float]]) -> Photos:
        """Several sets as one, each with its weight; a single one as it is."""
        return sets[0][0] if len(sets) == 1 else Photos(*joined(sets))

    def thinned(self, most: int) -> Photos:
        """At most this many of the photos, evenly chosen from each set."""
        places = self.mixture.evenly(most)
        counts = tuple(len(of_set) for of_set in places)
        return Photos(
            tuple(self[i] for of_set in places for i in of_set), replace(self.mixture, counts=counts)
        )

    def describe(self) -> str:
        """The number of photos."""
        return f"{len(self)} photos"

    def fingerprint(self) -> str:
        """What tells the photos from others."""
        return fingerprint(f"{still.image.parent.parent.name}/{still.image.stem}" for still in self)


class StaticImages(Photos):
    """All stills below a folder: every `images` folder with a `masks` folder beside it.

    Args:
        root: The folder.
        only: Only the stills for which it is true.
        without: Without the stills for which it is true.
        saliency: Masks are grey levels of one object, as of MSRA10K, ECSSD, PASCAL-S, SOD and HKU-IS.

    Raises:
        DatasetError: There is no such pair of folders, no photo, a photo without a mask, or no still left.
    """

    def __init__(
        self,
        root: Path,
        *,
        only: StillFilter | None = None,
        without: StillFilter | None = None,
        saliency: bool = False,
    ) -> None:
        folders = sorted(p for p in root.rglob("images") if p.is_dir() and (p.parent / "masks").is_dir())
        if not folders:
            raise DatasetError(
                f"{root} holds no folder `images` with a folder `masks` beside it; "
                "images/NAME.jpg belongs to masks/NAME.png."
            )
        found = tuple(still for folder in folders for still in _stills(folder, saliency))
        if not found:
            raise DatasetError(f"The folders `images` below {root} hold no photo (.jpg, .jpeg, .png).")
        super().__init__(filtered(found, root, only=only, without=without))


def filtered(
    found: Sequence[Photo], root: Path, *, only: StillFilter | None = None, without: StillFilter | None = None
) -> tuple[Photo, ...]:
    """The photos that two filters leave; DatasetError, which names `root`, if there is none."""
    stills = tuple(s for s in found if (not only or only(s)) and not (without and without(s)))
    if not stills:
        raise DatasetError(
            f"None of the {len(found)} photos below {root} was chosen; give more photos, or choose less "
            "narrowly."
        )
    return stills


def _stills(folder: Path, saliency: bool) -> Iterator[Still]:
    masks = folder.parent / "masks"
    for image in sorted(p for p in folder.iterdir() if p.suffix.lower() in PHOTO_SUFFIXES):
        mask = masks / f"{image.stem}.png"
        if not mask.is_file():
            raise DatasetError(f"{image} has no mask; {mask} was expected.")
        yield Still(image, mask, saliency)
