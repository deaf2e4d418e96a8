"""The papers' ablations: rows and their figures, what runs with what, the sign test, resuming."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tinct import zoo
from tinct.errors import OptionError, OutputError, WeightsError
from tinct.evaluation import ablate as ablate_module
from tinct.evaluation.ablate import Ablation, RowResult, Setup, ablate, row_config
from tinct.evaluation.ablation_row import AblationRow, AblationTable
from tinct.evaluation.ablation_rows import ABLATIONS, OSVOS, ablation_of
from tinct.evaluation.ablation_tables import (
    ablation_console,
    ablation_json,
    ablation_markdown,
    write_ablation,
)
from tinct.evaluation.dataset_split import DatasetSplit
from tinct.evaluation.evaluate import Evaluation
from tinct.evaluation.published import published_results
from tinct.evaluation.results import ObjectScores, Scores, SequenceScores, Statistics
from tinct.runs.segmenter_config import SegmenterConfig

ALL_ROWS = [(table, row) for table in ABLATIONS.values() for row in table.rows]
row_ids = [f"{table.method}-{row.name}" for table, row in ALL_ROWS]

Figures = dict[str, float]


@pytest.mark.parametrize(("table", "row"), ALL_ROWS, ids=row_ids)
def test_every_row_is_sound(table: AblationTable, row: AblationRow) -> None:
    names = [other.name for other in table.rows]
    assert names.count(row.name) == 1
    assert set(row.against) <= set(names) - {row.name}
    assert not set("=/.") & set(row.name)
    if row.published is not None:
        found = [
            result
            for result in published_results(table.dataset, table.split)
            if (result.method, result.variant) == (row.paper or table.paper, row.published)
        ]
        assert len(found) == 1
        assert "J" in found[0].measures
    known = vars(zoo.preset_options(row.method or table.method, None, "default"))
    assert set(row.options) <= {*known, "crf"}
    assert set(row.config) <= set(vars(known["config"]) if row.config else ())
    assert zoo.method_record(table.method).has_ablation


OURS_ALONE = ("local-alone",)
"""Rows that no paper has."""


@pytest.mark.parametrize(("table", "row"), ALL_ROWS, ids=row_ids)
def test_every_row_but_the_first_says_which_way_the_paper_moved(
    table: AblationTable, row: AblationRow
) -> None:
    ours = {"J": 0.5, "G": 0.5}
    ablation = Ablation(table, setup_of(table.method), tuple(RowResult(r, ours) for r in table.rows))
    result = next(r for r in ablation.results if r.row == row)
    filled = replace(result, paper=ablate_module._published(table, row))
    change = ablation.change(filled)
    assert (change is None) == (row is table.rows[0])
    if change is not None and row.name not in OURS_ALONE:
        assert change.direction in (-1, 1)
        assert change.verdict == "none"


def setup_of(method: str, **changes: Any) -> Setup:
    record = zoo.method_record(method)
    preset = "paper" if "paper" in record.presets_of(record.default_variant) else "default"
    fine_tune = "5" if record.fine_tunes else None
    config = SegmenterConfig(method, device="cpu", preset=preset, fine_tune=fine_tune)
    return Setup(DatasetSplit("davis-2016", Path("DAVIS"), "dev"), config, **changes)


def scores_of(figures: Figures) -> Scores:
    statistics = {measure: Statistics(value) for measure, value in figures.items()}
    sequence = SequenceScores("cow", (ObjectScores(1, statistics),), 3)
    return Scores("davis-2016", "", True, "sequences", (sequence,))


Calls = list[tuple[str, SegmenterConfig]]


@pytest.fixture
def run_with(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Figures]], Calls]:
    """Row → figures; what `evaluate` is called with is kept."""
    calls: Calls = []

    def prepare(figures: dict[str, Figures]) -> Calls:
        def fake(data: DatasetSplit, config: SegmenterConfig, out: Path, **_: Any) -> Evaluation:
            calls.append((out.name, config))
            return Evaluation(out, out, out, ("cow",), scores_of(figures[out.name]), {})

        monkeypatch.setattr(ablate_module, "evaluate", fake)
        monkeypatch.setattr(SegmenterConfig, "build", lambda *_: None)
        return calls

    return prepare


FIGURES = {
    "full": {"J": 0.80, "F": 0.81},
    "without-boundary": {"J": 0.79, "F": 0.80},
    "without-parent": {"J": 0.81, "F": 0.70},
    "without-one-shot": {"J": 0.60, "F": 0.61},
    "without-both": {"J": 0.20, "F": 0.21},
}


def test_rows_run_with_their_options_and_weights(
    run_with: Callable[[dict[str, Figures]], Calls], tmp_path: Path
) -> None:
    calls = run_with(FIGURES)
    setup = setup_of("osvos", row_weights={"without-parent": Path("base.safetensors")})
    ablation = ablate(setup, tmp_path)
    assert [name for name, _ in calls] == ["full", "without-boundary", "without-parent", "without-one-shot"]
    configs = dict(calls)
    assert [config.fine_tune for config in configs.values()] == ["5", "5", "5", "none"]
    assert configs["full"].options == {"boundary": "guided"}
    assert configs["without-parent"].weights == Path("base.safetensors")
    assert configs["full"].weights is None
    both = ablation.results[-1]
    assert both.ours == {}
    assert "--weights without-both=FILE" in both.reason


def test_the_sign_test(run_with: Callable[[dict[str, Figures]], Calls], tmp_path: Path) -> None:
    run_with(FIGURES)
    ablation = ablate(setup_of("osvos", row_weights={"without-parent": Path("w")}), tmp_path)
    verdicts = {r.row.name: (c.verdict if (c := ablation.change(r)) else None) for r in ablation.results}
    assert verdicts == {
        "full": None,
        "without-boundary": "same",
        "without-parent": "opposite",
        "without-one-shot": "same",
        "without-both": "",
    }
    change = ablation.change(ablation.results[1])
    assert change is not None
    assert change.ours == pytest.approx(-0.01)
    assert change.paper == pytest.approx(0.774 - 0.798)
    content = ablation_json(ablation)
    assert content["signs"] == {
        "same": ["without-boundary", "without-one-shot"],
        "opposite": ["without-parent"],
        "none": [],
        "untested": ["without-both"],
    }


def test_the_table_in_all_three_forms(
    run_with: Callable[[dict[str, Figures]], Calls], tmp_path: Path
) -> None:
    run_with(FIGURES)
    ablation = ablate(setup_of("osvos"), tmp_path)
    text = ablation_markdown(ablation)
    assert (
        "| without boundary snapping | 0.790 | 0.800 | -0.010 | 0.774 | -0.024 | full | as the paper |"
        in text
    )
    assert (
        "Sign test: 2 of 2 rows move the way the paper's do; not tested: without-parent, without-both."
        in text
    )
    assert "without-both: not run: needs weights" in text
    assert "They do not compare" in text
    assert ablation_console(ablation).row_count == 5
    paths = write_ablation(ablation, tmp_path)
    content = json.loads(paths[0].read_text())
    assert content == ablation_json(ablation)
    assert content["rows"][0]["paper"]["J"] == 0.798
    assert content["rows"][2]["ours"] is None
    assert content["rows"][2]["change"]["ours"] is None
    assert paths[1].read_text() == text


def test_words_of_a_paper_serve_where_it_has_no_figures(
    run_with: Callable[[dict[str, Figures]], Calls], tmp_path: Path
) -> None:
    run_with({name: {"J": j} for name, j in
              (("appearance", 0.5), ("flow-stream", 0.6), ("recurrence", 0.7), ("online", 0.65),
               ("appearance-online", 0.6))})  # fmt: skip
    setup = setup_of("maskrnn", metrics=("J",))
    ablation = ablate(setup, tmp_path)
    found = {r.row.name: ablation.change(r) for r in ablation.results}
    assert found["flow-stream"] is not None
    assert math.isnan(found["flow-stream"].paper)
    assert (found["flow-stream"].direction, found["flow-stream"].verdict) == (1, "same")
    # The row that the paper compares with was not run: the next one stands in for it.
    assert found["recurrence"] is not None
    assert (found["recurrence"].against, found["recurrence"].verdict) == ("flow-stream", "same")
    assert found["online"] is not None
    assert found["online"].verdict == "opposite"
    assert "| up |" in ablation_markdown(ablation)


def test_an_option_that_is_off_need_not_exist_and_one_that_is_on_must() -> None:
    full, without_crf = (
        AblationRow(name, "", {"nowhere": value}) for name, value in (("on", True), ("off", False))
    )
    config = row_config(setup_of("osvos"), without_crf)
    assert config is not None
    assert config.options == {}
    with pytest.raises(OptionError, match="no option 'nowhere'"):
        row_config(setup_of("osvos"), full)


def test_a_row_that_cannot_be_made_says_why_and_the_others_run(
    run_with: Callable[[dict[str, Figures]], Calls], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = run_with(FIGURES)

    def build(config: SegmenterConfig, *_: Any) -> None:
        if config.options["boundary"] == "guided":
            raise OptionError("there is no such filter here")

    monkeypatch.setattr(SegmenterConfig, "build", build)
    ablation = ablate(setup_of("osvos"), tmp_path)
    assert ablation.results[0].reason == "there is no such filter here"
    assert [name for name, _ in calls] == ["without-boundary", "without-one-shot"]
    # Compared with a row that was not run, nothing can be said.
    change = ablation.change(ablation.results[1])
    assert change is not None
    assert change.verdict == ""


def test_what_fits_no_row_is_an_error(
    run_with: Callable[[dict[str, Figures]], Calls], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_with(FIGURES)
    with pytest.raises(OptionError, match=r"row 'withuot-parent'\. Did you mean 'without-parent'"):
        ablate(setup_of("osvos"), tmp_path, rows=["withuot-parent"])
    with pytest.raises(OptionError, match="no ablation row 'parent'"):
        ablate(setup_of("osvos", row_weights={"parent": Path("w")}), tmp_path)
    with pytest.raises(OptionError, match="no table of ablations for 'xmem'"):
        ablation_of("xmem")

    def broken(*_: Any) -> None:
        raise WeightsError("no weights here")

    monkeypatch.setattr(SegmenterConfig, "build", broken)
    with pytest.raises(WeightsError, match="no weights here"):
        ablate(setup_of("osvos"), tmp_path)


def test_only_chosen_rows_run_and_each_is_told(
    run_with: Callable[[dict[str, Figures]], Calls], tmp_path: Path
) -> None:
    calls = run_with(FIGURES)
    begun: list[tuple[str, int, int]] = []
    rows = ["without-one-shot", "full"]
    ablation = ablate(setup_of("osvos"), tmp_path, rows=rows, on_row=lambda *call: begun.append(call))
    assert begun == [("full", 1, 2), ("without-one-shot", 2, 2)]
    assert [name for name, _ in calls] == ["full", "without-one-shot"]
    change = ablation.change(ablation.results[1])
    assert change is not None
    assert (change.against, change.verdict) == ("without-boundary", "")


def test_the_tables_split_is_not_the_one_measured() -> None:
    assert (OSVOS.dataset, OSVOS.split) == ("davis-2016", "val")


def test_another_budget_in_the_folder_is_refused(
    run_with: Callable[[dict[str, Figures]], Calls], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_with(FIGURES)

    def refuse(*_: Any, **__: Any) -> None:
        raise OutputError("holds another run")

    monkeypatch.setattr(ablate_module, "evaluate", refuse)
    with pytest.raises(OutputError, match="another run"):
        ablate(setup_of("osvos"), tmp_path)
