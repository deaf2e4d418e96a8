"""Contour accuracy F: how well the boundaries of two masks agree, within a tolerance.

Source: Perazzi et al., CVPR 2016, section 5.1. The paper describes a bipartite matching of contour
points; the benchmark's toolkit, and so every published figure, approximates it by dilating the
boundaries with a disk. This module gives the figures of the toolkit.

For speed, prediction and truth are packed together, one bit per pixel, and cropped to the box of both:
64 pixels are compared, shifted and counted at a time, in a few dozen passes over some kilobytes. Plain
loops with the same result are in the tests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tinct.errors import OptionError
from tinct.metrics.region import check_same_size
from tinct.shapes import BinaryMask, Bool, UInt8, UInt64, holds_arrays

DEFAULT_BOUND_TH = 0.008
"""The tolerance of F in every benchmark, as a fraction of the frame's diagonal."""

WORD = 64
"""Pixels per word of a packed mask."""

# Little-endian, as `packbits` fills the bytes: the lowest bit is the leftmost pixel.
_WORDS = np.dtype("<u8")


def contour_accuracy(
    prediction: BinaryMask, truth: Bool[np.ndarray, "_ _"], bound_th: float = DEFAULT_BOUND_TH
) -> float:
    """F = 2PR / (P + R), in [0, 1]: precision and recall of the predicted boundary pixels.

    A boundary pixel is right if the other mask's boundary has a pixel within the tolerance radius.
    Two masks without a boundary agree (1); if only one has a boundary, F is 0.

    Args:
        prediction: The mask to score.
        truth: The annotated mask, of the same size.
        bound_th: The tolerance as a fraction of the frame's diagonal, rounded up to whole pixels
            (8 px at 480×854); from 1 on it is the radius in pixels, rounded up.

    Raises:
        MaskError: The masks differ in size.
        OptionError: `bound_th` is negative or not finite.
    """
    check_same_size(prediction, truth)
    height, width = prediction.shape
    radius_px = tolerance_radius_px(height, width, bound_th)
    masks = side_by_side(prediction.view(np.uint8), truth.view(np.uint8)).view(np.bool_)
    pair = pack_pair(masks, width, radius_px)
    return 1.0 if pair is None else contour_accuracy_of_pair(pair, radius_px)


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


@holds_arrays
@dataclass(frozen=True, repr=False)
class PackedPair:
    """One object's prediction and truth, 64 pixels to a word, cropped to where either has a pixel.

    Where the frame allows it, the crop has background above and left of the object: boundaries lie
    there. Below and to the right it is followed by zeros, so that shifts by up to the radius for which
    it was made run neither into the next row nor into the other mask.

    Args:
        words: Prediction and truth; K rows, zero from `rows` on, of C words each.
        rows: Number of rows in the frame.
        columns: Number of pixel columns in the frame.
        ends_at_bottom: Whether the last row is the last row of the frame.
        ends_at_right: Whether the last column is the last column of the frame.
    """

    words: UInt64[np.ndarray, "2 K C"]
    rows: int
    columns: int
    ends_at_bottom: bool
    ends_at_right: bool


