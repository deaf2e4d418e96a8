from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tinct.metrics.contours import (
    TOLERANCE_PX,
    crack_contours,
    douglas_peucker,
    find_corners,
    is_hole,
    longest_polygon,
    orient,
    simplify,
    spread,
    unit_cracks,
    upsample,
)
from tinct.shapes import BinaryMask

MASKS = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(lambda size: arrays(np.bool_, size))
Point = tuple[int, int]
LINES = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=2, max_size=30)


def rectangle(size: tuple[int, int], top: int, bottom: int, left: int, right: int) -> BinaryMask:
    mask = np.zeros(size, np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def polygons(mask: BinaryMask) -> list[list[list[int]]]:
    """All simplified outlines of a mask, in the toolkit's order."""
    outlines = [np.array(outline) for outline in crack_contours(mask)]
    kept = [(outline, simplify(outline)) for outline in outlines]
    return [orient(polygon, is_hole=is_hole(mask, outline)).tolist() for outline, polygon in kept]


# What the toolkit gives.


def test_a_rectangle_keeps_its_corners_and_runs_clockwise_from_the_first() -> None:
    polygon = longest_polygon(rectangle((120, 160), 30, 80, 40, 110))
    assert polygon is not None
    assert polygon.tolist() == [[40, 30], [110, 30], [110, 80], [40, 80], [40, 30]]
    assert len(upsample(polygon)) == 83


def test_an_ellipse_becomes_a_polygon_of_sixteen_sides() -> None:
    rows, columns = np.ogrid[:120, :160]
    polygon = longest_polygon(((rows - 60) / 30) ** 2 + ((columns - 80) / 45) ** 2 <= 1)
    assert polygon is not None
    assert len(polygon) == 17
    assert len(upsample(polygon)) == 90


def test_a_full_frame_has_an_outline() -> None:
    polygon = longest_polygon(np.ones((20, 20), np.bool_))
    assert polygon is not None
    assert polygon.tolist() == [[0, 0], [20, 0], [20, 20], [0, 20], [0, 0]]


@pytest.mark.parametrize("size", [(0, 0), (1, 1), (1, 2), (2, 2), (1, 6), (1, 20), (20, 1)], ids=str)
def test_what_is_too_small_or_too_thin_has_none(size: tuple[int, int]) -> None:
    assert longest_polygon(rectangle((20, 20), 0, size[0], 0, size[1])) is None


def test_a_block_of_five_by_five_has_one() -> None:
    polygon = longest_polygon(rectangle((20, 30), 10, 15, 20, 25))
    assert polygon is not None
    assert polygon.tolist() == [[20, 10], [25, 10], [25, 15], [20, 15], [20, 10]]


def test_holes_have_outlines_too_and_run_the_other_way() -> None:
    mask = rectangle((20, 20), 2, 18, 2, 18)
    mask[5:12, 5:12] = False
    assert polygons(mask) == [
        [[5, 5], [5, 12], [12, 12], [12, 5], [5, 5]],
        [[2, 2], [18, 2], [18, 18], [2, 18], [2, 2]],
    ]


def test_of_two_outlines_with_equally_many_vertices_the_upper_one_is_taken() -> None:
    mask = rectangle((20, 20), 3, 8, 3, 8) | rectangle((20, 20), 12, 17, 10, 15)
    polygon = longest_polygon(mask)
    assert polygon is not None
    assert polygon[0].tolist() == [3, 3]


def test_blocks_that_touch_by_their_corners_have_outlines_of_their_own_from_there() -> None:
    falling = rectangle((20, 20), 3, 8, 3, 8) | rectangle((20, 20), 8, 13, 8, 13)
    assert polygons(falling) == [
        [[8, 8], [3, 8], [3, 3], [8, 3], [8, 8]],
        [[8, 8], [13, 8], [13, 13], [8, 13], [8, 8]],
    ]
    assert polygons(falling[:, ::-1].copy()) == [
        [[12, 8], [12, 3], [17, 3], [17, 8], [12, 8]],
        [[12, 8], [12, 13], [7, 13], [7, 8], [12, 8]],
    ]
    assert polygons(~falling) == [
        [[0, 0], [20, 0], [20, 20], [0, 20], [0, 0]],
        [[8, 8], [8, 3], [3, 3], [3, 8], [8, 8]],
        [[8, 8], [8, 13], [13, 13], [13, 8], [8, 8]],
    ]


# What holds for all masks.


def cracks_of(mask: BinaryMask) -> set[frozenset[Point]]:
    """The pixel sides between object and background, each as its two ends."""
    padded = np.pad(mask, 1)
    found = set()
    for y in range(mask.shape[0] + 1):
        for x in range(mask.shape[1] + 1):
            if padded[y, x + 1] != padded[y + 1, x + 1]:
                found.add(frozenset({(x, y), (x + 1, y)}))
            if padded[y + 1, x] != padded[y + 1, x + 1]:
                found.add(frozenset({(x, y), (x, y + 1)}))
    return found


def walked_cracks(outline: list[Point]) -> list[frozenset[Point]]:
    points = [(x, y) for x, y in unit_cracks(np.array(outline)).tolist()]
    return [frozenset({start, end}) for start, end in pairwise(points)]


@given(MASKS)
def test_outlines_run_once_along_every_crack_and_nowhere_else(mask: BinaryMask) -> None:
    walked = [crack for outline in crack_contours(mask) for crack in walked_cracks(outline)]
    assert len(walked) == len(set(walked))
    assert set(walked) == cracks_of(mask)


@given(MASKS)
def test_outlines_are_closed_and_turn_at_every_corner_and_never_meet_themselves(mask: BinaryMask) -> None:
    for outline in crack_contours(mask):
        assert outline[0] == outline[-1]
        assert len(set(outline)) == len(outline) - 1
        horizontal = [start[1] == end[1] for start, end in pairwise(outline)]
        assert all(
            one != other for one, other in zip(horizontal, horizontal[1:] + horizontal[:1], strict=True)
        )


@given(MASKS)
def test_a_pixel_is_the_objects_if_an_odd_number_of_outlines_goes_around_it(mask: BinaryMask) -> None:
    walked = [set(walked_cracks(outline)) for outline in crack_contours(mask)]
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            left = [frozenset({(column, y), (column, y + 1)}) for column in range(x + 1)]
            around = [sum(crack in cracks for crack in left) % 2 for cracks in walked]
            assert sum(around) % 2 == mask[y, x]


@given(MASKS)
def test_outer_outlines_run_clockwise_and_holes_the_other_way(mask: BinaryMask) -> None:
    for outline in crack_contours(mask):
        points = np.array(outline)
        hole = is_hole(mask, points)
        x, y = orient(points, is_hole=hole).T
        # The shoelace formula, y downwards: positive means clockwise as seen in the frame.
        area = np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])
        assert (area > 0) != hole


