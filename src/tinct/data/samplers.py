"""Samplers of training clips. A clip is a pure function of (seed, index), which makes resuming exact.

Every clip is [reference, previous, query, query, ...]: a reference frame from anywhere in the video, then
consecutive frames. `StillClips` animates photos, `VideoClips` reads sequences; both may paste further
objects, each with its own motion, in front of or behind the others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset

from tinct.data.degrade import degrade_mask
from tinct.data.pasting import hidden_behind, pasted_layer
from tinct.data.sequences import Sequence, SequenceDataset
from tinct.data.static_images import Photos
from tinct.data.stored_frames import StoredFrames
from tinct.data.synthetic import Motion, compose, draw_motion, move_each
from tinct.data.transforms import jitter_colours
from tinct.errors import DatasetError, OptionError
from tinct.shapes import VOID, Image, LabelMap

Random = np.random.Generator

ClipImages = UInt8[np.ndarray, "T H W 3"]
ClipLabels = UInt8[np.ndarray, "T H W"]


@dataclass(frozen=True)
class ClipOptions:
    """Options of training clips.

    Attributes:
        size: (H, W) in pixels.
        frames: Reference, previous and queries together: 3 or more.
        max_objects: Maximum number of objects; others become background.
        min_reference_pixels: Minimum size of an object in the reference frame.
        max_step: Largest distance of consecutive frames of the video.
        paste: Share of clips into which objects are pasted.
        degrade: Share of clips whose previous mask is degraded.
        colour: Strength of the colour changes.
        seed: Clip i is a function of (seed, i) alone.

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
"""The motion of a photo as the background of a clip."""

OVER_VIDEO = Motion(
    scale=(0.95, 2.0), turn_degrees=8.0, shift=0.15,
    step_scale=0.015, step_turn_degrees=1.0, step_shift=0.01, bend=0.004,
)  # fmt: skip
"""The additional motion of a clip of a real video."""

WHOLE_CLIP = replace(
    OVER_VIDEO, step_scale=0.0, step_turn_degrees=0.0, step_shift=0.0, bend=0.0, blank_rim=True
)
"""A clip as the papers vary it: resized, turned, cropped and mirrored as a whole; its frames' own motion is
all that moves, and what the picture leaves free shows nothing."""


class Samples(Dataset[dict[str, Tensor]], ABC):
    """Endless training data of a stage: one dictionary of tensors per index.

    Attributes:
        identities: Number of object identities across samples; 0 for none.
    """

    identities: int = 0

    @abstractmethod
    def describe(self) -> str:
        """Sources and options of the samples in one line, which identifies the training data of a run."""


class Clips(Samples):
    """An endless sequence of training clips, one per index.

    Each is a dictionary of tensors: `frames` uint8 [T, H, W, 3]; `labels` uint8 [T, H, W] with ids
    1..n; `previous` uint8 [max_objects, H, W], the possibly degraded masks of frame 1 as
    probabilities × 255; `objects`, the count n.

    Args:
        options: Options of the clips.
    """

    ATTEMPTS = 100
    """Clips sampled for one index before giving up."""

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
                return clip_tensors(images, *chosen)
        raise DatasetError(
            f"{self.ATTEMPTS} clips in a row showed no object of {self.options.min_reference_pixels} pixels "
            "in their reference frame. Look whether the masks hold objects: ids from 1 to 254, 255 is void."
        )

    @abstractmethod
    def draw(self, random: Random) -> tuple[ClipImages, ClipLabels]:
        """Sample the images and label maps of one clip, with any ids."""

    def times(self, random: Random) -> list[float]:
        """The times of the frames: the reference at a distance, the others consecutive."""
        step = random.uniform(0.5, self.options.max_step)
        reference = random.uniform(-4, 4) * step
        return [reference, *(step * t for t in range(self.options.frames - 1))]


