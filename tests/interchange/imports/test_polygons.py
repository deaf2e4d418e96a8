from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinct.interchange.imports.polygons import fill_box, fill_circle, fill_polygon


def inside_by_hand(x: float, y: float, points: np.ndarray) -> bool:
    """Even-odd, one point: how many edges lie to the left of it, on its row."""
    inside = False
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if (y0 <= y) != (y1 <= y) and x0 + (y - y0) * ((x1 - x0) / (y1 - y0)) <= x:
            inside = not inside
    return inside


corners = st.lists(st.tuples(st.integers(-20, 60), st.integers(-20, 60)), min_size=3, max_size=8).map(
    lambda pairs: np.array(pairs, np.float64) / 4
)


@given(points=corners, size=st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_a_pixel_is_inside_if_its_centre_is(points: np.ndarray, size: tuple[int, int]) -> None:
    mask = fill_polygon(points, size)
    expected = [[inside_by_hand(x + 0.5, y + 0.5, points) for x in range(size[1])] for y in range(size[0])]
    np.testing.assert_array_equal(mask, expected)


@given(
    first=st.tuples(st.integers(-8, 40), st.integers(-8, 40)),
    second=st.tuples(st.integers(-8, 40), st.integers(-8, 40)),
)
def test_a_box_is_its_pixels(first: tuple[int, int], second: tuple[int, int]) -> None:
    mask = fill_box((float(first[0]), float(first[1])), (float(second[0]), float(second[1])), (30, 32))
    left, right = sorted((first[0], second[0]))
    top, bottom = sorted((first[1], second[1]))
    expected = np.zeros((30, 32), np.bool_)
    expected[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = True
    np.testing.assert_array_equal(mask, expected)


def test_a_turned_box_turns_clockwise() -> None:
    # A flat box about (10, 10), turned by 45 degrees: its right end goes down.
    mask = fill_box((2.0, 9.0), (18.0, 11.0), (20, 20), turned=45.0)
    assert mask[14, 14]
    assert mask[5, 5]
    assert not mask[5, 14]
    quarter = fill_box((2.0, 9.0), (18.0, 11.0), (20, 20), turned=90.0)
    np.testing.assert_array_equal(quarter, fill_box((9.0, 2.0), (11.0, 18.0), (20, 20)))


def test_polygons_with_a_common_edge_share_no_pixel_and_leave_none() -> None:
    shape = (20, 30)
    left = fill_polygon(np.array([(0, 0), (13.5, 0), (7.25, 20), (0, 20)], np.float64), shape)
    right = fill_polygon(np.array([(13.5, 0), (30, 0), (30, 20), (7.25, 20)], np.float64), shape)
    assert not (left & right).any()
    assert (left | right).all()


@pytest.mark.parametrize("radius", [0.4, 0.8, 3.0, 6.3])
def test_a_circle_is_the_pixels_near_its_middle(radius: float) -> None:
    mask = fill_circle((6.5, 5.5), radius, (9, 11))
    for y in range(9):
        for x in range(11):
            assert mask[y, x] == ((x + 0.5 - 6.5) ** 2 + (y + 0.5 - 5.5) ** 2 <= radius**2)


def test_what_is_far_outside_costs_nothing() -> None:
    points = np.array([(-1e12, -1e12), (1e12, -1e12), (1e12, 1e12), (-1e12, 1e12)])
    assert fill_polygon(points, (4, 5)).all()
    assert not fill_polygon(points + 1e13, (4, 5)).any()
