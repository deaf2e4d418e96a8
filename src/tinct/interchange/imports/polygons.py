"""Rasterisation of polygons, boxes and circles."""

from __future__ import annotations

import numpy as np

from tinct.shapes import BinaryMask, Float


def fill_polygon(points: Float[np.ndarray, "K 2"], size: tuple[int, int]) -> BinaryMask:
    """The pixels whose centres lie inside a polygon (even-odd rule, as every labelling program has it).

    Args:
        points: (x, y) of the corners; (0, 0) is the top left corner of the first pixel and its centre is
            at (0.5, 0.5). What lies outside the picture is cut off.
        size: (H, W).

    Returns:
        bool [H, W]. A centre on a left or upper edge is inside, on a right or lower edge outside, so
        that polygons with a common edge neither overlap nor leave a gap.
    """
    H, W = size
    # Number of times that the outline crosses each row up to a pixel, accumulated from the left.
    crossings = np.zeros((H, W + 1), np.int32)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if y0 > y1:
            x0, y0, x1, y1 = x1, y1, x0, y0
        top, bottom = np.clip(np.ceil(np.array([y0, y1]) - 0.5), 0, H).astype(int)
        if top == bottom:
            continue
        rows = np.arange(top, bottom)
        x = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
        columns = np.clip(np.ceil(x - 0.5), 0, W).astype(int)
        crossings[rows, columns] += 1
    inside: BinaryMask = crossings.cumsum(axis=1)[:, :W] % 2 == 1
    return inside


def fill_box(
    corner: tuple[float, float], opposite: tuple[float, float], size: tuple[int, int], turned: float = 0.0
) -> BinaryMask:
    """The pixels whose centres lie inside a box.

    Args:
        corner: (x, y) of a corner.
        opposite: (x, y) of the corner opposite.
        size: (H, W).
        turned: Rotation clockwise about its centre, in degrees.
    """
    (x0, y0), (x1, y1) = corner, opposite
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], np.float64)
    if turned:
        angle = np.deg2rad(turned)
        cosine, sine = np.cos(angle), np.sin(angle)
        middle = corners.mean(axis=0)
        # Clockwise on the screen, where y points down.
        corners = (corners - middle) @ np.array([[cosine, sine], [-sine, cosine]]) + middle
    return fill_polygon(corners, size)


def fill_circle(middle: tuple[float, float], radius: float, size: tuple[int, int]) -> BinaryMask:
    """The pixels whose centres lie in a circle or on its rim; coordinates as for polygons."""
    H, W = size
    rows, columns = np.ogrid[:H, :W]
    inside: BinaryMask = (columns + 0.5 - middle[0]) ** 2 + (rows + 0.5 - middle[1]) ** 2 <= radius**2
    return inside
