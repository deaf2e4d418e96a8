"""What DyeNet learns from: clips of several objects, each with its identity.

A clip is [reference, start, query, query, ...]: a view of the same objects from elsewhere (another
frame of the video, or the photo seen otherwise), then frames in a row. Clips of one frame teach the
proposals, clips of two the re-identification and the mask network, longer ones the recurrence.

Identities (Li & Loy, section 3.1 with the OIM loss: the object instances of the training videos) are
numbers that stay the same in all clips of a run. Beyond the paper every object of a photo is one too,
seen twice with its own geometry and colours.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from tinct.data.degrade import degrade_mask
from tinct.data.samplers import CAMERA, OVER_VIDEO, PASTED, Samples, hidden_behind, pasted_layer
from tinct.data.sequences import Sequence, SequenceDataset
from tinct.data.static_images import StaticImages
from tinct.data.stored_frames import StoredFrames
from tinct.data.synthetic import Layer, Motion, compose, draw_motion, move_each
from tinct.data.transforms import jitter_colours
from tinct.errors import DatasetError, OptionError
from tinct.shapes import VOID, Image, LabelMap, holds_arrays

Random = np.random.Generator

UNKNOWN = -1
"""The identity of what is no labelled object."""

MOST_OBJECTS = 50
"""Of one layer, so that the ids of all layers together fit a label map."""


@dataclass(frozen=True)
class RegionOptions:
    """What the clips look like.

    Attributes:
        size: (H, W) in pixels.
        frames: 1: a single frame; 2: reference and start; more: queries follow.
        max_objects: Of a clip; the pixels of more are void.
        min_pixels: At least one object has so many in the start frame, and all that are followed.
        max_step: Largest distance of consecutive frames of a video.
        paste: Share of clips into which one or two objects are pasted.
        crossing: Share of pasted objects that pass over (or behind) another in mid-clip.
        degrade: Share of clips whose masks of the start frame are damaged.
        colour: Strength of the colour changes, drawn for the reference and the other frames apart.
        seed: The clip at an index depends on it and on the index alone.

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
class Part:
    """Frames of a source: a video's, one per frame of the clip, or a photo's one.

    Attributes:
        images: uint8 RGB, all of one size.
        labels: Their label maps.
        identities: Of the labels' ids; an id that is not there is `UNKNOWN`.
        motion: How the clip moves as a whole.
    """

    images: list[Image]
    labels: list[LabelMap]
    identities: dict[int, int]
    motion: Motion


class RegionSource(ABC):
    """Where parts come from; identities are counted from 0."""

    identities: int

    @abstractmethod
    def describe(self) -> str:
        """What it is, in a few words: clips of other sources are other clips."""

    @abstractmethod
    def draw(self, frames: int, max_step: int, random: Random) -> Part:
        """Any part, for a clip of so many frames."""


class PhotoRegions(RegionSource):
    """Photos; each of a photo's first objects is an identity."""

    OBJECTS = 3
    """Objects of a photo with an identity, those of the lowest ids; more are `UNKNOWN`."""

    def __init__(self, stills: StaticImages) -> None:
        self.stills = stills
        self.identities = len(stills) * self.OBJECTS

    def describe(self) -> str:
        """How many photos."""
        return f"{len(self.stills)} photos"

    def draw(self, frames: int, max_step: int, random: Random) -> Part:
        """One photo."""
        index = int(random.integers(len(self.stills)))
        image, labels = self.stills[index].read()
        known = {
            object_id: index * self.OBJECTS + rank
            for rank, object_id in enumerate(ids_in([labels])[: self.OBJECTS])
        }
        return Part([image], [labels], known, CAMERA)


class VideoRegions(RegionSource):
    """Frames of sequences; each object of a sequence is an identity.

    Args:
        sequences: All annotated.
        stored_px: See `StoredFrames`.
    """

    OBJECTS = 8
    """Ids of a sequence that are identities; higher ones are `UNKNOWN`."""

    def __init__(self, sequences: SequenceDataset, *, stored_px: int = 400) -> None:
        self.sequences = sequences
        self._stored = StoredFrames(stored_px)
        self.identities = len(sequences) * self.OBJECTS

    def describe(self) -> str:
        """How many sequences and frames."""
        frames = sum(len(sequence) for sequence in self.sequences)
        return f"{len(self.sequences)} sequences of {frames} frames at {self._stored.short_side_px} px"

    def draw(self, frames: int, max_step: int, random: Random) -> Part:
        """A reference from anywhere in a sequence, then frames in a row, forward or backward."""
        chosen = int(random.integers(len(self.sequences)))
        sequence = self.sequences[chosen]
        pairs = [self._stored.read(sequence, i) for i in _frame_indices(sequence, frames, max_step, random)]
        known = {i + 1: chosen * self.OBJECTS + i for i in range(self.OBJECTS)}
        return Part([image for image, _ in pairs], [labels for _, labels in pairs], known, OVER_VIDEO)


