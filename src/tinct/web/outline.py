"""What is drawn on the page to find an object: a box, scribbles, clicks or a polygon, and the mask of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from tinct.errors import OptionError, near_match
from tinct.inference.promptable import Box, FramePrompt, ObjectPrompt, Point, PromptableSegmenter
from tinct.shapes import BinaryMask, Image, Int

MAX_POINTS = 20_000
"""Maximum number of points in one request."""

MAX_CLICKS = 200
"""Maximum number of clicks in one request."""

Kind = Literal["box", "scribbles", "points", "polygon"]


@dataclass(frozen=True)
class Stroke:
    """A scribble: what lies under it belongs to the object (`foreground`) or does not.

    Attributes:
        foreground: Whether it marks the object.
        radius: In pixels.
        points: (x, y) in pixels, pixel centres at halves.
    """

    foreground: bool
    radius: float
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class OutlinePrompt:
    """What a person drew instead of a mask.

    Attributes:
        kind: `box`, `scribbles`, `points` or `polygon`.
        box: (x0, y0, x1, y1) at edges of pixels; optional with scribbles and points.
        strokes: The strokes of `scribbles`.
        points: The corners of `polygon`, in order around the object.
        clicks: Of `points`, in the order in which they came.
    """

    kind: Kind
    box: tuple[float, float, float, float] | None = None
    strokes: tuple[Stroke, ...] = ()
    points: tuple[tuple[float, float], ...] = ()
    clicks: tuple[Point, ...] = ()

    def of_object(self, size: tuple[int, int], previous: BinaryMask | None = None) -> ObjectPrompt:
        """What a promptable segmenter is asked with.

        Args:
            size: (H, W) of the frame.
            previous: The object's mask so far.
        """
        drawn: dict[bool, BinaryMask] = {}
        for stroke in self.strokes:  # a later one goes over an earlier one
            area = _draw_stroke(size, stroke)
            drawn[stroke.foreground] = drawn.get(stroke.foreground, np.zeros(size, np.bool_)) | area
            if (not stroke.foreground) in drawn:
                drawn[not stroke.foreground] = drawn[not stroke.foreground] & ~area
        so_far = previous is not None and bool(previous.any())
        return ObjectPrompt(
            self.clicks,
            None if self.box is None else Box(*self.box),
            drawn.get(True),
            drawn.get(False),
            previous.astype(np.float32) if previous is not None and so_far else None,
        )

    @staticmethod
    def read(values: Mapping[str, Any]) -> OutlinePrompt:
        """Parse the JSON of the page.

        Raises:
            OptionError: The kind is unknown, or a field is missing or malformed.
        """
        kind = values.get("kind")
        try:
            if kind == "box":
                return OutlinePrompt("box", _box(values["box"]))
            if kind == "scribbles":
                strokes = tuple(
                    Stroke(bool(s.get("keep", True)), _radius(s.get("radius", 3)), _points(s["points"], 1))
                    for s in values["strokes"]
                )
                if not any(stroke.foreground for stroke in strokes):
                    raise OptionError(
                        "The scribbles mark no part of the object; draw one on the object itself."
                    )
                return OutlinePrompt("scribbles", _box(values["box"]) if values.get("box") else None, strokes)
            if kind == "points":
                around = _box(values["box"]) if values.get("box") else None
                return OutlinePrompt("points", around, clicks=_clicks(values["points"]))
            if kind == "polygon":
                return OutlinePrompt("polygon", points=_points(values["points"], 3))
        except OptionError:
            raise
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise OptionError(
                f"The {kind} of an outline cannot be read ({error!r}); expected box: [x0, y0, x1, y1], "
                "strokes: [{keep, radius, points}], or points: [[x, y], ...] (clicks: [[x, y, inside], ...])."
            ) from error
        raise OptionError(
            f"There is no outline of the kind {kind!r}. {near_match(str(kind), get_args(Kind))}"
        )


def _numbers(values: Any, count: int) -> list[float]:
    numbers = [float(value) for value in values]
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{count} numbers were expected")
    return numbers


def _radius(value: Any) -> float:
    return min(max(_numbers([value], 1)[0], 0.5), 500.0)


def _points(values: Sequence[Any], least: int) -> tuple[tuple[float, float], ...]:
    points = [_numbers(value, 2) for value in values]
    if not least <= len(points) <= MAX_POINTS:
        raise ValueError(f"{len(points)} points came; expected {least} to {MAX_POINTS}")
    return tuple((x, y) for x, y in points)


def _clicks(values: Sequence[Any]) -> tuple[Point, ...]:
    if not 1 <= len(values) <= MAX_CLICKS:
        raise ValueError(f"{len(values)} clicks came; expected 1 to {MAX_CLICKS}")
    places = (_numbers(value[:2], 2) for value in values)
    return tuple(Point(x, y, bool(value[2])) for (x, y), value in zip(places, values, strict=True))


def _box(values: Any) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = _numbers(values, 4)
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def segment_outline(
    frame: Image,
    prompt: OutlinePrompt,
    segmenter: PromptableSegmenter,
    previous: BinaryMask | None = None,
) -> BinaryMask:
    """Segment one object.

    Args:
        frame: The frame.
        prompt: What was drawn.
        segmenter: Answers to points, boxes and scribbles.
        previous: The object's mask so far, which points correct.

    Returns:
        The mask, of the size of the frame.

    Raises:
        OptionError: The prompt lies outside the frame, or says nowhere where the object is.
    """
    size = (frame.shape[0], frame.shape[1])
    if prompt.kind == "polygon":
        return _fill_polygon(size, prompt.points)
    asked = FramePrompt({1: prompt.of_object(size, previous if prompt.kind == "points" else None)})
    return np.asarray(segmenter.propose(frame, asked)[1] > 0.5, np.bool_)


def _draw_stroke(size: tuple[int, int], stroke: Stroke) -> BinaryMask:
    """The area under a stroke."""
    import cv2

    canvas = np.zeros(size, np.uint8)
    points = _sixteenths(stroke.points)
    if len(points) > 1:
        cv2.polylines(canvas, [points], False, 1, max(1, round(2 * stroke.radius)), shift=_SHIFT_BITS)
    for point in (points[0], points[-1]):
        radius = round(stroke.radius * 2**_SHIFT_BITS)
        cv2.circle(canvas, (int(point[0]), int(point[1])), radius, 1, -1, shift=_SHIFT_BITS)
    return canvas.astype(np.bool_)


def _fill_polygon(size: tuple[int, int], points: Sequence[tuple[float, float]]) -> BinaryMask:
    """The inside of a polygon."""
    import cv2

    canvas = np.zeros(size, np.uint8)
    cv2.fillPoly(canvas, [_sixteenths(points)], 1, shift=_SHIFT_BITS)
    return canvas.astype(np.bool_)


_SHIFT_BITS = 4
"""Fractional bits of OpenCV's drawing coordinates: sixteenths of a pixel."""


def _sixteenths(points: Sequence[tuple[float, float]]) -> Int[np.ndarray, "P 2"]:
    """Points in sixteenths of a pixel; OpenCV's pixel centres are whole numbers."""
    shifted = np.round((np.asarray(points, np.float64) - 0.5) * 2**_SHIFT_BITS)
    moved: Int[np.ndarray, "P 2"] = np.clip(shifted, -(2**20), 2**20).astype(np.int32)
    return moved
