"""Temporal stability T: how much an outline changes its shape from one frame to the next. Lower is better.

Source: Perazzi et al., CVPR 2016, section 5.1, with the rules of the benchmark's toolkit where the paper
leaves them open. The annotated masks play no part: both masks are predicted. T is defined for one object
in sequences without strong occlusion; elsewhere it measures the occlusion.

Each mask's longest outline becomes a polygon, each vertex a shape context (Belongie et al., 2002: a histogram
of where the other vertices lie), and T is the mean cost of matching the vertices of the one polygon to those
of the other in their order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tinct.metrics.contours import longest_polygon, upsample
from tinct.metrics.region import check_same_size
from tinct.shapes import BinaryMask, Bool, Float, Int, holds_arrays

SCALE = 5.0
"""The toolkit's factor between the mean matching cost and the published figures."""

RADIUS_EDGES = np.logspace(np.log10(1 / 8), np.log10(2), 5)
"""The outer radii of a shape context's rings, in mean distances between vertices."""

SECTORS = 12
"""Number of directions of a shape context, counted from the x axis towards the y axis."""

FEW_PAIRS = 128 * 128
"""Number of pairs of vertices up to which costs are summed exactly as in the toolkit; above, faster."""

EPSILON = 2.2204e-16
"""The constant that the toolkit adds to a divisor that can be zero."""

ROUNDING = 1e-13
"""Shape contexts with a lower cost are equal."""

BLOCK = 4
"""Number of vertices that are compared with all others at a time, so that the terms fit in the cache."""

Pairs = Int[np.ndarray, "_ 2"]
"""Matched vertices: the number of one in the earlier polygon, of one in the later."""


@holds_arrays
@dataclass(frozen=True, repr=False)
class ContourDescription:
    """A mask's longest outline, ready to be matched.

    Attributes:
        vertices: (x, y) of the polygon's vertices in pixels, the first repeated at the end.
        shape_contexts: Of each vertex, the fraction of near vertices in each of 60 bins.
    """

    vertices: Float[np.ndarray, "V 2"]
    shape_contexts: Float[np.ndarray, "V 60"]


def temporal_stability(earlier: BinaryMask, later: Bool[np.ndarray, "_ _"]) -> float:
    """T of two masks of one object in consecutive frames: 0 where the shape stays, up to 5.

    Where a shape lies does not matter, but for the rounding of the toolkit, which can move a vertex to the
    next sector of a shape context. NaN if nothing is left of a mask's outlines when they are simplified: an
    empty mask, or one whose parts are all lines of one pixel's width or blocks of up to 2×2 pixels.

    Args:
        earlier: The predicted mask of a frame.
        later: That of the next frame, of the same size.

    Raises:
        MaskError: The masks differ in size.
    """
    check_same_size(earlier, later)
    return instability(describe_contour(earlier), describe_contour(later))


def describe_contour(mask: BinaryMask, *, from_rows: bool = False) -> ContourDescription | None:
    """The description of one mask for T, made once per mask of a sequence; None without an outline.

    Args:
        mask: Of a frame.
        from_rows: Count angles from the y axis towards the x axis, as the Matlab toolkit does, whose points
            are (row, column). Vertices in one row or column lie on the border of two sectors, and then fall
            on its other side: T is 1.1 % higher on the truth of DAVIS-2016's training sequences.
    """
    polygon = longest_polygon(mask)
    if polygon is None:
        return None
    vertices = upsample(polygon)
    return ContourDescription(vertices, shape_contexts(vertices[:, ::-1] if from_rows else vertices))


def instability(earlier: ContourDescription | None, later: ContourDescription | None) -> float:
    """T of two described masks; NaN if one has no outline."""
    if earlier is None or later is None:
        return float("nan")
    costs = matching_costs(earlier.shape_contexts, later.shape_contexts)
    pairs = one_to_one(align(costs), costs)
    return SCALE * float(costs[pairs[:, 0], pairs[:, 1]].mean())


