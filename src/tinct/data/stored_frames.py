"""A cache of the frames of sequences at reduced size, as training reads each of them many times."""

from __future__ import annotations

from collections.abc import Hashable

import cv2
import numpy as np
from jaxtyping import UInt8

from tinct.data.sequences import Sequence
from tinct.errors import DatasetError
from tinct.shapes import Image, LabelMap


class StoredFrames:
    """Frames and label maps, cached after their first reading.

    Args:
        short_side_px: The short side to which larger frames are reduced.
    """

    MAX_FRAMES = 3000
    """Size of the cache: 3.4 GB per worker at 400 × 711 pixels. Further frames are read again each time."""

    def __init__(self, short_side_px: int) -> None:
        self.short_side_px = short_side_px
        self._stored: dict[Hashable, tuple[Image, LabelMap]] = {}

    def __len__(self) -> int:
        return len(self._stored)

    def read(self, sequence: Sequence, index: int) -> tuple[Image, LabelMap]:
        """Read frame `index` of a sequence and its label map; DatasetError if a file is broken."""
        # Two datasets may have a sequence of the same name.
        key = (sequence.frames[index], sequence.label_maps[index], sequence.merged)
        if key in self._stored:
            return self._stored[key]
        image, labels = sequence.read_frame(index), sequence.read_labels(index)
        if image.shape[:2] != labels.shape:
            raise DatasetError(
                f"{sequence.label_maps[index]} is {labels.shape[1]}×{labels.shape[0]}, but its frame is "
                f"{image.shape[1]}×{image.shape[0]}; fetch the dataset again."
            )
        pair = _shrink(image, labels, self.short_side_px / min(labels.shape))
        if len(self._stored) < self.MAX_FRAMES:
            self._stored[key] = pair
        return pair


def _shrink(
    image: Image, labels: LabelMap, factor: float
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"]]:
    """Resize a frame and its label map by `factor`, if it is below 1."""
    if factor >= 1:
        return image, labels
    smaller = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    size = smaller.shape[1], smaller.shape[0]
    fewer = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
    return np.asarray(smaller, np.uint8), np.asarray(fewer, np.uint8)
