"""FEELVOS's own training samples: frames of real videos as they are, scaled, cropped and mirrored alone.

A sample is [reference, t - 1, t]: the reference comes from anywhere in the video and has a scale, crop and
flip of its own; the two consecutive frames share theirs. That and the numbers are the released code's.
"""

from __future__ import annotations

from collections.abc import Sequence as Frames
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from tinct.data.samplers import Random, Samples, clip_tensors
from tinct.data.sequences import Sequence, SequenceDataset
from tinct.data.stored_frames import StoredFrames
from tinct.errors import DatasetError, OptionError
from tinct.shapes import BACKGROUND, VOID, Image, LabelMap

STRIDE = 4
"""Of the network's features, on which the labels of the reference are counted."""

RIM_COLOUR = 128
"""Shown beyond a frame that is smaller than the crop; the labels there are void."""


@dataclass(frozen=True)
class TripletOptions:
    """Options of `FrameTriplets`; the defaults are the released code's.

    Attributes:
        size: (H, W) of the crop in pixels.
        scale: Least and largest factor on the frame's size.
        min_cells: What every label of the reference, the background too, must fill of the grid of stride 4.
        max_objects: The largest number of objects; of more, some become background.
        seed: Sample i is a function of (seed, i) alone.

    Raises:
        OptionError: A number is out of its range.
    """

    size: tuple[int, int] = (465, 465)
    scale: tuple[float, float] = (1.0, 1.3)
    min_cells: int = 10
    max_objects: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if min(*self.size, self.min_cells, self.max_objects) < 1 or self.seed < 0 or min(self.scale) <= 0:
            raise OptionError(
                f"Triplets with size = {self.size}, scale = {self.scale}, min_cells = {self.min_cells}, "
                f"max_objects = {self.max_objects} and seed = {self.seed} came; the seed starts at 0, scales "
                "are above 0, and the others start at 1."
            )


class FrameTriplets(Samples):
    """Samples of a reference frame and two consecutive frames, with all objects of the reference.

    Each is a dictionary of tensors as `Clips` gives them: `frames` uint8 [3, H, W, 3]; `labels` uint8
    [3, H, W] with ids 1..n and void; `previous` uint8 [max_objects, H, W], the masks of t - 1 times 255;
    `objects`, the count n. Where frames lie between annotated ones, the annotated ones alone count.

    Args:
        sequences: The annotated videos.
        options: Options of the samples.
        stored_px: The short side to which larger frames are reduced when they are cached (`StoredFrames`).
    """

    ATTEMPTS = 100
    """Samples drawn for one index before giving up."""

    def __init__(self, sequences: SequenceDataset, options: TripletOptions, *, stored_px: int = 480) -> None:
        self.sequences, self.options, self.stored_px = sequences, options, stored_px
        self._stored = StoredFrames(stored_px)

    def describe(self) -> str:
        """The number of sequences and frames, and the options."""
        return f"{self.sequences.describe()}, {self.stored_px} px, {self.options}"

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Sample `index`; DatasetError if the data are broken, or too small for their objects to be seen."""
        for attempt in range(self.ATTEMPTS):
            random = np.random.default_rng([self.options.seed, index, attempt])
            sequence = self.sequences[self.sequences.draw(random)]
            if len(sequence.annotated) < 3:
                continue
            images, labels = self._draw(sequence, random)
            objects = self._objects_of(labels[0], random)
            if objects is not None:
                return self._tensors(images, labels, objects)
        raise DatasetError(
            f"{self.ATTEMPTS} reference frames in a row showed an object or the background on fewer than "
            f"{self.options.min_cells} cells of {STRIDE} pixels, or came from videos of fewer than 3 "
            "annotated frames. Look whether the masks hold objects: ids from 1 to 254, 255 is void."
        )

    def _draw(self, sequence: Sequence, random: Random) -> tuple[list[Image], list[LabelMap]]:
        frames = sequence.annotated
        reference = frames[int(random.integers(len(frames)))]
        start = int(random.integers(len(frames) - 1))
        first = self._changed_alike(sequence, [reference], random)
        rest = self._changed_alike(sequence, frames[start : start + 2], random)
        images, labels = zip(*first, *rest, strict=True)
        return list(images), list(labels)

    def _changed_alike(
        self, sequence: Sequence, indices: Frames[int], random: Random
    ) -> list[tuple[Image, LabelMap]]:
        """Frames with one scale, one crop, every place of which is as likely as any other, and one flip."""
        pairs = [self._stored.read(sequence, index) for index in indices]
        factor = random.uniform(*self.options.scale)
        pairs = [_padded(*_scaled(*pair, factor), self.options.size) for pair in pairs]
        height, width = self.options.size
        rows, columns = pairs[0][1].shape
        top, left = int(random.integers(rows - height + 1)), int(random.integers(columns - width + 1))
        step = -1 if random.random() < 0.5 else 1
        return [
            (
                image[top : top + height, left : left + width][:, ::step],
                labels[top : top + height, left : left + width][:, ::step],
            )
            for image, labels in pairs
        ]

    def _objects_of(self, reference: LabelMap, random: Random) -> list[int] | None:
        """The ids of the reference on the network's grid; None where one of its labels can hardly be seen."""
        cells = np.bincount(reference[::STRIDE, ::STRIDE].ravel(), minlength=256)[:VOID]
        seen = np.flatnonzero(cells)
        objects = seen[seen != BACKGROUND]
        if not len(objects) or len(objects) == len(seen) or cells[seen].min() < self.options.min_cells:
            return None
        if len(objects) > self.options.max_objects:
            objects = np.sort(random.choice(objects, self.options.max_objects, replace=False))
        return [int(object_id) for object_id in objects]

    def _tensors(self, images: list[Image], labels: list[LabelMap], objects: list[int]) -> dict[str, Tensor]:
        table = np.zeros(256, np.uint8)
        table[VOID] = VOID
        table[objects] = np.arange(1, len(objects) + 1)
        positions = table[np.stack(labels)]
        previous = np.zeros((self.options.max_objects, *self.options.size), np.uint8)
        for number in range(len(objects)):
            previous[number] = 255 * (positions[1] == number + 1)
        return clip_tensors(np.stack(images), positions, previous, len(objects))


def _scaled(
    image: Image, labels: LabelMap, factor: float
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"]]:
    height, width = (int(side * factor) for side in labels.shape)
    larger = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    more = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(larger, np.uint8), np.asarray(more, np.uint8)


def _padded(
    image: Image, labels: LabelMap, size: tuple[int, int]
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"]]:
    """With a rim below and to the right, where a frame is smaller than the crop."""
    below, right = (max(0, wanted - side) for wanted, side in zip(size, labels.shape, strict=True))
    rim = ((0, below), (0, right))
    return (
        np.pad(image, (*rim, (0, 0)), constant_values=RIM_COLOUR),
        np.pad(labels, rim, constant_values=VOID),
    )
