"""Clicks as a person would make them, and how prompts are drawn for a network."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from tinct.shapes import BinaryMask, Float

Random = np.random.Generator

RADIUS_PX = 5.0
"""Of the disk that stands for a click, at the network's size (RITM: 5)."""


def worst_error_click(
    truth: BinaryMask, found: BinaryMask, decided: BinaryMask | None = None
) -> tuple[float, float, bool] | None:
    """The next click by the field's protocol: at the centre of the largest region that is wrong.

    Of the pixels that were missed and of those that are too much, that one is taken which lies farthest from
    all correct pixels and from the border (as in Xu et al., "Deep interactive object selection", CVPR 2016,
    and all who measure NoC since).

    Args:
        truth: The object.
        found: What was segmented.
        decided: Where the truth is known; None for everywhere.

    Returns:
        (x, y, inside) with pixel centres at halves; None if nothing is wrong.
    """
    missed, excess = truth & ~found, found & ~truth
    if decided is not None:
        missed, excess = missed & decided, excess & decided
    (reach, place), (other_reach, other_place) = _centre(missed), _centre(excess)
    if max(reach, other_reach) == 0:
        return None
    inside = reach >= other_reach
    x, y = place if inside else other_place
    return x, y, inside


def random_error_click(
    truth: BinaryMask, found: BinaryMask, random: Random, decided: BinaryMask | None = None
) -> tuple[float, float, bool] | None:
    """A click anywhere in what is wrong, each pixel as likely as any other; None if nothing is."""
    wrong = truth != found
    if decided is not None:
        wrong = wrong & decided
    places = np.flatnonzero(wrong)
    if len(places) == 0:
        return None
    y, x = divmod(int(random.choice(places)), wrong.shape[1])
    return x + 0.5, y + 0.5, bool(truth[y, x])


def _centre(region: BinaryMask) -> tuple[float, tuple[float, float]]:
    """The largest distance to the outside of a region, and the pixel that has it."""
    padded = cv2.copyMakeBorder(region.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    distances = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    place = int(distances.argmax())
    y, x = divmod(place, region.shape[1])
    return float(distances[y, x]), (x + 0.5, y + 0.5)


def draw_clicks(
    canvas: Float[np.ndarray, "H W"], points: Iterable[tuple[float, float]], radius: float = RADIUS_PX
) -> None:
    """Draw the disks of clicks (x, y) into a map of 0 and 1, in place."""
    for x, y in points:
        centre = (round((x - 0.5) * 16), round((y - 0.5) * 16))
        cv2.circle(canvas, centre, round(radius * 16), 1.0, -1, shift=4)
