from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tinct.errors import MaskError
from tinct.metrics import describe_contour, instability, temporal_stability
from tinct.metrics.temporal import (
    align,
    cheapest_path,
    costs_by_overlap,
    matching_costs,
    one_to_one,
    path_costs,
    queue_order,
    shape_contexts,
)
from tinct.shapes import BinaryMask

SIZE = (120, 160)
Cell = tuple[int, int]
Costs = Callable[[np.ndarray, np.ndarray], np.ndarray]

MASKS = arrays(np.bool_, (10, 12))
# Few different costs, so that many paths cost the same.
GRIDS = st.tuples(st.integers(1, 7), st.integers(2, 7)).flatmap(
    lambda size: arrays(np.float64, size, elements=st.sampled_from([0.25, 0.5, 1.0]))
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
LINE = rectangle(10, 11, 3, 47)
RING = RECTANGLE & ~rectangle(40, 70, 60, 100)


# What the toolkit gives.


@pytest.mark.parametrize(
    ("earlier", "later", "raw"),
    [
        (RECTANGLE, RECTANGLE, 0.0),
        (RECTANGLE, rectangle(33, 83, 45, 115), 0.0),
        (RECTANGLE, rectangle(31, 81, 41, 111), 0.0),
        (RECTANGLE, rectangle(30, 55, 40, 110), 0.239114),
        (ellipse(60, 80, 30, 45), ellipse(62, 84, 27, 48), 0.051684),
        (FULL, RECTANGLE, 0.006788),
    ],
)
def test_agrees_with_the_benchmarks_toolkit(earlier: BinaryMask, later: BinaryMask, raw: float) -> None:
    assert temporal_stability(earlier, later) == pytest.approx(5 * raw, abs=5e-6)


def blurred_noise(seed: int, window: int) -> np.ndarray:
    """Whole numbers around 127, the same on every machine."""
    numbers = random.Random(seed)
    noise = np.array([int(numbers.random() * 256) for _ in range(48 * 64)]).reshape(48, 64)
    for axis in (0, 1, 0, 1):
        noise = np.apply_along_axis(np.convolve, axis, noise, np.ones(window, np.int64), "same")
    return noise // window**4


@pytest.mark.parametrize(
    ("seed", "window", "expected"),
    # Made once by the toolkit's C++, compiled for this, and its Python. In the rows marked "tie" several
    # paths through the costs are equally cheap, and T hangs on which is taken.
    [
        (0, 1, 1.101615394),  # tie; 82 outlines that touch at saddles
        (1, 1, 1.672919284),
        (2, 1, 1.930602192),  # tie
        (24, 1, 0.873824628),  # tie
        (0, 3, 0.546398395),
        (1, 3, 0.611928646),
        (2, 3, 0.404210235),
        (5, 3, 0.816939692),  # tie
        (10, 3, 0.220898592),  # tie
        (0, 5, 0.401963296),  # tie
        (1, 5, 0.390881762),  # tie
        (2, 5, 0.402743332),
        (0, 7, 0.518184801),
        (4, 7, 0.780188265),  # tie
        (0, 9, 0.449791903),
        (3, 9, 0.583802661),  # tie
    ],
)
def test_agrees_with_the_toolkit_on_ragged_masks(seed: int, window: int, expected: float) -> None:
    noise = blurred_noise(seed, window)
    later = np.roll(noise, (1, 2), (0, 1)) * 3 + blurred_noise(seed + 1000, window)
    assert temporal_stability(noise > 120, later > 480) == pytest.approx(expected, abs=2e-9)


@pytest.mark.parametrize(
    ("seed", "window", "expected"),
    [(111, 1, 2.454481769), (270, 1, 1.409105534), (256, 2, 2.121990290), (292, 2, 0.370566246)],
)
def test_agrees_with_the_toolkit_on_tiny_masks(seed: int, window: int, expected: float) -> None:
    """Here two paths cost the same but for the last bit, and T hangs on which is taken."""
    mask = blurred_noise(seed, window) > 120
    assert temporal_stability(mask[:10, :12], mask[1:11, 1:13]) == pytest.approx(expected, abs=2e-9)


@pytest.mark.parametrize(
    ("seed", "cells"),
    [
        (0, "57 56 55 54 43 32 22 11 00"),
        (4, "57 46 35 24 23 12 01 00"),
        (9, "57 46 35 24 13 12 01 00"),
        (10, "57 46 45 34 23 12 11 00"),
    ],
)
def test_of_equally_cheap_paths_the_toolkits_is_taken(seed: int, cells: str) -> None:
    """Paths that no fixed preference among the three steps would give."""
    numbers = random.Random(seed)
    costs = np.array([1.0 + int(numbers.random() * 3) for _ in range(48)]).reshape(6, 8)
    assert cheapest_path(costs).tolist() == [[int(row), int(column)] for row, column in cells.split()]


def test_angles_can_be_counted_from_the_rows_axis() -> None:
    """As the Matlab toolkit counts them: the same vertices, and the shape contexts of their transposes."""
    mask = blurred_noise(1, 3) > 120
    usual, from_rows = describe_contour(mask), describe_contour(mask, from_rows=True)
    assert usual is not None
    assert from_rows is not None
    assert np.array_equal(usual.vertices, from_rows.vertices)
    expected = slow_shape_contexts([(float(y), float(x)) for x, y in usual.vertices])
    assert from_rows.shape_contexts == pytest.approx(np.array(expected), abs=1e-12)
    half = describe_contour(rectangle(30, 55, 40, 110), from_rows=True)
    whole = describe_contour(RECTANGLE, from_rows=True)
    assert instability(whole, half) == pytest.approx(5 * 0.236921, abs=5e-6)


# Edges.


@pytest.mark.parametrize(
    "nothing", [EMPTY, LINE, *(rectangle(4, 4 + h, 4, 4 + w) for h, w in ((1, 1), (1, 2), (2, 2)))]
)
def test_without_an_outline_there_is_no_value(nothing: BinaryMask) -> None:
    assert describe_contour(nothing) is None
    for earlier, later in ((nothing, RECTANGLE), (RECTANGLE, nothing), (nothing, nothing)):
        assert math.isnan(temporal_stability(earlier, later))


@pytest.mark.parametrize("mask", [RECTANGLE, FULL, RING, ellipse(60, 80, 30, 45), blurred_noise(3, 3) > 120])
def test_a_mask_that_stays_is_stable(mask: BinaryMask) -> None:
    assert temporal_stability(mask, mask) == 0


def test_only_the_longest_outline_counts() -> None:
    wavy = np.maximum.reduce([ellipse(60, 40 + 12 * k, 20 + 8 * (k % 2), 9) for k in range(7)])
    assert temporal_stability(wavy, wavy | rectangle(2, 8, 2, 8)) == 0
    assert temporal_stability(wavy, wavy & ~rectangle(58, 62, 75, 81)) == 0


def test_masks_of_two_sizes_are_refused() -> None:
    with pytest.raises(MaskError, match=r"120×160 .* truth of 160×120"):
        temporal_stability(RECTANGLE, RECTANGLE.T)


def test_a_description_serves_for_both_neighbours() -> None:
    masks = [ellipse(60, 80, 30 + step, 45 - step) for step in range(3)]
    first, second, third = (describe_contour(mask) for mask in masks)
    assert instability(first, second) == temporal_stability(masks[0], masks[1])
    assert instability(second, third) == temporal_stability(masks[1], masks[2])
    assert math.isnan(instability(first, None))


# The plain loops.


def slow_shape_contexts(vertices: list[tuple[float, float]]) -> list[list[float]]:
    """The toolkit's rules with its formula for angles."""
    distances = [[math.hypot(u - x, v - y) for u, v in vertices] for x, y in vertices]
    mean = sum(map(sum, distances)) / len(vertices) ** 2
    contexts = []
    for number, (x, y) in enumerate(vertices):
        counts = [0] * 60
        for (u, v), distance in zip(vertices, distances[number], strict=True):
            ring = sum(distance / mean < edge for edge in (1 / 8, 1 / 4, 1 / 2, 1, 2))
            angle = math.fmod(math.atan2(v - y, u - x) + 2 * math.pi, 2 * math.pi)
            if ring:
                counts[12 * (ring - 1) + int(angle / (2 * math.pi / 12))] += 1
        contexts.append([count / sum(counts) for count in counts])
    return contexts


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=2, max_size=12, unique=True))
def test_shape_contexts_agree_with_the_plain_loop(points: list[tuple[int, int]]) -> None:
    # Thirds with a shift keep distances off the rings' edges, but leave vertices on the axes.
    vertices = np.array([(x / 3 + 0.01 * k, y / 3) for k, (x, y) in enumerate(points)], np.float32)
    expected = slow_shape_contexts([(float(x), float(y)) for x, y in vertices])
    assert shape_contexts(vertices) == pytest.approx(np.array(expected), abs=1e-12)


