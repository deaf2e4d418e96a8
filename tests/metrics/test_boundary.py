from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jaxtyping import UInt8

from tinct.errors import MaskError, OptionError
from tinct.metrics import contour_accuracy
from tinct.metrics.boundary import (
    bit_counts,
    bit_counts_by_unpacking,
    boundary,
    pack_pair,
    packed_boundaries,
    side_by_side,
    tolerance_radius_px,
)
from tinct.shapes import BinaryMask

SIZE = (120, 160)
MASK_PAIRS = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda size: st.tuples(arrays(np.bool_, size), arrays(np.bool_, size))
)
# Widths around the 64 pixels of a packed word, and speckles, lines and blocks instead of noise alone.
WIDE_MASK_PAIRS = st.tuples(
    st.integers(1, 40), st.sampled_from([1, 7, 8, 9, 56, 63, 64, 65, 72, 127, 128, 129, 200])
).flatmap(lambda size: st.tuples(shapes_within(size), shapes_within(size)))


def shapes_within(size: tuple[int, int]) -> st.SearchStrategy[BinaryMask]:
    """Masks of up to four rectangles, any of which may be a pixel, a line or the whole frame."""
    rows, columns = st.integers(0, size[0]), st.integers(0, size[1])
    boxes = st.tuples(st.tuples(rows, rows).map(sorted), st.tuples(columns, columns).map(sorted))

    def painted(chosen: list[tuple[list[int], list[int]]]) -> BinaryMask:
        mask = np.zeros(size, np.bool_)
        for (top, bottom), (left, right) in chosen:
            mask[top:bottom, left:right] ^= True
        return mask

    return st.lists(boxes, max_size=4).map(painted)


def rectangle(top: int, bottom: int, left: int, right: int) -> BinaryMask:
    mask = np.zeros(SIZE, np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def ellipse(y: float, x: float, half_height: float, half_width: float) -> BinaryMask:
    rows, columns = np.ogrid[: SIZE[0], : SIZE[1]]
    return ((rows - y) / half_height) ** 2 + ((columns - x) / half_width) ** 2 <= 1


RECTANGLE = rectangle(30, 80, 40, 110)
ELLIPSE, MOVED_ELLIPSE = ellipse(60, 80, 30, 45), ellipse(62, 84, 27, 48)
EMPTY, FULL = np.zeros(SIZE, np.bool_), np.ones(SIZE, np.bool_)


@pytest.mark.parametrize(
    ("prediction", "truth", "expected"),
    [
        (RECTANGLE, RECTANGLE, 1.0),
        (rectangle(33, 83, 45, 115), RECTANGLE, 0.041667),
        (rectangle(31, 81, 41, 111), RECTANGLE, 1.0),
        (rectangle(30, 55, 40, 110), RECTANGLE, 0.581395),
        (EMPTY, RECTANGLE, 0.0),
        (RECTANGLE, EMPTY, 0.0),
        (EMPTY, EMPTY, 1.0),
        (MOVED_ELLIPSE, ELLIPSE, 0.496514),
        (FULL, FULL, 1.0),
        (RECTANGLE, FULL, 0.0),
    ],
)
def test_agrees_with_the_benchmarks_toolkit(
    prediction: BinaryMask, truth: BinaryMask, expected: float
) -> None:
    assert contour_accuracy(prediction, truth) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("mask", "pixels"),
    [
        (RECTANGLE, 240),
        (rectangle(30, 55, 40, 110), 190),
        (ELLIPSE, 304),
        (MOVED_ELLIPSE, 304),
        (rectangle(60, 120, 100, 160), 121),
        (FULL, 0),
        (EMPTY, 0),
    ],
)
def test_boundaries_have_the_toolkits_length(mask: BinaryMask, pixels: int) -> None:
    assert np.count_nonzero(boundary(mask)) == pixels


def slow_boundary(mask: BinaryMask) -> list[tuple[int, int]]:
    """The toolkit's rules, written for the zero-filled shifts that it takes, with its border repairs."""
    height, width = mask.shape

    def at(y: int, x: int) -> bool:
        return bool(mask[y, x]) if y < height and x < width else False

    found = []
    for y in range(height):
        for x in range(width):
            right, below, corner = (at(y, x) != at(y + dy, x + dx) for dy, dx in ((0, 1), (1, 0), (1, 1)))
            if y == height - 1 and x == width - 1:
                on = False
            elif y == height - 1:
                on = right
            elif x == width - 1:
                on = below
            else:
                on = right or below or corner
            if on:
                found.append((y, x))
    return found


