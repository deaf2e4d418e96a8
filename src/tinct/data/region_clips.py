"""Training clips of DyeNet: several objects, each with its identity.

A clip is [reference, start, query, query, ...]: another view of the same objects (another frame of the
video, or the photo under another motion), then consecutive frames. Clips of one frame train the proposals,
clips of two the re-identification and the mask network, longer ones the recurrence.

Identities (Li & Loy, section 3.1 with the OIM loss: the object instances of the training videos) are
numbers that stay the same in all clips of a run. Beyond the paper, every object of a photo is one too, in
two views that differ in geometry and colours.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from tinct.data.degrade import degrade_mask
from tinct.data.pasting import PASTED, concatenate, crossing, hidden_behind, ids_in, pasted_layer
from tinct.data.samplers import CAMERA, OVER_VIDEO, Samples
from tinct.data.sequences import Sequence, SequenceDataset
from tinct.data.static_images import Photos
from tinct.data.stored_frames import StoredFrames
from tinct.data.synthetic import Layer, Motion, compose, draw_motion, move_each
from tinct.data.transforms import jitter_colours
from tinct.errors import DatasetError, OptionError
from tinct.shapes import VOID, Image, LabelMap, holds_arrays

Random = np.random.Generator

UNKNOWN = -1
"""The identity of objects without a label."""

MAX_OBJECTS = 50
"""Maximum number of objects of one layer, so that the ids of all layers fit a label map."""


@dataclass(frozen=True)
class RegionOptions:
    """Options of the clips.

    Attributes:
        size: (H, W) in pixels.
        frames: 1: a single frame; 2: reference and start; more: queries follow.
        max_objects: Maximum number of objects; pixels of further ones are void.
        min_pixels: Minimum size in the start frame of the objects that are tracked; there is at least one.
        max_step: Largest distance of consecutive frames of a video.
        paste: Share of clips into which one or two objects are pasted.
        crossing: Share of pasted objects that pass over (or behind) another in mid-clip.
        degrade: Share of clips whose masks of the start frame are degraded.
        colour: Strength of the colour changes, sampled separately for the reference and the other frames.
        seed: Clip i is a function of (seed, i) alone.

    Raises:
        OptionError: A number is out of its range.
    """

    size: tuple[int, int] = (240, 432)
    frames: int = 5
    max_objects: int = 4
    min_pixels: int = 80
    max_step: int = 3
    paste: float = 0.6
    crossing: float = 0.5
    degrade: float = 0.6
    colour: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        counts = (*self.size, self.frames, self.max_objects, self.min_pixels, self.max_step)
        if min(counts) < 1 or self.seed < 0:
            raise OptionError(
                f"Clips with size = {self.size}, frames = {self.frames}, max_objects = {self.max_objects}, "
                f"min_pixels = {self.min_pixels}, max_step = {self.max_step} and seed = {self.seed} came; "
                "the seed starts at 0, all others at 1."
            )
        if not all(0 <= share <= 1 for share in (self.paste, self.crossing, self.degrade)):
            raise OptionError(
                f"Clips with paste = {self.paste}, crossing = {self.crossing} and degrade = {self.degrade} "
                "came; they are shares, in [0, 1]."
            )


@holds_arrays
@dataclass(frozen=True, repr=False)
class SourceFrames:
    """Frames of a source: one per frame of the clip from a video, or one from a photo.

    Attributes:
        images: uint8 RGB, all of one size.
        labels: The label maps of the images.
        identities: Object id → identity; other ids are `UNKNOWN`.
        motion: The motion of the whole clip.
    """

    images: list[Image]
    labels: list[LabelMap]
    identities: dict[int, int]
    motion: Motion


class RegionSource(ABC):
    """A source of frames; its identities are 0 to `identities` - 1."""

    identities: int

    @abstractmethod
    def describe(self) -> str:
        """A short description, which identifies the training data of a run."""

    @abstractmethod
    def draw(self, frames: int, max_step: int, random: Random) -> SourceFrames:
        """Draw frames for a clip of `frames` frames."""


class PhotoRegions(RegionSource):
    """Photos; each of a photo's first objects is an identity."""

    OBJECTS = 3
    """Number of objects of a photo with an identity, by lowest id; others are `UNKNOWN`."""

    def __init__(self, stills: Photos) -> None:
        self.stills = stills
        self.identities = len(stills) * self.OBJECTS

    def describe(self) -> str:
        """The number of photos."""
        return self.stills.describe()

    def draw(self, frames: int, max_step: int, random: Random) -> SourceFrames:
        """Draw a photo."""
        index = self.stills.draw(random)
        image, labels = self.stills[index].read()
        known = {
            object_id: index * self.OBJECTS + rank
            for rank, object_id in enumerate(ids_in([labels])[: self.OBJECTS])
        }
        return SourceFrames([image], [labels], known, CAMERA)