def choose_objects(
    labels: ClipLabels, options: ClipOptions, random: Random
) -> tuple[ClipLabels, UInt8[np.ndarray, "M H W"], int] | None:
    """Pick the objects of a clip among those of sufficient size in its reference frame.

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


def clip_tensors(
    images: ClipImages, labels: ClipLabels, previous: UInt8[np.ndarray, "M H W"], n: int
) -> dict[str, Tensor]:
    """A sample as `Clips` describes it: a clip of `n` objects, and the previous masks times 255."""
    return {
        "frames": torch.from_numpy(images),
        "labels": torch.from_numpy(labels),
        "previous": torch.from_numpy(previous),
        "objects": torch.tensor(n),
    }


class StillClips(Clips):
    """Clips synthesised from photos: the photo drifts and bends, objects of other photos move over it."""

    def __init__(self, stills: Photos, options: ClipOptions) -> None:
        super().__init__(options)
        self.stills = stills

    def describe(self) -> str:
        """The number of photos, and the options."""
        return f"{self.stills.describe()}, {self.options}"

    def draw(self, random: Random) -> tuple[ClipImages, ClipLabels]:
        """A photo as background; with probability `paste` one or two objects over it."""
        times = self.times(random)
        image, labels = self._read(random)
        size = self.options.size
        maps = draw_motion(random, times, CAMERA, labels.shape, size)
        layers = [move_each([image] * len(maps), [labels] * len(maps), None, maps)]
        if random.random() < self.options.paste:
            for _ in range(random.integers(1, 3)):
                # Sometimes a second object of the same photo, as a look-alike.
                source = (image, labels) if random.random() < 0.3 else self._read(random)
                layer = pasted_layer(random, [source[0]], [source[1]], times, size)
                layers.extend([layer] if layer is not None else [])
        return compose(layers)

    def _read(self, random: Random) -> tuple[Image, LabelMap]:
        return self.stills[self.stills.draw(random)].read()


class VideoClips(Clips):
    """Clips of real sequences; with probability `paste` an object of another one crosses them.

    Args:
        sequences: The annotated sequences.
        options: Options of the clips.
        stored_px: The short side to which larger frames are reduced when they are cached (`StoredFrames`).
        motion: Of the clips, beside that of their frames.
    """

    def __init__(
        self,
        sequences: SequenceDataset,
        options: ClipOptions,
        *,
        stored_px: int = 400,
        motion: Motion = OVER_VIDEO,
    ) -> None:
        super().__init__(options)
        self.motion = motion
        self.sequences = sequences
        self.stored_px = stored_px
        self._stored = StoredFrames(stored_px)

    def describe(self) -> str:
        """The number of sequences and frames, and the options."""
        motion = "" if self.motion == OVER_VIDEO else f", {self.motion}"
        return f"{self.sequences.describe()}, {self.stored_px} px, {self.options}{motion}"

    def draw(self, random: Random) -> tuple[ClipImages, ClipLabels]:
        """Frames of one sequence, under a slight motion of the camera."""
        sequence = self._any_sequence(random)
        images, labels = self._read(sequence, self._frame_indices(sequence, random))
        times = self.times(random)
        size = self.options.size
        maps = draw_motion(random, times, self.motion, labels[0].shape, size)
        layers = [move_each(images, labels, None, maps, blank_rim=self.motion.blank_rim)]
        if random.random() < self.options.paste:
            other = sequence if random.random() < 0.25 else self._any_sequence(random)
            pasted = self._read(other, self._frame_indices(other, random))
            layer = pasted_layer(random, *pasted, times, size)
            if layer is not None:
                behind = random.random() < 0.35
                layers.append(hidden_behind(layer, layers[0]) if behind else layer)
        return compose(layers)

    def _any_sequence(self, random: Random) -> Sequence:
        return self.sequences[self.sequences.draw(random)]

    def _frame_indices(self, sequence: Sequence, random: Random) -> list[int]:
        """A reference from anywhere; then consecutive frames, forward or backward, 1 to max_step apart.

        In a sequence that is too short, the steps are smaller, down to 0.
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
    """Clips of two sources.

    Args:
        main: The main source.
        other: The other source.
        share: The share of clips of `other`, in [0, 1].
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
