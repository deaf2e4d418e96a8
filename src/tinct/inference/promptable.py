"""Segmenters of one frame by clicks, boxes and scribbles, and what they are asked with.

A promptable segmenter answers before there is any mask to propagate; what it proposes becomes the prompt of a
`StreamingSegmenter` or `VideoSegmenter`, or corrects what one of them computed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from tinct.errors import OptionError
from tinct.inference.devices import OnDevice
from tinct.io.masks import ObjectMasks
from tinct.shapes import BinaryMask, Float, Image, holds_arrays


class Point(NamedTuple):
    """One click: x to the right and y down in pixels, pixel centres at halves."""

    x: float
    y: float
    inside: bool = True


class Box(NamedTuple):
    """A box around an object: (x0, y0) to (x1, y1) in pixels, at the edges of pixels."""

    x0: float
    y0: float
    x1: float
    y1: float


@holds_arrays
@dataclass(frozen=True)
class ObjectPrompt:
    """What a person gave of one object on one frame.

    It holds at least a point inside, a box, a scribble inside, or a previous mask to correct.

    Attributes:
        points: Clicks, in the order in which they came.
        box: Around the object.
        inside: [H, W], where scribbles say that the object is.
        outside: [H, W], where scribbles say that it is not.
        previous: [H, W] in [0, 1], the object's probability so far, which the prompt corrects.
    """

    points: tuple[Point, ...] = ()
    box: Box | None = None
    inside: BinaryMask | None = None
    outside: BinaryMask | None = None
    previous: Float[np.ndarray, "H W"] | None = None

    @property
    def scribbled(self) -> bool:
        """Whether a scribble says where the object is."""
        return self.inside is not None and bool(self.inside.any())

    @property
    def corrects(self) -> bool:
        """Whether there is an object so far that it corrects."""
        return self.previous is not None and bool((self.previous > 0.5).any())

    def check(self, height: int, width: int) -> None:
        """Raise what is wrong with it on a frame of that size.

        Raises:
            OptionError: Nothing says where the object is, a point lies outside, the box is empty or
                outside, or an array has another size.
        """
        for x, y, _ in self.points:
            if not (0 <= x <= width and 0 <= y <= height):
                raise OptionError(
                    f"The point ({x:g}, {y:g}) lies outside the frame of {width}×{height} pixels; "
                    f"x goes from 0 to {width}, y from 0 to {height}."
                )
        if self.box is not None:
            x0, y0, x1, y1 = self.box
            if min(x1, width) - max(x0, 0) < 1 or min(y1, height) - max(y0, 0) < 1:
                raise OptionError(
                    f"The box ({x0:g}, {y0:g}, {x1:g}, {y1:g}) holds no pixel of the frame of "
                    f"{width}×{height} pixels; give x0 and y0 at least 1 below x1 and y1, inside of it."
                )
        for name, array in (("inside", self.inside), ("outside", self.outside), ("previous", self.previous)):
            if array is not None and array.shape != (height, width):
                raise OptionError(
                    f"`{name}` is {array.shape[1]}×{array.shape[0]}, the frame {width}×{height}; "
                    "give an array of the frame's size."
                )
        pointed = any(point.inside for point in self.points)
        if not (pointed or self.box is not None or self.scribbled or self.corrects):
            raise OptionError(
                "Nothing says where the object is; give a point inside it, a box around it, "
                "a scribble on it, or a mask to correct."
            )


@dataclass(frozen=True)
class FramePrompt:
    """What was given of all objects of one frame: id (1 to 254) → its prompt."""

    objects: Mapping[int, ObjectPrompt] = field(default_factory=lambda: MappingProxyType({}))


class PromptableSegmenter(OnDevice, ABC):
    """Proposes the masks of one frame from clicks, boxes and scribbles."""

    @abstractmethod
    def propose(self, frame: Image, prompt: FramePrompt) -> ObjectMasks:
        """The masks that the prompt asks for.

        Args:
            frame: uint8 RGB.
            prompt: Of at least one object.

        Returns:
            One probability map [H, W] for each object of the prompt, ids increasing.

        Raises:
            OptionError: An object's prompt does not say where it is, or does not fit the frame
                (`ObjectPrompt.check`).
        """
