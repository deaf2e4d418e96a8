from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from tinct.errors import OptionError
from tinct.evaluation.compare import (
    Comparison,
    compare,
    comparison_json,
    comparison_lines,
    comparison_markdown,
    comparison_table,
)
from tinct.evaluation.protocols import PROTOCOLS
from tinct.evaluation.results import ObjectScores, Scores, SequenceScores, Statistics

NAN = math.nan


def scores_of(
    values: Mapping[str, Sequence[float]],
    protocol: str = "davis-2016",
    *,
    measure: str = "J",
    groups: Mapping[str, Sequence[str | None]] | None = None,
    **options: object,
) -> Scores:
    """Scores with a value per object; F is J halved, unless only T is asked for."""
    rule = PROTOCOLS[protocol]

    def statistics(value: float) -> dict[str, Statistics]:
        if measure == "T":
            return {"T": Statistics(value)}
        return {"J": Statistics(value, 0.5, 0.1), "F": Statistics(value / 2, 0.5, 0.1)}

    sequences = tuple(
        SequenceScores(
            name,
            tuple(
                ObjectScores(i + 1, statistics(value), group=groups[name][i] if groups else None)
                for i, value in enumerate(objects)
            ),
            10,
        )
        for name, objects in values.items()
    )
    return Scores(rule.name, rule.rule, rule.merged, rule.average_over, sequences, options)


def single(*values: float, **options: object) -> Scores:
    """One value per sequence s0, s1, ..."""
    return scores_of({f"s{i}": [value] for i, value in enumerate(values)}, **options)


def plain_bootstrap(a: Scores, b: Scores, samples: int) -> np.ndarray:
    """The slow twin: build the scores of every draw, and let them say their own mean."""
    random = np.random.default_rng(5)
    draws = []
    for _ in range(samples):
        rows = random.integers(0, len(a.sequences), len(a.sequences))
        drawn = [
            Scores(
                of.protocol, of.rule, of.merged, of.average_over, tuple(of.sequences[row] for row in rows)
            ).statistics["J"]
            for of in (a, b)
        ]
        draws.append(drawn[1].mean - drawn[0].mean)
    return np.asarray(draws)


class TestDifference:
    def test_is_b_less_a_of_the_protocols_means(self) -> None:
        a, b = single(0.5, 0.7, 0.6), single(0.6, 0.9, 0.5)
        compared = compare(a, b, measure="J")
        assert compared.means == (
            pytest.approx(a.statistics["J"].mean),
            pytest.approx(b.statistics["J"].mean),
        )
        assert compared.difference == pytest.approx(0.2 / 3)

    def test_j_and_f_is_the_default(self) -> None:
        a, b = single(0.5, 0.7), single(0.6, 0.9)
        assert compare(a, b).difference == pytest.approx(b.j_and_f - a.j_and_f)
        assert compare(a, b, measure="F").difference == pytest.approx(0.075)

    def test_objects_count_one_by_one(self) -> None:
        a = scores_of({"x": [0.5, 0.5, 0.5], "y": [0.5]}, "davis-2017")
        b = scores_of({"x": [0.7, 0.7, 0.7], "y": [0.5]}, "davis-2017")
        compared = compare(a, b, measure="J")
        assert compared.difference == pytest.approx(b.statistics["J"].mean - a.statistics["J"].mean)
        assert compared.difference == pytest.approx(0.15)

    def test_groups_weigh_alike(self) -> None:
        groups = {"x": ["seen", "seen", "unseen"], "y": ["seen"]}
        a = scores_of({"x": [0.5, 0.5, 0.5], "y": [0.5]}, "youtube-vos", groups=groups)
        b = scores_of({"x": [0.5, 0.5, 0.9], "y": [0.8]}, "youtube-vos", groups=groups)
        compared = compare(a, b, measure="J")
        assert compared.difference == pytest.approx(b.statistics["J"].mean - a.statistics["J"].mean)
        assert compared.difference == pytest.approx((0.1 + 0.4) / 2)

    def test_an_object_without_group_does_not_count_among_groups(self) -> None:
        groups = {"x": ["seen", None], "y": ["unseen"]}
        a = scores_of({"x": [0.5, 0.1], "y": [0.5]}, "youtube-vos", groups=groups)
        b = scores_of({"x": [0.6, 0.9], "y": [0.7]}, "youtube-vos", groups=groups)
        assert compare(a, b, measure="J").difference == pytest.approx(0.15)

    def test_youtube_vos_without_groups_takes_the_mean_of_the_objects(self) -> None:
        a, b = (scores_of({"x": [v, v, v], "y": [0.5]}, "youtube-vos") for v in (0.5, 0.7))
        assert compare(a, b, measure="J").difference == pytest.approx(0.15)


