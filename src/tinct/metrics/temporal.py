"""Temporal stability T: how much an outline changes its shape from one frame to the next. Lower is better.

Source: Perazzi et al., CVPR 2016, section 5.1, with the rules of the benchmark's toolkit where the paper
leaves them open. The annotated masks play no part: both masks are predicted. T is defined for one object
in sequences without strong occlusion; elsewhere it measures the occlusion.

Each mask's longest outline becomes a polygon, each vertex a shape context (Belongie et al., 2002: a histogram
of where the other vertices lie), and T is the mean cost of matching the vertices of the one polygon to those
of the other in their order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from tinct.metrics.contours import longest_polygon, upsample
from tinct.metrics.region import check_same_size
from tinct.shapes import BinaryMask

SCALE = 5.0
"""The toolkit's factor between the mean matching cost and the published figures."""

RADIUS_EDGES = np.logspace(np.log10(1 / 8), np.log10(2), 5)
"""The outer radii of a shape context's rings, in mean distances between vertices."""

SECTORS = 12
"""The directions that a shape context tells apart, counted from the x axis towards the y axis."""

ROUNDING = 1e-13
"""Shape contexts with a lower cost are equal."""

Pairs = Int[np.ndarray, "P 2"]
"""Matched vertices: the number of one in the earlier polygon, of one in the later."""


@dataclass(frozen=True)
class ContourDescription:
    """A mask's longest outline, ready to be matched.

    Attributes:
        vertices: (x, y) of the polygon's vertices in pixels, the first repeated at the end.
        shape_contexts: Of each vertex, the fraction of near vertices in each of 60 bins.
    """

    vertices: Float[np.ndarray, "N 2"]
    shape_contexts: Float[np.ndarray, "N 60"]


def temporal_stability(earlier: BinaryMask, later: Bool[np.ndarray, "_ _"]) -> float:
    """T of two masks of one object in consecutive frames: 0 where the shape stays, up to 5.

    A shape that only moves by whole pixels stays. NaN if a mask has no outline to speak of: an empty mask,
    or one whose parts are all of one or two pixels.

    Args:
        earlier: The predicted mask of a frame.
        later: That of the next frame, of the same size.

    Raises:
        MaskError: The masks differ in size.
    """
    check_same_size(earlier, later)
    return instability(describe_contour(earlier), describe_contour(later))


def describe_contour(mask: BinaryMask) -> ContourDescription | None:
    """What T needs of one mask, so that a sequence describes each mask once; None without an outline."""
    polygon = longest_polygon(mask)
    if polygon is None:
        return None
    vertices = upsample(polygon)
    return ContourDescription(vertices, shape_contexts(vertices))


def instability(earlier: ContourDescription | None, later: ContourDescription | None) -> float:
    """T of two described masks; NaN if one has no outline."""
    if earlier is None or later is None:
        return float("nan")
    costs = matching_costs(earlier.shape_contexts, later.shape_contexts)
    pairs = one_to_one(align(costs), costs)
    return SCALE * float(costs[pairs[:, 0], pairs[:, 1]].mean())


def shape_contexts(vertices: Float[np.ndarray, "N 2"]) -> Float[np.ndarray, "N 60"]:
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
    return counts / counts.sum(axis=1, keepdims=True)


def matching_costs(
    earlier: Float[np.ndarray, "N 60"], later: Float[np.ndarray, "M 60"]
) -> Float[np.ndarray, "N M"]:
    """The chi-square distance ½ Σ (a - b)² / (a + b) of all pairs of shape contexts, from 0 to 1.

    Both sum to one, so that it equals 1 - 2 Σ ab / (a + b), where only the bins that both use count.
    """
    with np.errstate(divide="ignore"):
        inverse_earlier, inverse_later = 1 / earlier, 1 / np.ascontiguousarray(later.T)
    overlap = np.empty((len(earlier), len(later)))
    for row, inverse in zip(overlap, inverse_earlier, strict=True):
        used = np.flatnonzero(np.isfinite(inverse))
        terms = inverse_later[used]
        terms += inverse[used, None]
        np.reciprocal(terms, out=terms)
        np.add.reduce(terms, axis=0, out=row)
    costs = 1 - 2 * overlap
    costs[costs < ROUNDING] = 0
    return costs


def align(costs: Float[np.ndarray, "N M"]) -> Pairs:
    """The cheapest matching in order around both polygons, started where a first one was cheapest."""
    first = cheapest_path(costs)
    # The first cell of a path is free of charge and does not compete; of equal costs the last on it is taken.
    shift = first[np.argmin(costs[first[:-1, 0], first[:-1, 1]])] + 1
    path = cheapest_path(np.roll(costs, -shift, axis=(0, 1)))
    return (path + shift) % costs.shape


