"""Still images with object masks: any folder that holds `images/NAME.*` beside `masks/NAME.png`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tinct.errors import DatasetError
from tinct.shapes import Image, LabelMap


@dataclass(frozen=True)
class Still:
    """A photo and its grey label PNG (ids, 0 background, 255 void)."""

    image: Path
    mask: Path

    def read(self) -> tuple[Image, LabelMap]:
        """The photo as uint8 RGB, and its label map."""
        image = cv2.imread(str(self.image), cv2.IMREAD_COLOR)
        labels = cv2.imread(str(self.mask), cv2.IMREAD_GRAYSCALE)
        if image is None or labels is None:
            broken = self.image if image is None else self.mask
            raise DatasetError(f"{broken} cannot be read as an image.")
        if image.shape[:2] != labels.shape:
            raise DatasetError(
                f"{self.mask} is {labels.shape[1]}×{labels.shape[0]}, "
                f"but its photo is {image.shape[1]}×{image.shape[0]}."
            )
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.asarray(labels, np.uint8)


class StaticImages:
    """All stills below a folder: every `images` folder with a `masks` folder beside it.

    Raises:
        DatasetError: No such pair of folders, or a photo without a mask.
    """

    def __init__(self, root: Path) -> None:
        folders = sorted(p for p in root.rglob("images") if p.is_dir() and (p.parent / "masks").is_dir())
        if not folders:
            raise DatasetError(f"{root} holds no folder `images` with a folder `masks` beside it.")
        self.stills = tuple(still for folder in folders for still in _stills(folder))
        if not self.stills:
            raise DatasetError(f"The folders `images` below {root} are empty.")

    def __len__(self) -> int:
        return len(self.stills)

    def __iter__(self) -> Iterator[Still]:
        return iter(self.stills)

    def __getitem__(self, index: int) -> Still:
        return self.stills[index]


def _stills(folder: Path) -> Iterator[Still]:
    masks = folder.parent / "masks"
    for image in sorted(p for p in folder.iterdir() if p.suffix.lower() in {".jpg", ".jpeg", ".png"}):
        mask = masks / f"{image.stem}.png"
        if not mask.is_file():
            raise DatasetError(f"{image} has no mask {mask}.")
        yield Still(image, mask)
