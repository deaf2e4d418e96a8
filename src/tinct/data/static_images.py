"""Still images with object masks: any folder that holds `images/NAME.*` beside `masks/NAME.png`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tinct.data.images import read_indices, read_rgb
from tinct.errors import DatasetError
from tinct.shapes import Image, LabelMap

PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


@dataclass(frozen=True)
class Still:
    """A photo and its label PNG, grey or palette (ids, 0 background, 255 void)."""

    image: Path
    mask: Path

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
        return image, labels


StillFilter = Callable[[Still], bool]
"""A predicate on stills, such as `tinct.data.held_out.held_out`."""


class StaticImages:
    """All stills below a folder: every `images` folder with a `masks` folder beside it.

    Args:
        root: The folder.
        only: Only the stills for which it is true.
        without: Without the stills for which it is true.

    Raises:
        DatasetError: There is no such pair of folders, no photo, a photo without a mask, or no still left.
    """

    def __init__(
        self, root: Path, *, only: StillFilter | None = None, without: StillFilter | None = None
    ) -> None:
        folders = sorted(p for p in root.rglob("images") if p.is_dir() and (p.parent / "masks").is_dir())
        if not folders:
            raise DatasetError(
                f"{root} holds no folder `images` with a folder `masks` beside it; "
                "images/NAME.jpg belongs to masks/NAME.png."
            )
        found = tuple(still for folder in folders for still in _stills(folder))
        if not found:
            raise DatasetError(f"The folders `images` below {root} hold no photo (.jpg, .jpeg, .png).")
        self.stills = tuple(
            still for still in found if (not only or only(still)) and not (without and without(still))
        )
        if not self.stills:
            raise DatasetError(
                f"None of the {len(found)} photos below {root} was chosen; give more photos, or choose less "
                "narrowly."
            )

    def __len__(self) -> int:
        return len(self.stills)

    def __iter__(self) -> Iterator[Still]:
        return iter(self.stills)

    def __getitem__(self, index: int) -> Still:
        return self.stills[index]


def _stills(folder: Path) -> Iterator[Still]:
    masks = folder.parent / "masks"
    for image in sorted(p for p in folder.iterdir() if p.suffix.lower() in PHOTO_SUFFIXES):
        mask = masks / f"{image.stem}.png"
        if not mask.is_file():
            raise DatasetError(f"{image} has no mask; {mask} was expected.")
        yield Still(image, mask)
