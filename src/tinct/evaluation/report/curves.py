"""J and F over time, as small vector drawings that take their colours from the page.

They are drawn here and not by a plotting library, because the page's style then decides their
colours in light, dark and print, and because a curve is 1 kB instead of 15.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinct.evaluation.report.timeline import Timeline
from tinct.shapes import Float64

WIDTH, HEIGHT = 320, 132
"""Of a drawing, in its own units."""

LEFT, RIGHT, TOP, BOTTOM = 26, 314, 8, 112
"""Where its values are drawn: value 1 at `TOP`, 0 at `BOTTOM`."""

COLOURS = 8
"""The page's style has this many colours of objects, those of the masks; higher ids begin again."""


@dataclass(frozen=True)
class Line:
    """One object's line of one measure.

    Attributes:
        object_id: Whose it is.
        colour: From 1 to `COLOURS`.
        measure: "J" or "F".
        path: The `d` of an SVG path.
    """

    object_id: int
    colour: int
    measure: str
    path: str


@dataclass(frozen=True)
class Curve:
    """The drawing of one sequence.

    Attributes:
        sequence: Its name.
        lines: F first, so that J lies above it.
        first: The name of the first frame.
        last: The name of the last.
        lowest: The lowest value of the main measure.
        lowest_frame: Where that is.
        lowest_at: (x, y) in the drawing.
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
        measure: The one whose lowest point is marked: "J", or "F" where there is no J.
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
    """The path of a line through the values from 0 to 1; where one is NaN the line has a gap."""
    parts, pen_down = [], False
    for index, value in enumerate(values):
        if np.isnan(value):
            pen_down = False
            continue
        x, y = _place(index, float(value), len(values))
        # A line of no length shows as a dot where a value stands alone between gaps.
        parts.append(f"L{x:g} {y:g}" if pen_down else f"M{x:g} {y:g}h0")
        pen_down = True
    return "".join(parts)


def _place(index: int, value: float, count: int) -> tuple[float, float]:
    """(x, y) of a value in the drawing; a sequence of one frame lies in the middle."""
    share = index / (count - 1) if count > 1 else 0.5
    return round(LEFT + share * (RIGHT - LEFT), 1), round(BOTTOM - value * (BOTTOM - TOP), 1)
