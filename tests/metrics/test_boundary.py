from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tinct.errors import MaskError, OptionError
from tinct.metrics import contour_accuracy
from tinct.metrics.boundary import boundary, disk_of, tolerance_radius_px
from tinct.shapes import BinaryMask

SIZE = (120, 160)
MASK_PAIRS = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda size: st.tuples(arrays(np.bool_, size), arrays(np.bool_, size))
)


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


def test_the_crop_to_the_boundaries_changes_nothing_at_full_size() -> None:
    rng = np.random.default_rng(0)
    noise = rng.random((2, 480, 854)).astype(np.float32)
    prediction, truth = (cv2.GaussianBlur(n, (0, 0), 20) > 0.5 for n in noise)
    b, g = boundary(prediction), boundary(truth)
    disk = disk_of(8)
    precision = (b & cv2.dilate(g, disk)).sum() / b.sum()
    recall = (g & cv2.dilate(b, disk)).sum() / g.sum()
    expected = 2 * precision * recall / (precision + recall)
    assert contour_accuracy(prediction, truth) == pytest.approx(expected, rel=1e-12)


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
