from __future__ import annotations

import csv
import io
import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tinct.errors import OptionError, OutputError
from tinct.evaluation.protocols import PROTOCOLS
from tinct.evaluation.results import ObjectScores, Scores, SequenceScores, Statistics
from tinct.evaluation.tables import (
    DASH,
    console_table,
    markdown_table,
    rule_lines,
    write_csv,
)

NAN = math.nan


def one_object(
    object_id: int, region: float, contour: float, *, stability: float | None = None, group: str | None = None
) -> ObjectScores:
    statistics = {
        "J": Statistics(region, region / 2, 0.01),
        "F": Statistics(contour, contour / 4, -0.02),
    }
    if stability is not None:
        statistics["T"] = Statistics(stability)
    return ObjectScores(object_id, statistics, group=group)


def scores_of(protocol: str, *sequences: SequenceScores, **settings: object) -> Scores:
    rule = PROTOCOLS[protocol]
    return Scores(rule.name, rule.rule, rule.merged, rule.average_over, sequences, settings)


def davis_2016(**settings: object) -> Scores:
    return scores_of(
        "davis-2016",
        SequenceScores("blackswan", (one_object(1, 0.9, 0.8, stability=0.2),), 48),
        SequenceScores("dog", (one_object(1, 0.5, 0.6, stability=NAN),), 58),
        **settings,
    )


def davis_2017() -> Scores:
    return scores_of(
        "davis-2017",
        SequenceScores("india", (one_object(1, 0.3, 0.4), one_object(2, 0.6, 0.7)), 79),
        SequenceScores("judo", (one_object(1, 0.9, 1.0),), 32),
    )


def youtube_vos() -> Scores:
    return scores_of(
        "youtube-vos",
        SequenceScores(
            "0a49", (one_object(1, 0.5, 0.5, group="seen"), one_object(2, 0.7, 0.9, group="unseen")), 20
        ),
        SequenceScores("0a50", (one_object(1, 0.3, 0.1, group="seen"),), 20),
    )


def printed(scores: Scores, width: int = 80) -> list[str]:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    with console.capture() as capture:
        console.print(console_table(scores))
    return [line.rstrip() for line in capture.get().splitlines() if line.strip()]


def cells(line: str) -> list[str]:
    return re.split(r" {2,}", line.strip())


def markdown_cells(text: str) -> list[list[str]]:
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


class TestConsoleTable:
    def test_merged_protocol_has_the_mean_then_a_row_per_sequence(self) -> None:
        lines = printed(davis_2016())
        assert lines[0].split() == ["J", "J", "J", "F", "F", "F", "T", "J&F"]
        assert lines[1].split() == ["mean", "recall", "decay", "mean", "recall", "decay", "mean"]
        overall, *rest = (cells(line) for line in lines if re.search(r"\d\.\d", line))
        assert overall[0] == "mean of 2 sequences"
        assert overall[1:] == ["0.700", "0.350", "0.010", "0.700", "0.175", "-0.020", "0.200", "0.700"]
        assert [row[0] for row in rest] == ["blackswan", "dog"]

    def test_objects_scored_by_themselves_have_rows_of_their_own(self) -> None:
        rows = [cells(line) for line in printed(davis_2017()) if re.search(r"\d\.\d", line)]
        assert [row[0] for row in rows] == ["mean of 3 objects", "india_1", "india_2", "judo_1"]
        assert [row[1] for row in rows] == ["0.600", "0.300", "0.600", "0.900"]

    def test_groups_come_below_their_mean(self) -> None:
        rows = [cells(line) for line in printed(youtube_vos()) if re.search(r"\d\.\d", line)]
        assert [row[0] for row in rows][:3] == ["mean of seen and unseen", "seen", "unseen"]
        assert [row[1] for row in rows][:3] == ["0.550", "0.400", "0.700"]

    def test_undefined_values_are_dashes(self) -> None:
        dog = next(cells(line) for line in printed(davis_2016()) if "dog" in line)
        assert dog[7] == DASH

    def test_only_computed_measures_have_columns(self) -> None:
        statistics = {"J": Statistics(0.5, 0.4, 0.1)}
        only = scores_of("segtrack-v2", SequenceScores("frog", (ObjectScores(1, statistics),), 9))
        assert printed(only)[0].split() == ["J", "J", "J"]

    def test_names_are_never_taken_for_markup(self) -> None:
        named = scores_of("davis-2016", SequenceScores("[red]x[/red]", (one_object(1, 0.5, 0.5),), 3))
        assert any("[red]x[/red]" in line for line in printed(named))

    def test_fits_80_columns(self) -> None:
        assert max(len(line) for line in printed(davis_2016())) <= 80
        assert "mean of 2 sequences" in "".join(printed(davis_2016()))