def side_by_side(
    prediction: UInt8[np.ndarray, "H W"], truth: UInt8[np.ndarray, "H W"]
) -> UInt8[np.ndarray, "2 H P"]:
    """Both label maps or masks in one array, with columns of zeros up to a multiple of 64."""
    height, width = prediction.shape
    both = np.empty((2, height, -(-width // WORD) * WORD), np.uint8)
    both[0, :, :width] = prediction
    both[1, :, :width] = truth
    both[:, :, width:] = 0
    return both


def pack_pair(masks: Bool[np.ndarray, "2 H P"], width: int, radius_px: int) -> PackedPair | None:
    """Pack and crop an object's prediction and truth; None if neither has a pixel.

    Args:
        masks: The result of `side_by_side`.
        width: The width of the frame in pixels; values beyond it must be False.
        radius_px: The largest radius by which the pair will be dilated.
    """
    _, height, padded = masks.shape
    packed = np.packbits(masks.reshape(-1), bitorder="little").reshape(2, height, padded // 8)
    either = (packed[0] | packed[1]).view(_WORDS)
    filled = np.flatnonzero(either.reshape(-1) != 0)
    if not filled.size:
        return None
    top = max(int(filled[0]) // either.shape[1] - 1, 0)
    bottom = int(filled[-1]) // either.shape[1] + 1
    filled = np.flatnonzero(np.bitwise_or.reduce(either[top:bottom], axis=0).view(np.uint8))
    left, right = max(int(filled[0]) - 1, 0), int(filled[-1]) + 1  # in bytes of 8 pixels
    rows, columns = bottom - top, min(8 * right, width) - 8 * left
    margin_rows, margin_columns = (max(1, min(radius_px, length)) for length in (rows, columns))
    words_per_row = -(-(8 * (right - left) + margin_columns) // WORD)
    crop = np.zeros((2, rows + margin_rows, 8 * words_per_row), np.uint8)
    crop[:, :rows, : right - left] = packed[:, top:bottom, left:right]
    return PackedPair(crop.view(_WORDS), rows, columns, bottom == height, 8 * right >= width)


def contour_accuracy_of_pair(pair: PackedPair, radius_px: int) -> float:
    """F as in `contour_accuracy`, of a pair that was packed for this radius or a larger one."""
    boundaries = packed_boundaries(pair)
    predicted, annotated = counts(boundaries)
    if predicted == 0 or annotated == 0:
        return float(predicted == annotated)
    near_other = packed_dilation(boundaries, pair, radius_px)[::-1]
    predicted_right, annotated_found = counts(boundaries & near_other)
    precision, recall = predicted_right / predicted, annotated_found / annotated
    if precision + recall == 0:
        return 0.0
    return 2 * precision * recall / (precision + recall)


def packed_boundaries(pair: PackedPair) -> UInt64[np.ndarray, "2 K C"]:
    """Both boundaries, by the rule of `boundary`.

    Four pixels in a square are not all alike if and only if the upper two differ, or the lower two, or
    the left two: so the edges inside rows, computed once, serve the row above as well.
    """
    words, rows = pair.words, pair.rows
    row_edges: UInt64[np.ndarray, "2 K C"] = words ^ _shifted_left(words, 1)
    # No edge between the frame's last column and what follows it, nor between two rows' ends.
    end, bit = divmod(pair.columns - pair.ends_at_right, WORD)
    row_edges[:, :, end] &= np.uint64((1 << bit) - 1)
    row_edges[:, :, end + 1 :] = 0
    edges = row_edges.copy()
    edges[:, :rows] |= row_edges[:, 1 : rows + 1]
    compared = rows - pair.ends_at_bottom
    edges[:, :compared] |= words[:, :compared] ^ words[:, 1 : compared + 1]
    return edges


def packed_dilation(
    masks: UInt64[np.ndarray, "2 K C"], pair: PackedPair, radius_px: int
) -> UInt64[np.ndarray, "2 K C"]:
    """Both masks dilated by the disk dx² + dy² <= radius²; what lies outside the crop is undefined.

    The disk's row at height dy is a run of 2w + 1 pixels, and w grows as |dy| falls: so the masks are
    widened step by step, and each width is laid over the result dy rows higher and dy rows lower.
    """
    words_per_row = masks.shape[2]
    widened, half_width = masks.reshape(-1), 0
    dilated = np.zeros_like(widened)
    for dy in range(min(radius_px, pair.rows - 1), -1, -1):
        target = min(math.isqrt(radius_px**2 - dy**2), pair.columns)
        while half_width < target:
            # A longer step would leave gaps between the copies.
            step = min(target - half_width, 2 * half_width + 1, WORD - 1)
            widened = _widened(widened, step)
            half_width += step
        offset = dy * words_per_row
        dilated[offset:] |= widened[: widened.size - offset]
        if dy:
            dilated[:-offset] |= widened[offset:]
    return dilated.reshape(masks.shape)


def counts(masks: UInt64[np.ndarray, "2 K C"]) -> tuple[int, int]:
    """The number of pixels of each of the two packed masks."""
    first, second = bit_counts(masks).reshape(2, -1).sum(axis=1, dtype=np.int64).tolist()
    return first, second


def bit_counts_by_unpacking(words: UInt64[np.ndarray, "*S"]) -> UInt8[np.ndarray, "*S"]:
    """The number of set bits of each word, for numpy without `bitwise_count` (before 2.0)."""
    bits = np.unpackbits(words.view(np.uint8)).reshape(*words.shape, WORD)
    counted: UInt8[np.ndarray, "*S"] = bits.sum(axis=-1, dtype=np.uint8)
    return counted


bit_counts = getattr(np, "bitwise_count", bit_counts_by_unpacking)
"""The number of set bits of each word."""


def _shifted_left(words: UInt64[np.ndarray, "2 K C"], pixels: int) -> UInt64[np.ndarray, "2 K C"]:
    shifted: UInt64[np.ndarray, "2 K C"] = words >> pixels
    flat = shifted.reshape(-1)
    flat[:-1] |= words.reshape(-1)[1:] << (WORD - pixels)
    return shifted


def _widened(words: UInt64[np.ndarray, "L"], pixels: int) -> UInt64[np.ndarray, "L"]:
    """The mask and its copies `pixels` further left and right."""
    widened: UInt64[np.ndarray, "L"] = words << pixels
    widened |= words
    part = words >> pixels
    widened |= part
    # What leaves one word enters its neighbour.
    carried = part[:-1]
    widened[1:] |= np.right_shift(words[:-1], WORD - pixels, out=carried)
    widened[:-1] |= np.left_shift(words[1:], WORD - pixels, out=carried)
    return widened
