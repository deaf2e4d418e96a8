"""Contour accuracy F: how well two masks' boundaries meet, within a tolerance.

Source: Perazzi et al., CVPR 2016, section 5.1. The paper speaks of a bipartite matching of contour
points; the benchmark's toolkit, and so every published figure, approximates it by dilating the
boundaries with a disk. This module gives the toolkit's figures.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from tinct.errors import OptionError
from tinct.metrics.region import check_same_size
from tinct.shapes import BinaryMask


def contour_accuracy(
    prediction: BinaryMask, truth: Bool[np.ndarray, "_ _"], bound_th: float = 0.008
) -> float:
    """F = 2PR / (P + R), in [0, 1]: precision and recall of the predicted boundary pixels.

    A boundary pixel is right if the other mask's boundary has a pixel within the tolerance radius.
    Two masks without a boundary agree (1); if only one has a boundary, F is 0.

    Args:
        prediction: The mask to score.
        truth: The annotated mask, of the same size.
        bound_th: The tolerance as a fraction of the frame's diagonal, rounded up to whole pixels
            (8 px at 480×854); from 1 on it is the radius itself, in pixels.

    Raises:
        MaskError: The masks differ in size.
        OptionError: `bound_th` is negative or not finite.
    """
    check_same_size(prediction, truth)
    radius_px = tolerance_radius_px(prediction.shape[0], prediction.shape[1], bound_th)
    predicted, annotated = boundary(prediction), boundary(truth)
    # All that is counted lies on a boundary: nothing outside their common box can matter.
    x, y, width, height = cv2.boundingRect(predicted | annotated)
    box = slice(y, y + height), slice(x, x + width)
    predicted, annotated = predicted[box], annotated[box]
    predicted_count, annotated_count = np.count_nonzero(predicted), np.count_nonzero(annotated)
    if predicted_count == 0 or annotated_count == 0:
        return float(predicted_count == annotated_count)
    disk = disk_of(radius_px)
    precision = np.count_nonzero(predicted & cv2.dilate(annotated, disk)) / predicted_count
    recall = np.count_nonzero(annotated & cv2.dilate(predicted, disk)) / annotated_count
    if precision + recall == 0:
        return 0.0
    return 2 * precision * recall / (precision + recall)


def tolerance_radius_px(height: int, width: int, bound_th: float) -> int:
    """The tolerance radius of a frame, in pixels.

    Raises:
        OptionError: `bound_th` is negative or not finite.
    """
    if not (math.isfinite(bound_th) and bound_th >= 0):
        raise OptionError(
            f"bound_th = {bound_th} came; give a fraction of the diagonal in [0, 1), or a radius in pixels."
        )
    return math.ceil(bound_th if bound_th >= 1 else bound_th * math.hypot(height, width))


def boundary(mask: BinaryMask) -> UInt8[np.ndarray, "H W"]:
    """The mask's boundary, one pixel wide, as 0 and 1.

    A pixel is on the boundary if it differs from its right, lower or lower right neighbour: the
    contour between two pixels is drawn on the upper left one. A neighbour outside the frame is no
    difference, so a mask that touches the right or lower border has no boundary there.
    """
    pixels = mask.view(np.uint8)
    edges = np.zeros(mask.shape, np.uint8)
    edges[:, :-1] = pixels[:, :-1] ^ pixels[:, 1:]
    edges[:-1] |= pixels[:-1] ^ pixels[1:]
    edges[:-1, :-1] |= pixels[:-1, :-1] ^ pixels[1:, 1:]
    return edges


def disk_of(radius_px: int) -> UInt8[np.ndarray, "D D"]:
    """The filled disk dx² + dy² <= radius², D = 2 radius + 1, as a structuring element of 0 and 1."""
    offsets = np.arange(-radius_px, radius_px + 1)
    return (offsets[:, None] ** 2 + offsets**2 <= radius_px**2).astype(np.uint8)