class TestInterval:
    def test_identical_scores_differ_by_exactly_nothing(self) -> None:
        a = single(0.1, 0.7, 0.3)
        compared = compare(a, a)
        assert (compared.difference, compared.interval) == (0.0, (0.0, 0.0))
        assert "same values" in compared.verdict

    def test_is_the_same_for_the_same_seed_alone(self) -> None:
        a, b = single(*[0.5] * 9), single(*np.linspace(0, 1, 9) ** 2)
        assert compare(a, b) == compare(a, b)
        assert compare(a, b, seed=1).interval != compare(a, b).interval

    @pytest.mark.parametrize("protocol", ["davis-2016", "davis-2017", "youtube-vos"])
    def test_agrees_with_the_plain_loop(self, protocol: str) -> None:
        random = np.random.default_rng(3)
        counts = [1] * 8 if protocol == "davis-2016" else [1, 4, 2, 1, 5, 2, 3, 1]
        groups = {f"s{i}": (["seen", "unseen"] * 3)[:n] for i, n in enumerate(counts)}
        a, b = (
            scores_of(
                {f"s{i}": random.uniform(low, 0.9, n).tolist() for i, n in enumerate(counts)},
                protocol,
                groups=groups,
            )
            for low in (0.3, 0.5)
        )
        compared = compare(a, b, measure="J", samples=4000)
        slow = plain_bootstrap(a, b, 400)
        width = compared.interval[1] - compared.interval[0]
        np.testing.assert_allclose(np.percentile(slow, [2.5, 97.5]), compared.interval, atol=0.12 * width)

    @pytest.mark.slow
    def test_covers_the_true_difference_about_as_often_as_it_says(self) -> None:
        random = np.random.default_rng(11)
        covered = 0
        for repetition in range(150):
            hardness = random.normal(0.6, 0.15, 20)
            a, b = (single(*(hardness + shift + random.normal(0, 0.05, 20))) for shift in (0, 0.03))
            low, high = compare(a, b, measure="J", samples=400, seed=repetition).interval
            covered += low <= 0.03 <= high
        assert 0.88 <= covered / 150 <= 0.99

    def test_objects_travel_with_their_sequence(self) -> None:
        # Ten alike objects say no more than one: their number must not narrow the interval.
        random = np.random.default_rng(2)
        moves = random.normal(0.02, 0.1, 12)
        widths = []
        for objects in (1, 10):
            a = scores_of({f"s{i}": [0.5] * objects for i in range(12)}, "davis-2017")
            b = scores_of({f"s{i}": [0.5 + move] * objects for i, move in enumerate(moves)}, "davis-2017")
            low, high = compare(a, b, measure="J").interval
            widths.append(high - low)
        assert widths[0] == pytest.approx(widths[1])

    def test_pairing_narrows_it_where_both_find_the_same_sequences_hard(self) -> None:
        random = np.random.default_rng(4)
        hardness = random.uniform(0.2, 0.9, 30)
        a = single(*hardness)
        b = single(*(hardness + random.normal(0.02, 0.03, 30)))
        shuffled = single(*random.permutation([s.statistics["J"].mean for s in b.sequences]))
        paired, unpaired = (compare(a, of, measure="J").interval for of in (b, shuffled))
        assert paired[1] - paired[0] < 0.5 * (unpaired[1] - unpaired[0])

    @settings(max_examples=25, deadline=None)
    @given(
        st.lists(
            st.tuples(st.integers(0, 100), st.integers(0, 100)).map(lambda v: (v[0] / 100, v[1] / 100)),
            min_size=1,
            max_size=8,
        )
    )
    def test_swapping_both_turns_it_round(self, values: list[tuple[float, float]]) -> None:
        a, b = (single(*column) for column in zip(*values, strict=True))
        there, back = (compare(*pair, measure="J", samples=200) for pair in ((a, b), (b, a)))
        assert there.difference == pytest.approx(-back.difference)
        assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]))
        moves = [pair[1] - pair[0] for pair in values]
        assert min(moves) - 1e-9 <= there.interval[0] <= there.interval[1] <= max(moves) + 1e-9
        assert [c.name for c in there.gains()] == [c.name for c in back.losses()]


