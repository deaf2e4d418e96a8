"""Which frames make a training clip. A clip is a pure function of (seed, index): that makes resume exact.

Every clip is [reference, previous, query, query, ...]: a reference frame from anywhere in the
video, then frames in a row. `StillClips` moves photos, `VideoClips` reads sequences; both may paste
further objects, with a motion of their own, in front of or behind what is there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset

from tinct.data.davis import Davis, Sequence
from tinct.data.degrade import degrade_mask
from tinct.data.static_images import StaticImages
from tinct.data.stored_frames import StoredFrames
from tinct.data.synthetic import Layer, Motion, compose, cut_out, draw_motion, move_each
from tinct.data.transforms import jitter_colours
from tinct.errors import DatasetError, OptionError
from tinct.shapes import VOID, Image, LabelMap

Random = np.random.Generator

ClipImages = UInt8[np.ndarray, "T H W 3"]
ClipLabels = UInt8[np.ndarray, "T H W"]


@dataclass(frozen=True)
class ClipOptions:
    """What training clips look like.

    Attributes:
        size: (H, W) in pixels.
        frames: Reference, previous and queries together: 3 or more.
        max_objects: More objects than these become background.
        min_reference_pixels: An object must have so many in the reference frame.
        max_step: Largest distance of consecutive frames of the video.
        paste: Share of clips into which objects are pasted.
        degrade: Share of clips whose previous mask is damaged.
        colour: Strength of the colour changes.
        seed: The clip at an index depends on it and on the index alone.

    Raises:
        OptionError: A number is out of its range.
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

    def __post_init__(self) -> None:
        if self.frames < 3:
            raise OptionError(
                f"Clips of {self.frames} frames came; they hold 3 or more: a reference, a previous frame "
                "and queries."
            )
        if self.max_objects < 1 or self.max_step < 1 or self.seed < 0 or min(self.size) < 1:
            raise OptionError(
                f"Clips with max_objects = {self.max_objects}, max_step = {self.max_step}, "
                f"seed = {self.seed} and size = {self.size} came; the seed starts at 0, all others at 1."
            )


CAMERA = Motion(scale=(1.0, 1.6), step_scale=0.02, step_turn_degrees=1.5, step_shift=0.015, bend=0.008)
"""A photo as the background of a clip."""

OVER_VIDEO = Motion(
    scale=(0.95, 2.0), turn_degrees=8.0, shift=0.15,
    step_scale=0.015, step_turn_degrees=1.0, step_shift=0.01, bend=0.004,
)  # fmt: skip
"""A clip of a real video, which moves by itself."""

PASTED = Motion(
    scale=(0.2, 0.9), turn_degrees=15.0, shift=0.4,
    step_scale=0.03, step_turn_degrees=3.0, step_shift=0.03, bend=0.012, covering=False,
)  # fmt: skip
"""An object set over a clip."""

MIN_PASTED_PIXELS = 200
"""Smaller objects are not worth pasting."""


class Samples(Dataset[dict[str, Tensor]], ABC):
    """What a stage of training learns from: one dictionary of tensors per index, without end.

    Attributes:
        identities: How many objects the samples tell apart by number, from sample to sample; 0 for none.
    """

    identities: int = 0

    @abstractmethod
    def describe(self) -> str:
        """What the samples are made from and how, in one line: runs on other samples are other runs."""


