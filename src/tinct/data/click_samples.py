"""Training samples of interactive segmentation: a part of a picture, one object in it, and a first prompt."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from tinct.data.clicks import RADIUS_PX
from tinct.data.deform import MaskDeformation, deform_mask
from tinct.data.degrade import degrade_mask
from tinct.data.masked_frames import PictureSamples, one_object
from tinct.data.transforms import jitter_colours
from tinct.shapes import BinaryMask, Float, Image, LabelMap, UInt8

Random = np.random.Generator


@dataclass(frozen=True)
class ClickOptions:
    """Options of the samples.

    Attributes:
        side: Of the square samples, in pixels.
        whole: Share of samples that show the whole picture; the others show the object and its surroundings.
        room: How many times as large as the object's box a part of a picture is, least and most.
        box: Share of samples that begin with a box, which is up to `slack` of its sides too large or small.
        scribble: Share of samples that begin with a scribble.
        previous: Share of samples that begin with a mask that is to be corrected.
        slack: See `box`.
        min_pixels: Minimum size of the object in the picture.
        min_share: Minimum size of the object as a share of the sample.
        colour: Strength of the colour changes.
        seed: Sample i is a function of (seed, i) alone.
    """

    side: int = 256
    whole: float = 0.4
    room: tuple[float, float] = (1.1, 2.2)
    box: float = 0.1
    scribble: float = 0.1
    previous: float = 0.25
    slack: float = 0.06
    min_pixels: int = 300
    min_share: float = 0.004
    colour: float = 0.8
    seed: int = 0


class ClickSamples(PictureSamples[ClickOptions]):
    """Samples of interactive segmentation.

    Each holds `frames` uint8 [S, S, 3]; `labels` uint8 [S, S] of 0, 1 and 255; `prompt` uint8 [4, S, S], the
    maps of `tinct.networks.click.PROMPT_MAPS` × 255 that it begins with, all 0 where it begins with a click.
    """

    def describe(self) -> str:
        """The number of pictures of each source, and the options."""
        return f"clicks on {super().describe()}"

    def sample(self, random: Random) -> dict[str, np.ndarray] | None:
        """A part of a picture around one of its objects, and what is first said of it."""
        image, labels = self.read(random)
        target = one_object(labels, random, self.options.min_pixels)
        if target is None:
            return None
        image, target = self._part(image, target, random)
        mask = target == 1
        if mask.mean() < self.options.min_share or mask.mean() > 0.95:
            return None
        image = jitter_colours(image[None], random, strength=self.options.colour)[0]
        prompt = first_prompt(mask, random, self.options)
        return {"frames": image, "labels": target, "prompt": (prompt * 255).astype(np.uint8)}

    def _part(
        self, image: Image, target: LabelMap, random: Random
    ) -> tuple[UInt8[np.ndarray, "S S 3"], UInt8[np.ndarray, "S S"]]:
        """The whole picture or a part of it, as a square, mirrored or not."""
        rows, columns = slice(None), slice(None)
        if random.random() >= self.options.whole:
            rows, columns = _around(target == 1, random, self.options.room)
        side = self.options.side
        image, target = image[rows, columns], target[rows, columns]
        smaller = min(image.shape[:2]) > side
        image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
        target = cv2.resize(target, (side, side), interpolation=cv2.INTER_NEAREST)
        if random.random() < 0.5:
            image, target = image[:, ::-1], target[:, ::-1]
        return np.ascontiguousarray(image), np.ascontiguousarray(target)


def first_prompt(mask: BinaryMask, random: Random, options: ClickOptions) -> Float[np.ndarray, "4 S S"]:
    """What a sample begins with; nothing where it begins with a click."""
    prompt = np.zeros((4, *mask.shape), np.float32)
    kind = random.random()
    if kind < options.box:
        _draw_box(prompt[2], mask, random, options.slack)
    elif kind < options.box + options.scribble:
        _draw_scribble(prompt[0], mask, random)
    elif kind < options.box + options.scribble + options.previous:
        prompt[3] = _to_correct(mask, random)
    return prompt


def _around(mask: BinaryMask, random: Random, room: tuple[float, float]) -> tuple[slice, slice]:
    """Rows and columns of a part of the picture that holds the object, or most of it."""
    spans = [np.flatnonzero(mask.any(axis)) for axis in (1, 0)]
    firsts, lasts = [int(s[0]) for s in spans], [int(s[-1]) + 1 for s in spans]
    sides = [(b - a) * random.uniform(*room) for a, b in zip(firsts, lasts, strict=True)]
    sides = [max(side, 0.6 * max(sides), 32.0) for side in sides]
    parts = []
    for a, b, side, length in zip(firsts, lasts, sides, mask.shape, strict=True):
        centre = (a + b) / 2 + random.uniform(-0.5, 0.5) * max(0.05 * side, side - (b - a))
        begin = int(np.clip(round(centre - side / 2), 0, max(0, length - 1)))
        end = int(np.clip(round(centre + side / 2), begin + 1, length))
        parts.append(slice(begin, end))
    return parts[0], parts[1]


def _draw_box(canvas: Float[np.ndarray, "S S"], mask: BinaryMask, random: Random, slack: float) -> None:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    parts = []
    for span in (rows, columns):
        a, b = int(span[0]), int(span[-1]) + 1
        moves = random.uniform(-slack, slack, 2) * (b - a)
        parts.append(slice(max(0, round(a + moves[0])), max(1, round(b + moves[1]))))
    canvas[parts[0], parts[1]] = 1


def _draw_scribble(canvas: Float[np.ndarray, "S S"], mask: BinaryMask, random: Random) -> None:
    """A smooth line through a few points of the object, where it lies inside."""
    places = np.flatnonzero(mask)
    chosen = random.choice(places, int(random.integers(2, 5)))
    points = np.stack([chosen % mask.shape[1], chosen // mask.shape[1]], 1).astype(np.int32)
    line = np.zeros(mask.shape, np.uint8)
    cv2.polylines(line, [points[:, None]], False, 1, int(random.integers(3, int(2 * RADIUS_PX) + 3)))
    canvas[(line > 0) & mask] = 1


def _to_correct(mask: BinaryMask, random: Random) -> Float[np.ndarray, "S S"]:
    """A mask as another network would have it, soft at its edge."""
    if random.random() < 0.5:
        degraded = degrade_mask(mask, random).astype(np.float32) / 255
    else:
        degraded = deform_mask(mask, random, MaskDeformation(dilation_px=2)).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(degraded, (0, 0), random.uniform(0.8, 3.0)), np.float32)
