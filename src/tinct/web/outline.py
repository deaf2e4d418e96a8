"""The mask of one object on one frame from a box, scribbles or a polygon.

Boxes and scribbles go through GrabCut (Rother, Kolmogorov and Blake, "GrabCut": interactive foreground
extraction using iterated graph cuts, SIGGRAPH 2004) as OpenCV has it, on a crop of reduced size, so that
the answer is quick.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tinct.errors import OptionError, near_match
from tinct.shapes import BinaryMask, Image, Int, UInt8

LONG_SIDE_PX = 320
"""The longer side to which the crop is reduced for GrabCut."""

ITERATIONS = 4
"""Iterations of GrabCut; more change hardly anything."""

MARGIN = 0.35
"""The margin of background around a box, as a fraction of its longer side."""

MAX_POINTS = 20_000
"""Maximum number of points in one request."""

Point = tuple[float, float]


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
    points: tuple[Point, ...]


@dataclass(frozen=True)
class OutlinePrompt:
    """What a person drew instead of a mask.

    Attributes:
        kind: `box`, `scribbles` or `polygon`.
        box: (x0, y0, x1, y1) at edges of pixels; optional with scribbles.
        strokes: The strokes of `scribbles`.
        points: The corners of `polygon`, in order around the object.
    """

    kind: Literal["box", "scribbles", "polygon"]
    box: tuple[float, float, float, float] | None = None
    strokes: tuple[Stroke, ...] = ()
    points: tuple[Point, ...] = ()

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
            if kind == "polygon":
                return OutlinePrompt("polygon", points=_points(values["points"], 3))
        except OptionError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise OptionError(
                f"The {kind} of an outline cannot be read ({error!r}); expected box: [x0, y0, x1, y1], "
                "strokes: [{keep, radius, points}] or points: [[x, y], ...]."
            ) from error
        raise OptionError(
            f"There is no outline of the kind {kind!r}. "
            f"{near_match(str(kind), ['box', 'scribbles', 'polygon'])}"
        )


def _numbers(values: Any, count: int) -> list[float]:
    numbers = [float(value) for value in values]
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{count} numbers were expected")
    return numbers


def _radius(value: Any) -> float:
    return min(max(_numbers([value], 1)[0], 0.5), 500.0)


def _points(values: Sequence[Any], least: int) -> tuple[Point, ...]:
    points = [_numbers(value, 2) for value in values]
    if not least <= len(points) <= MAX_POINTS:
        raise ValueError(f"{len(points)} points came; expected {least} to {MAX_POINTS}")
    return tuple((x, y) for x, y in points)


def _box(values: Any) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = _numbers(values, 4)
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def segment_outline(frame: Image, prompt: OutlinePrompt) -> BinaryMask:
    """Segment one object.

    Args:
        frame: The frame.
        prompt: The box, scribbles or polygon.

    Returns:
        The mask, of the size of the frame. If the colours do not differ, it is the box itself, or the area
        under the scribbles.

    Raises:
        OptionError: The prompt lies outside the frame.
    """
    if prompt.kind == "polygon":
        return _fill_polygon(frame.shape[:2], 1.0, (0, 0), prompt.points)
    box = _bounding_box(prompt)
    H, W = frame.shape[:2]
    if box[2] - box[0] < 1 or box[3] - box[1] < 1 or box[0] >= W or box[1] >= H or box[2] <= 0 or box[3] <= 0:
        raise OptionError(f"The outline lies outside the frame of {W}×{H} pixels, or is smaller than one.")
    return _segment_crop(frame, prompt, box)


def _bounding_box(prompt: OutlinePrompt) -> tuple[float, float, float, float]:
    """The given box, or the bounding box of the scribbles."""
    if prompt.box is not None:
        return prompt.box
    edges = [
        (x + sign * stroke.radius, y + sign * stroke.radius)
        for stroke in prompt.strokes
        for x, y in stroke.points
        for sign in (-1, 1)
    ]
    xs, ys = zip(*edges, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def _segment_crop(frame: Image, prompt: OutlinePrompt, box: tuple[float, float, float, float]) -> BinaryMask:
    """GrabCut around a box, and back to the frame's size."""
    import cv2

    H, W = frame.shape[:2]
    # Scribbles do not bound the object, so a larger part of the frame is used.
    margin = (MARGIN if prompt.box is not None else 1.0) * max(box[2] - box[0], box[3] - box[1]) + 4
    left, top = max(0, math.floor(box[0] - margin)), max(0, math.floor(box[1] - margin))
    right, bottom = min(W, math.ceil(box[2] + margin)), min(H, math.ceil(box[3] + margin))
    crop = frame[top:bottom, left:right]
    scale = min(1.0, LONG_SIDE_PX / max(crop.shape[:2]))
    size = (max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale)))
    small = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
    guess = _initial_labels(prompt, (size[1], size[0]), scale, (left, top))
    found = _grab_cut(np.ascontiguousarray(small), guess)
    soft = cv2.resize(
        found.astype(np.float32), (crop.shape[1], crop.shape[0]), interpolation=cv2.INTER_LINEAR
    )
    mask = np.zeros((H, W), np.bool_)
    mask[top:bottom, left:right] = soft > 0.5
    for stroke in prompt.strokes:  # scribbles hold exactly at full size, too
        mask[_draw_stroke((H, W), 1.0, (0, 0), stroke)] = stroke.foreground
    return mask


