"""The gate: components apart from where their object was."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tinct.ops.components import apart_from


def grid(*boxes: tuple[int, int, int, int, int]) -> np.ndarray:
    labels = np.zeros((20, 30), np.int64)
    for label, y0, y1, x0, x1 in boxes:
        labels[y0:y1, x0:x1] = label
    return labels


def test_a_distant_component_is_apart_and_a_near_one_is_not() -> None:
    previous = grid((1, 5, 10, 5, 10))
    now = grid((1, 6, 11, 6, 11), (1, 5, 8, 25, 28), (1, 12, 14, 6, 8))
    apart = apart_from(now, previous, 2, reach_px=3)
    assert not apart[0].any()
    np.testing.assert_array_equal(apart[1], grid((1, 5, 8, 25, 28)) == 1)


def test_an_object_that_was_nowhere_may_come_back_anywhere() -> None:
    assert not apart_from(grid((1, 0, 3, 0, 3)), grid(), 2, reach_px=1).any()


def test_objects_are_judged_by_their_own_past() -> None:
    previous = grid((1, 0, 4, 0, 4), (2, 15, 19, 25, 29))
    swapped = grid((2, 0, 4, 0, 4), (1, 15, 19, 25, 29))
    apart = apart_from(swapped, previous, 3, reach_px=2)
    np.testing.assert_array_equal(apart[1], swapped == 1)
    np.testing.assert_array_equal(apart[2], swapped == 2)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 6))
def test_only_pixels_of_the_object_are_ever_dropped_and_touching_ones_never(seed: int, reach: int) -> None:
    random = np.random.default_rng(seed)
    now, previous = random.integers(0, 3, (2, 12, 14))
    apart = apart_from(now, previous, 3, reach_px=reach)
    for label in (1, 2):
        assert not (apart[label] & (now != label)).any()
        assert not (apart[label] & (now == label) & (previous == label)).any()
