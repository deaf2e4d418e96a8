"""Which frames make a training clip. A clip is a pure function of (seed, index): that makes resume exact.

Every clip is [reference, previous, query, query, ...]: a reference frame from anywhere in the
video, then frames in a row. `StillClips` moves photos, `VideoClips` reads sequences; both may paste
further objects, with a motion of their own, in front of or behind what is there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from tinct.data.davis import Davis, Sequence
from tinct.data.degrade import degrade_mask
from tinct.data.static_images import StaticImages
from tinct.data.synthetic import Layer, Motion, compose, cut_out, draw_motion, move_each
from tinct.data.transforms import jitter_colours
from tinct.shapes import VOID, Image, LabelMap

Random = np.random.Generator


@dataclass(frozen=True)
class ClipOptions:
    """What training clips look like.

    Attributes:
        size: (H, W) in pixels.
        frames: Reference, previous and queries together.
        max_objects: More objects than these become background.
        min_reference_pixels: An object must have so many in the reference frame.
        max_step: Largest distance of consecutive frames of the video.
        paste: Share of clips into which objects are pasted.
        degrade: Share of clips whose previous mask is damaged.
        colour: Strength of the colour changes.
        seed: The clip at an index depends on it and on the index alone.
    """

    size: tuple[int, int] = (240, 432)
    frames: int = 5
    max_objects: int = 2
    min_reference_pixels: int = 80
    max_step: int = 3
    paste: float = 0.45
    degrade: float = 0.75
    colour: float = 1.0
    seed: int = 0


CAMERA = Motion(scale=(1.0, 1.6), step_scale=0.02, step_turn_degrees=1.5, step_shift=0.015, bend=0.008)
"""A photo as the background of a clip."""

OVER_VIDEO = Motion(
    scale=(0.95, 1.7), turn_degrees=8, shift=0.15,
    step_scale=0.015, step_turn_degrees=1.0, step_shift=0.01, bend=0.004,
)  # fmt: skip
"""A clip of a real video, which moves by itself."""

PASTED = Motion(
    scale=(0.2, 0.9), turn_degrees=15, shift=0.4,
    step_scale=0.03, step_turn_degrees=3.0, step_shift=0.03, bend=0.012, covering=False,
)  # fmt: skip
"""An object set over a clip."""


class Clips(Dataset[dict[str, Tensor]], ABC):
    """Training clips, one per index, without end.

    Each is a dictionary of tensors: `frames` uint8 [T, H, W, 3]; `labels` uint8 [T, H, W] with ids
    1..n; `previous` uint8 [max_objects, H, W], the possibly damaged masks of frame 1 as
    probabilities of 255; `objects`, the count n.
    """

    def __init__(self, options: ClipOptions) -> None:
        self.options = options

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        for attempt in range(100):
            random = np.random.default_rng([self.options.seed, index, attempt])
            images, labels = self.draw(random)
            chosen = choose_objects(labels, self.options, random)
            if chosen is not None:
                images = jitter_colours(images, random, strength=self.options.colour)
                return _to_tensors(images, *chosen)
        raise RuntimeError("a hundred clips in a row held no object in their reference frame")

    @abstractmethod
    def draw(self, random: Random) -> tuple[np.ndarray, np.ndarray]:
        """Images uint8 [T, H, W, 3] and label maps uint8 [T, H, W] of one clip."""

    def times(self, random: Random) -> list[float]:
        """When the frames of a clip are: the reference some way off, the others in a row."""
        step = random.uniform(0.5, self.options.max_step)
        reference = random.uniform(-4, 4) * step
        return [reference, *(step * t for t in range(self.options.frames - 1))]


def choose_objects(
    labels: np.ndarray, options: ClipOptions, random: Random
) -> tuple[np.ndarray, np.ndarray, int] | None:
    """Pick the objects of a clip among those that its reference frame shows well.

    Returns:
        Label maps with ids 1..n (all other objects are background), the previous masks
        uint8 [max_objects, H, W], and n; None if there is no object.
    """
    counts = np.bincount(labels[0].ravel(), minlength=256)
    candidates = [i for i in range(1, VOID) if counts[i] >= options.min_reference_pixels]
    if not candidates:
        return None
    n = int(min(len(candidates), random.integers(1, options.max_objects + 1)))
    picked = random.choice(candidates, n, replace=False)
    table = np.zeros(256, np.uint8)
    table[VOID] = VOID
    table[picked] = np.arange(1, n + 1)
    labels = table[labels]
    previous = np.zeros((options.max_objects, *labels.shape[1:]), np.uint8)
    damaged = random.random() < options.degrade
    for k in range(n):
        mask = labels[1] == k + 1
        previous[k] = degrade_mask(mask, random) if damaged else mask.astype(np.uint8) * 255
    return labels, previous, n


def _to_tensors(images: np.ndarray, labels: np.ndarray, previous: np.ndarray, n: int) -> dict[str, Tensor]:
    return {
        "frames": torch.from_numpy(images),
        "labels": torch.from_numpy(labels),
        "previous": torch.from_numpy(previous),
        "objects": torch.tensor(n),
    }


class StillClips(Clips):
    """Clips synthesised from photos: the photo drifts and bends, objects of other photos move over it."""

    def __init__(self, stills: StaticImages, options: ClipOptions) -> None:
        super().__init__(options)
        self.stills = stills

    def draw(self, random: Random) -> tuple[np.ndarray, np.ndarray]:
        """A photo as background; with probability `paste` one or two objects over it."""
        times = self.times(random)
        image, labels = self._read(random)
        size = self.options.size
        maps = draw_motion(random, times, CAMERA, labels.shape, size)
        layers = [move_each([image] * len(maps), [labels] * len(maps), None, maps)]
        if random.random() < self.options.paste:
            for _ in range(random.integers(1, 3)):
                # A second object of the same photo, now and then, is a look-alike to be told apart.
                source = (image, labels) if random.random() < 0.3 else self._read(random)
                layer = pasted_layer(random, [source[0]], [source[1]], times, size)
                layers.extend([layer] if layer is not None else [])
        return compose(layers)

    def _read(self, random: Random) -> tuple[Image, LabelMap]:
        return self.stills[int(random.integers(len(self.stills)))].read()


class VideoClips(Clips):
    """Clips of real sequences; with probability `paste` an object of another one crosses them.

    Frames are kept in memory after their first reading, at a short side of `stored_px`.
    """

    def __init__(self, sequences: Davis, options: ClipOptions, *, stored_px: int = 312) -> None:
        super().__init__(options)
        self.sequences = sequences
        self.stored_px = stored_px
        self._stored: dict[tuple[str, int], tuple[Image, LabelMap]] = {}

    def draw(self, random: Random) -> tuple[np.ndarray, np.ndarray]:
        """Frames of one sequence, under a slight motion of the camera."""
        sequence = self._any_sequence(random)
        images, labels = self._read(sequence, self._frame_indices(sequence, random))
        times = self.times(random)
        size = self.options.size
        maps = draw_motion(random, times, OVER_VIDEO, labels[0].shape, size)
        layers = [move_each(images, labels, None, maps)]
        if random.random() < self.options.paste:
            other = sequence if random.random() < 0.25 else self._any_sequence(random)
            pasted = self._read(other, self._frame_indices(other, random))
            layer = pasted_layer(random, *pasted, times, size)
            if layer is not None:
                behind = random.random() < 0.35
                layers.append(hidden_behind(layer, layers[0]) if behind else layer)
        return compose(layers)

    def _any_sequence(self, random: Random) -> Sequence:
        return self.sequences[int(random.integers(len(self.sequences)))]

    def _frame_indices(self, sequence: Sequence, random: Random) -> list[int]:
        """A reference from anywhere; then frames in a row, forward or backward, 1 to max_step apart."""
        row = self.options.frames - 1
        step = int(min(random.integers(1, self.options.max_step + 1), (len(sequence) - 1) // (row - 1)))
        start = int(random.integers(len(sequence) - step * (row - 1)))
        indices = [start + step * t for t in range(row)]
        if random.random() < 0.5:
            indices.reverse()
        return [int(random.integers(len(sequence))), *indices]

    def _read(self, sequence: Sequence, indices: list[int]) -> tuple[list[Image], list[LabelMap]]:
        pairs = [self._read_stored(sequence, i) for i in indices]
        return [image for image, _ in pairs], [labels for _, labels in pairs]

    def _read_stored(self, sequence: Sequence, index: int) -> tuple[Image, LabelMap]:
        key = (sequence.name, index)
        if key not in self._stored:
            image, labels = sequence.read_frame(index), sequence.read_labels(index)
            factor = self.stored_px / min(labels.shape)
            if factor < 1:
                image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
                labels = cv2.resize(labels, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
            self._stored[key] = image, labels
        return self._stored[key]


class MixedClips(Clips):
    """Clips of a main source, and now and then one of another.

    Args:
        main: Most clips.
        other: The rest.
        share: Of `other`, in [0, 1].
    """

    def __init__(self, main: Clips, other: Clips, share: float) -> None:
        super().__init__(main.options)
        self.main, self.other, self.share = main, other, share

    def draw(self, random: Random) -> tuple[np.ndarray, np.ndarray]:
        """A clip of either source."""
        return (self.other if random.random() < self.share else self.main).draw(random)


def pasted_layer(
    random: Random, images: list[Image], labels: list[LabelMap], times: list[float], size: tuple[int, int]
) -> Layer | None:
    """One object, cut out of a clip (or of a single photo), under a motion of its own; None if it is too small."""
    ids = np.flatnonzero(np.bincount(labels[0].ravel(), minlength=256)[:VOID])
    ids = ids[ids > 0]
    if len(ids) == 0:
        return None
    object_id = int(random.choice(ids))
    cuts = [cut_out(y, object_id) for y in labels]
    ys, xs = np.nonzero(np.maximum.reduce([mask for mask, _ in cuts]))
    if len(ys) < 200:
        return None
    box = np.s_[max(0, ys.min() - 2) : ys.max() + 3, max(0, xs.min() - 2) : xs.max() + 3]
    masks, alphas = [mask[box] for mask, _ in cuts], [alpha[box] for _, alpha in cuts]
    pictures = [image[box] for image in images]
    repeat = len(times) // len(pictures)
    maps = draw_motion(random, times, PASTED, masks[0].shape, size)
    return move_each(pictures * repeat, masks * repeat, alphas * repeat, maps)


def hidden_behind(layer: Layer, front: Layer) -> Layer:
    """The layer, cut where the objects of another lie: it passes behind them."""
    is_object = (front.labels > 0) & (front.labels != VOID)
    return Layer(layer.images, layer.labels, np.where(is_object, 0, layer.alphas).astype(np.uint8))
