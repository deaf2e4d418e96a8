"""Training samples from annotated frames alone, for online fine-tuning.

Two kinds: the frame flipped, scaled, turned, bent and cropped (OSVOS, MaskTrack, MaskRNN); and
Lucid-style synthesis (Khoreva et al., "Lucid Data Dreaming", 2017): the object is cut out, the hole
is inpainted, object and background move by themselves, and both are put together again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from tinct.data.deform import MaskDeformation, deform_mask
from tinct.data.degrade import degrade_mask
from tinct.data.synthetic import Layer, Motion, SamplingMap, compose, draw_motion, move_each
from tinct.data.transforms import jitter_colours
from tinct.errors import MaskError, OptionError
from tinct.shapes import VOID, BinaryMask, Image, LabelMap, holds_arrays

Random = np.random.Generator

Magnitudes = UInt8[np.ndarray, "H W 2"]


@holds_arrays
@dataclass(frozen=True, repr=False)
class AnnotatedFrame:
    """A frame on which objects were annotated.

    Attributes:
        image: uint8 RGB.
        labels: Ids of the objects, 0 background, 255 void; in samples of one object, 1 is that object.
        magnitudes: The optical flow's to the frame before and to the one after, as pictures; None where
            it is unknown, or nobody asks.
    """

    image: Image
    labels: LabelMap
    magnitudes: Magnitudes | None = None


@holds_arrays
@dataclass(frozen=True, repr=False)
class OnlineSample:
    """What one step of fine-tuning learns from.

    Attributes:
        image: uint8 RGB.
        labels: 1 the object, 0 all else, 255 void.
        previous: The mask as the frame before may have left it, as probabilities of 255.
        magnitudes: See `AnnotatedFrame`; 0, as at a video's ends, where they are unknown.
    """

    image: Image
    labels: LabelMap
    previous: UInt8[np.ndarray, "H W"]
    magnitudes: Magnitudes


WHOLE_FRAME = Motion(scale=(0.7, 2.2), turn_degrees=12.0, shift=0.12, bend=0.008)
"""How an annotated frame is scaled (objects come nearer), turned, shifted and bent."""


@dataclass(frozen=True)
class OnlineAugmentation:
    """How annotated frames are varied.

    Attributes:
        frame: Motion of the whole frame: flip, scale, turn, shift, bend.
        lucid: Share of samples that are composed of object and background again.
        object_shift: Of the object in those, as a fraction of its size (Lucid: 10 %).
        object_scale: Its change of size, likewise (Lucid: 15 %).
        object_turn_degrees: Its rotation (Lucid: 30).
        object_bend: Its non-rigid bend, as a fraction of its size (Lucid: 10 %).
        deformation: Of the previous mask.
        damaged: Share of previous masks with bites, blobs and blur.
        in_view: Share of samples that are shifted so that the object is well inside the frame: one near the
            border would be outside in most of the enlarged ones.
        lost: Share of previous masks that are empty.
        disguised: Share of samples in which the object wears other colours in another light, as it may
            when it turns: where it was, and not what it looked like, says where it is.
        colour: Strength of the colour changes.

    Raises:
        OptionError: A share lies outside [0, 1].
    """

    frame: Motion = WHOLE_FRAME
    lucid: float = 0.5
    object_shift: float = 0.10
    object_scale: float = 0.15
    object_turn_degrees: float = 15.0
    object_bend: float = 0.05
    deformation: MaskDeformation = field(default_factory=MaskDeformation)
    damaged: float = 0.4
    in_view: float = 0.0
    lost: float = 0.05
    disguised: float = 0.0
    colour: float = 0.7

    def __post_init__(self) -> None:
        shares = {name: getattr(self, name) for name in ("lucid", "damaged", "in_view", "lost", "disguised")}
        if not all(0 <= share <= 1 for share in shares.values()):
            came = ", ".join(f"{name} = {share}" for name, share in shares.items())
            raise OptionError(f"{came} came; they are shares, in [0, 1].")


class OnlineSamples:
    """Samples of one object from its annotated frames, without end.

    Args:
        frames: One or more, of any sizes, in which 1 is the object; at least one shows it.
        augmentation: How they are varied.
        seed: Sample i depends on it and on i alone.

    Raises:
        MaskError: No frame shows the object.
    """

    def __init__(self, frames: list[AnnotatedFrame], augmentation: OnlineAugmentation, seed: int = 0) -> None:
        if not any((frame.labels == 1).any() for frame in frames):
            raise MaskError(
                f"None of the {len(frames)} annotated frames shows the object; fine-tuning needs one."
            )
        self.frames, self.augmentation, self.seed = frames, augmentation, seed
        self._backgrounds: dict[int, Image] = {}

    def sample(self, index: int) -> OnlineSample:
        """Sample `index`, of the size of the frame that it is made from."""
        random = np.random.default_rng([self.seed, index])
        options = self.augmentation
        chosen = int(random.integers(len(self.frames)))
        frame = self.frames[chosen]
        size = (frame.labels.shape[0], frame.labels.shape[1])
        shows_object = bool((frame.labels == 1).any())
        if shows_object and random.random() < options.lucid:
            frame = self._recomposed(chosen, random)
        (sampling,) = draw_motion(random, [0.0], options.frame, size, size)
        if shows_object and options.in_view and random.random() < options.in_view:
            sampling = brought_into_view(sampling, frame.labels == 1, random)
        moved = move_each([frame.image], [frame.labels], None, [sampling], blank_rim=options.frame.blank_rim)
        image = jitter_colours(moved.images, random, strength=options.colour)[0]
        labels = moved.labels[0]
        lost = options.lost
        # Without disguises nothing is drawn for them: samples stay what they were.
        if options.disguised and random.random() < options.disguised:
            image, lost = disguised(image, labels == 1, random), 0.0
        previous = self._previous(labels == 1, random, lost)
        return OnlineSample(image, labels, previous, _moved_magnitudes(frame, sampling))

    def _previous(self, mask: BinaryMask, random: Random, lost: float) -> UInt8[np.ndarray, "H W"]:
        """The mask of the frame before: lost, damaged, or deformed."""
        options, kind = self.augmentation, random.random()
        if kind < lost:
            return np.zeros(mask.shape, np.uint8)
        if kind < lost + options.damaged:
            return degrade_mask(deform_mask(mask, random, MaskDeformation(dilation_px=0)), random)
        return deform_mask(mask, random, options.deformation).astype(np.uint8) * 255

    def _recomposed(self, chosen: int, random: Random) -> AnnotatedFrame:
        """The object moved by itself over the inpainted background (Lucid's steps 2, 3 and 5)."""
        frame = self.frames[chosen]
        if chosen not in self._backgrounds:
            self._backgrounds[chosen] = without_object(frame.image, frame.labels == 1)
        sampling = self._object_motion(frame.labels == 1, random)
        mask = (frame.labels == 1).astype(np.uint8)
        alpha = np.asarray(cv2.GaussianBlur(mask * 255, (3, 3), 0), np.uint8)
        over = move_each([frame.image], [mask], [alpha], [sampling])
        background = self._backgrounds[chosen][None]
        under = np.where(frame.labels == VOID, VOID, 0).astype(np.uint8)[None]
        back = Layer(background, under, np.full_like(under, 255))
        images, labels = compose([back, over])
        return AnnotatedFrame(images[0], labels[0])

    def _object_motion(self, mask: BinaryMask, random: Random) -> SamplingMap:
        """The object turned, scaled and shifted about its box's centre, and bent."""
        options = self.augmentation
        x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
        centre = np.array([x + (width - 1) / 2, y + (height - 1) / 2])
        extent = float(np.sqrt(width * height))
        angle = np.deg2rad(random.uniform(-1, 1) * options.object_turn_degrees)
        zoom = 1 / (1 + random.uniform(-1, 1) * options.object_scale)
        shift = random.uniform(-1, 1, 2) * options.object_shift * (width, height)
        linear = zoom * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        bend = _smooth_field(random, options.object_bend * extent / 2, mask.shape)
        rows, columns = np.mgrid[: mask.shape[0], : mask.shape[1]].astype(np.float32)
        offsets = np.stack([columns, rows], -1) + bend - centre - shift
        return np.asarray(offsets @ linear.T + centre, np.float32)


def _moved_magnitudes(frame: AnnotatedFrame, sampling: SamplingMap) -> Magnitudes:
    """Those of a frame's pixels where a motion takes them; objects that moved by themselves have none."""
    if frame.magnitudes is None:
        return np.zeros((*sampling.shape[:2], 2), np.uint8)
    moved = cv2.remap(frame.magnitudes, sampling, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(moved, np.uint8)


def brought_into_view(sampling: SamplingMap, mask: BinaryMask, random: Random) -> SamplingMap:
    """The motion, shifted so that one of the object's pixels lands in the middle part of the frame.

    Args:
        sampling: Target pixel → source pixel (x, y).
        mask: The object in the source; not empty.
        random: Draws the pixel, and where it lands: anywhere but the outer fifth.
    """
    rows, columns = np.nonzero(mask)
    chosen = int(random.integers(len(rows)))
    row, column = (int(random.uniform(0.2, 0.8) * side) for side in sampling.shape[:2])
    return np.asarray(
        sampling + (np.array([columns[chosen], rows[chosen]]) - sampling[row, column]), np.float32
    )


def disguised(image: Image, mask: BinaryMask, random: Random) -> Image:
    """The object in strongly changed colours and in another light; its background stays as it is.

    Args:
        image: uint8 RGB.
        mask: The object's pixels.
        random: Decides everything.
    """
    other = jitter_colours(image[None], random, strength=2.0)[0].astype(np.float32)
    light = np.exp(random.normal(0, 0.35, (3, 3)).astype(np.float32))
    other *= cv2.resize(light, mask.shape[::-1], interpolation=cv2.INTER_CUBIC)[..., None]
    edge = cv2.GaussianBlur(mask.astype(np.float32), (3, 3), 0)[..., None]
    return np.asarray(np.clip(image + edge * (other - image), 0, 255), np.uint8)


def _smooth_field(random: Random, spread: float, size: tuple[int, ...]) -> Float[np.ndarray, "H W 2"]:
    """Offsets in pixels that change slowly over a field of a size (H, W)."""
    control = random.normal(0, spread, (5, 5, 2)).astype(np.float32)
    return np.asarray(cv2.resize(control, (size[1], size[0]), interpolation=cv2.INTER_CUBIC), np.float32)


INPAINTING_SIDE_PX = 160
"""Inpainting is slow and its result is blurred anyway: it is done on a small copy of the frame."""


def without_object(image: Image, mask: BinaryMask) -> Image:
    """The frame with the object's pixels filled in from what surrounds them."""
    if not mask.any():
        return image
    hole = cv2.dilate(mask.astype(np.uint8), np.ones((7, 7), np.uint8))
    factor = min(1.0, INPAINTING_SIDE_PX / min(mask.shape))
    width, height = (max(1, round(side * factor)) for side in (mask.shape[1], mask.shape[0]))
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    small_hole = cv2.resize(hole, (width, height), interpolation=cv2.INTER_NEAREST)
    filled = cv2.inpaint(small, small_hole, 3, cv2.INPAINT_TELEA)
    filled = cv2.resize(filled, (mask.shape[1], mask.shape[0]), interpolation=cv2.INTER_LINEAR)
    soft = cv2.GaussianBlur(hole.astype(np.float32), (7, 7), 0)[..., None]
    return np.asarray(image + np.maximum(soft, hole[..., None]) * (filled.astype(np.float32) - image)).astype(
        np.uint8
    )
