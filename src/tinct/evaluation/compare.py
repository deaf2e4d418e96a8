"""Two scores of the same protocol compared: the difference, how sure it is, and what moved.

The difference is B less A over the sequences that both have. Its interval comes from a paired
bootstrap over sequences: as many sequences as there are, drawn with replacement, 10 000 times, and
the difference of each draw; the interval holds the middle 95 % of them. Source: Efron and Tibshirani,
"An Introduction to the Bootstrap" (1993), chapter 13, the percentile interval.

Paired, because both score the same sequences: what makes a sequence hard for both drops out. Over
sequences and not over frames or objects, because the frames and objects of one video resemble each
other: where the protocol averages over objects, the objects of a drawn sequence come with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tinct.data.lists import first_names
from tinct.errors import OptionError, near_match
from tinct.evaluation.results import BETWEEN_SCORED, Scores, SequenceScores, Statistics, j_and_f
from tinct.evaluation.tables import markdown_lines
from tinct.shapes import Float64

if TYPE_CHECKING:
    from rich.console import Group

COMPARED = {"JF": "J&F", "J": "J", "F": "F", "T": "T"}
"""What can be compared, and how it is printed."""

CONFIDENCE = 0.95
"""The share of the draws that the interval holds."""

FEWEST_SEQUENCES, FEWEST_SAMPLES = 5, 100
"""With fewer, an interval says little."""

DRAWS_AT_ONCE = 500
"""Bounds the memory: this many draws of 500 sequences take 2 MB."""


@dataclass(frozen=True)
class SequenceChange:
    """A sequence's value in A and in B: the mean over the objects that both have."""

    name: str
    a: float
    b: float

    @property
    def difference(self) -> float:
        """B less A."""
        return self.b - self.a