def cheapest_path(costs: Float[np.ndarray, "N M"]) -> Pairs:
    """The cheapest path through a grid from its first to its last cell, by steps to (+1, 0), (0, +1), (+1, +1),
    listed from its last cell to its first.

    A path costs what all its cells cost but the first (dynamic time warping).
    """
    totals = path_costs(costs)
    row, diagonal = costs.shape[0] - 1, len(totals) - 1
    path = [(row, diagonal - row)]
    while diagonal:
        left, above = totals.item(diagonal - 1, row + 1), totals.item(diagonal - 1, row)
        both = totals.item(diagonal - 2, row) if diagonal > 1 else float("inf")
        least = min(left, above, both)
        if (left, above, both).count(least) > 1:
            return toolkits_path(costs)
        row -= int(left > least)
        diagonal -= 1 + int(both == least)
        path.append((row, diagonal - row))
    return np.array(path)


def path_costs(costs: Float[np.ndarray, "N M"]) -> Float[np.ndarray, "D N+1"]:
    """What the cheapest path to each cell costs, by diagonals: that to (i, j) stands at [i + j, i + 1]."""
    rows, columns = costs.shape
    totals = np.full((rows + columns - 1, rows + 1), np.inf)
    # A row of the grid is a slanted line of the table.
    slanted = np.lib.stride_tricks.as_strided(
        totals[0, 1:], (rows, columns), (totals.itemsize * (rows + 2), totals.itemsize * (rows + 1))
    )
    slanted[:] = costs
    totals[0, 1] = 0
    before, last = np.full(rows + 1, np.inf), totals[0]
    least = np.empty(rows)
    for line in totals[1:]:
        np.minimum(last[1:], last[:-1], out=least)
        np.minimum(least, before[:-1], out=least)
        line[1:] += least
        before, last = last, line
    return totals


def toolkits_path(costs: Float[np.ndarray, "N M"]) -> Pairs:
    """The cheapest path that the toolkit finds where several cost the same.

    A polygon's first and last vertex are one point, so that ties are common there. The toolkit takes the
    way by the cell that leaves its queue first (Dijkstra, 1959), and so does this, cell by cell.
    """
    rows, columns = costs.shape
    cost: list[float] = costs.ravel().tolist()
    target = rows * columns - 1
    distances = [float("inf")] * (target + 1)
    previous = [0] * (target + 1)
    distances[0] = 0.0
    queue = Queue(distances)
    queue.push(0)
    while (cell := queue.pop()) != target:
        below, right = cell + columns <= target, (cell + 1) % columns > 0
        for following, exists in ((cell + 1, right), (cell + columns, below), (cell + columns + 1, below and right)):
            if exists and (distance := distances[cell] + cost[following]) < distances[following]:
                known = distances[following] < float("inf")
                distances[following], previous[following] = distance, cell
                queue.lift(following) if known else queue.push(following)
    path = [target]
    while path[-1]:
        path.append(previous[path[-1]])
    return np.stack(np.divmod(path, columns), axis=1)


class Queue:
    """Cells by their distance: a heap with four children per node, as in the toolkit.

    Which of equally distant cells leaves first follows from the steps below, and so must not be changed.
    """

    def __init__(self, distances: list[float]) -> None:
        self.distances = distances
        self.heap: list[int] = []
        self.places: dict[int, int] = {}

    def push(self, cell: int) -> None:
        """Add a cell."""
        self.places[cell] = len(self.heap)
        self.heap.append(cell)
        self.lift(cell)

    def lift(self, cell: int) -> None:
        """Move a cell up as far as its distance demands."""
        heap, place, distance = self.heap, self.places[cell], self.distances[cell]
        while place and distance < self.distances[heap[above := (place - 1) // 4]]:
            self.put(heap[above], place)
            place = above
        self.put(cell, place)

    def pop(self) -> int:
        """Remove the nearest cell."""
        heap, distances = self.heap, self.distances
        nearest, cell = heap[0], heap.pop()
        place = 0
        while children := heap[4 * place + 1 : 4 * place + 5]:
            distance, child = min((distances[below], child) for child, below in enumerate(children))
            if distance >= distances[cell]:
                break
            self.put(children[child], place)
            place = 4 * place + 1 + child
        if heap:
            self.put(cell, place)
        return nearest

    def put(self, cell: int, place: int) -> None:
        """Set a node of the heap."""
        self.heap[place] = cell
        self.places[cell] = place


def one_to_one(pairs: Pairs, costs: Float[np.ndarray, "N M"]) -> Pairs:
    """Of each earlier vertex the cheapest pair, then of each later vertex the cheapest of those left."""
    for side in (0, 1):
        order = np.lexsort((costs[pairs[:, 0], pairs[:, 1]], pairs[:, side]))
        pairs = pairs[order]
        pairs = pairs[np.flatnonzero(np.diff(pairs[:, side], prepend=-1))]
    return pairs