def shape_contexts(vertices: Float[np.ndarray, "V 2"]) -> Float[np.ndarray, "V 60"]:
    """The shape context of each vertex: the fraction of near vertices in each of 5 rings × 12 sectors.

    Distances count in means over all pairs of vertices, pairs of a vertex with itself included. A vertex
    lies in its own innermost ring and first sector; those of twice the mean distance or more are left out.
    """
    x, y = vertices.T.astype(np.float64)
    right, down = x - x[:, None], y - y[:, None]
    sectors = np.floor(np.arctan2(down, right) / (2 * np.pi / SECTORS)).astype(np.int8)
    distances = np.sqrt(right * right + down * down)
    distances /= distances.mean()
    # Rings count from the outside in, as in the toolkit; ring 0 is all that is too far.
    bins = SECTORS * np.add.reduce([distances < edge for edge in RADIUS_EDGES], dtype=np.int8)
    bins += sectors
    bins += SECTORS * (sectors < 0).view(np.int8)
    size = SECTORS * (1 + len(RADIUS_EDGES))
    numbered = bins + size * np.arange(len(x))[:, None]
    counts = np.bincount(numbered.ravel(), minlength=size * len(x)).reshape(len(x), size)[:, SECTORS:]
    fractions: Float[np.ndarray, "V 60"] = counts / counts.sum(axis=1, keepdims=True)
    return fractions


def matching_costs(
    earlier: Float[np.ndarray, "E 60"], later: Float[np.ndarray, "L 60"]
) -> Float[np.ndarray, "E L"]:
    """The chi-square distance ½ Σ (a - b)² / (a + b) of all pairs of shape contexts, from 0 to 1.

    Few vertices have few different contexts. Paths then often cost the same but for rounding, and the one
    that the toolkit takes is found only by summing just as it does.
    """
    if len(earlier) * len(later) > FEW_PAIRS:
        return costs_by_overlap(earlier, later)
    rows = (0.5 * np.sum((row - later) ** 2 / (row + later + EPSILON), axis=1) for row in earlier)
    return np.stack(list(rows))


def costs_by_overlap(
    earlier: Float[np.ndarray, "E 60"], later: Float[np.ndarray, "L 60"]
) -> Float[np.ndarray, "E L"]:
    """The chi-square distance as 1 - 2 Σ ab / (a + b), over bins that both use; each context sums to 1."""
    with np.errstate(divide="ignore"):
        inverse_earlier, inverse_later = 1 / earlier, 1 / np.ascontiguousarray(later.T)
    overlap = np.empty((len(earlier), len(later)))
    for first in range(0, len(earlier), BLOCK):
        # Neighbours use much the same bins; of an unused bin the inverse is infinite and the term zero.
        block = inverse_earlier[first : first + BLOCK]
        used = np.flatnonzero(np.isfinite(block).any(axis=0))
        terms = block[:, used, None] + inverse_later[used]
        np.divide(1, terms, out=terms)
        np.add.reduce(terms, axis=1, out=overlap[first : first + BLOCK])
    costs = 1 - 2 * overlap
    costs[costs < ROUNDING] = 0
    return costs


def align(costs: Float[np.ndarray, "E L"]) -> Pairs:
    """The cheapest matching in order around both polygons, started where a first one was cheapest."""
    first = cheapest_path(costs)
    # The first cell of a path is free of charge and does not compete; of equal costs the last on it is taken.
    shift = first[np.argmin(costs[first[:-1, 0], first[:-1, 1]])] + 1
    path = cheapest_path(np.roll(costs, -shift, axis=(0, 1)))
    pairs: Pairs = (path + shift) % costs.shape
    return pairs


def cheapest_path(costs: Float[np.ndarray, "E L"]) -> Pairs:
    """The cheapest path through a grid from its first to its last cell, listed from the last to the first.

    A path goes by steps of (+1, 0), (0, +1) or (+1, +1) and costs what all its cells cost but the first
    (dynamic time warping). Where several ways to a cell cost the same, the toolkit takes the one by the
    cell that leaves its queue first, and so does this.
    """
    totals = path_costs(costs)
    rank: dict[tuple[int, int], int] = {}
    path = [(costs.shape[0] - 1, costs.shape[1] - 1)]
    while any(path[-1]):
        row, column = path[-1]
        cells = [(row - 1, column - 1), (row - 1, column), (row, column - 1)]
        ways = [totals.item(i + j + 1, i + 1) for i, j in cells]
        least = min(ways)
        if ways.count(least) > 1:
            # The first vertex of a polygon is its last one too, which makes ties common.
            rank = rank or queue_order(costs, until=(row, column))
            tied = [cell for cell, way in zip(cells, ways, strict=True) if way == least]
            path.append(min(tied, key=lambda cell: rank.get(cell, len(rank))))
        else:
            path.append(cells[ways.index(least)])
    return np.array(path)