def _initial_labels(
    prompt: OutlinePrompt, size: tuple[int, int], scale: float, corner: tuple[int, int]
) -> UInt8[np.ndarray, "h w"]:
    """Initial labels of GrabCut: certain outside the box and under scribbles, else probable."""
    import cv2

    guess = np.full(size, cv2.GC_PR_BGD, np.uint8)
    if prompt.box is not None:
        x0, y0, x1, y1 = ((edge - corner[i % 2]) * scale for i, edge in enumerate(prompt.box))
        guess[:] = cv2.GC_BGD
        rows = slice(max(0, round(y0)), max(round(y0) + 1, round(y1)))
        guess[rows, max(0, round(x0)) : max(round(x0) + 1, round(x1))] = cv2.GC_PR_FGD
    for stroke in prompt.strokes:
        if stroke.foreground and prompt.box is None:  # near a scribble the object probably continues
            wide = Stroke(True, 3 * stroke.radius + 4 / scale, stroke.points)
            near = _draw_stroke(size, scale, corner, wide)
            guess[near & (guess == cv2.GC_PR_BGD)] = cv2.GC_PR_FGD
    for stroke in prompt.strokes:
        guess[_draw_stroke(size, scale, corner, stroke)] = cv2.GC_FGD if stroke.foreground else cv2.GC_BGD
    if prompt.box is None:
        # Scribbles alone give no certain background; the rim of the crop is far from them.
        rim = np.ones(size, np.bool_)
        rim[1:-1, 1:-1] = False
        guess[rim & (guess == cv2.GC_PR_BGD)] = cv2.GC_BGD
    return guess


def _grab_cut(image: Image, guess: UInt8[np.ndarray, "h w"]) -> BinaryMask:
    import cv2

    start = np.isin(guess, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if start.all() or not start.any() or not (guess == cv2.GC_BGD).any():
        return start
    cv2.setRNGSeed(0)  # its colour clusters start at random; the same prompt shall give the same mask
    labels, models = guess.copy(), [np.zeros((1, 65)) for _ in range(2)]
    try:
        cv2.grabCut(image, labels, None, models[0], models[1], ITERATIONS, cv2.GC_INIT_WITH_MASK)
    except cv2.error:  # one flat colour
        return start
    found = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    return found if found.any() else start


def _draw_stroke(size: tuple[int, int], scale: float, corner: tuple[int, int], stroke: Stroke) -> BinaryMask:
    """The area under a stroke, in a crop of `size` whose (0, 0) is the frame's `corner`."""
    import cv2

    canvas = np.zeros(size, np.uint8)
    points = _to_crop(stroke.points, scale, corner)
    radius = max(0.5, stroke.radius * scale)
    if len(points) > 1:
        cv2.polylines(canvas, [points], False, 1, max(1, round(2 * radius)), shift=_SHIFT_BITS)
    for point in (points[0], points[-1]):
        cv2.circle(
            canvas, (int(point[0]), int(point[1])), round(radius * 2**_SHIFT_BITS), 1, -1, shift=_SHIFT_BITS
        )
    return canvas.astype(np.bool_)


def _fill_polygon(
    size: tuple[int, ...], scale: float, corner: tuple[int, int], points: Sequence[Point]
) -> BinaryMask:
    """The inside of a polygon."""
    import cv2

    canvas = np.zeros(size, np.uint8)
    cv2.fillPoly(canvas, [_to_crop(points, scale, corner)], 1, shift=_SHIFT_BITS)
    return canvas.astype(np.bool_)


_SHIFT_BITS = 4
"""Fractional bits of OpenCV's drawing coordinates: sixteenths of a pixel."""


def _to_crop(points: Sequence[Point], scale: float, corner: tuple[int, int]) -> Int[np.ndarray, "P 2"]:
    """Points of the frame in sixteenths of a pixel of the crop; OpenCV's pixel centres are whole numbers."""
    shifted = (np.asarray(points, np.float64) - corner) * scale - 0.5
    moved: Int[np.ndarray, "P 2"] = np.clip(np.round(shifted * 2**_SHIFT_BITS), -(2**20), 2**20).astype(
        np.int32
    )
    return moved
