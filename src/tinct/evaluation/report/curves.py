"""J and F over time as small SVG drawings, coloured by the style of the page.

They do not need a plotting library: so the style sets their colours in light, dark and print, and a curve
has 1 kB instead of 15.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinct.evaluation.report.timeline import Timeline
from tinct.shapes import Float64

WIDTH, HEIGHT = 320, 132
"""Size of a drawing, in its own units."""

LEFT, RIGHT, TOP, BOTTOM = 26, 314, 8, 112
"""Edges of the plot: value 1 is at `TOP`, 0 at `BOTTOM`."""

COLOURS = 8
"""Number of object colours in the style of the page, those of the masks; higher ids start over."""


@dataclass(frozen=True)
class Line:
    """The line of one object and measure.

    Attributes:
        object_id: The object.
        colour: From 1 to `COLOURS`.
        measure: "J" or "F".
        path: The `d` attribute of an SVG path.
    """

    object_id: int
    colour: int
    measure: str
    path: str


@dataclass(frozen=True)
class Curve:
    """The drawing of one sequence.

    Attributes:
        sequence: The name of the sequence.
        lines: F first, so that J is drawn above it.
        first: The name of the first frame.
        last: The name of the last frame.
        lowest: The lowest value of the main measure.
        lowest_frame: The name of its frame.
        lowest_at: Its (x, y) in the drawing.
    """

    sequence: str
    lines: tuple[Line, ...]
    first: str
    last: str
    lowest: float
    lowest_frame: str
    lowest_at: tuple[float, float]

    @property
    def objects(self) -> tuple[tuple[int, int], ...]:
        """(object id, colour) of every object, each once."""
        return tuple(dict.fromkeys((line.object_id, line.colour) for line in self.lines))


def curve(timeline: Timeline, measure: str) -> Curve | None:
    """The drawing of a sequence; None if no frame has a value.

    Args:
        timeline: The values.
        measure: The one whose lowest point is marked: "J", or "F" if there is no J.
    """
    lines = []
    for name in ("F", "J"):
        for object_id, values in timeline.objects.items():
            if name in values and not np.isnan(values[name]).all():
                lines.append(Line(object_id, (object_id - 1) % COLOURS + 1, name, line_path(values[name])))
    main = [values[measure] for values in timeline.objects.values() if measure in values]
    if not main or np.isnan(main).all():
        return None
    table = np.asarray(main, np.float64)
    row, column = np.unravel_index(int(np.nanargmin(table)), table.shape)
    names = timeline.frame_names
    return Curve(
        timeline.sequence,
        tuple(lines),
        names[0],
        names[-1],
        float(table[row, column]),
        names[int(column)],
        _place(int(column), float(table[row, column]), len(names)),
    )


def line_path(values: Float64[np.ndarray, "T"]) -> str:
    """The path of a line through values from 0 to 1, with gaps at NaN."""
    parts, pen_down = [], False
    for index, value in enumerate(values):
        if np.isnan(value):
            pen_down = False
            continue
        x, y = _place(index, float(value), len(values))
        # A line of length 0 shows a single value between gaps as a dot.
        parts.append(f"L{x:g} {y:g}" if pen_down else f"M{x:g} {y:g}h0")
        pen_down = True
    return "".join(parts)


def _place(index: int, value: float, count: int) -> tuple[float, float]:
    """(x, y) of a value in the drawing; a single frame is in the middle."""
    share = index / (count - 1) if count > 1 else 0.5
    return round(LEFT + share * (RIGHT - LEFT), 1), round(BOTTOM - value * (BOTTOM - TOP), 1)