def path_costs(costs: Float[np.ndarray, "E L"]) -> Float[np.ndarray, "E+L E+1"]:
    """The cost of the cheapest path to each cell, that to (i, j) at [i + j + 1, i + 1]; the rest is infinite.

    Each row of the table, a diagonal of the grid, follows from the two before it.
    """
    rows, columns = costs.shape
    totals = np.full((rows + columns, rows + 1), np.inf)
    strides = (totals.itemsize * (rows + 2), totals.itemsize * (rows + 1))
    np.lib.stride_tricks.as_strided(totals[1, 1:], (rows, columns), strides)[:] = costs
    totals[1, 1] = 0
    least = np.empty(rows)
    for before, last, line in zip(totals, totals[1:], totals[2:], strict=False):
        np.minimum(last[1:], last[:-1], out=least)
        np.minimum(least, before[:-1], out=least)
        line[1:] += least
    return totals


def queue_order(costs: Float[np.ndarray, "E L"], until: tuple[int, int]) -> dict[tuple[int, int], int]:
    """The rank in which cells leave the toolkit's queue (Dijkstra, 1959), up to and with a cell.

    The queue is a heap with four children per node. Which of equally distant cells leaves first hangs on
    every step here, so their order must stay as it is.
    """
    width = costs.shape[1] + 1  # a border that cannot be entered saves the question where the grid ends
    cost = np.pad(costs, ((0, 1), (0, 1)), constant_values=np.inf).ravel().tolist()
    distance, place = [math.inf] * len(cost), [0] * len(cost)
    distance[0] = 0.0
    heap = [0]
    order: list[int] = []
    last = until[0] * width + until[1]
    while not order or order[-1] != last:
        cell = heap[0]
        order.append(cell)
        sink(heap, heap.pop(), distance, place)
        here = distance[cell]
        for following in (cell + 1, cell + width, cell + width + 1):
            reached = here + cost[following]
            known = distance[following]
            if reached < known:
                distance[following] = reached
                if known == math.inf:
                    place[following] = len(heap)
                    heap.append(following)
                lift(heap, following, distance, place)
    return {divmod(cell, width): rank for rank, cell in enumerate(order)}


def lift(heap: list[int], cell: int, distance: list[float], place: list[int]) -> None:
    """Move a cell up in the heap as far as its distance demands."""
    node, own = place[cell], distance[cell]
    while node and own < distance[above := heap[(node - 1) // 4]]:
        heap[node], place[above] = above, node
        node = (node - 1) // 4
    heap[node], place[cell] = cell, node


def sink(heap: list[int], cell: int, distance: list[float], place: list[int]) -> None:
    """Put a cell, the last one of the heap, in place of the first and let it down to where it belongs."""
    if not heap:
        return
    node, own = 0, distance[cell]
    while children := heap[4 * node + 1 : 4 * node + 5]:
        nearest = min(children, key=distance.__getitem__)  # the first of equals
        if distance[nearest] >= own:
            break
        heap[node], place[nearest], node = nearest, node, place[nearest]
    heap[node], place[cell] = cell, node


def one_to_one(pairs: Pairs, costs: Float[np.ndarray, "E L"]) -> Pairs:
    """Of each earlier vertex the cheapest pair, then of each later vertex the cheapest of those left."""
    for side in (0, 1):
        order = np.lexsort((costs[pairs[:, 0], pairs[:, 1]], pairs[:, side]))
        pairs = pairs[order]
        pairs = pairs[np.flatnonzero(np.diff(pairs[:, side], prepend=-1))]
    return pairs
