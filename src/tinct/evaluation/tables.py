"""Scores as tables: on the console, in Markdown for papers, and as the CSV files of the official toolkit.

Console and CSV show fractions from 0 to 1, Markdown shows them × 100, as papers do. What is
undefined is a dash (an empty cell in CSV).
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tinct.data.lists import first_names
from tinct.errors import OptionError, OutputError
from tinct.evaluation.results import LEFT_OUT, Scores, Statistics, j_and_f
from tinct.io.atomic import atomic_write, path_below
from tinct.metrics import DEFAULT_BOUND_TH

if TYPE_CHECKING:
    from rich.table import Table

DASH = "–"
"""Stands for a value that is undefined."""

GLOBAL_HEADER = ("J&F-Mean", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay")
"""The columns of `global_results-<set>.csv` in davis2017-evaluation."""

PER_SEQUENCE_HEADER = ("Sequence", "J-Mean", "F-Mean")
"""The columns of `per-sequence_results-<set>.csv` in davis2017-evaluation."""

Row = tuple[str, Mapping[str, Statistics]]
"""A row's name, and its statistics per measure."""


@dataclass(frozen=True)
class Column:
    """One figure of every row.

    Attributes:
        measure: "J", "F", "T" or "J&F".
        statistic: "mean", "recall" or "decay".
    """

    measure: str
    statistic: str

    @property
    def subtitle(self) -> str:
        """The line below the measure in a heading; J&F is a mean by itself."""
        return "" if self.measure == "J&F" else self.statistic

    def value(self, statistics: Mapping[str, Statistics]) -> float:
        """The figure of a row; NaN where it was not computed."""
        if self.measure == "J&F":
            return j_and_f(statistics)
        if self.measure not in statistics:
            return math.nan
        return float(getattr(statistics[self.measure], self.statistic))


def console_table(scores: Scores) -> Table:
    """The scores as a `rich` table, fractions from 0 to 1.

    First the mean over the whole set, then that of each group (seen and unseen categories) if the
    protocol has groups, then a row per sequence, or per object (`<sequence>_<id>`) where objects
    are scored by themselves. It fits 80 columns where names do.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    columns = columns_for(scores.measures)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("", overflow="fold")
    for column in columns:
        table.add_column(f"{column.measure}\n{column.subtitle}", justify="right", no_wrap=True)

    def add(rows: Iterable[Row], style: str = "") -> None:
        for name, statistics in rows:
            cells = [fraction(column.value(statistics)) for column in columns]
            table.add_row(Text(name), *cells, style=style)

    add(_overall_rows(scores), "bold")
    table.add_section()
    add(_single_rows(scores))
    return table


def markdown_table(scores: Scores, *, name: str | None = None, per_sequence: bool = False) -> str:
    """The scores as a GitHub Markdown table for papers: × 100, one decimal.

    Args:
        scores: What to show.
        name: The first row's name; the method that `scores.run` names by default, if it does.
        per_sequence: Add a row per sequence, or per object where objects are scored by themselves.

    Returns:
        The table, and a line below it that says the unit, the protocol and what it skips.
    """
    columns = columns_for(scores.measures)
    overall = list(_overall_rows(scores))
    if given := name or method_of(scores):
        overall[0] = (given, overall[0][1])
    rows = overall + (list(_single_rows(scores)) if per_sequence else [])
    lines = markdown_lines(
        ["", *(f"{c.measure} {c.subtitle}".strip() for c in columns)],
        [[label, *(percent(c.value(of)) for c in columns)] for label, of in rows],
    )
    lower = " T: lower is better." if "T" in scores.measures else ""
    return "\n".join([*lines, "", f"Values × 100. {_protocol_line(scores)}{lower}"]) + "\n"


def rule_lines(scores: Scores) -> list[str]:
    """What stands beside the figures: what was skipped, how it was averaged, and what was missing.

    One sentence per line; each thing that makes the figures differ from the benchmark's own is
    said, above all sequences and frames without prediction.
    """
    objects = sum(len(sequence.objects) for sequence in scores.sequences)
    counted = "" if scores.merged else f" ({_count(objects, 'object')})"
    lines = [
        _protocol_line(scores),
        f"Scored: {_count(scores.frames_scored, 'frame')} of "
        f"{_count(len(scores.sequences), 'sequence')}{counted}.",
    ]
    if "T" in scores.measures:
        rows = [of for _, of in _single_rows(scores)]
        defined = sum("T" in of and not math.isnan(of["T"].mean) for of in rows)
        lines.append(
            f"T (lower is better) is averaged over {defined} of {len(rows)} "
            f"{'sequences' if scores.merged else 'objects'}: those for which it is defined."
        )
    return lines + _setting_lines(scores) + left_out_lines(scores)


def write_csv(scores: Scores, folder: Path, set_name: str = "all") -> tuple[Path, Path]:
    """Write the two CSV files of davis2017-evaluation: names, columns and rounding are its own.

    `global_results-<set>.csv` has one row. `per-sequence_results-<set>.csv` has a row per object,
    named `<sequence>_<id>`; where the protocol merges all objects, a row per sequence under the
    sequence's name (the toolkit has no such protocol). Fractions with three decimals; what is
    undefined is empty.

    Args:
        scores: With J and F.
        folder: Where to write; it is made if it does not exist.
        set_name: The split, such as "val"; "all" where there is none.

    Returns:
        The paths of both files.

    Raises:
        OptionError: J or F was not computed.
        OutputError: A file cannot be written.
    """
    lacking = [measure for measure in ("J", "F") if measure not in scores.measures]
    if lacking:
        raise OptionError(
            f"The official CSV files have columns for J and F, but {' and '.join(lacking)} was not computed. "
            "Score with both (--metrics J,F), or write JSON, which takes any measure."
        )
    of = scores.statistics
    overall = [scores.j_and_f]
    overall += [getattr(of[m], statistic) for m in ("J", "F") for statistic in ("mean", "recall", "decay")]
    single = [
        (name, _decimals(rows["J"].mean), _decimals(rows["F"].mean)) for name, rows in _single_rows(scores)
    ]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}; give another folder.") from error
    paths = _csv_paths(folder, set_name)
    _write_rows(paths[0], [GLOBAL_HEADER, [_decimals(value) for value in overall]])
    _write_rows(paths[1], [PER_SEQUENCE_HEADER, *single])
    return paths


def columns_for(measures: Sequence[str]) -> tuple[Column, ...]:
    """Of each measure what is defined, then J&F if both are there."""
    columns = []
    for measure in measures:
        statistics = ("mean",) if measure == "T" else ("mean", "recall", "decay")
        columns += [Column(measure, statistic) for statistic in statistics]
    if {"J", "F"} <= set(measures):
        columns.append(Column("J&F", "mean"))
    return tuple(columns)


def percent(value: float) -> str:
    """A fraction in percent with one decimal, as papers print it; a dash where it is undefined."""
    return DASH if math.isnan(value) else f"{100 * value:.1f}"


def method_of(scores: Scores) -> str:
    """The method and variant that ran, if that is known; else nothing."""
    return " ".join(str(scores.run[key]) for key in ("method", "variant") if scores.run.get(key))


def markdown_lines(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table, with names on the left and figures flush right."""
    table = [header, ["---", *("---:" for _ in header[1:])], *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in table]


