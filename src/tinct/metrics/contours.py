"""The polygon that stands for a mask's outline in temporal stability.

Source: Perazzi et al., CVPR 2016, section 5.1, names the polygon but not its rules; these are the rules of
the benchmark's toolkit, so that tinct gives the published figures. An outline runs along the cracks between
pixels, from pixel corner to pixel corner; (0, 0) is the upper left corner of the frame. At a saddle, where
two pixels touch only by their corners, four cracks meet: outlines turn there and never cross, and which way
they turn follows from the order in which the toolkit walks the cracks.

The polygon depends on where a walk starts, so the order of every scan below is part of the rules.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinct.shapes import BinaryMask, Float, Int

TOLERANCE_PX = 1.5
"""A vertex nearer than this to the simplified outline is dropped."""

STRAIGHT_PX = 0.05
"""The tolerance of the first round of simplification, which should only join unit cracks to straight ones."""

LONGEST_SIDE_PX = 3.0
"""A longer side of the polygon is cut into equal parts."""

NORTH, WEST, SOUTH, EAST = range(4)
"""The cracks at a corner, in the order in which the toolkit leaves a saddle."""

Polygon = Int[np.ndarray, "_ 2"]
"""Corners (x, y) of a closed outline, in pixels; the first is repeated at the end."""


@dataclass(frozen=True)
class Corners:
    """The corners of a mask's outlines, row by row, and their neighbours along straight cracks.

    Attributes:
        points: (x, y) of each corner, in pixels.
        saddle: Whether two pixels touch there only by their corners.
        neighbours: By direction, the corner at the other end of the straight crack, or -1.
    """

    points: list[tuple[int, int]]
    saddle: list[bool]
    neighbours: tuple[list[int], list[int], list[int], list[int]]


@dataclass(frozen=True)
class Piece:
    """A part of an outline between two saddles, which may be the same.

    Attributes:
        ends: The saddles at its start and end.
        axes: Whether it leaves its start, and reaches its end, by a horizontal crack.
        inner: The corners between.
    """

    ends: tuple[int, int]
    axes: tuple[bool, bool]
    inner: list[int]

    def other_end(self, saddle: int) -> int:
        """The saddle at the other end."""
        return self.ends[1] if saddle == self.ends[0] else self.ends[0]

    def axis_at(self, saddle: int) -> bool:
        """Whether the crack at this end is horizontal; of a piece with one saddle, the crack at its start."""
        return self.axes[0] if saddle == self.ends[0] else self.axes[1]


def longest_polygon(mask: BinaryMask) -> Polygon | None:
    """The simplified outline with the most vertices; None if no outline has three or more corners left.

    All outlines of all parts of the mask compete, those of holes too. Outer ones run clockwise as seen in
    the frame, holes the other way. Of outlines with equally many vertices the last in the toolkit's order
    is taken.
    """
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return None
    y, x = int(rows[0]), int(columns[0])
    box = mask[y : rows[-1] + 1, x : columns[-1] + 1]
    best: Polygon | None = None
    best_rank = (3, 0)
    outlines = [np.array(outline) for outline in crack_contours(box)]
    longest_first = sorted(enumerate(outlines), key=lambda item: -most_vertices(item[1]))
    for rank, outline in longest_first:
        if most_vertices(outline) < best_rank[0]:
            break
        polygon = simplify(outline)
        if len(polygon) > 3 and (len(polygon), rank) > best_rank:
            best, best_rank = orient(polygon, is_hole=is_hole(box, outline)), (len(polygon), rank)
    return None if best is None else best + np.array((x, y))


def most_vertices(outline: Polygon) -> int:
    """More vertices than this cannot be left of an outline: they are two or more pixels apart."""
    return int(np.abs(np.diff(outline, axis=0)).sum()) // 2 + 2


def crack_contours(mask: BinaryMask) -> list[list[tuple[int, int]]]:
    """All outlines of a mask, each as its corners (x, y), the first repeated at the end."""
    corners = find_corners(mask)
    seen = [False] * len(corners.points)
    joined = join_pieces(follow_pieces(corners, seen))
    # The toolkit numbers saddles before loops, and takes the highest number first.
    outlines = [*reversed(follow_loops(corners, seen)), *joined]
    return [[corners.points[corner] for corner in outline] for outline in outlines]


def find_corners(mask: BinaryMask) -> Corners:
    """Where the outlines turn, and how straight cracks connect these places."""
    padded = np.pad(mask.view(np.uint8), 1)
    northwest, northeast = padded[:-1, :-1], padded[:-1, 1:]
    southwest, southeast = padded[1:, :-1], padded[1:, 1:]
    diagonal = northwest ^ southeast
    turning = diagonal ^ northeast ^ southwest
    touching = (northwest ^ northeast) & (northwest ^ southwest) & (diagonal ^ 1)
    rows, columns = np.nonzero(turning | touching)
    saddle = touching[rows, columns].view(np.bool_)
    # A straight crack ends at the next corner of its row or column; a saddle ends one and starts the next.
    ends = 1 + saddle
    by_column = np.argsort(columns, kind="stable")
    neighbours = np.full((4, rows.size), -1)
    for backward, forward, order in ((WEST, EAST, np.arange(rows.size)), (NORTH, SOUTH, by_column)):
        in_line = np.repeat(order, ends[order])
        neighbours[forward, in_line[::2]] = in_line[1::2]
        neighbours[backward, in_line[1::2]] = in_line[::2]
    points = list(zip(columns.tolist(), rows.tolist(), strict=True))
    north, west, south, east = neighbours.tolist()
    return Corners(points, saddle.tolist(), (north, west, south, east))


def follow_loops(corners: Corners, seen: list[bool]) -> list[list[int]]:
    """The outlines without a saddle, by their first corners in reading order; all start southwards."""
    north, west, south, east = corners.neighbours
    loops = []
    for start in range(len(seen)):
        if seen[start] or corners.saddle[start]:
            continue
        loop: list[int] = []
        corner = start
        while not seen[corner]:
            below = south[corner] if south[corner] >= 0 else north[corner]
            seen[corner] = seen[below] = True
            loop += (corner, below)
            corner = east[below] if east[below] >= 0 else west[below]
        loops.append([*loop, start])
    return loops


def follow_pieces(corners: Corners, seen: list[bool]) -> list[Piece]:
    """All pieces between saddles, from the last saddle to the first in reading order."""
    pieces = []
    left_by: set[tuple[int, int]] = set()
    saddles = [corner for corner, saddle in enumerate(corners.saddle) if saddle]
    for start in reversed(saddles):
        for direction in range(4):
            if (start, direction) in left_by:
                continue
            piece, last_direction = follow_piece(corners, start, direction)
            left_by |= {(start, direction), (piece.ends[1], (last_direction + 2) % 4)}
            pieces.append(piece)
            for corner in piece.inner:
                seen[corner] = True
    return pieces


def follow_piece(corners: Corners, start: int, direction: int) -> tuple[Piece, int]:
    """The piece that leaves a saddle in a direction, and the direction in which it reaches its other end."""
    first_horizontal = horizontal = direction in (WEST, EAST)
    corner, inner = corners.neighbours[direction][start], []
    while not corners.saddle[corner]:
        inner.append(corner)
        horizontal = not horizontal
        if horizontal:
            direction = EAST if corners.neighbours[EAST][corner] >= 0 else WEST
        else:
            direction = SOUTH if corners.neighbours[SOUTH][corner] >= 0 else NORTH
        corner = corners.neighbours[direction][corner]
    return Piece((start, corner), (first_horizontal, horizontal), inner), direction


def join_pieces(pieces: list[Piece]) -> list[list[int]]:
    """The outlines through saddles: pieces joined so that an outline turns where it passes a saddle."""
    unused: dict[int, list[int]] = {}
    for number, piece in enumerate(pieces):
        for end in set(piece.ends):
            unused.setdefault(end, []).append(number)
    outlines = []
    for first in sorted(unused, reverse=True):
        while unused[first]:
            outlines += walk_from(first, pieces, unused)
    return outlines


def walk_from(first: int, pieces: list[Piece], unused: dict[int, list[int]]) -> list[list[int]]:
    """The outlines on a walk from a saddle; one is complete when the walk comes to a saddle again."""
    outlines = []
    walk: dict[int, int] = {}  # the piece taken from each saddle, in order
    saddle, number = first, unused[first][0]
    while True:
        walk[saddle] = number
        for end in set(pieces[number].ends):
            unused[end].remove(number)
        saddle = pieces[number].other_end(saddle)
        if saddle in walk:
            outlines.append(cut_off(walk, saddle, pieces))
            if not walk:
                return outlines
            number = next(reversed(walk.values()))
        number = turn(saddle, number, pieces, unused[saddle])


def cut_off(walk: dict[int, int], first: int, pieces: list[Piece]) -> list[int]:
    """Take the end of a walk, from a saddle on, out of it: the corners there, the first repeated."""
    steps = []
    while first in walk:
        steps.append(walk.popitem())
    outline = []
    for saddle, number in reversed(steps):
        inner = pieces[number].inner
        outline += [saddle, *(inner if pieces[number].ends[0] == saddle else reversed(inner))]
    return [*outline, first]


def turn(saddle: int, arriving: int, pieces: list[Piece], unused: list[int]) -> int:
    """The first unused piece at a saddle that does not go straight on."""
    straight = pieces[unused[0]].axis_at(saddle) == pieces[arriving].axis_at(saddle)
    return unused[int(straight)]


def is_hole(mask: BinaryMask, outline: Polygon) -> bool:
    """Whether an outline goes around background: the pixel below its first corner in reading order tells."""
    column, row = min(outline.tolist(), key=lambda point: (point[1], point[0]))
    return not bool(mask[row, column])


def orient(polygon: Polygon, *, is_hole: bool) -> Polygon:
    """The polygon, turned round if its direction is not that of its kind."""
    x, y = polygon.T
    doubled_area = int(np.sum((y[1:] - y[:-1]) * (x[1:] + x[:-1])))
    clockwise = doubled_area > 0
    return polygon if clockwise != is_hole else polygon[::-1]


def simplify(outline: Polygon) -> Polygon:
    """The outline without the corners that its shape does not need.

    Only the corners of the outline should be left of its unit cracks before the real work; but rounding
    makes the toolkit keep a few points within straight cracks, and they count from there on.
    """
    cracks = douglas_peucker(unit_cracks(outline), STRAIGHT_PX)
    return douglas_peucker(spread(cracks, TOLERANCE_PX), TOLERANCE_PX)


def unit_cracks(outline: Polygon) -> Polygon:
    """The outline with every pixel corner that it passes."""
    sides = np.diff(outline, axis=0)
    lengths = np.abs(sides).sum(axis=1)
    steps = np.repeat(np.sign(sides), lengths, axis=0)
    return np.concatenate([outline[:1], outline[0] + np.cumsum(steps, axis=0)])


def spread(line: Polygon, tolerance_px: float) -> Polygon:
    """The line without the points nearer than the tolerance to the last one that stays; both ends do."""
    points: list[list[int]] = line.tolist()
    x, y = points[0]
    thinned = [points[0]]
    for point in points[1:-1]:
        if (point[0] - x) ** 2 + (point[1] - y) ** 2 >= tolerance_px**2:
            x, y = point
            thinned.append(point)
    return np.array([*thinned, points[-1]])


def douglas_peucker(line: Polygon, tolerance_px: float) -> Polygon:
    """The line without the points that lie within the tolerance of what is left (Douglas, Peucker, 1973).

    The straight stretch from the first to the last point is split at the point farthest from it, if that
    is beyond the tolerance, and so on; of equally far points at the last.
    """
    points = np.ascontiguousarray(line.T, dtype=np.float64)
    stays = np.zeros(len(line), np.bool_)
    stays[[0, -1]] = True
    starts, ends = np.array([0]), np.array([len(line) - 1])
    while (counts := ends - starts - 1).any():
        # One round looks at all stretches that have points between their ends.
        starts, ends, counts = starts[counts > 0], ends[counts > 0], counts[counts > 0]
        first = np.cumsum(counts) - counts
        stretch = np.repeat(np.arange(counts.size), counts)
        between = np.arange(stretch.size) + (starts + 1 - first)[stretch]
        from_, to = points[:, starts][:, stretch], points[:, ends][:, stretch]
        squared = squared_distances(points[:, between], from_, to)
        farthest = np.maximum.reduceat(squared, first)
        last_farthest = np.empty(counts.size, np.int64)
        reached = np.flatnonzero(squared == farthest[stretch])
        last_farthest[stretch[reached]] = between[reached]  # of several the last is written last
        split = farthest > tolerance_px**2
        keys = last_farthest[split]
        stays[keys] = True
        starts, ends = np.concatenate([starts[split], keys]), np.concatenate([keys, ends[split]])
    return line[stays]


def squared_distances(
    points: Float[np.ndarray, "2 P"], starts: Float[np.ndarray, "2 P"], ends: Float[np.ndarray, "2 P"]
) -> Float[np.ndarray, "P"]:
    """The squared distance of each point to its own straight stretch, in square pixels."""
    along, away = ends - starts, points - starts
    projected, length = dot(along, away), dot(along, along)
    # The toolkit computes this ratio in single precision, and which point is farthest can hang on it.
    fraction = projected.astype(np.float32) / np.maximum(length, 1).astype(np.float32)
    nearest = starts + fraction.astype(np.float64) * along
    np.copyto(nearest, ends, where=projected >= length)
    np.copyto(nearest, starts, where=projected <= 0)
    away = points - nearest
    return dot(away, away)


def dot(left: Float[np.ndarray, "2 P"], right: Float[np.ndarray, "2 P"]) -> Float[np.ndarray, "P"]:
    """The products of pairs of vectors, rounded step by step as in the toolkit (not so by einsum)."""
    product: Float[np.ndarray, "P"] = left[0] * right[0] + left[1] * right[1]
    return product


def upsample(polygon: Polygon) -> Float[np.ndarray, "N 2"]:
    """The polygon with its long sides cut into equal parts, in single precision as in the toolkit.

    Every part is at most `LONGEST_SIDE_PX` long. Vertices stay, the repeated first one too.
    """
    vertices = polygon.astype(np.float32)
    sides = np.diff(vertices, axis=0)
    lengths = np.sqrt(sides[:, 0] ** 2 + sides[:, 1] ** 2)
    parts = np.maximum(np.ceil(lengths / np.float32(LONGEST_SIDE_PX)).astype(np.int64), 1)
    steps = np.repeat((sides / parts[:, None].astype(np.float32))[:, None], parts.max(), axis=1)
    steps[:, 0] = vertices[:-1]
    # The toolkit adds step after step; the rounding of each sum decides angles near the axes.
    cut = np.add.accumulate(steps, axis=1, dtype=np.float32)
    used = np.arange(parts.max()) < parts[:, None]
    return np.concatenate([cut[used], vertices[-1:]])
