"""Clips from annotated frames alone, for DyeNet's online training: several objects, Lucid-style.

Khoreva et al., "Lucid Data Dreaming", 2017: objects are cut out, the hole is inpainted, every object
and the background move by themselves, objects hide each other, and all is put together again. Some
clips take the annotated frame as it is instead, and move it as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import UInt8

from tinct.data.online_samples import without_object
from tinct.data.pasting import ids_in
from tinct.data.region_clips import Random, RegionClips, RegionOptions, RegionSource, SourceFrames
from tinct.data.sequences import SequenceDataset
from tinct.data.synthetic import Motion, compose
from tinct.errors import MaskError
from tinct.shapes import VOID, BinaryMask, Image, LabelMap, holds_arrays

MOVED_FRAME = Motion(
    scale=(0.9, 1.8), turn_degrees=10.0, shift=0.12, step_scale=0.02, step_turn_degrees=1.5,
    step_shift=0.015, bend=0.008,
)  # fmt: skip
"""An annotated frame as a whole, and the background behind objects that move."""

MOVED_OBJECT = Motion(
    scale=(0.85, 1.15), turn_degrees=20.0, shift=0.35, step_scale=0.03, step_turn_degrees=3.0,
    step_shift=0.03, bend=0.008, covering=False,
)  # fmt: skip
"""An object by itself, relative to its size in the frame: anywhere (Lucid: 15 % of size; 30 degrees)."""


@holds_arrays
@dataclass(frozen=True, repr=False)
class LabelledFrame:
    """A frame on which all objects were annotated.

    Attributes:
        image: uint8 RGB.
        labels: Ids of the objects, 0 background, 255 void.
        video: Objects of the same id are the same in all frames of one video.
    """

    image: Image
    labels: LabelMap
    video: int = 0


class AnnotatedRegions(RegionSource):
    """Annotated frames; every object of every video is an identity.

    Args:
        frames: Of one video or of many; at least one shows an object.
        motion: Of a frame as a whole, and of the background behind objects that move.

    Raises:
        MaskError: None does.
    """

    def __init__(self, frames: SequenceOf[LabelledFrame], motion: Motion = MOVED_FRAME) -> None:
        self.motion = motion
        self.frames = [frame for frame in frames if ids_in([frame.labels])]
        if not self.frames:
            raise MaskError(
                f"None of the {len(frames)} annotated frames shows an object; online training needs one that "
                "does."
            )
        known = sorted({(f.video, i) for f in self.frames for i in ids_in([f.labels])})
        self._identity_of = {key: identity for identity, key in enumerate(known)}
        self._emptied: dict[int, Image] = {}
        self.identities = len(known)

    @classmethod
    def of_first_frames(cls, sequences: SequenceDataset, motion: Motion = MOVED_FRAME) -> AnnotatedRegions:
        """The first frames of a split, in motion: for training per data set.

        Raises:
            DatasetError: A file is broken.
            MaskError: No frame shows an object.
        """
        frames = [LabelledFrame(s.read_frame(0), s.read_labels(0), v) for v, s in enumerate(sequences)]
        return cls(frames, motion)

    def describe(self) -> str:
        """How many frames and objects."""
        motion = "" if self.motion == MOVED_FRAME else f", {self.motion}"
        return f"{len(self.frames)} painted frames of {self.identities} objects{motion}"

    def draw(self, frames: int, max_step: int, random: Random) -> SourceFrames:
        """A part of one annotated frame, drawn at random (`frames` and `max_step` are for videos)."""
        return self.part(int(random.integers(len(self.frames))))

    def part(self, chosen: int) -> SourceFrames:
        """A part of an annotated frame."""
        frame = self.frames[chosen]
        known = {i: self._identity_of[frame.video, i] for i in ids_in([frame.labels])}
        return SourceFrames([frame.image], [frame.labels], known, self.motion)

    def emptied(self, chosen: int) -> SourceFrames:
        """A part of an annotated frame without its objects, filled in with what surrounds them."""
        frame = self.frames[chosen]
        if chosen not in self._emptied:
            objects = (frame.labels > 0) & (frame.labels != VOID)
            self._emptied[chosen] = without_object(frame.image, objects)
        nothing = np.where(frame.labels == VOID, VOID, 0).astype(np.uint8)
        return SourceFrames([self._emptied[chosen]], [nothing], {}, self.motion)


class OnlineClips(RegionClips):
    """Clips of annotated frames: composed again, object by object, or moved as a whole.

    Args:
        annotated: The frames.
        options: What the clips look like.
        lucid: Share of the clips that are composed again.
    """

    def __init__(self, annotated: AnnotatedRegions, options: RegionOptions, lucid: float = 0.6) -> None:
        super().__init__([(annotated, 1.0)], options)
        self.annotated, self.lucid = annotated, lucid

    def describe(self) -> str:
        """The frames, and the options."""
        return f"{super().describe()}, {self.lucid} put together anew"

    def _draw(
        self, random: Random
    ) -> tuple[UInt8[np.ndarray, "T H W 3"], UInt8[np.ndarray, "T H W"], dict[int, int]]:
        if random.random() >= self.lucid:
            return super()._draw(random)
        chosen = int(random.integers(len(self.annotated.frames)))
        part, times = self.annotated.part(chosen), self._times(random)
        layers = [self._background(self.annotated.emptied(chosen), times, random)]
        identities = {}
        for new, old in enumerate(random.permutation(ids_in(part.labels)).tolist(), start=1):
            layer = self._layer_of(part, old, times, new, _motion_of(part.labels[0] == old), random)
            if layer is not None:
                layers.append(layer)
                identities[new] = part.identities[old]
        images, labels = compose(layers, keep_ids=True)
        return images, labels, identities


def _motion_of(mask: BinaryMask) -> Motion:
    """An object's motion, its scale relative to what would fill the frame."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    # `pasted_layer` cuts two pixels more on every side.
    height, width = rows[-1] - rows[0] + 5, columns[-1] - columns[0] + 5
    own = max(height / mask.shape[0], width / mask.shape[1])
    low, high = MOVED_OBJECT.scale
    return replace(MOVED_OBJECT, scale=(low * own, high * own))