class Clips(Samples):
    """Training clips, one per index, without end.

    Each is a dictionary of tensors: `frames` uint8 [T, H, W, 3]; `labels` uint8 [T, H, W] with ids
    1..n; `previous` uint8 [max_objects, H, W], the possibly damaged masks of frame 1 as
    probabilities of 255; `objects`, the count n.

    Args:
        options: What the clips look like.
    """

    ATTEMPTS = 100
    """Clips drawn for one index before it is clear that none will show an object."""

    def __init__(self, options: ClipOptions) -> None:
        self.options = options

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Clip `index`; DatasetError if the data are broken or show no object."""
        for attempt in range(self.ATTEMPTS):
            random = np.random.default_rng([self.options.seed, index, attempt])
            images, labels = self.draw(random)
            chosen = choose_objects(labels, self.options, random)
            if chosen is not None:
                images = jitter_colours(images, random, strength=self.options.colour)
                return _to_tensors(images, *chosen)
        raise DatasetError(
            f"{self.ATTEMPTS} clips in a row showed no object of {self.options.min_reference_pixels} pixels "
            "in their reference frame. Look whether the masks hold objects: ids from 1 to 254, 255 is void."
        )

    @abstractmethod
    def draw(self, random: Random) -> tuple[ClipImages, ClipLabels]:
        """Images and label maps of one clip; ids are any."""

    def times(self, random: Random) -> list[float]:
        """When the frames of a clip are: the reference some way off, the others in a row."""
        step = random.uniform(0.5, self.options.max_step)
        reference = random.uniform(-4, 4) * step
        return [reference, *(step * t for t in range(self.options.frames - 1))]


def choose_objects(
    labels: ClipLabels, options: ClipOptions, random: Random
) -> tuple[ClipLabels, UInt8[np.ndarray, "M H W"], int] | None:
    """Pick the objects of a clip among those that its reference frame shows well.

    Returns:
        Label maps with ids 1..n (all other objects are background), the previous masks
        uint8 [max_objects, H, W], and n; None if there is no object.
    """
    counts = np.bincount(labels[0].ravel(), minlength=256)
    candidates = [i for i in range(1, VOID) if counts[i] >= options.min_reference_pixels]
    if not candidates:
        return None
    n = min(len(candidates), int(random.integers(1, options.max_objects + 1)))
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


def _to_tensors(
    images: ClipImages, labels: ClipLabels, previous: UInt8[np.ndarray, "M H W"], n: int
) -> dict[str, Tensor]:
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

    def describe(self) -> str:
        """How many photos, and the options."""
        return f"{len(self.stills)} photos, {self.options}"

    def draw(self, random: Random) -> tuple[ClipImages, ClipLabels]:
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

    Args:
        sequences: Where the frames come from.
        options: What the clips look like.
        stored_px: Frames are brought to this short side, if they are larger, and kept in memory
            after their first reading (`StoredFrames`).
    """

    def __init__(self, sequences: Davis, options: ClipOptions, *, stored_px: int = 400) -> None:
        super().__init__(options)
        self.sequences = sequences
        self.stored_px = stored_px
        self._stored = StoredFrames(stored_px)

    def describe(self) -> str:
        """How many sequences and frames, and the options."""
        frames = sum(len(sequence) for sequence in self.sequences)
        return f"{len(self.sequences)} sequences of {frames} frames, {self.stored_px} px, {self.options}"

    def draw(self, random: Random) -> tuple[ClipImages, ClipLabels]:
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
        """A reference from anywhere; then frames in a row, forward or backward, 1 to max_step apart.

        A sequence that is too short for such a row is taken with smaller steps, down to standing still.
        """
        row = self.options.frames - 1
        step = min(int(random.integers(1, self.options.max_step + 1)), (len(sequence) - 1) // (row - 1))
        start = int(random.integers(len(sequence) - step * (row - 1)))
        indices = [start + step * t for t in range(row)]
        if random.random() < 0.5:
            indices.reverse()
        return [int(random.integers(len(sequence))), *indices]

    def _read(self, sequence: Sequence, indices: list[int]) -> tuple[list[Image], list[LabelMap]]:
        pairs = [self._stored.read(sequence, i) for i in indices]
        return [image for image, _ in pairs], [labels for _, labels in pairs]


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

    def describe(self) -> str:
        """Both sources."""
        return f"{self.main.describe()}; a share of {self.share} of {self.other.describe()}"

    def draw(self, random: Random) -> tuple[ClipImages, ClipLabels]:
        """A clip of either source."""
        return (self.other if random.random() < self.share else self.main).draw(random)


def pasted_layer(
    random: Random,
    images: list[Image],
    labels: list[LabelMap],
    times: list[float],
    size: tuple[int, int],
    motion: Motion = PASTED,
) -> Layer | None:
    """One object, cut out of a clip or of a single photo, under a motion of its own.

    Args:
        random: Decides which object, and how it moves.
        images: Frames that move by themselves, one per time; or one photo, repeated.
        labels: Their label maps.
        times: When each frame of the clip is.
        size: (H, W) of the clip.
        motion: How far it goes; scale 1 just fits into the frame.

    Returns:
        None if there is no object in the first frame, or too little of it.
    """
    ids = np.flatnonzero(np.bincount(labels[0].ravel(), minlength=256)[:VOID])
    ids = ids[ids > 0]
    if len(ids) == 0:
        return None
    object_id = int(random.choice(ids))
    cuts = [cut_out(y, object_id) for y in labels]
    ys, xs = np.nonzero(np.maximum.reduce([mask for mask, _ in cuts]))
    if len(ys) < MIN_PASTED_PIXELS:
        return None
    box = np.s_[max(0, ys.min() - 2) : ys.max() + 3, max(0, xs.min() - 2) : xs.max() + 3]
    masks, alphas = [mask[box] for mask, _ in cuts], [alpha[box] for _, alpha in cuts]
    pictures = [image[box] for image in images]
    repeat = len(times) // len(pictures)
    maps = draw_motion(random, times, motion, masks[0].shape, size)
    return move_each(pictures * repeat, masks * repeat, alphas * repeat, maps)


def hidden_behind(layer: Layer, front: Layer) -> Layer:
    """The layer, cut where the objects of another lie: it passes behind them."""
    is_object = (front.labels > 0) & (front.labels != VOID)
    return Layer(layer.images, layer.labels, np.where(is_object, 0, layer.alphas).astype(np.uint8))
