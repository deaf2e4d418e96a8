"""The timeline of a loop over a whole video: why every object was found in a frame, or lost.

From the trace that `tinct.inference.callbacks` brings: starting points, tracklets, links, what was refused,
and how the templates grew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from tinct.errors import MissingExtraError
from tinct.io.atomic import atomic_write
from tinct.io.masks import voc_palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Trace = Mapping[str, Any]

DOTS_PER_INCH = 130

REMARK_WIDTH = 100
"""Characters of a line below the picture."""

_OUTCOMES = (
    ("painted", "*", 110, "painted"),
    ("propagated", "o", 40, "starting point"),
    ("known", "|", 24, "its mask was known already"),
    ("refused", "x", 40, "refused"),
)
"""Kind of starting point, its mark, the mark's size, and what the legend says."""

_LATER_ROUNDS = 0.55
"""Opacity of what re-identification found, beside what came from the annotated masks."""

_REFUSED = "#999999"


def draw_loop_timeline(trace: Trace, remarks: Sequence[str], path: Path) -> None:
    """Draw a trace as a PNG file.

    From top to bottom: per object the stretches of frames that have a mask, with the starting points
    from which they came, and below them in grey the tracklets that were refused or cut; the
    similarity of every starting point, a ring around those whose identity is in doubt; how many
    templates each object had after each round; and what else a person should know, in words.

    Args:
        trace: Of one video.
        remarks: What to say beside the trace's own remarks.
        path: The file.

    Raises:
        OptionError: matplotlib is not installed.
        OutputError: The file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(
            "The timeline needs matplotlib, which is missing: pip install 'tinct[plots]', or take .json."
        ) from error
    object_ids, frames = trace["object_ids"], len(trace["frames"])
    lanes = 0.55 * len(object_ids) + 0.6
    figure = Figure(figsize=(max(7.0, min(18.0, 3 + 0.09 * frames)), lanes + 4.2), layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, height_ratios=[lanes, 1.7, 1.1])
    _draw_lanes(top, trace)
    _draw_similarities(middle, trace)
    _draw_templates(bottom, trace)
    for axes in (top, middle):
        axes.set_xlim(-1, max(1, frames))
        axes.spines[["top", "right"]].set_visible(False)
    middle.set_xlabel("frame")
    remarks = [*trace["remarks"], *remarks]
    bottom.set_xlabel("\n".join(fill(text, REMARK_WIDTH) for text in remarks), loc="left", fontsize="small")
    with atomic_write(path) as part:
        # Without the library's version in it, the same trace gives the same bytes.
        figure.savefig(part, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})


def kind_of(point: Mapping[str, Any]) -> str:
    """Which mark a starting point gets: annotated ("painted" in the trace), propagated, known or refused."""
    if point["painted"]:
        return "painted"
    if point["outcome"] == "propagated":
        return "propagated"
    return "known" if point["outcome"].endswith("known already") else "refused"


def refused_stretches(trace: Trace) -> list[tuple[int, int, int]]:
    """(object id, first, last frame) of what was propagated and not linked."""
    stretches = []
    for link in trace["links"]:
        tracklet = trace["tracklets"][link["tracklet"]]
        object_id, first, last = tracklet["object_id"], tracklet["first"], tracklet["last"]
        if link["outcome"] == "refused":
            stretches.append((object_id, first, last))
        elif link["outcome"] == "cut":
            stretches += [
                (object_id, start, stop)
                for start, stop in ((first, link["first"] - 1), (link["last"] + 1, last))
                if start <= stop
            ]
    return stretches


def _draw_lanes(axes: Axes, trace: Trace) -> None:
    object_ids = trace["object_ids"]
    lane = {object_id: place for place, object_id in enumerate(object_ids)}
    for object_id in object_ids:
        for stretch in trace["tubes"][str(object_id)]:
            later = trace["tracklets"][stretch["tracklet"]]["round"] > 0
            axes.barh(
                lane[object_id],
                stretch["last"] - stretch["first"] + 1,
                0.42,
                left=stretch["first"] - 0.5,
                color=_colour(object_id),
                alpha=_LATER_ROUNDS if later else 1.0,
                edgecolor="white",
                linewidth=0.6,
            )
    for object_id, first, last in refused_stretches(trace):
        y = lane[object_id] + 0.34
        axes.plot([first - 0.4, last + 0.4], [y, y], color=_REFUSED, linewidth=1.6, solid_capstyle="butt")
    for kind, mark, size, words in _OUTCOMES:
        points = [p for p in trace["starting_points"] if kind_of(p) == kind]
        rows = [lane[p["object_id"]] - (0.32 if kind != "known" else 0.27) for p in points]
        axes.scatter(
            [p["frame"] for p in points], rows, s=size, c="black", marker=mark, label=words, linewidths=1.0
        )
    axes.set_yticks(range(len(object_ids)), [f"object {i}" for i in object_ids])
    axes.set_ylim(len(object_ids) - 0.4, -0.75)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False, fontsize="small")


def _draw_similarities(axes: Axes, trace: Trace) -> None:
    for kind, mark, size, _ in _OUTCOMES:
        points = [p for p in trace["starting_points"] if kind_of(p) == kind]
        axes.scatter(
            [p["frame"] for p in points],
            [p["similarity"] for p in points],
            s=size,
            c=[_colour(p["object_id"]) for p in points],
            marker=mark,
            linewidths=1.0,
        )
    doubtful = [p for p in trace["starting_points"] if p["doubtful"]]
    axes.scatter(
        [p["frame"] for p in doubtful],
        [p["similarity"] for p in doubtful],
        s=110,
        c="none",
        edgecolors="black",
        linewidths=0.8,
        label="identity in doubt",
    )
    axes.axhline(trace["rho"], color=_REFUSED, linewidth=0.8, linestyle="--", label="ρ")
    axes.set_ylabel("similarity")
    axes.legend(loc="lower left", ncols=2, frameon=False, fontsize="small")


def _draw_templates(axes: Axes, trace: Trace) -> None:
    rounds: Sequence[Mapping[str, Any]] = trace["rounds"]
    numbers = [entry["round"] for entry in rounds]
    for object_id in trace["object_ids"]:
        counts = [entry["templates"][str(object_id)] for entry in rounds]
        axes.plot(numbers, counts, "o-", color=_colour(object_id), markersize=4, label=f"object {object_id}")
    axes.set_xticks(
        numbers, [f"round {entry['round']}\n{entry['masks_share']:.0%} of masks" for entry in rounds]
    )
    axes.set_xlim(-0.5, max(numbers, default=0) + 0.5)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("templates")
    axes.spines[["top", "right"]].set_visible(False)


def _colour(object_id: int) -> tuple[float, float, float]:
    """As in the overlay video and the mask files."""
    red, green, blue = (float(part) / 255 for part in voc_palette()[object_id])
    return red, green, blue