@dataclass(frozen=True)
class Comparison:
    """The difference between two scores, over the sequences that both have.

    Attributes:
        protocol: That of both.
        measure: "JF", "J", "F" or "T"; of T lower is better.
        names: What to call A and B.
        means: The protocol's mean of A and of B, over the common sequences alone.
        difference: B less A.
        interval: Its 95 % interval, from the lower to the upper end.
        changes: The sequences, from the largest rise to the largest fall.
        only_a: Sequences that only A has.
        only_b: Sequences that only B has.
        undefined: Common sequences in which A, B or both have no value.
        notes: What else a reader must know: few sequences, other settings, other frames.
        samples: How many draws the interval rests on.
        seed: What the draws started from.
    """

    protocol: str
    measure: str
    names: tuple[str, str]
    means: tuple[float, float]
    difference: float
    interval: tuple[float, float]
    changes: tuple[SequenceChange, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    undefined: tuple[str, ...]
    notes: tuple[str, ...]
    samples: int
    seed: int

    @property
    def lower_is_better(self) -> bool:
        """True for T alone."""
        return self.measure == "T"

    def gains(self) -> tuple[SequenceChange, ...]:
        """Sequences in which B is better, the largest gain first."""
        return self._moved(1)

    def losses(self) -> tuple[SequenceChange, ...]:
        """Sequences in which B is worse, the largest loss first."""
        return self._moved(-1)

    @property
    def against(self) -> tuple[SequenceChange, ...]:
        """Sequences that moved the other way than the whole, the largest move first."""
        if self.difference == 0:
            return ()
        return self.losses() if self._improvement(self.difference) > 0 else self.gains()

    @property
    def verdict(self) -> str:
        """What the interval says, in a sentence."""
        a, b = self.names
        if not any(change.difference for change in self.changes):
            return f"{a} and {b} have the same values."
        if self.interval[0] <= 0 <= self.interval[1]:
            return f"No clear difference between {a} and {b}: the interval holds 0."
        word = "better" if self._improvement(self.difference) > 0 else "worse"
        return f"{b} is {word} than {a}: the interval does not hold 0."

    def _moved(self, sign: int) -> tuple[SequenceChange, ...]:
        moved = [c for c in self.changes if sign * self._improvement(c.difference) > 0]
        return tuple(sorted(moved, key=lambda c: (-abs(c.difference), c.name)))

    def _improvement(self, difference: float) -> float:
        return -difference if self.lower_is_better else difference


def compare(
    a: Scores,
    b: Scores,
    *,
    measure: str = "JF",
    samples: int = 10_000,
    seed: int = 0,
    names: tuple[str, str] = ("A", "B"),
) -> Comparison:
    """Compare two scores by a paired bootstrap over their common sequences.

    Objects that only one of both has, and values that are undefined in either, are left out of both.

    Args:
        a: What to compare with.
        b: What is compared; a positive difference means that its value is higher.
        measure: "JF" (their mean), "J", "F" or "T".
        samples: How many draws; 10 000 fix the ends of the interval to about 1 % of its width.
        seed: The same seed gives the same interval.
        names: What to call both.

    Raises:
        OptionError: Different protocols, no common sequence, a measure that one of both lacks, or
            too few samples.
    """
    _check_comparable(a, b, measure, samples, names)
    sums = _Sums(list(_units(a, b, measure)))
    names_a, names_b = _names(a), _names(b)
    undefined = sorted((names_a & names_b) - set(sums.sequences))
    if not sums.sequences:
        raise OptionError(
            f"{COMPARED[measure]} has no value in any sequence that {names[0]} and {names[1]} share "
            f"({first_names(undefined)}); compare another measure."
        )
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(_draws(sums, samples, seed), [tail, 100 - tail])
    mean_a, mean_b, difference = sums.means()
    return Comparison(
        protocol=a.protocol,
        measure=measure,
        names=names,
        means=(mean_a, mean_b),
        difference=difference,
        interval=(float(low), float(high)),
        changes=sums.changes(),
        only_a=tuple(sorted(names_a - names_b)),
        only_b=tuple(sorted(names_b - names_a)),
        undefined=tuple(undefined),
        notes=tuple(_notes(a, b, measure, len(sums.sequences))),
        samples=samples,
        seed=seed,
    )


def comparison_lines(comparison: Comparison) -> list[str]:
    """What a reader must know beside the table, one sentence per line."""
    low, high = comparison.interval
    lower = " (of T, lower is better)" if comparison.lower_is_better else ""
    lines = [
        comparison.verdict,
        f"95 % interval of the difference: {low:+.4f} to {high:+.4f} (paired bootstrap over "
        f"{len(comparison.changes)} sequences, {comparison.samples} draws, seed {comparison.seed}).",
        f"Protocol {comparison.protocol}; better in {comparison.names[1]}: {len(comparison.gains())}, worse: "
        f"{len(comparison.losses())} of {len(comparison.changes)} sequences{lower}.",
    ]
    if comparison.against:
        lines.append(f"Moved against the whole: {first_names([c.name for c in comparison.against], 10)}.")
    for name, only in zip(comparison.names, (comparison.only_a, comparison.only_b), strict=True):
        if only:
            lines.append(f"Only in {name}, and not compared: {first_names(only, 10)}.")
    if comparison.undefined:
        lines.append(f"Not compared, because a value is undefined: {first_names(comparison.undefined)}.")
    return [*lines, *comparison.notes]


def comparison_table(comparison: Comparison, *, most: int = 5) -> Group:
    """The comparison for the console: the means, the `most` largest gains and losses, and the words."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    heading, *rows = _rows(comparison, most, "{:.3f}", "{:+.3f}", 1.0)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for index, title in enumerate(heading):
        table.add_column(Text(title), justify="right" if index else "left")
    for row in rows:
        table.add_row(*map(Text, row), style="" if row[1] else "italic")
    return Group(table, *(Text(line) for line in comparison_lines(comparison)))


def comparison_markdown(comparison: Comparison, *, most: int = 5) -> str:
    """The comparison as a GitHub Markdown table (× 100, one decimal), with the words below it."""
    heading, *rows = _rows(comparison, most, "{:.1f}", "{:+.1f}", 100.0)
    words = [f"- {line}" for line in comparison_lines(comparison)]
    table = markdown_lines(heading, rows)
    return "\n".join([*table, "", "Table × 100; below, fractions from 0 to 1.", "", *words]) + "\n"


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison for `json.dumps`: its attributes, with `sequences` for `changes`, and the verdict."""
    return {
        **{name: value for name, value in vars(comparison).items() if name != "changes"},
        "measure": COMPARED[comparison.measure],
        "lower_is_better": comparison.lower_is_better,
        "confidence": CONFIDENCE,
        "verdict": comparison.verdict,
        "sequences": {c.name: {"a": c.a, "b": c.b, "difference": c.difference} for c in comparison.changes},
        "moved_against": tuple(c.name for c in comparison.against),
    }


@dataclass(frozen=True)
class _Unit:
    """What the protocol averages over, a sequence or an object: its value in A and in B."""

    sequence: str
    group: str | None
    a: float
    b: float


def _units(a: Scores, b: Scores, measure: str) -> Iterator[_Unit]:
    """The units that have a value in both."""
    whole, grouped = a.average_over == "sequences", bool(a.groups)
    others = {sequence.name: _statistics_of(sequence, whole) for sequence in b.sequences}
    for sequence in a.sequences:
        theirs = others.get(sequence.name, {})
        for number, (group, statistics) in _statistics_of(sequence, whole).items():
            if number not in theirs or (grouped and group is None):
                continue
            values = _value(statistics, measure), _value(theirs[number][1], measure)
            if not any(map(math.isnan, values)):
                yield _Unit(sequence.name, group if grouped else None, *values)


def _statistics_of(
    sequence: SequenceScores, whole: bool
) -> dict[int, tuple[str | None, Mapping[str, Statistics]]]:
    """Per object its group and statistics; the sequence as a whole counts as object 1."""
    if whole:
        return {1: (None, sequence.statistics)}
    return {of.object_id: (of.group, of.statistics) for of in sequence.objects}


class _Sums:
    """The units summed up per sequence and group.

    Attributes:
        sequences: The names of the rows.
        values: The sums of A, of B, and of B less A; float64 [3, S, G].
        counts: How many units each sum has; float64 [S, G].
    """

    def __init__(self, units: Sequence[_Unit]) -> None:
        self.sequences = list(dict.fromkeys(unit.sequence for unit in units))
        groups = list(dict.fromkeys(unit.group for unit in units))
        rows = {name: row for row, name in enumerate(self.sequences)}
        self.values = np.zeros((3, len(rows), len(groups)))
        self.counts = np.zeros((len(rows), len(groups)))
        for unit in units:
            place = rows[unit.sequence], groups.index(unit.group)
            self.values[:, *place] += unit.a, unit.b, unit.b - unit.a
            self.counts[place] += 1

    def changes(self) -> tuple[SequenceChange, ...]:
        """Per sequence the plain means, from the largest rise to the largest fall."""
        a, b, _ = (self.values.sum(axis=2) / self.counts.sum(axis=1)).tolist()
        changes = map(SequenceChange, self.sequences, a, b)
        return tuple(sorted(changes, key=lambda change: (-change.difference, change.name)))

    def means(self) -> tuple[float, ...]:
        """The protocol's mean of A, of B, and of B less A."""
        counts = np.broadcast_to(self.counts.sum(axis=0), (3, self.counts.shape[1]))
        return tuple(_protocol_means(self.values.sum(axis=1), counts).tolist())


def _value(statistics: Mapping[str, Statistics], measure: str) -> float:
    if measure == "JF":
        return j_and_f(statistics)
    return statistics[measure].mean if measure in statistics else math.nan


def _protocol_means(
    sums: Float64[np.ndarray, "rows G"], counts: Float64[np.ndarray, "rows G"]
) -> Float64[np.ndarray, "rows"]:
    """Per row, the mean over the units of each group, then over the groups that it holds."""
    means = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
    return np.asarray(means.sum(axis=1) / (counts > 0).sum(axis=1), np.float64)


def _draws(sums: _Sums, samples: int, seed: int) -> Float64[np.ndarray, "samples"]:
    """The protocol's difference in each draw of S of the S sequences, with replacement.

    How often each sequence is drawn is multinomial, so that many draws are one matrix product.
    """
    random = np.random.default_rng(seed)
    chances = np.full(len(sums.sequences), 1 / len(sums.sequences))
    draws = np.empty(samples)
    for start in range(0, samples, DRAWS_AT_ONCE):
        size = min(DRAWS_AT_ONCE, samples - start)
        times = random.multinomial(len(chances), chances, size=size).astype(np.float64)
        draws[start : start + size] = _protocol_means(times @ sums.values[2], times @ sums.counts)
    return draws


def _check_comparable(a: Scores, b: Scores, measure: str, samples: int, names: tuple[str, str]) -> None:
    if measure not in COMPARED:
        raise OptionError(f"The measure {measure!r} cannot be compared. {near_match(measure, COMPARED)}")
    if samples < FEWEST_SAMPLES:
        raise OptionError(f"{samples} samples came; at least {FEWEST_SAMPLES} are needed (10000 are usual).")
    if a.protocol != b.protocol:
        raise OptionError(
            f"{names[0]} was scored under {a.protocol} and {names[1]} under {b.protocol}, which score other "
            "frames and average otherwise; score both under one protocol."
        )
    for name, scores in zip(names, (a, b), strict=True):
        lacking = [m for m in (("J", "F") if measure == "JF" else (measure,)) if m not in scores.measures]
        if lacking:
            raise OptionError(
                f"{name} has no {' and '.join(lacking)} (it has {', '.join(scores.measures) or 'nothing'}); "
                f"score it with --metrics {','.join(lacking)}, or compare another measure."
            )
    steps = [scores.settings.get("t_steps", BETWEEN_SCORED) for scores in (a, b)]
    if measure == "T" and steps[0] != steps[1]:
        raise OptionError(
            f"T of {names[0]} is of these steps: {steps[0]}; of {names[1]}: {steps[1]}. Score both again "
            "with the same --compat, or without it (files of older versions are as of davis-2016-python)."
        )
    if not _names(a) & _names(b):
        raise OptionError(
            f"{names[0]} and {names[1]} have no sequence in common ({first_names(sorted(_names(a)))}; "
            f"{first_names(sorted(_names(b)))}); score both on the same split."
        )


def _names(scores: Scores) -> set[str]:
    return {sequence.name for sequence in scores.sequences}


def _notes(a: Scores, b: Scores, measure: str, compared: int) -> Iterator[str]:
    if compared < FEWEST_SEQUENCES:
        yield f"Only {compared} sequences are compared; below {FEWEST_SEQUENCES} the interval says little."
    for setting in ("split", "compat", *(() if measure in ("J", "T") else ("bound_th",))):
        theirs = a.settings.get(setting), b.settings.get(setting)
        if theirs[0] != theirs[1]:
            yield f"Scored with different settings: {setting} = {theirs[0]} and {theirs[1]}."
    others = {sequence.name: sequence for sequence in b.sequences}
    common = [(sequence, others[sequence.name]) for sequence in a.sequences if sequence.name in others]
    unpaired = [
        f"{of.name}_{number}"
        for of, other in common
        for number in sorted({o.object_id for o in of.objects} ^ {o.object_id for o in other.objects})
    ]
    if unpaired:
        yield f"Objects that only one of both has, and that are not compared: {first_names(unpaired)}."
    if uneven := [of.name for of, other in common if of.frames_scored != other.frames_scored]:
        yield f"Not the same number of frames was scored in {first_names(uneven)}."


def _rows(comparison: Comparison, most: int, value: str, signed: str, factor: float) -> list[list[str]]:
    """The cells of a table: heading, means, and the sequences that moved, under a title of one cell."""
    rows = [[COMPARED[comparison.measure], *comparison.names, "difference"]]

    def add(name: str, a: float, b: float) -> None:
        cells = [value.format(factor * a), value.format(factor * b), signed.format(factor * (b - a))]
        rows.append([name, *cells])

    add(f"mean of {len(comparison.changes)} sequences", *comparison.means)
    for word, changes in (("better", comparison.gains()), ("worse", comparison.losses())):
        if changes:
            shown = f"{min(most, len(changes))} of {len(changes)}"
            rows.append([f"{word} in {comparison.names[1]} ({shown})", "", "", ""])
        for change in changes[:most]:
            add(change.name, change.a, change.b)
    return rows
