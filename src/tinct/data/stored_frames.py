"""Frames of sequences, brought to a size and kept in memory: training reads each of them many times."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import UInt8

from tinct.data.sequences import Sequence
from tinct.errors import DatasetError
from tinct.shapes import Image, LabelMap


class StoredFrames:
    """Frames with their label maps, kept after their first reading.

    Args:
        short_side_px: Larger frames are brought to this short side.
    """

    MOST = 3000
    """At 400 × 711 pixels 3.4 GB per worker; more frames than these are read anew each time."""

    def __init__(self, short_side_px: int) -> None:
        self.short_side_px = short_side_px
        self._stored: dict[tuple[str, int], tuple[Image, LabelMap]] = {}

    def __len__(self) -> int:
        return len(self._stored)

    def read(self, sequence: Sequence, index: int) -> tuple[Image, LabelMap]:
        """Frame `index` of a sequence and its label map; DatasetError if a file is broken."""
        key = (sequence.name, index)
        if key in self._stored:
            return self._stored[key]
        image, labels = sequence.read_frame(index), sequence.read_labels(index)
        if image.shape[:2] != labels.shape:
            raise DatasetError(
                f"{sequence.label_maps[index]} is {labels.shape[1]}×{labels.shape[0]}, but its frame is "
                f"{image.shape[1]}×{image.shape[0]}; fetch the dataset anew."
            )
        pair = _shrunk(image, labels, self.short_side_px / min(labels.shape))
        if len(self._stored) < self.MOST:
            self._stored[key] = pair
        return pair


def _shrunk(
    image: Image, labels: LabelMap, factor: float
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"]]:
    """A frame and its label map at `factor` of their size; as they are from 1 on."""
    if factor >= 1:
        return image, labels
    smaller = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    size = smaller.shape[1], smaller.shape[0]
    fewer = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
    return np.asarray(smaller, np.uint8), np.asarray(fewer, np.uint8)