def slow_contour_accuracy(prediction: BinaryMask, truth: BinaryMask, radius_px: int) -> float:
    predicted, annotated = slow_boundary(prediction), slow_boundary(truth)
    if not predicted or not annotated:
        return float(not predicted and not annotated)

    def hits(points: list[tuple[int, int]], others: list[tuple[int, int]]) -> float:
        near = [min((y - v) ** 2 + (x - u) ** 2 for v, u in others) <= radius_px**2 for y, x in points]
        return sum(near) / len(near)

    precision, recall = hits(predicted, annotated), hits(annotated, predicted)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@settings(deadline=None)
@given(MASK_PAIRS, st.integers(1, 4))
def test_agrees_with_the_plain_loop(masks: tuple[BinaryMask, BinaryMask], radius_px: int) -> None:
    expected = slow_contour_accuracy(*masks, radius_px)
    assert contour_accuracy(*masks, bound_th=float(radius_px)) == pytest.approx(expected)
    assert contour_accuracy(*masks[::-1], bound_th=float(radius_px)) == pytest.approx(expected)


@settings(deadline=None)
@given(MASK_PAIRS)
def test_boundary_agrees_with_the_plain_loop(masks: tuple[BinaryMask, BinaryMask]) -> None:
    rows, columns = np.nonzero(boundary(masks[0]))
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == slow_boundary(masks[0])


def disk_of(radius_px: int) -> UInt8[np.ndarray, "D D"]:
    offsets = np.arange(-radius_px, radius_px + 1)
    return (offsets[:, None] ** 2 + offsets**2 <= radius_px**2).astype(np.uint8)


def dilating_contour_accuracy(prediction: BinaryMask, truth: BinaryMask, radius_px: int) -> float:
    """The toolkit's way: dilate whole frames by a disk. Checked against the plain loop, for larger masks."""
    predicted, annotated = boundary(prediction), boundary(truth)
    if not predicted.any() or not annotated.any():
        return float(predicted.any() == annotated.any())
    disk = disk_of(radius_px)
    precision = (predicted & cv2.dilate(annotated, disk)).sum() / predicted.sum()
    recall = (annotated & cv2.dilate(predicted, disk)).sum() / annotated.sum()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


@settings(deadline=None, max_examples=50)
@given(MASK_PAIRS, st.integers(1, 4))
def test_the_dilating_twin_agrees_with_the_plain_loop(
    masks: tuple[BinaryMask, BinaryMask], radius_px: int
) -> None:
    expected = slow_contour_accuracy(*masks, radius_px)
    assert dilating_contour_accuracy(*masks, radius_px) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None, max_examples=200)
@given(WIDE_MASK_PAIRS, st.integers(0, 12))
def test_agrees_with_dilations_across_words(masks: tuple[BinaryMask, BinaryMask], radius_px: int) -> None:
    # A radius of 0 or 1 cannot be told from a fraction: 1e-9 rounds up to 1 pixel, 0 stays 0.
    bound_th = {0: 0.0, 1: 1e-9}.get(radius_px, float(radius_px))
    expected = dilating_contour_accuracy(*masks, radius_px)
    assert contour_accuracy(*masks, bound_th) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("radius_px", [18, 36, 63, 64, 65, 130, 1000])
def test_agrees_with_dilations_by_large_disks(radius_px: int) -> None:
    prediction, truth = np.zeros((2, 300, 420), np.bool_)
    prediction[5:40, 0:30] = prediction[250:, 300:] = True
    truth[60:90, 100:133] = truth[200:210, 200:390] = True
    # A disk that is wider than the frame reaches from everywhere to everywhere.
    expected = 1.0 if radius_px == 1000 else dilating_contour_accuracy(prediction, truth, radius_px)
    assert contour_accuracy(prediction, truth, float(radius_px)) == pytest.approx(expected, abs=1e-12)