class TestChanges:
    def compared(self, **options: object) -> Comparison:
        return compare(
            single(0.5, 0.5, 0.5, 0.5, 0.5, **options),
            single(0.5, 0.9, 0.6, 0.2, 0.4, **options),
            measure="J",
        )

    def test_largest_gains_and_losses_come_first(self) -> None:
        compared = self.compared()
        assert [c.name for c in compared.gains()] == ["s1", "s2"]
        assert [c.name for c in compared.losses()] == ["s3", "s4"]
        assert [c.name for c in compared.changes] == ["s1", "s2", "s0", "s4", "s3"]

    def test_names_those_that_moved_against_the_whole(self) -> None:
        assert [c.name for c in self.compared().against] == ["s3", "s4"]
        assert compare(single(0.5), single(0.5)).against == ()

    def test_of_t_lower_is_better(self) -> None:
        low, high = (single(*[v] * 6, measure="T") for v in (0.1, 0.3))
        compared = compare(high, low, measure="T")
        assert compared.lower_is_better
        assert compared.difference == pytest.approx(-0.2)
        assert len(compared.gains()) == 6
        assert not compared.losses()
        assert "B is better than A" in compared.verdict
        assert "lower is better" in "\n".join(comparison_lines(compared))
        assert "B is worse than A" in compare(low, high, measure="T").verdict

    def test_verdict_says_when_nothing_is_clear(self) -> None:
        assert "No clear difference" in self.compared().verdict


class TestWhatIsLeftOut:
    def test_only_common_sequences_are_compared(self) -> None:
        a = scores_of({"x": [0.5], "y": [0.6], "z": [0.1]})
        b = scores_of({"w": [0.0], "x": [0.7], "y": [0.6]})
        compared = compare(a, b, measure="J")
        assert compared.means == (pytest.approx(0.55), pytest.approx(0.65))
        assert (compared.only_a, compared.only_b) == (("z",), ("w",))
        text = "\n".join(comparison_lines(compared))
        assert "Only in A, and not compared: z." in text
        assert "Only in B, and not compared: w." in text

    def test_undefined_values_are_left_out_of_both(self) -> None:
        a = single(0.2, NAN, 0.4, NAN, measure="T")
        b = single(0.1, 0.9, NAN, NAN, measure="T")
        compared = compare(a, b, measure="T")
        assert compared.means == (pytest.approx(0.2), pytest.approx(0.1))
        assert compared.undefined == ("s1", "s2", "s3")
        assert "s1, s2, s3" in "\n".join(comparison_lines(compared))

    def test_objects_of_one_alone_are_left_out_and_named(self) -> None:
        a = scores_of({"x": [0.5, 0.1]}, "davis-2017")
        b = scores_of({"x": [0.7]}, "davis-2017")
        compared = compare(a, b, measure="J")
        assert compared.difference == pytest.approx(0.2)
        assert any("x_2" in note for note in compared.notes)

    def test_few_sequences_are_noted(self) -> None:
        assert any("Only 4 sequences" in n for n in compare(single(*[0.5] * 4), single(*[0.6] * 4)).notes)
        assert not compare(single(*[0.5] * 5), single(*[0.6] * 5)).notes

    def test_other_settings_and_frames_are_noted(self) -> None:
        a = single(*[0.5] * 5, bound_th=0.008, compat=None)
        b = single(*[0.5] * 5, bound_th=0.01, compat="davis2017-evaluation")
        notes = "\n".join(compare(a, b).notes)
        assert "bound_th = 0.008 and 0.01" in notes
        assert "compat = None and davis2017-evaluation" in notes
        assert "bound_th" not in "\n".join(compare(a, b, measure="J").notes)
        shorter = SequenceScores("s0", a.sequences[0].objects, 9)
        c = Scores(a.protocol, a.rule, True, "sequences", (shorter, *a.sequences[1:]), a.settings)
        assert any("number of frames was scored in s0" in note for note in compare(a, c).notes)