def _frame_indices(sequence: Sequence, frames: int, max_step: int, random: Random) -> list[int]:
    """Any annotated frame; then a row of them, 1 to max_step apart, or less where it is too short."""
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
    """Clips of several objects with their identities, one per index, without end.

    Each is a dictionary of tensors: `frames` uint8 [T, H, W, 3]; `labels` uint8 [T, H, W] with ids
    1..n, 255 void; `previous` uint8 [max_objects, H, W], the possibly damaged masks of the start frame
    as probabilities of 255, empty for objects that show less than `min_pixels` there; `identities`
    int64 [max_objects], -1 for unknown ones and beyond n; `objects`, the count n.

    Args:
        sources: Each with its share of the clips; the identities of later ones follow on.
        options: What the clips look like.
    """

    ATTEMPTS = 100
    """Clips drawn for one index before it is clear that none will show an object."""

    def __init__(self, sources: SequenceOf[tuple[RegionSource, float]], options: RegionOptions) -> None:
        self.sources, self.options = [source for source, _ in sources], options
        shares = np.array([share for _, share in sources])
        self._shares = shares / shares.sum()
        counts = [source.identities for source in self.sources]
        self._firsts = np.cumsum([0, *counts[:-1]]).tolist()
        self.identities = sum(counts)

    def describe(self) -> str:
        """The sources with their shares, and the options."""
        named = [f"{s.describe()} ({p:.2f})" for s, p in zip(self.sources, self._shares, strict=True)]
        return f"{', '.join(named)}, {self.options}"

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Clip `index`; DatasetError if the data are broken or show no object."""
        for attempt in range(self.ATTEMPTS):
            random = np.random.default_rng([self.options.seed, index, attempt])
            images, labels, identities = self._draw(random)
            chosen = self._chosen(labels, random)
            if chosen:
                images = self._recoloured(images, random)
                return self._to_tensors(images, labels, identities, chosen, random)
        raise DatasetError(
            f"{self.ATTEMPTS} clips in a row showed no object of {self.options.min_pixels} pixels in their "
            "start frame. Look whether the masks hold objects: ids from 1 to 254, 255 is void."
        )

    def _draw(
        self, random: Random
    ) -> tuple[UInt8[np.ndarray, "T H W 3"], UInt8[np.ndarray, "T H W"], dict[int, int]]:
        """Images, label maps, and the identity of every id."""
        part = self._part(random)
        identities = dict(part.identities)
        times = self._times(random)
        layers = [self._background(part, times, random)]
        if random.random() < self.options.paste:
            for _ in range(random.integers(1, 3)):
                # Now and then an object of the same picture again, a look-alike to be told apart by place.
                source = part if random.random() < 0.2 else self._part(random)
                object_id = MOST_OBJECTS + len(layers)
                found = self._pasted(source, times, object_id, random)
                if found is None:
                    continue
                layer, identities[object_id] = found
                layers.append(self._placed(layer, layers[0], random))
        images, labels = compose(layers, keep_ids=True)
        return images, labels, identities

    def _part(self, random: Random) -> Part:
        """A part with ids up to `MOST_OBJECTS`, its identities counted through all sources."""
        chosen = int(random.choice(len(self.sources), p=self._shares))
        part = self.sources[chosen].draw(self.options.frames, self.options.max_step, random)
        table = np.zeros(256, np.uint8)
        table[VOID] = VOID
        identities = {}
        for new, old in enumerate(ids_in(part.labels)[:MOST_OBJECTS], start=1):
            table[old] = new
            if old in part.identities:
                identities[new] = part.identities[old] + self._firsts[chosen]
        return replace(part, labels=[table[y] for y in part.labels], identities=identities)

    def _times(self, random: Random) -> list[float]:
        """When the frames in a row are."""
        step = random.uniform(0.5, self.options.max_step)
        return [step * t for t in range(self.options.frames - 1)]

    def _background(self, part: Part, times: list[float], random: Random) -> Layer:
        """The part, moved: the reference by itself, the frames in a row together."""
        repeat = self.options.frames // len(part.images)
        images, labels = part.images * repeat, part.labels * repeat
        shape, size = labels[0].shape, self.options.size
        maps = draw_motion(random, [0.0], part.motion, (shape[0], shape[1]), size)
        if times:
            maps += draw_motion(random, times, part.motion, (shape[0], shape[1]), size)
        return move_each(images, labels, None, maps)

    def _pasted(
        self, part: Part, times: list[float], object_id: int, random: Random
    ) -> tuple[Layer, int] | None:
        """Any object of a part as a layer with a new id, and its identity; None if it shows too little."""
        ids = ids_in(part.labels[:1])
        if not ids:
            return None
        chosen = int(random.choice(ids))
        layer = self._layer_of(part, chosen, times, object_id, PASTED, random)
        return None if layer is None else (layer, part.identities.get(chosen, UNKNOWN))

    def _layer_of(
        self, part: Part, chosen: int, times: list[float], object_id: int, motion: Motion, random: Random
    ) -> Layer | None:
        """One object of a part: in the reference by itself, in the frames in a row under one motion."""
        alone = [(y == chosen).astype(np.uint8) for y in part.labels]
        size, row = self.options.size, slice(1 if len(part.images) > 1 else 0, None)
        layer = pasted_layer(random, part.images[:1], alone[:1], [0.0], size, motion)
        moving = pasted_layer(random, part.images[row], alone[row], times, size, motion) if times else None
        if layer is None or (times and moving is None):
            return None
        layer = layer if moving is None else _joined(layer, moving)
        return replace(layer, labels=layer.labels * np.uint8(object_id))

    def _placed(self, layer: Layer, back: Layer, random: Random) -> Layer:
        """A pasted layer as it lies: some cross an object of the background, some pass behind one."""
        if self.options.frames > 2 and random.random() < self.options.crossing:
            layer = crossing(layer, back, random)
        return hidden_behind(layer, back) if random.random() < 0.25 else layer

    def _chosen(self, labels: UInt8[np.ndarray, "T H W"], random: Random) -> list[int]:
        """The ids of the clip's objects, those to be followed first; empty if there are none of these."""
        start = min(1, len(labels) - 1)
        counts = np.bincount(labels[start].ravel(), minlength=256)
        ids = random.permutation(ids_in(list(labels))).tolist()
        followed = [i for i in ids if counts[i] >= self.options.min_pixels]
        others = [i for i in ids if counts[i] < self.options.min_pixels]
        return (followed + others)[: self.options.max_objects] if followed else []

    def _recoloured(
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
        most = self.options.max_objects
        table = np.full(256, VOID, np.uint8)
        table[0] = 0
        table[chosen] = np.arange(1, len(chosen) + 1)
        labels = table[labels]
        start = labels[min(1, len(labels) - 1)]
        previous = np.zeros((most, *start.shape), np.uint8)
        damaged = random.random() < self.options.degrade
        for k in range(len(chosen)):
            mask = start == k + 1
            if mask.sum() >= self.options.min_pixels:
                previous[k] = degrade_mask(mask, random) if damaged else mask.astype(np.uint8) * 255
        known = [identities.get(i, UNKNOWN) for i in chosen] + [UNKNOWN] * (most - len(chosen))
        return {
            "frames": torch.from_numpy(images),
            "labels": torch.from_numpy(labels),
            "previous": torch.from_numpy(previous),
            "identities": torch.tensor(known),
            "objects": torch.tensor(len(chosen)),
        }


def crossing(layer: Layer, back: Layer, random: Random) -> Layer:
    """A layer, moved so that its object meets an object of another layer in mid-clip, and passes it.

    From frame 1 on (frame 0 is the reference); it stays as it is where either object never shows.
    """
    T = len(layer.labels)
    meeting = int(random.integers(2, T))
    ids = ids_in([back.labels[meeting]])
    own = layer.labels[meeting] > 0
    if not ids or not own.any():
        return layer
    target = back.labels[meeting] == random.choice(ids)
    centre, aim = _centre(own), _centre(target)
    angle = random.uniform(0, 2 * np.pi)
    reach = np.sqrt(own.sum()) + np.sqrt(target.sum())
    pace = random.uniform(0.1, 0.4) * reach * np.array([np.cos(angle), np.sin(angle)])
    shifts = [np.zeros(2)] + [aim - centre + pace * (t - meeting) for t in range(1, T)]
    offsets = [(round(x), round(y)) for x, y in shifts]
    return Layer(*(_shifted(stack, offsets) for stack in (layer.images, layer.labels, layer.alphas)))


def _centre(mask: Bool[np.ndarray, "H W"]) -> np.ndarray:
    ys, xs = np.nonzero(mask)
    return np.array([xs.mean(), ys.mean()])


def _shifted(stack: UInt8[np.ndarray, "T ..."], offsets: list[tuple[int, int]]) -> UInt8[np.ndarray, "T ..."]:
    """Each frame moved right and down by whole pixels; 0 comes in."""
    moved = np.zeros_like(stack)
    H, W = stack.shape[1:3]
    for frame, target, (dx, dy) in zip(stack, moved, offsets, strict=True):
        if abs(dx) < W and abs(dy) < H:
            into = np.s_[max(0, dy) : H + min(0, dy), max(0, dx) : W + min(0, dx)]
            target[into] = frame[max(0, -dy) : H - max(0, dy), max(0, -dx) : W - max(0, dx)]
    return moved


def _joined(first: Layer, rest: Layer) -> Layer:
    """The frames of one layer, then those of another."""
    pairs = ((getattr(first, name), getattr(rest, name)) for name in ("images", "labels", "alphas"))
    return Layer(*(np.concatenate(pair) for pair in pairs))


def ids_in(labels: SequenceOf[LabelMap]) -> list[int]:
    """The ids of objects that label maps show, in order."""
    counts = sum(np.bincount(y.ravel(), minlength=256) for y in labels)
    return [i for i in np.flatnonzero(counts).tolist() if 0 < i < VOID]
