"""The table of a result beside published ones, and the table of its sequences, as rows of text.

Figures are percent with one decimal, as in papers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tinct.evaluation.published import PublishedResult, published_results, published_splits
from tinct.evaluation.results import MEASURES, ObjectScores, Scores, SequenceScores, Statistics
from tinct.evaluation.tables import Column, columns_for, percent


@dataclass(frozen=True)
class Cell:
    """One figure of a table.

    Attributes:
        value: A fraction; NaN for an empty cell.
        doubtful: Whether it could not be confirmed.
    """

    value: float
    doubtful: bool = False

    @property
    def text(self) -> str:
        """The text on the page."""
        return percent(self.value) + ("?" if self.doubtful else "")


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        name: A method, a sequence or an object.
        cells: In the order of the columns.
        seconds: Seconds per frame; "" if unknown.
        source: The number of its source; 0 for our result.
        split: The split that was scored.
        note: A remark.
    """

    name: str
    cells: tuple[Cell, ...]
    seconds: str = ""
    source: int = 0
    split: str = ""
    note: str = ""


@dataclass(frozen=True)
class ResultTable:
    """Our result and the published ones.

    Attributes:
        columns: The columns in which any row has a figure.
        ours: The whole result, then groups such as seen and unseen.
        papers: The published results.
        sources: The publications, numbered from 1.
        remark: How the two compare; may be empty.
    """

    columns: tuple[Column, ...]
    ours: tuple[Row, ...]
    papers: tuple[Row, ...]
    sources: tuple[str, ...]
    remark: str

    @property
    def measures(self) -> tuple[tuple[str, int], ...]:
        """(measure, number of its columns), for the upper line of the heading."""
        names = [column.measure for column in self.columns]
        return tuple((name, names.count(name)) for name in dict.fromkeys(names))

    @property
    def has_seconds(self) -> bool:
        """Whether any row has seconds per frame."""
        return any(row.seconds for row in (*self.ours, *self.papers))


@dataclass(frozen=True)
class SequenceRows:
    """The row of a sequence, the rows of its objects if there are several, and its metadata."""

    row: Row
    objects: tuple[Row, ...]
    object_count: int
    frames: int
    attributes: tuple[str, ...]


def result_table(scores: Scores, name: str, split: str | None) -> ResultTable:
    """The table of a whole result.

    Args:
        scores: Our scores.
        name: Their name in the table.
        split: The scored split, if it is known.
    """
    shown, remark = _split_to_show(scores.protocol, split)
    # Without the papers' ablations, which are too many; `published_results` has them.
    papers = [result for result in published_results(scores.protocol, shown) if not result.ablation]
    sources = tuple(dict.fromkeys(result.source for result in papers))
    columns = tuple(column for column in columns_for(MEASURES) if _has_figure(scores, papers, column))
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


def sequence_rows(
    scores: Scores, attributes: Mapping[str, Sequence[str]] | None = None
) -> tuple[SequenceRows, ...]:
    """A row for every sequence, in the order of the scores."""
    columns = columns_for(scores.measures)
    return tuple(_of_sequence(sequence, columns, attributes or {}) for sequence in scores.sequences)


def _has_figure(scores: Scores, papers: Sequence[PublishedResult], column: Column) -> bool:
    values = [column.value(scores.statistics), *(_of_paper(of, column).value for of in papers)]
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
    return Row(name, tuple(Cell(column.value(statistics)) for column in columns))


def _of_paper(result: PublishedResult, column: Column) -> Cell:
    figures = result.measures
    if column.measure == "J&F":
        # A J&F that is not in the paper is as doubtful as its J and F.
        origin = ["J&F"] if "J&F" in figures else ["J", "F"]
        doubtful = any(name in figures and figures[name].doubtful for name in origin)
        return _cell(result.j_and_f, doubtful)
    doubtful = column.measure in figures and figures[column.measure].doubtful
    return _cell(column.value(result.statistics), doubtful)


def _cell(value: float, doubtful: bool) -> Cell:
    """A cell; an empty one is not doubtful."""
    return Cell(value, doubtful and not math.isnan(value))


def _split_to_show(dataset: str, split: str | None) -> tuple[str | None, str]:
    """The split whose published results are shown, and a remark if ours is on another one."""
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