class VideoRegions(RegionSource):
    """Frames of sequences; each object of a sequence is an identity.

    Args:
        sequences: Annotated sequences.
        stored_px: The short side of cached frames; see `StoredFrames`.
        motion: Of the clips, beside that of their frames.
    """

    OBJECTS = 8
    """Number of ids of a sequence that are identities; higher ones are `UNKNOWN`."""

    def __init__(
        self, sequences: SequenceDataset, *, stored_px: int = 400, motion: Motion = OVER_VIDEO
    ) -> None:
        self.sequences, self.motion = sequences, motion
        self._stored = StoredFrames(stored_px)
        self.identities = len(sequences) * self.OBJECTS

    def describe(self) -> str:
        """The number of sequences and frames."""
        motion = "" if self.motion == OVER_VIDEO else f", {self.motion}"
        return f"{self.sequences.describe()} at {self._stored.short_side_px} px{motion}"

    def draw(self, frames: int, max_step: int, random: Random) -> SourceFrames:
        """Draw a reference from anywhere in a sequence, then consecutive frames, forward or backward."""
        chosen = self.sequences.draw(random)
        sequence = self.sequences[chosen]
        pairs = [self._stored.read(sequence, i) for i in _frame_indices(sequence, frames, max_step, random)]
        known = {i + 1: chosen * self.OBJECTS + i for i in range(self.OBJECTS)}
        return SourceFrames(
            [image for image, _ in pairs], [labels for _, labels in pairs], known, self.motion
        )


