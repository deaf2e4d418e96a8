"""Plots as PNG files, for papers and slides."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tinct.data.attributes import read_attributes
from tinct.errors import MissingExtraError, OutputError
from tinct.evaluation.report.by_attribute import AttributeScore, attribute_scores
from tinct.evaluation.report.timeline import Timeline, timelines
from tinct.evaluation.results import Scores
from tinct.io.atomic import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTS_PER_INCH = 150

_MAX_NAME_LENGTH = 28  # Longer names leave no room for the bars.

# Okabe and Ito's colours (2008), for the colour-blind, also in print.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def write_plots(scores: Scores, folder: Path, *, attributes: Path | None = None) -> tuple[Path, ...]:
    """Draw the scores as PNG files in a folder, which is created if missing.

    - `overview.png`: J and F of every sequence as bars, the lowest first;
    - `attributes.png`: the score by attribute, if `attributes` is given;
    - `over_time_<sequence>.png`: J (full) and F (dashed) frame by frame, a colour per object, for
      every sequence with per-frame values.

    Args:
        scores: The scores of a whole set.
        folder: The folder of the files; files of the same names are replaced.
        attributes: The benchmark's `db_info.yml`.

    Returns:
        The files, in the order above.

    Raises:
        OptionError: matplotlib is not installed.
        DatasetError: The attributes cannot be read.
        OutputError: A file cannot be written.
    """
    rows: tuple[AttributeScore, ...] = ()
    if attributes is not None:
        rows = attribute_scores(scores, read_attributes(attributes), _main_measure(scores))
    _make_folder(folder)
    figures = [("overview", _overview(scores))]
    if rows:
        figures.append(("attributes", _by_attribute(rows, _main_measure(scores))))
    paths = [_save(figure, folder / f"{name}.png") for name, figure in figures]
    taken: set[str] = set()
    for timeline in timelines(scores):
        name = _file_name(timeline.sequence, taken)
        paths.append(_save(_over_time(timeline), folder / f"{name}.png"))
    return tuple(paths)


def _main_measure(scores: Scores) -> str:
    return "J" if "J" in scores.measures else "F"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}. Choose another folder.") from error


def _file_name(sequence: str, taken: set[str]) -> str:
    """A file name that is safe on every system and not in `taken`, to which it is added."""
    # Some systems ignore case.
    base = name = f"over_time_{re.sub(r'[^A-Za-z0-9._-]', '_', sequence)[:100]}"
    number = 2
    while name.lower() in taken:
        name, number = f"{base}_{number}", number + 1
    taken.add(name.lower())
    return name


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of a size in inches with one plot, without the global state of pyplot."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(
            "Plots need matplotlib, which is not installed: pip install 'tinct[plots]'."
        ) from error
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Figure, path: Path) -> Path:
    with atomic_write(path) as part, warnings.catch_warnings():
        # Letters that the font lacks are shown as boxes instead of failing.
        warnings.filterwarnings("ignore", message="Glyph")
        # Without the library's version in it, the same scores give the same bytes.
        figure.savefig(part, format="png", metadata={"Software": None})
    return path


def _text(name: str) -> str:
    """A name for a plot: shortened, and without unprintable characters."""
    text = "".join(c if c.isprintable() else "?" for c in name)
    return text if len(text) <= _MAX_NAME_LENGTH else f"{text[: _MAX_NAME_LENGTH - 1]}…"


def _overview(scores: Scores) -> Figure:
    """Bars of J and F per sequence, the lowest first, with the means of the whole as lines."""
    measures = [name for name in "JF" if name in scores.measures]
    main = _main_measure(scores)
    tables = [sequence.statistics for sequence in scores.sequences]
    means = {
        name: np.asarray([100 * t[name].mean if name in t else np.nan for t in tables], np.float64)
        for name in measures
    }
    order = np.argsort(means[main], kind="stable") if means else np.arange(len(tables))
    names = [_text(scores.sequences[index].name) for index in order]
    tall = 0.07 * max((len(name) for name in names), default=0)
    figure, axes = _figure(max(4.0, 1.5 + 0.34 * len(tables)), 2.8 + tall)
    width = 0.8 / max(1, len(measures))
    for place, name in enumerate(measures):
        x = np.arange(len(tables)) + (place - (len(measures) - 1) / 2) * width
        whole = 100 * scores.statistics[name].mean
        axes.bar(x, means[name][order], width, color=_COLOURS[place], label=f"{name} (mean {whole:.1f})")
        axes.axhline(whole, color=_COLOURS[place], linewidth=0.8, linestyle="--")
    axes.set_xticks(np.arange(len(tables)), names, rotation=60, ha="right", rotation_mode="anchor")
    _plain_text(axes.get_xticklabels())
    _percent_axis(axes, vertical=True)
    if measures:
        figure.legend(loc="outside upper left", ncols=2, frameon=False)
    return figure


def _by_attribute(rows: Sequence[AttributeScore], measure: str) -> Figure:
    """A bar per attribute, the hardest on top, and a mark at the mean of the sequences without it."""
    figure, axes = _figure(5.6, 1.2 + 0.28 * len(rows))
    y = np.arange(len(rows))
    having = np.asarray([100 * row.mean for row in rows], np.float64)
    lacking = having + np.asarray([100 * row.gain_without for row in rows], np.float64)
    axes.barh(y, having, 0.7, color=_COLOURS[0], label=f"{measure} with the attribute")
    axes.plot(lacking, y, "D", color=_COLOURS[1], markersize=5, label="without it", clip_on=False)
    axes.set_yticks(y, [f"{row.name} ({row.sequences})" for row in rows])
    _plain_text(axes.get_yticklabels())
    axes.invert_yaxis()
    _percent_axis(axes, vertical=False)
    figure.legend(loc="outside upper left", ncols=2, frameon=False)
    return figure


def _over_time(timeline: Timeline) -> Figure:
    """J as full and F as dashed lines, frame by frame."""
    figure, axes = _figure(6.0, 2.6)
    x = np.arange(len(timeline.frame_names))
    for place, (object_id, values) in enumerate(timeline.objects.items()):
        colour = _COLOURS[place % len(_COLOURS)]
        whose = f" of object {object_id}" if len(timeline.objects) > 1 else ""
        for name, style in (("J", "-"), ("F", "--")):
            if name in values:
                width = 1.6 if name == "J" else 0.9
                axes.plot(x, 100 * values[name], style, color=colour, linewidth=width, label=f"{name}{whose}")
    axes.set_title(_text(timeline.sequence), loc="left", fontsize="medium", parse_math=False)
    ticks = np.unique(np.linspace(0, len(x) - 1, min(6, len(x))).round().astype(np.int64))
    axes.set_xticks(ticks, [_text(timeline.frame_names[index]) for index in ticks])
    _plain_text(axes.get_xticklabels())
    axes.set_xlabel("frame")
    _percent_axis(axes, vertical=True)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize="small")
    return figure


def _plain_text(labels: Sequence[object]) -> None:
    """Show dollar signs literally instead of parsing formulas."""
    for label in labels:
        label.set_parse_math(False)  # type: ignore[attr-defined]


def _percent_axis(axes: Axes, *, vertical: bool) -> None:
    if vertical:
        axes.set_ylim(0, 102)
        axes.set_ylabel("%")
    else:
        axes.set_xlim(0, 100)
        axes.set_xlabel("%")
    axes.grid(axis="y" if vertical else "x", linewidth=0.4, color="#cccccc")
    axes.set_axisbelow(True)
