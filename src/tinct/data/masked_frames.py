"""Training samples of guided segmentation: a frame, an object's mask, and a deformed copy of that mask.

Frames are photos (`StaticImages`) or the annotated frames of DAVIS-layout videos (`DavisFrames`).
Like a clip, a sample is a pure function of (seed, index).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from tinct.data.deform import MaskDeformation, deform_mask, filled_box
from tinct.data.degrade import degrade_mask
from tinct.data.mixture import Mixture
from tinct.data.pasting import pasted_layer
from tinct.data.samplers import Samples
from tinct.data.sequences import SequenceDataset
from tinct.data.static_images import Photos
from tinct.data.synthetic import Motion, compose, draw_motion, move_each
from tinct.data.transforms import jitter_colours
from tinct.errors import DatasetError, OptionError
from tinct.shapes import BACKGROUND, VOID, BinaryMask, Image, LabelMap

Random = np.random.Generator

FRAME_MOTION = Motion(scale=(0.9, 1.8), turn_degrees=12.0, shift=0.1, bend=0.012)
"""The default motion of a frame: how it is rotated, scaled, bent and cropped."""


class Pictures(ABC):
    """Images with label maps, by index."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of pictures."""

    @abstractmethod
    def read(self, index: int) -> tuple[Image, LabelMap]:
        """Read picture `index`, uint8 RGB, and its label map."""

    def draw(self, random: Random) -> int:
        """The index of a picture to train on."""
        return int(random.integers(len(self)))


class DavisFrames(Pictures):
    """All annotated frames of a split, as single pictures."""

    def __init__(self, split: SequenceDataset) -> None:
        self._frames = [(sequence, i) for sequence in split for i in sequence.annotated]
        counts, parts = [len(sequence.annotated) for sequence in split], split.mixture
        of_parts = (sum(counts[a : a + n]) for a, n in zip(parts.firsts, parts.counts, strict=True))
        self._mixture = Mixture(tuple(of_parts), parts.weights)

    def __len__(self) -> int:
        return len(self._frames)

    def read(self, index: int) -> tuple[Image, LabelMap]:
        """Frame and label map; DatasetError if either is broken."""
        sequence, frame = self._frames[index]
        return sequence.read_frame(frame), sequence.read_labels(frame)

    def draw(self, random: Random) -> int:
        """A frame of a dataset that is drawn by its share."""
        return self._mixture.draw(random)


class StillPictures(Pictures):
    """Photos with masks, as single pictures.

    Args:
        stills: The photos.
        most: Only this many of them, evenly chosen; None takes all.
    """

    def __init__(self, stills: Photos, most: int | None = None) -> None:
        self._stills = stills if most is None else stills.thinned(most)

    def __len__(self) -> int:
        return len(self._stills)

    def read(self, index: int) -> tuple[Image, LabelMap]:
        """Photo and label map; DatasetError if either is broken."""
        return self._stills[index].read()

    def draw(self, random: Random) -> int:
        """A photo of a set that is drawn by its share."""
        return self._stills.draw(random)


@dataclass(frozen=True)
class FrameOptions:
    """Options of the samples.

    Attributes:
        size: (H, W) in pixels.
        motion: How the frame is rotated, scaled, bent and cropped.
        one_object: Whether the target is one object (guided methods) or all of them (OSVOS).
        deformation: The deformation of the previous mask.
        box: Share of samples whose previous mask is the object's filled box.
        damaged: Share of samples whose previous mask comes from `degrade_mask` instead.
        paste: Share of samples into which another picture's object is pasted.
        min_pixels: Minimum size of the object.
        colour: Strength of the colour changes.
        seed: Sample i is a function of (seed, i) alone.

    Raises:
        OptionError: A number is out of its range.
    """

    size: tuple[int, int] = (256, 384)
    motion: Motion = FRAME_MOTION
    one_object: bool = True
    deformation: MaskDeformation = field(default_factory=MaskDeformation)
    box: float = 0.0
    damaged: float = 0.0
    paste: float = 0.0
    min_pixels: int = 150
    colour: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.size) < 1 or self.seed < 0 or not all(0 <= s <= 1 for s in (self.box, self.damaged)):
            raise OptionError(
                f"Samples with size = {self.size}, seed = {self.seed}, box = {self.box} and damaged = "
                f"{self.damaged} came; sizes start at 1, the seed at 0, and shares lie in [0, 1]."
            )


@runtime_checkable
class PictureOptions(Protocol):
    """What the options of all samples from single pictures have."""

    @property
    def min_pixels(self) -> int:
        """Minimum size of the object in the picture."""
        ...

    @property
    def seed(self) -> int:
        """Sample i is a function of (seed, i) alone."""
        ...