class TestMarkdownTable:
    def test_values_are_times_100_with_one_decimal(self) -> None:
        header, rule, *rows = markdown_cells(markdown_table(davis_2016(), name="ours"))
        measured = [f"{measure} {of}" for measure in "JF" for of in ("mean", "recall", "decay")]
        assert header[1:] == [*measured, "T mean", "J&F"]
        assert rule == ["---"] + ["---:"] * 8
        assert rows == [["ours", "70.0", "35.0", "1.0", "70.0", "17.5", "-2.0", "20.0", "70.0"]]

    def test_says_the_unit_and_the_rule(self) -> None:
        text = markdown_table(davis_2016())
        assert "× 100" in text
        assert PROTOCOLS["davis-2016"].rule in text
        assert "T: lower is better" in text
        assert "lower" not in markdown_table(davis_2017())

    def test_per_sequence_adds_rows(self) -> None:
        names = [row[0] for row in markdown_cells(markdown_table(davis_2017(), per_sequence=True))[2:]]
        assert names == ["mean of 3 objects", "india_1", "india_2", "judo_1"]

    def test_the_run_names_the_first_row(self) -> None:
        scores = davis_2017()
        run = {"method": "feelvos", "variant": "mobilenetv2"}
        made = Scores(
            scores.protocol, scores.rule, scores.merged, scores.average_over, scores.sequences, {}, run
        )
        assert markdown_cells(markdown_table(made))[2][0] == "feelvos mobilenetv2"

    def test_undefined_values_are_dashes_and_bars_are_escaped(self) -> None:
        odd = scores_of("davis-2016", SequenceScores("a|b", (one_object(1, NAN, 0.5),), 3))
        text = markdown_table(odd, per_sequence=True)
        assert "a\\|b" in text
        assert markdown_cells(text)[3][1] == DASH


class TestRuleLines:
    def test_says_rule_and_counts(self) -> None:
        lines = rule_lines(davis_2017())
        assert PROTOCOLS["davis-2017"].rule in lines[0]
        assert "111 frames of 2 sequences (3 objects)" in lines[1]

    def test_says_over_how_many_sequences_t_is_averaged(self) -> None:
        assert any("averaged over 1 of 2 sequences" in line for line in rule_lines(davis_2016()))
        assert not any("T (" in line for line in rule_lines(davis_2017()))

    def test_usual_settings_are_not_mentioned(self) -> None:
        usual = davis_2016(bound_th=0.008, compat=None, split=None, missing_sequences=[])
        assert rule_lines(usual) == rule_lines(davis_2016())

    def test_unusual_settings_are_mentioned(self) -> None:
        text = "\n".join(rule_lines(davis_2016(bound_th=0.01, compat="davis2017-evaluation", split="val")))
        assert "bound_th = 0.01" in text
        assert "as davis2017-evaluation does it, with the known faults" in text
        assert "split = val" in text

    def test_names_what_is_missing(self) -> None:
        frames = tuple(f"{i:05d}" for i in range(1, 14))
        holey = scores_of(
            "davis-2016",
            SequenceScores("camel", (one_object(1, 0.5, 0.5),), 70, frames),
            missing_sequences=["cows", "goat"],
        )
        text = "\n".join(rule_lines(holey))
        assert "2 sequences (cows, goat)" in text
        assert "camel" in text
        assert "13 frames (00001, " in text
        assert "00010 and 3 more)" in text


class TestCsv:
    def test_files_are_those_of_the_official_toolkit(self, tmp_path: Path) -> None:
        paths = write_csv(davis_2017(), tmp_path / "new" / "folder", "val")
        assert [path.name for path in paths] == ["global_results-val.csv", "per-sequence_results-val.csv"]
        assert paths[0].read_bytes() == (
            b"J&F-Mean,J-Mean,J-Recall,J-Decay,F-Mean,F-Recall,F-Decay\n"
            b"0.650,0.600,0.300,0.010,0.700,0.175,-0.020\n"
        )
        assert paths[1].read_bytes() == (
            b"Sequence,J-Mean,F-Mean\nindia_1,0.300,0.400\nindia_2,0.600,0.700\njudo_1,0.900,1.000\n"
        )

    def test_merged_protocol_has_a_row_per_sequence(self, tmp_path: Path) -> None:
        write_csv(davis_2016(), tmp_path)
        rows = (tmp_path / "per-sequence_results-all.csv").read_text().splitlines()
        assert rows == ["Sequence,J-Mean,F-Mean", "blackswan,0.900,0.800", "dog,0.500,0.600"]

    def test_undefined_values_are_empty(self, tmp_path: Path) -> None:
        write_csv(scores_of("davis-2016", SequenceScores("a", (one_object(1, NAN, 0.5),), 0)), tmp_path)
        assert (tmp_path / "per-sequence_results-all.csv").read_text().endswith("a,,0.500\n")

    @pytest.mark.parametrize(("computed", "lacking"), [("J", "F"), ("F", "J"), ("T", "J and F")])
    def test_needs_both_measures(self, tmp_path: Path, computed: str, lacking: str) -> None:
        alone = ObjectScores(1, {computed: Statistics(0.5)})
        with pytest.raises(OptionError, match=f"{lacking} was not computed.*--metrics"):
            write_csv(scores_of("davis-2016", SequenceScores("a", (alone,), 3)), tmp_path)
        assert not list(tmp_path.iterdir())

    def test_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(OutputError, match="file"):
            write_csv(davis_2016(), tmp_path / "file")

    @given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=6))
    def test_global_row_is_the_mean_of_the_objects(
        self, tmp_path_factory: pytest.TempPathFactory, values: list[tuple[float, float]]
    ) -> None:
        folder = tmp_path_factory.mktemp("csv")
        objects = tuple(one_object(i + 1, *pair) for i, pair in enumerate(values))
        write_csv(scores_of("davis-2017", SequenceScores("a,b", objects, 3)), folder)
        with (folder / "global_results-all.csv").open(newline="") as file:
            overall = next(csv.DictReader(file))
        with (folder / "per-sequence_results-all.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["Sequence"] for row in rows] == [f"a,b_{i + 1}" for i in range(len(values))]
        region = sum(pair[0] for pair in values) / len(values)
        assert float(overall["J-Mean"]) == pytest.approx(region, abs=6e-4)
