"""A paper's ablation, run: each row of its table with what the row takes away, ours beside the paper's.

    out/<row>/          an evaluation each, as `tinct.evaluation.evaluate` writes it
    out/ablation.json   the table with all its figures
    out/ablation.md     the table to read

The same call again goes on where it stopped: rows and sequences that are complete stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tinct import zoo
from tinct.data.occlusion.files import read_visibility, visibility_file
from tinct.errors import OptionError, TinctError, WeightsError, near_match
from tinct.evaluation.ablation_row import AblationRow, AblationTable
from tinct.evaluation.ablation_rows import ablation_of
from tinct.evaluation.dataset_split import DatasetSplit
from tinct.evaluation.evaluate import evaluate
from tinct.evaluation.occlusion import phase_scores
from tinct.evaluation.published import PublishedResult, published_results
from tinct.evaluation.results import Scores
from tinct.evaluation.retrieval import RoundShares, read_traces, shares_of_rounds
from tinct.inference.callbacks import ProgressCallback
from tinct.runs.segmenter_config import SegmenterConfig

AFTER = "G after"
"""On occlusion clips: the mean of J and F on the frames after a reappearance."""


@dataclass(frozen=True)
class Setup:
    """On what a table is run, and with what.

    Attributes:
        data: The sequences.
        config: The segmenter that the rows change; its `weights` serve the rows that need no others.
        row_weights: Row → weights that were trained as the row says.
        metrics: Of "J", "F", "T".
        threads: As for `evaluate`.
        workers: As for `evaluate`.
    """

    data: DatasetSplit
    config: SegmenterConfig
    row_weights: Mapping[str, Path] = field(default_factory=dict)
    metrics: tuple[str, ...] = ("J", "F")
    threads: int | None = None
    workers: int = 1


@dataclass(frozen=True)
class RowResult:
    """A row with our figures.

    Attributes:
        row: What it is.
        ours: Measure → mean; empty where the row could not be run.
        reason: Why it could not be run.
        paper: What the paper printed of this row.
        rounds: How many masks each round of a whole-video loop retrieved; empty for other methods.
    """

    row: AblationRow
    ours: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    paper: PublishedResult | None = None
    rounds: tuple[RoundShares, ...] = ()

    def paper_figure(self, measure: str) -> float:
        """The paper's mean of a table's measure ("J" or "G"); NaN where there is none."""
        if self.paper is None:
            return math.nan
        if measure == "G":
            return self.paper.j_and_f
        return self.paper.measures[measure].mean if measure in self.paper.measures else math.nan


@dataclass(frozen=True)
class Change:
    """How a row differs from the one that it is compared with.

    Attributes:
        against: That row's name.
        ours: Difference of what the table compares by; NaN where one of the two was not run.
        paper: The paper's; NaN where it gives no figures.
        direction: The sign of the paper's difference, from its figures or its words; 0 if unknown.
    """

    against: str
    ours: float
    paper: float
    direction: int

    @property
    def verdict(self) -> str:
        """Either "same", "opposite" or "none" (no difference at all); "" where nothing can be said."""
        if math.isnan(self.ours) or not self.direction:
            return ""
        if self.ours == 0:
            return "none"
        return "same" if (self.ours > 0) == (self.direction > 0) else "opposite"


@dataclass(frozen=True)
class Ablation:
    """A table that was run.

    Attributes:
        table: The paper's.
        setup: On what.
        results: One for each chosen row.
    """

    table: AblationTable
    setup: Setup
    results: tuple[RowResult, ...]

    @property
    def measure(self) -> str:
        """By which of our figures rows are compared: that of the table, on occlusion clips "G after"."""
        return AFTER if any(AFTER in result.ours for result in self.results) else self.table.measure

    @property
    def measures(self) -> tuple[str, ...]:
        """All of our figures, that one first."""
        first = (self.measure,) + (("G",) if self.table.measure == "G" else ())
        return tuple(dict.fromkeys([*first, *self.setup.metrics]))

    def change(self, result: RowResult) -> Change | None:
        """The row against the first of its `against` that was run (else the first); None for a first row."""
        if not result.row.against:
            return None
        found = {r.row.name: r for r in self.results}
        run = [name for name in result.row.against if name in found and found[name].ours]
        name = (run or result.row.against)[0]
        other = found.get(name)
        theirs = other.ours.get(self.measure, math.nan) if other else math.nan
        ours = result.ours.get(self.measure, math.nan) - theirs
        row = next(row for row in self.table.rows if row.name == name)
        before = RowResult(row, paper=_published(self.table, row))
        paper = result.paper_figure(self.table.measure) - before.paper_figure(self.table.measure)
        direction = result.row.direction if math.isnan(paper) else int(paper > 0) - int(paper < 0)
        return Change(name, ours, paper, direction)


def ablate(
    setup: Setup,
    out: Path,
    *,
    rows: Sequence[str] | None = None,
    on_row: ProgressCallback | None = None,
    progress: ProgressCallback | None = None,
) -> Ablation:
    """Run the rows of a method's table; called again, it goes on.

    A row that cannot be run (weights that only a training of its own could give, an option or a
    library that is not there) stands in the table with the reason.

    Args:
        setup: On what, and with what.
        out: A folder for each row, and the table.
        rows: Only these.
        on_row: Called with a row, its place from 1, and how many there are, when it begins.
        progress: As for `evaluate`.

    Raises:
        OptionError: No table for the method, no such row, or an option that fits no row.
        WeightsError: The weights that most rows use are missing, or not what they should be.
        TinctError: Whatever `evaluate` raises.
        RunInterrupted: Ctrl-C; what is complete stays.
    """
    table = ablation_of(setup.config.method)
    chosen = table.chosen(None if rows is None else list(rows))
    for name in setup.row_weights:
        table.chosen([name])
    # Every segmenter before the first row runs: what is missing is known now, and not after hours.
    prepared = [_prepared(setup, row) for row in chosen]
    errors = [found for found in prepared if isinstance(found, TinctError)]
    if errors and not any(isinstance(found, SegmenterConfig) for found in prepared):
        raise errors[0]
    results = []
    for place, (row, found) in enumerate(zip(chosen, prepared, strict=True), start=1):
        result = RowResult(row, paper=_published(table, row))
        if not isinstance(found, SegmenterConfig):
            results.append(replace(result, reason=str(found)))
            continue
        if on_row is not None:
            on_row(row.name, place, len(chosen))
        ours, rounds = _measured(setup, table, found, out / row.name, progress)
        results.append(replace(result, ours=ours, rounds=rounds))
    return Ablation(table, setup, tuple(results))


def _prepared(setup: Setup, row: AblationRow) -> SegmenterConfig | TinctError | str:
    """The segmenter of a row, which can be built; else why not."""
    try:
        config = row_config(setup, row)
        if config is None:
            return f"needs weights of its own, {row.needs_weights} (--weights {row.name}=FILE)"
        config.for_any_video().build()
    except (OptionError, WeightsError) as error:
        return error
    return config


def row_config(setup: Setup, row: AblationRow) -> SegmenterConfig | None:
    """The segmenter of a row; None if it needs weights that are not given.

    Raises:
        OptionError: The row switches something on that the method has no option for.
    """
    if row.needs_weights and row.name not in setup.row_weights:
        return None
    base = _of_another_method(setup.config, row.method) if row.method else setup.config
    known = vars(zoo.preset_options(base.method, base.variant, base.preset))
    # What a method does not have is switched off already.
    options = {name: value for name, value in row.options.items() if name in known or value}
    for name in options:
        if name not in known:
            raise OptionError(f"{base.method} has no option {name!r}. {near_match(name, known)}")
    if row.config and row.name in setup.row_weights:
        options["config"] = replace(known["config"], **row.config)
    return replace(
        base,
        weights=setup.row_weights.get(row.name, base.weights),
        fine_tune=base.fine_tune if row.fine_tuned else "none",
        options={**base.options, **options},
    )


def _of_another_method(base: SegmenterConfig, method: str) -> SegmenterConfig:
    """The config of a row that runs another method: with its own weights, and as long a fine-tuning.

    A budget that is left to the presets would fine-tune the one method and not the other.
    """
    untuned = base.fine_tune is None and base.budget is not None and base.budget.is_none
    known = vars(zoo.preset_options(method, base.variant, base.preset))
    return replace(
        base,
        method=method,
        weights=None,
        fine_tune="none" if untuned else base.fine_tune,
        options={name: value for name, value in base.options.items() if name in known},
        proposals=None,
    )


def _measured(
    setup: Setup, table: AblationTable, config: SegmenterConfig, out: Path, progress: ProgressCallback | None
) -> tuple[dict[str, float], tuple[RoundShares, ...]]:
    """Our figures of a row, and what each round retrieved."""
    evaluation = evaluate(
        setup.data,
        config,
        out,
        metrics=setup.metrics,
        threads=setup.threads,
        workers=setup.workers,
        progress=progress,
    )
    scores = evaluation.scores
    if scores is None:
        raise OptionError(
            f"{setup.data.dataset} {setup.data.split} has no public truth; an ablation needs one."
        )
    ours = {measure: of.mean for measure, of in scores.statistics.items()}
    if table.measure == "G":
        ours |= {"G": scores.j_and_f, **_after_reappearances(setup.data, scores)}
    return ours, shares_of_rounds(read_traces(out, evaluation.sequences))


def _after_reappearances(data: DatasetSplit, scores: Scores) -> dict[str, float]:
    """On occlusion clips G after a reappearance, and the share of those frames with J above 0.5."""
    split = data.split
    if data.dataset != "davis-2017" or split is None or not visibility_file(data.root, split).is_file():
        return {}
    after = phase_scores(scores, read_visibility(data.root, split))["after"]
    return {AFTER: after.g, "found again": after.statistics["J"].recall}


def _published(table: AblationTable, row: AblationRow) -> PublishedResult | None:
    if row.published is None:
        return None
    (found,) = (
        result
        for result in published_results(table.dataset, table.split)
        if (result.method, result.variant) == (row.paper or table.paper, row.published)
    )
    return found