Options = TypeVar("Options", bound=PictureOptions)


class PictureSamples(Samples, Generic[Options]):
    """Samples from single pictures: dictionaries of tensors.

    Args:
        sources: Pairs of pictures and their share of the samples.
        options: Options of the samples.
    """

    ATTEMPTS = 100

    def __init__(self, sources: list[tuple[Pictures, float]], options: Options) -> None:
        self.sources, self.options = sources, options
        shares = np.array([share for _, share in sources])
        self._shares = shares / shares.sum()

    def describe(self) -> str:
        """The number of pictures of each source, and the options."""
        counts = [
            f"{len(p)} pictures ({s:.2f})" for (p, _), s in zip(self.sources, self._shares, strict=True)
        ]
        return f"{', '.join(counts)}, {self.options}"

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Sample `index`; DatasetError if the data are broken or show no object."""
        for attempt in range(self.ATTEMPTS):
            sample = self.sample(np.random.default_rng([self.options.seed, index, attempt]))
            if sample is not None:
                return {name: torch.from_numpy(array) for name, array in sample.items()}
        raise DatasetError(
            f"{self.ATTEMPTS} pictures in a row showed no object of {self.options.min_pixels} pixels. Look "
            "whether the masks hold objects: ids from 1 to 254, 255 is void."
        )

    @abstractmethod
    def sample(self, random: Random) -> dict[str, np.ndarray] | None:
        """A sample by that generator; None if its picture shows no object that is large enough."""

    def read(self, random: Random) -> tuple[Image, LabelMap]:
        """A picture of one of the sources, by their shares."""
        pictures, _ = self.sources[random.choice(len(self.sources), p=self._shares)]
        return pictures.read(pictures.draw(random))


class MaskedFrames(PictureSamples[FrameOptions]):
    """Samples of guided segmentation.

    Each holds `frames` uint8 [H, W, 3]; `labels` uint8 [H, W] of 0, 1 and 255; `previous` uint8 [H, W], the
    deformed mask as probabilities of 255.
    """

    def sample(self, random: Random) -> dict[str, np.ndarray] | None:
        """A picture in motion, perhaps with an object pasted in, and the deformed mask of its object."""
        image, labels = self._draw(random)
        target = self._target(labels, random)
        if target is None:
            return None
        image = jitter_colours(image[None], random, strength=self.options.colour)[0]
        previous = self._previous(target == 1, random)
        return {"frames": image, "labels": target, "previous": previous}

    def _draw(self, random: Random) -> tuple[Image, LabelMap]:
        image, labels = self.read(random)
        maps = draw_motion(random, [0.0], self.options.motion, labels.shape, self.options.size)
        layers = [move_each([image], [labels], None, maps, blank_rim=self.options.motion.blank_rim)]
        if random.random() < self.options.paste:
            source = (image, labels) if random.random() < 0.3 else self.read(random)
            layer = pasted_layer(random, [source[0]], [source[1]], [0.0], self.options.size)
            layers.extend([layer] if layer is not None else [])
        images, composed = compose(layers)
        return images[0], composed[0]

    def _target(self, labels: LabelMap, random: Random) -> LabelMap | None:
        """A label map of 0, 1 and void; None if there is no object of `min_pixels`."""
        if self.options.one_object:
            return one_object(labels, random, self.options.min_pixels)
        chosen = (labels != BACKGROUND) & (labels != VOID)
        return None if chosen.sum() < self.options.min_pixels else _with_void(chosen, labels)

    def _previous(self, mask: BinaryMask, random: Random) -> LabelMap:
        kind = random.random()
        if kind < self.options.box:
            return filled_box(mask).astype(np.uint8) * 255
        if kind < self.options.box + self.options.damaged:
            return degrade_mask(deform_mask(mask, random, MaskDeformation(dilation_px=0)), random)
        return deform_mask(mask, random, self.options.deformation).astype(np.uint8) * 255


def one_object(labels: LabelMap, random: Random, min_pixels: int) -> LabelMap | None:
    """One of a picture's objects of that size as 1, all else 0, void 255; None if there is none."""
    counts = np.bincount(labels.ravel(), minlength=256)
    candidates = np.flatnonzero(counts[1:VOID] >= min_pixels) + 1
    return None if len(candidates) == 0 else _with_void(labels == random.choice(candidates), labels)


def _with_void(chosen: BinaryMask, labels: LabelMap) -> LabelMap:
    target = np.asarray(chosen, np.uint8).copy()
    target[labels == VOID] = VOID
    return target
