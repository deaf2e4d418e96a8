"""The table of a result beside the papers' figures, and the table of its sequences, as rows of text.

Figures are percent with one decimal, as papers print them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tinct.evaluation.published import PublishedResult, published_results, published_splits
from tinct.evaluation.results import ObjectScores, Scores, SequenceScores, Statistics, j_and_f


@dataclass(frozen=True)
class Column:
    """One column of figures.

    Attributes:
        measure: "J", "F", "T" or "J&F".
        statistic: "mean", "recall" or "decay".
    """

    measure: str
    statistic: str


@dataclass(frozen=True)
class Cell:
    """One figure of a table.

    Attributes:
        value: A fraction; NaN where there is none.
        doubtful: It could not be confirmed.
    """

    value: float
    doubtful: bool = False

    @property
    def text(self) -> str:
        """As the page shows it."""
        return percent(self.value) + ("?" if self.doubtful else "")


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        name: A method, a sequence or an object.
        cells: In the order of the columns.
        seconds: Per frame; "" where unknown.
        source: The number of its source; 0 for ours.
        split: What it was measured on.
        note: What a reader should know.
    """

    name: str
    cells: tuple[Cell, ...]
    seconds: str = ""
    source: int = 0
    split: str = ""
    note: str = ""


@dataclass(frozen=True)
class ResultTable:
    """Our result and the papers'.

    Attributes:
        columns: Those in which any row has a figure.
        ours: The whole, then groups such as seen and unseen.
        papers: The published results.
        sources: The publications, in the order of their numbers from 1.
        remark: How the two compare; "" where there is nothing to say.
    """

    columns: tuple[Column, ...]
    ours: tuple[Row, ...]
    papers: tuple[Row, ...]
    sources: tuple[str, ...]
    remark: str

    @property
    def measures(self) -> tuple[tuple[str, int], ...]:
        """(measure, how many columns it has), for the upper line of the heading."""
        names = [column.measure for column in self.columns]
        return tuple((name, names.count(name)) for name in dict.fromkeys(names))

    @property
    def has_seconds(self) -> bool:
        """Whether any row says how long a frame took."""
        return any(row.seconds for row in (*self.ours, *self.papers))


@dataclass(frozen=True)
class SequenceRows:
    """A sequence's row, its objects' rows if it has several, and what else is known of it."""

    row: Row
    objects: tuple[Row, ...]
    object_count: int
    frames: int
    attributes: tuple[str, ...]


_COLUMNS = (
    *(Column(measure, statistic) for measure in "JF" for statistic in ("mean", "recall", "decay")),
    Column("T", "mean"),
    Column("J&F", "mean"),
)


def percent(value: float) -> str:
    """A fraction in percent with one decimal; a dash where there is none."""
    return "–" if math.isnan(value) else f"{100 * value:.1f}"


def result_table(scores: Scores, name: str, split: str | None) -> ResultTable:
    """The table of the whole result.

    Args:
        scores: Ours.
        name: What to call them.
        split: What they were measured on, if that is known.
    """
    shown, remark = _split_to_show(scores.protocol, split)
    # The papers' ablations would bury the results; `published_results` has them.
    papers = [result for result in published_results(scores.protocol, shown) if not result.ablation]
    sources = tuple(dict.fromkeys(result.source for result in papers))
    columns = tuple(column for column in _COLUMNS if _has_figure(scores, papers, column))
    groups = [_row(f"{name}, {group}", statistics, columns) for group, statistics in scores.groups.items()]
    ours = Row(
        name,
        _row(name, scores.statistics, columns).cells,
        _seconds(scores.run.get("seconds_per_frame")),
        split=split or "",
    )
    rows = [
        Row(
            result.title,
            tuple(_of_paper(result, column) for column in columns),
            _seconds(result.seconds_per_frame),
            sources.index(result.source) + 1,
            result.split,
            result.note,
        )
        for result in papers
    ]
    return ResultTable(columns, (ours, *groups), tuple(rows), sources, remark)


def sequence_columns(scores: Scores) -> tuple[Column, ...]:
    """The columns of the measures that were scored."""
    measures = {*scores.measures, *(["J&F"] if {"J", "F"} <= set(scores.measures) else [])}
    return tuple(column for column in _COLUMNS if column.measure in measures)


def sequence_rows(
    scores: Scores, attributes: Mapping[str, Sequence[str]] | None = None
) -> tuple[SequenceRows, ...]:
    """A row for every sequence, in the order of the scores."""
    columns = sequence_columns(scores)
    return tuple(_of_sequence(sequence, columns, attributes or {}) for sequence in scores.sequences)


def _has_figure(scores: Scores, papers: Sequence[PublishedResult], column: Column) -> bool:
    values = [_of_scores(scores.statistics, column), *(_of_paper(of, column).value for of in papers)]
    return not all(math.isnan(value) for value in values)


def _of_sequence(
    sequence: SequenceScores, columns: Sequence[Column], attributes: Mapping[str, Sequence[str]]
) -> SequenceRows:
    objects = sequence.objects if len(sequence.objects) > 1 else ()
    return SequenceRows(
        _row(sequence.name, sequence.statistics, columns),
        tuple(_row(_object_name(of), of.statistics, columns) for of in objects),
        len(sequence.objects),
        sequence.frames_scored,
        tuple(attributes.get(sequence.name, ())),
    )


def _object_name(scores: ObjectScores) -> str:
    return f"object {scores.object_id}" + (f", {scores.group}" if scores.group else "")


def _row(name: str, statistics: Mapping[str, Statistics], columns: Sequence[Column]) -> Row:
    return Row(name, tuple(Cell(_of_scores(statistics, column)) for column in columns))


def _of_scores(statistics: Mapping[str, Statistics], column: Column) -> float:
    if column.measure == "J&F":
        return j_and_f(statistics)
    if column.measure not in statistics:
        return math.nan
    of = statistics[column.measure]
    return {"mean": of.mean, "recall": of.recall, "decay": of.decay}[column.statistic]


def _of_paper(result: PublishedResult, column: Column) -> Cell:
    figures = result.measures
    if column.measure == "J&F":
        # Where the paper has none, its J&F is as doubtful as its J and F.
        origin = ["J&F"] if "J&F" in figures else ["J", "F"]
        doubtful = any(name in figures and figures[name].doubtful for name in origin)
        return _cell(result.j_and_f, doubtful)
    value = _of_scores(result.statistics, column)
    return _cell(value, column.measure in figures and figures[column.measure].doubtful)


def _cell(value: float, doubtful: bool) -> Cell:
    """Nothing is no doubtful figure."""
    return Cell(value, doubtful and not math.isnan(value))


def _split_to_show(dataset: str, split: str | None) -> tuple[str | None, str]:
    """Which split's published results to show, and what to say about ours beside them."""
    splits = published_splits(dataset)
    if not splits or split in splits:
        return split, ""
    if splits == ("all",):
        return "all", ""
    if split is None:
        return splits[0], (
            f"No split was named for our result; the papers' figures are on {splits[0]}. They compare only "
            "if ours is on the same."
        )
    return splits[0], (
        f"Our result is on {split}, the papers' figures are on {splits[0]}: the two do not compare figure by "
        "figure."
    )


def _seconds(value: object) -> str:
    if not isinstance(value, int | float) or math.isnan(value):
        return ""
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"
