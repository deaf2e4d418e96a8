from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tinct.errors import MaskError
from tinct.metrics import region_similarity
from tinct.shapes import BinaryMask

SIZE = (120, 160)
MASK_PAIRS = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(
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
EMPTY, FULL = np.zeros(SIZE, np.bool_), np.ones(SIZE, np.bool_)


@pytest.mark.parametrize(
    ("prediction", "truth", "expected"),
    [
        (RECTANGLE, RECTANGLE, 1.0),
        (rectangle(33, 83, 45, 115), RECTANGLE, 0.774398),
        (rectangle(31, 81, 41, 111), RECTANGLE, 0.934236),
        (rectangle(30, 55, 40, 110), RECTANGLE, 0.5),
        (EMPTY, RECTANGLE, 0.0),
        (RECTANGLE, EMPTY, 0.0),
        (EMPTY, EMPTY, 1.0),
        (ellipse(62, 84, 27, 48), ellipse(60, 80, 30, 45), 0.846325),
        (FULL, FULL, 1.0),
        (RECTANGLE, FULL, 0.182292),
    ],
)
def test_agrees_with_the_benchmarks_toolkit(
    prediction: BinaryMask, truth: BinaryMask, expected: float
) -> None:
    assert region_similarity(prediction, truth) == pytest.approx(expected, abs=1e-6)


def test_a_missed_object_and_an_invented_one_score_nothing() -> None:
    pixel = np.zeros(SIZE, np.bool_)
    pixel[0, 0] = True
    assert region_similarity(EMPTY, pixel) == 0.0
    assert region_similarity(pixel, EMPTY) == 0.0
    assert region_similarity(pixel, pixel) == 1.0


def test_disjoint_masks_score_nothing() -> None:
    assert region_similarity(rectangle(0, 40, 0, 160), rectangle(40, 120, 0, 160)) == 0.0


def slow_region_similarity(prediction: BinaryMask, truth: BinaryMask) -> float:
    both = either = 0
    for y in range(truth.shape[0]):
        for x in range(truth.shape[1]):
            both += int(prediction[y, x] and truth[y, x])
            either += int(prediction[y, x] or truth[y, x])
    return both / either if either else 1.0


@given(MASK_PAIRS)
def test_agrees_with_the_plain_loop(masks: tuple[BinaryMask, BinaryMask]) -> None:
    assert region_similarity(*masks) == pytest.approx(slow_region_similarity(*masks))
    assert region_similarity(*masks) == region_similarity(*reversed(masks))


def test_masks_of_two_sizes_are_refused() -> None:
    with pytest.raises(MaskError, match=r"120×160 .* truth of 160×120"):
        region_similarity(RECTANGLE, RECTANGLE.T)