@given(MASKS)
def test_corners_know_their_neighbours_both_ways(mask: BinaryMask) -> None:
    corners = find_corners(mask)
    for direction, neighbours in enumerate(corners.neighbours):
        for corner, neighbour in enumerate(neighbours):
            assert neighbour < 0 or corners.neighbours[(direction + 2) % 4][neighbour] == corner
    degrees = [sum(n[corner] >= 0 for n in corners.neighbours) for corner in range(len(corners.points))]
    assert degrees == [4 if saddle else 2 for saddle in corners.saddle]


@pytest.mark.slow
@given(MASKS)
def test_a_view_of_a_mask_gives_what_its_copy_gives(mask: BinaryMask) -> None:
    for view in (mask.T, mask[::-1], mask[:, ::-1], mask[::2, ::2]):
        found, expected = longest_polygon(view), longest_polygon(view.copy())
        assert (found is None) == (expected is None)
        assert found is None or np.array_equal(found, expected)


# The plain loops.


def slow_distance(start: Point, end: Point, point: Point) -> float:
    """Squared, with the toolkit's single-precision ratio."""
    along = (end[0] - start[0], end[1] - start[1])
    projected = along[0] * (point[0] - start[0]) + along[1] * (point[1] - start[1])
    length = along[0] ** 2 + along[1] ** 2
    if projected <= 0:
        return (point[0] - start[0]) ** 2 + (point[1] - start[1]) ** 2
    if projected >= length:
        return (point[0] - end[0]) ** 2 + (point[1] - end[1]) ** 2
    ratio = float(np.float32(projected) / np.float32(length))
    x, y = point[0] - (start[0] + ratio * along[0]), point[1] - (start[1] + ratio * along[1])
    return x * x + y * y


def slow_douglas_peucker(line: list[Point], tolerance_px: float) -> list[Point]:
    farthest, key = 0.0, 0
    for number in range(1, len(line) - 1):
        distance = slow_distance(line[0], line[-1], line[number])
        if distance >= farthest:
            farthest, key = distance, number
    if farthest <= tolerance_px**2:
        return [line[0], line[-1]]
    left = slow_douglas_peucker(line[: key + 1], tolerance_px)
    return left[:-1] + slow_douglas_peucker(line[key:], tolerance_px)


@given(LINES, st.sampled_from([0.05, 1.0, 1.5, 4.0]))
def test_simplifying_agrees_with_the_plain_recursion(line: list[Point], tolerance_px: float) -> None:
    found = douglas_peucker(np.array(line), tolerance_px)
    assert [(x, y) for x, y in found.tolist()] == slow_douglas_peucker(line, tolerance_px)


@given(LINES)
def test_a_spread_line_has_its_points_apart_and_its_ends(line: list[Point]) -> None:
    points = spread(np.array(line), TOLERANCE_PX)
    assert points[[0, -1]].tolist() == [list(line[0]), list(line[-1])]
    apart = np.linalg.norm(np.diff(points[:-1], axis=0), axis=1)
    assert np.all(apart >= TOLERANCE_PX)


@given(MASKS)
def test_the_longest_polygon_has_the_most_vertices_of_all(mask: BinaryMask) -> None:
    lengths = [len(polygon) for polygon in polygons(mask) if len(polygon) > 3]
    longest = longest_polygon(mask)
    assert (0 if longest is None else len(longest)) == max(lengths, default=0)


def slow_upsample(polygon: list[list[int]]) -> list[list[np.float32]]:
    points = [[np.float32(value) for value in polygon[0]]]
    for start, end in pairwise(polygon):
        sides = [np.float32(end[k] - start[k]) for k in (0, 1)]
        parts = max(int(np.ceil(np.sqrt(sides[0] ** 2 + sides[1] ** 2) / np.float32(3))), 1)
        for _ in range(parts - 1):
            points.append([points[-1][k] + sides[k] / np.float32(parts) for k in (0, 1)])
        points.append([np.float32(value) for value in end])
    return points


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), min_size=2, max_size=5))
def test_upsampling_agrees_with_the_plain_loop(polygon: list[Point]) -> None:
    points = upsample(np.array(polygon))
    assert points.dtype == np.float32
    assert np.array_equal(points, np.array(slow_upsample([list(point) for point in polygon])))
    assert np.all(np.linalg.norm(np.diff(points, axis=0), axis=1) < 3.01)