def slow_cost(one: list[float], other: list[float]) -> float:
    return 0.5 * sum((a - b) ** 2 / (a + b) for a, b in zip(one, other, strict=True) if a + b > 0)


def histograms(seed: int, number: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    counts = generator.integers(0, 9, (number, 60)) * (generator.random((number, 60)) < 0.3)
    counts[:, 0] += 1
    return counts / counts.sum(axis=1, keepdims=True)


COSTS = pytest.mark.parametrize("costs_of", [matching_costs, costs_by_overlap])


@COSTS
@pytest.mark.parametrize("number", [1, 4, 5, 11])
def test_costs_agree_with_the_plain_loop(costs_of: Costs, number: int) -> None:
    earlier, later = histograms(1, number), histograms(2, 7)
    expected = [[slow_cost(one, other) for other in later.tolist()] for one in earlier.tolist()]
    assert costs_of(earlier, later) == pytest.approx(np.array(expected), abs=1e-12)
    assert costs_of(later, earlier) == pytest.approx(np.array(expected).T, abs=1e-12)


@COSTS
def test_equal_shape_contexts_cost_exactly_nothing_and_others_something(costs_of: Costs) -> None:
    costs = costs_of(histograms(1, 30), histograms(1, 30))
    assert np.all(np.diag(costs) == 0)
    assert np.count_nonzero(costs) == 30 * 29


def test_many_vertices_are_compared_by_overlap() -> None:
    earlier, later = histograms(1, 150), histograms(2, 140)
    few = np.concatenate([matching_costs(earlier[:75], later), matching_costs(earlier[75:], later)])
    assert matching_costs(earlier, later) == pytest.approx(few, abs=1e-12)
    assert np.array_equal(matching_costs(earlier, later), costs_by_overlap(earlier, later))


def slow_path_cost(costs: np.ndarray) -> float:
    """Dijkstra's algorithm with the library's heap."""
    target = (costs.shape[0] - 1, costs.shape[1] - 1)
    queue: list[tuple[float, Cell]] = [(0.0, (0, 0))]
    done: set[Cell] = set()
    while True:
        distance, (row, column) = heapq.heappop(queue)
        if (row, column) == target:
            return distance
        if (row, column) in done:
            continue
        done.add((row, column))
        for cell in ((row + 1, column), (row, column + 1), (row + 1, column + 1)):
            if cell[0] <= target[0] and cell[1] <= target[1]:
                heapq.heappush(queue, (distance + costs[cell], cell))


@given(GRIDS)
def test_the_cheapest_path_is_a_path_and_as_cheap_as_dijkstras(costs: np.ndarray) -> None:
    path = cheapest_path(costs)
    assert path[0].tolist() == [costs.shape[0] - 1, costs.shape[1] - 1]
    assert path[-1].tolist() == [0, 0]
    assert {tuple(step) for step in (path[:-1] - path[1:]).tolist()} <= {(0, 1), (1, 0), (1, 1)}
    assert costs[path[:-1, 0], path[:-1, 1]].sum() == slow_path_cost(costs)


@given(GRIDS)
def test_cells_leave_the_queue_by_their_distance(costs: np.ndarray) -> None:
    totals = path_costs(costs)
    last = (costs.shape[0] - 1, costs.shape[1] - 1)
    order = queue_order(costs, until=last)
    distances = [totals[row + column + 1, row + 1] for row, column in order]
    assert distances == sorted(distances)
    assert list(order.values()) == list(range(len(order)))
    nearer = sum(totals[i + j + 1, i + 1] < distances[-1] for i, j in np.ndindex(costs.shape))
    assert len(order) > nearer


def slow_one_to_one(pairs: list[Cell], costs: np.ndarray) -> list[Cell]:
    for side in (0, 1):
        kept: dict[int, Cell] = {}
        for pair in pairs:
            if pair[side] not in kept or costs[pair] < costs[kept[pair[side]]]:
                kept[pair[side]] = pair
        pairs = [kept[vertex] for vertex in sorted(kept)]
    return pairs


@given(GRIDS)
def test_one_to_one_agrees_with_the_plain_loop(costs: np.ndarray) -> None:
    pairs = align(costs)
    kept = [(one, other) for one, other in one_to_one(pairs, costs).tolist()]
    assert kept == slow_one_to_one([(one, other) for one, other in pairs.tolist()], costs)
    assert len({one for one, _ in kept}) == len({other for _, other in kept}) == len(kept)


@given(GRIDS)
def test_aligned_pairs_go_around_both_polygons(costs: np.ndarray) -> None:
    pairs = align(costs)
    assert set(pairs[:, 0].tolist()) == set(range(costs.shape[0]))
    assert set(pairs[:, 1].tolist()) == set(range(costs.shape[1]))


@settings(max_examples=40)
@given(MASKS, MASKS)
def test_values_lie_between_nothing_and_five(earlier: BinaryMask, later: BinaryMask) -> None:
    value = temporal_stability(earlier, later)
    missing = describe_contour(earlier) is None or describe_contour(later) is None
    assert math.isnan(value) if missing else 0 <= value <= 5