def blots(seed: int, size: tuple[int, int]) -> tuple[BinaryMask, BinaryMask]:
    """Two similar masks with winding outlines, many parts and holes."""
    noise = np.random.default_rng(seed).random((2, *size)).astype(np.float32)
    common, own = (cv2.GaussianBlur(n, (0, 0), 12) - 0.5 for n in noise)
    return common > 0, common + 0.3 * own > 0


@pytest.mark.parametrize("size", [(480, 854), (479, 833), (480, 832), (300, 400), (1080, 1920)])
def test_agrees_with_dilations_at_full_size(size: tuple[int, int]) -> None:
    prediction, truth = blots(0, size)
    expected = dilating_contour_accuracy(prediction, truth, tolerance_radius_px(*size, 0.008))
    assert 0.1 < expected < 0.99
    assert contour_accuracy(prediction, truth) == pytest.approx(expected, abs=1e-12)
    assert contour_accuracy(truth, prediction) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None, max_examples=200)
@given(WIDE_MASK_PAIRS, st.integers(0, 9))
def test_packed_boundaries_are_the_boundaries(masks: tuple[BinaryMask, BinaryMask], radius_px: int) -> None:
    pair = pack_pair(
        side_by_side(*(m.view(np.uint8) for m in masks)).view(np.bool_), masks[0].shape[1], radius_px
    )
    if pair is None:
        assert not masks[0].any()
        assert not masks[1].any()
        return
    edges = packed_boundaries(pair)
    for mask, words in zip(masks, edges, strict=True):
        assert bit_counts(words).sum() == np.count_nonzero(boundary(mask))


def test_bits_are_counted_alike_without_numpys_own_count() -> None:
    words = np.random.default_rng(0).integers(0, 2**64, (2, 5, 3), np.uint64)
    words[0, 0] = 0, 1, 2**64 - 1
    expected = [[[int(word).bit_count() for word in row] for row in mask] for mask in words]
    np.testing.assert_array_equal(bit_counts_by_unpacking(words), expected)
    np.testing.assert_array_equal(bit_counts(words), expected)


def test_masks_are_left_as_they_were() -> None:
    prediction, truth = RECTANGLE.copy(), ELLIPSE.copy()
    contour_accuracy(prediction, truth)
    np.testing.assert_array_equal(prediction, RECTANGLE)
    np.testing.assert_array_equal(truth, ELLIPSE)


def test_masks_may_be_views_with_gaps() -> None:
    wide = np.zeros((2, 240, 321), np.bool_)
    wide[0, ::2, 1::2], wide[1, ::2, 1::2] = MOVED_ELLIPSE, ELLIPSE
    prediction, truth = wide[:, ::2, 1::2]
    assert contour_accuracy(prediction, truth) == contour_accuracy(MOVED_ELLIPSE, ELLIPSE)


def test_an_object_at_the_right_and_lower_border_has_no_boundary_there() -> None:
    corner = rectangle(60, 120, 100, 160)
    # 60 rows left of it, 60 columns above it, and the pixel between them; nothing right and below.
    assert np.count_nonzero(boundary(corner)) == 121
    assert not boundary(corner)[:, 159][60:].any()
    assert not boundary(corner)[119][100:].any()
    assert contour_accuracy(corner, FULL) == 0.0


@pytest.mark.parametrize(
    ("height", "width", "bound_th", "expected"),
    [(480, 854, 0.008, 8), (120, 160, 0.008, 2), (480, 854, 3.0, 3), (480, 854, 0.0, 0)],
)
def test_the_radius_is_rounded_up(height: int, width: int, bound_th: float, expected: int) -> None:
    assert tolerance_radius_px(height, width, bound_th) == expected


@pytest.mark.parametrize("bound_th", [-0.1, math.nan, math.inf])
def test_a_meaningless_tolerance_is_refused(bound_th: float) -> None:
    with pytest.raises(OptionError, match="bound_th"):
        contour_accuracy(RECTANGLE, RECTANGLE, bound_th)


def test_masks_of_two_sizes_are_refused() -> None:
    with pytest.raises(MaskError, match=r"120×160 .* truth of 160×120"):
        contour_accuracy(RECTANGLE, RECTANGLE.T)
