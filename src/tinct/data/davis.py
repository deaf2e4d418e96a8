"""DAVIS (Perazzi et al., CVPR 2016; Pont-Tuset et al., 2017): sequences of frames and label maps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as PillowImage

from tinct.errors import DatasetError
from tinct.shapes import Image, LabelMap


@dataclass(frozen=True)
class Sequence:
    """One video of a dataset: its frames and, where they are annotated, its label maps.

    Attributes:
        name: Such as "bear".
        frames: Image files in order.
        label_maps: The annotation of each frame; DAVIS annotates every one.
    """

    name: str
    frames: tuple[Path, ...]
    label_maps: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.frames)

    def read_frame(self, index: int) -> Image:
        """Frame `index` as uint8 RGB."""
        image = cv2.imread(str(self.frames[index]), cv2.IMREAD_COLOR)
        if image is None:
            raise DatasetError(f"{self.frames[index]} cannot be read as an image; fetch the dataset anew.")
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

    def read_labels(self, index: int) -> LabelMap:
        """Label map `index`; the one object of DAVIS-2016's 0/255 masks gets id 1."""
        return read_davis_labels(self.label_maps[index])


class Davis:
    """A split of DAVIS in its official layout.

    Args:
        root: The folder that holds JPEGImages, Annotations and ImageSets.
        split: The name of a list in ImageSets/<year>, such as "train".
        year: "2016" or "2017".
        resolution: "480p", "1080p" or "Full-Resolution", as the folders are called.

    Raises:
        DatasetError: A list, folder or annotation is missing; the message names it.
    """

    def __init__(self, root: Path, split: str, *, year: str = "2016", resolution: str = "480p") -> None:
        self.root = root
        self.split = split
        listing = root / "ImageSets" / year / f"{split}.txt"
        if not listing.is_file():
            raise DatasetError(
                f"{listing} does not exist. Give the folder that holds JPEGImages, Annotations and "
                f"ImageSets as the root, and a split that ImageSets/{year} lists."
            )
        names = [line.strip() for line in listing.read_text().splitlines() if line.strip()]
        if not names:
            raise DatasetError(f"{listing} lists no sequence; expected one name per line.")
        self.sequences = tuple(self._sequence(name, resolution) for name in names)

    def _sequence(self, name: str, resolution: str) -> Sequence:
        frames_folder = self.root / "JPEGImages" / resolution / name
        frames = tuple(sorted(frames_folder.glob("*.jpg")))
        if not frames:
            raise DatasetError(f"{frames_folder} holds no .jpg frame, but {self.split}.txt lists {name!r}.")
        labels = tuple(self.root / "Annotations" / resolution / name / f"{f.stem}.png" for f in frames)
        missing = [str(path) for path in labels if not path.is_file()]
        if missing:
            raise DatasetError(
                f"{name!r} lacks {len(missing)} of {len(frames)} annotations, the first is {missing[0]}."
            )
        return Sequence(name, frames, labels)

    def __len__(self) -> int:
        return len(self.sequences)

    def __iter__(self) -> Iterator[Sequence]:
        return iter(self.sequences)

    def __getitem__(self, index: int) -> Sequence:
        return self.sequences[index]


def read_davis_labels(path: Path) -> LabelMap:
    """A DAVIS annotation: palette indices are ids; a grey 0/255 mask has one object, id 1.

    Raises:
        DatasetError: The file cannot be read.
    """
    try:
        with PillowImage.open(path) as image:
            mode = image.mode
            labels = np.array(image if mode in ("P", "L") else image.convert("L"))
    except OSError as error:
        raise DatasetError(f"{path} cannot be read as an annotation: {error}.") from error
    if mode != "P" and set(np.unique(labels)) <= {0, 255}:
        return (labels > 127).astype(np.uint8)
    return labels.astype(np.uint8)