def _frame_indices(sequence: Sequence, frames: int, max_step: int, random: Random) -> list[int]:
    """Any annotated frame; then a series, 1 to max_step apart, or less in a short sequence."""
    annotated = sequence.annotated
    row = frames - 1
    reference = int(random.integers(len(annotated)))
    step = min(int(random.integers(1, max_step + 1)), (len(annotated) - 1) // max(1, row - 1))
    start = int(random.integers(len(annotated) - step * max(0, row - 1)))
    indices = [start + step * t for t in range(row)]
    if random.random() < 0.5:
        indices.reverse()
    return [annotated[i] for i in [reference, *indices]]


class RegionClips(Samples):
    """An endless sequence of clips of several objects with their identities, one per index.

    Each is a dictionary of tensors: `frames` uint8 [T, H, W, 3]; `labels` uint8 [T, H, W] with ids
    1..n, 255 void; `previous` uint8 [max_objects, H, W], the possibly degraded masks of the start frame
    as probabilities × 255, empty for objects that show less than `min_pixels` there; `identities`
    int64 [max_objects], -1 for unknown ones and beyond n; `objects`, the count n.

    Args:
        sources: Pairs of a source and its share of the clips; identities are numbered through all sources.
        options: Options of the clips.
    """

    ATTEMPTS = 100
    """Clips sampled for one index before giving up."""

    def __init__(self, sources: SequenceOf[tuple[RegionSource, float]], options: RegionOptions) -> None:
        self.sources, self.options = [source for source, _ in sources], options
        shares = np.array([share for _, share in sources])
        self._shares = shares / shares.sum()
        counts = [source.identities for source in self.sources]
        self._firsts = np.cumsum([0, *counts[:-1]]).tolist()
        self.identities = sum(counts)

    def describe(self) -> str:
        """The sources with their shares, and the options."""
        parts = [f"{s.describe()} ({p:.2f})" for s, p in zip(self.sources, self._shares, strict=True)]
        return f"{', '.join(parts)}, {self.options}"

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Clip `index`; DatasetError if the data are broken or show no object."""
        for attempt in range(self.ATTEMPTS):
            random = np.random.default_rng([self.options.seed, index, attempt])
            images, labels, identities = self._draw(random)
            chosen = self._choose_objects(labels, random)
            if chosen:
                images = self._jitter_colours(images, random)
                return self._to_tensors(images, labels, identities, chosen, random)
        raise DatasetError(
            f"{self.ATTEMPTS} clips in a row showed no object of {self.options.min_pixels} pixels in their "
            "start frame. Look whether the masks hold objects: ids from 1 to 254, 255 is void."
        )

    def _draw(
        self, random: Random
    ) -> tuple[UInt8[np.ndarray, "T H W 3"], UInt8[np.ndarray, "T H W"], dict[int, int]]:
        """Images, label maps, and the identity of every id."""
        source_frames = self._source_frames(random)
        identities = dict(source_frames.identities)
        times = self._times(random)
        layers = [self._background(source_frames, times, random)]
        if random.random() < self.options.paste:
            for _ in range(random.integers(1, 3)):
                # Sometimes an object of the same picture: a look-alike, distinguished by its place.
                source = source_frames if random.random() < 0.2 else self._source_frames(random)
                object_id = MAX_OBJECTS + len(layers)
                found = self._pasted(source, times, object_id, random)
                if found is None:
                    continue
                layer, identities[object_id] = found
                layers.append(self._placed(layer, layers[0], random))
        images, labels = compose(layers, keep_ids=True)
        return images, labels, identities

    def _source_frames(self, random: Random) -> SourceFrames:
        """Frames of a source with ids up to `MAX_OBJECTS`, and identities numbered through all sources."""
        chosen = int(random.choice(len(self.sources), p=self._shares))
        source_frames = self.sources[chosen].draw(self.options.frames, self.options.max_step, random)
        table = np.zeros(256, np.uint8)
        table[VOID] = VOID
        identities = {}
        for new, old in enumerate(ids_in(source_frames.labels)[:MAX_OBJECTS], start=1):
            table[old] = new
            if old in source_frames.identities:
                identities[new] = source_frames.identities[old] + self._firsts[chosen]
        return replace(source_frames, labels=[table[y] for y in source_frames.labels], identities=identities)

    def _times(self, random: Random) -> list[float]:
        """The times of the consecutive frames."""
        step = random.uniform(0.5, self.options.max_step)
        return [step * t for t in range(self.options.frames - 1)]

    def _background(self, source_frames: SourceFrames, times: list[float], random: Random) -> Layer:
        """The frames in motion: the reference under one of its own, the consecutive frames under another."""
        repeat = self.options.frames // len(source_frames.images)
        images, labels = source_frames.images * repeat, source_frames.labels * repeat
        shape, size = labels[0].shape, self.options.size
        maps = draw_motion(random, [0.0], source_frames.motion, (shape[0], shape[1]), size)
        if times:
            maps += draw_motion(random, times, source_frames.motion, (shape[0], shape[1]), size)
        return move_each(images, labels, None, maps, blank_rim=source_frames.motion.blank_rim)

    def _pasted(
        self, source_frames: SourceFrames, times: list[float], object_id: int, random: Random
    ) -> tuple[Layer, int] | None:
        """Any object as a layer with a new id, and its identity; None if too little is visible."""
        ids = ids_in(source_frames.labels[:1])
        if not ids:
            return None
        chosen = int(random.choice(ids))
        layer = self._layer_of(source_frames, chosen, times, object_id, PASTED, random)
        return None if layer is None else (layer, source_frames.identities.get(chosen, UNKNOWN))

    def _layer_of(
        self,
        source_frames: SourceFrames,
        chosen: int,
        times: list[float],
        object_id: int,
        motion: Motion,
        random: Random,
    ) -> Layer | None:
        """One object: one motion in the reference, another in the consecutive frames."""
        alone = [(y == chosen).astype(np.uint8) for y in source_frames.labels]
        size, row = self.options.size, slice(1 if len(source_frames.images) > 1 else 0, None)
        layer = pasted_layer(random, source_frames.images[:1], alone[:1], [0.0], size, motion)
        moving = (
            pasted_layer(random, source_frames.images[row], alone[row], times, size, motion)
            if times
            else None
        )
        if layer is None or (times and moving is None):
            return None
        layer = layer if moving is None else concatenate(layer, moving)
        return replace(layer, labels=layer.labels * np.uint8(object_id))

    def _placed(self, layer: Layer, back: Layer, random: Random) -> Layer:
        """A pasted layer, which may cross an object of the background, or pass behind one."""
        if self.options.frames > 2 and random.random() < self.options.crossing:
            layer = crossing(layer, back, random)
        return hidden_behind(layer, back) if random.random() < 0.25 else layer

    def _choose_objects(self, labels: UInt8[np.ndarray, "T H W"], random: Random) -> list[int]:
        """The ids of the clip's objects, those to track first; empty if there is none to track."""
        start = min(1, len(labels) - 1)
        counts = np.bincount(labels[start].ravel(), minlength=256)
        ids = random.permutation(ids_in(list(labels))).tolist()
        tracked = [i for i in ids if counts[i] >= self.options.min_pixels]
        others = [i for i in ids if counts[i] < self.options.min_pixels]
        return (tracked + others)[: self.options.max_objects] if tracked else []

    def _jitter_colours(
        self, images: UInt8[np.ndarray, "T H W 3"], random: Random
    ) -> UInt8[np.ndarray, "T H W 3"]:
        halves = [jitter_colours(x, random, strength=self.options.colour) for x in (images[:1], images[1:])]
        return np.concatenate(halves)

    def _to_tensors(
        self,
        images: UInt8[np.ndarray, "T H W 3"],
        labels: UInt8[np.ndarray, "T H W"],
        identities: dict[int, int],
        chosen: list[int],
        random: Random,
    ) -> dict[str, Tensor]:
        max_objects = self.options.max_objects
        table = np.full(256, VOID, np.uint8)
        table[0] = 0
        table[chosen] = np.arange(1, len(chosen) + 1)
        labels = table[labels]
        start = labels[min(1, len(labels) - 1)]
        previous = np.zeros((max_objects, *start.shape), np.uint8)
        damaged = random.random() < self.options.degrade
        for k in range(len(chosen)):
            mask = start == k + 1
            if mask.sum() >= self.options.min_pixels:
                previous[k] = degrade_mask(mask, random) if damaged else mask.astype(np.uint8) * 255
        known = [identities.get(i, UNKNOWN) for i in chosen] + [UNKNOWN] * (max_objects - len(chosen))
        return {
            "frames": torch.from_numpy(images),
            "labels": torch.from_numpy(labels),
            "previous": torch.from_numpy(previous),
            "identities": torch.tensor(known),
            "objects": torch.tensor(len(chosen)),
        }