def _overall_rows(scores: Scores) -> Iterator[Row]:
    objects = sum(len(sequence.objects) for sequence in scores.sequences)
    names = {
        "sequences": f"mean of {_count(len(scores.sequences), 'sequence')}",
        "objects": f"mean of {_count(objects, 'object')}",
        "groups": f"mean of {' and '.join(scores.groups) or _count(objects, 'object')}",
    }
    yield names[scores.average_over], scores.statistics
    yield from scores.groups.items()


def _single_rows(scores: Scores) -> Iterator[Row]:
    """Per sequence if objects are merged, else per object, named as the official toolkit names them."""
    for sequence in scores.sequences:
        if scores.merged:
            yield sequence.name, sequence.statistics
        else:
            for of in sequence.objects:
                yield f"{sequence.name}_{of.object_id}", of.statistics


def _protocol_line(scores: Scores) -> str:
    return f"Protocol {scores.protocol}: {scores.rule}."


def _setting_lines(scores: Scores) -> list[str]:
    settings = {
        name: value
        for name, value in scores.settings.items()
        if value not in (None, False, [], ()) and name not in LEFT_OUT
    }
    lines = []
    settings.pop("t_steps", None)  # the rule says it
    lines += settings.pop("shifts", [])
    if compat := settings.pop("compat", None):
        lines.append(f"Computed as {compat} does it, with the known faults of that toolkit.")
    if settings.get("bound_th") == DEFAULT_BOUND_TH or "F" not in scores.measures:
        settings.pop("bound_th", None)
    if "bound_th" in settings:
        lines.append(
            f"F with bound_th = {settings.pop('bound_th')}; every benchmark uses {DEFAULT_BOUND_TH}."
        )
    if settings:
        lines.append("Settings: " + ", ".join(f"{name} = {value}" for name, value in settings.items()) + ".")
    return lines


def left_out_lines(scores: Scores) -> list[str]:
    """What is in no mean, in words; nothing for a whole result."""
    lines = []
    for key, words in LEFT_OUT.items():
        if names := scores.settings.get(key):
            noun = "frame" if key.endswith("frames") else "sequence"
            lines.append(f"{words}, and in no mean: {_count(len(names), noun)} ({first_names(names, 10)}).")
    for sequence in scores.sequences:
        if frames := sequence.missing_frames:
            lines.append(
                f"{sequence.name}: without prediction, and in no mean: {_count(len(frames), 'frame')} "
                f"({first_names(frames, 10)})."
            )
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def fraction(value: float) -> str:
    """A fraction with three decimals; a dash where it is undefined."""
    return DASH if math.isnan(value) else f"{value:.3f}"


def _decimals(value: float) -> str:
    """As in the official files: three decimals, and nothing for NaN."""
    return "" if math.isnan(value) else f"{value:.3f}"


def _csv_paths(folder: Path, set_name: str) -> tuple[Path, Path]:
    kinds = ("global_results", "per-sequence_results")
    of_all, of_each = (path_below(folder, f"{kind}-{set_name}", ".csv") for kind in kinds)
    return of_all, of_each


def _write_rows(path: Path, rows: Iterable[Sequence[str]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    with atomic_write(path) as part:
        part.write_bytes(text.getvalue().encode(errors="backslashreplace"))