class TestRefusals:
    def test_different_protocols(self) -> None:
        with pytest.raises(OptionError, match=r"davis-2016 and B under davis-2017.*one protocol"):
            compare(single(0.5), single(0.5, protocol="davis-2017"))

    def test_no_common_sequence(self) -> None:
        with pytest.raises(OptionError, match=r"no sequence in common \(x; y\)"):
            compare(scores_of({"x": [0.5]}), scores_of({"y": [0.5]}))

    def test_unknown_measure(self) -> None:
        with pytest.raises(OptionError, match="Known: F, J, JF, T"):
            compare(single(0.5), single(0.5), measure="G")

    def test_measure_that_was_not_computed(self) -> None:
        with pytest.raises(OptionError, match=r"A has no J and F \(it has T\)"):
            compare(single(0.5, measure="T"), single(0.5))

    def test_stability_of_other_steps(self) -> None:
        older, newer = single(0.5, measure="T"), single(0.4, measure="T", t_steps="all")
        with pytest.raises(OptionError, match=r"A is .*: between scored frames; of B: all\..*--compat"):
            compare(older, newer, measure="T")
        assert compare(newer, newer, measure="T").means == (0.4, 0.4)

    def test_measure_without_any_value(self) -> None:
        with pytest.raises(OptionError, match=r"T has no value .*\(s0\)"):
            compare(single(NAN, measure="T"), single(0.5, measure="T"), measure="T")

    def test_too_few_samples(self) -> None:
        with pytest.raises(OptionError, match="at least 100"):
            compare(single(0.5), single(0.5), samples=99)


class TestPresentation:
    def compared(self) -> Comparison:
        a = {f"s{i:02}": [0.5] for i in range(20)}
        b = {f"s{i:02}": [0.4 + 0.02 * i] for i in range(20)}
        return compare(scores_of(a), scores_of(b), measure="J", names=("old|one", "[b]new"))

    def test_console(self) -> None:
        compared = self.compared()
        console = Console(width=100, file=io.StringIO())
        with console.capture() as capture:
            console.print(comparison_table(compared, most=2))
        text = capture.get()
        assert "[b]new" in text
        assert "better in [b]new (2 of 14)" in text
        assert [f"{name} " in text for name in ("s19", "s18", "s17")] == [True, True, False]
        assert [f"{name} " in text for name in ("s00", "s01", "s02")] == [True, True, False]
        assert "+0.280" in text
        assert compared.verdict in text

    def test_markdown(self) -> None:
        compared = self.compared()
        lines = comparison_markdown(compared, most=2).splitlines()
        assert lines[0] == "| J | old\\|one | [b]new | difference |"
        assert lines[2] == "| mean of 20 sequences | 50.0 | 59.0 | +9.0 |"
        assert "| s19 | 50.0 | 78.0 | +28.0 |" in lines
        assert "| s02 | 50.0 | 44.0 | -6.0 |" not in lines
        assert f"- {compared.verdict}" in lines

    def test_json(self) -> None:
        compared = self.compared()
        content = json.loads(json.dumps(comparison_json(compared), allow_nan=False))
        assert content["protocol"] == "davis-2016"
        assert content["measure"] == "J"
        assert content["names"] == ["old|one", "[b]new"]
        assert content["difference"] == pytest.approx(0.09)
        assert content["interval"] == list(compared.interval)
        assert content["sequences"]["s19"] == {
            "a": 0.5,
            "b": pytest.approx(0.78),
            "difference": pytest.approx(0.28),
        }
        assert content["moved_against"] == ["s00", "s01", "s02", "s03", "s04"]
