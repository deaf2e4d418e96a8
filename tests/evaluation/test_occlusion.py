from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinct.data.occlusion.clips import VisibilityTrace
from tinct.data.visibility import from_letters
from tinct.errors import DatasetError, OptionError
from tinct.evaluation.occlusion import (
    PHASES,
    frames_of_phases,
    phase_scores,
)
from tinct.evaluation.results import FrameScores, ObjectScores, Scores, SequenceScores, Statistics


def trace(states: str) -> VisibilityTrace:
    ones = np.ones(len(states))
    return VisibilityTrace("a photo", "leaves", from_letters(states), ones, ones)


def scored(object_id: int, j: list[float], f: list[float] | None = None) -> ObjectScores:
    """Frames from 1 on: the first is given."""
    names = tuple(f"{t + 1:05d}" for t in range(len(j)))
    values = {"J": tuple(j), "F": tuple(j if f is None else f)}
    statistics = {name: Statistics.of_frames(list(of)) for name, of in values.items()}
    return ObjectScores(object_id, statistics, FrameScores(names, values))


def scores_of(**clips: list[ObjectScores]) -> Scores:
    sequences = tuple(SequenceScores(name, tuple(objects), 1) for name, objects in clips.items())
    return Scores("davis-2017", "", False, "objects", sequences)


def shown(states: str) -> dict[str, str]:
    flags = frames_of_phases(from_letters(states), np.ones(len(states)))
    return {phase: "".join(".x"[int(flag)] for flag in of) for phase, of in flags.items()}


def test_which_frames_belong_to_which_phase() -> None:
    assert shown("vvhvhhhrrhrooorr") == {
        "all": "xxxxxxxxxxxxxxxx",
        "before": "xx.x............",
        "after": ".......xx.x...xx",
        "after hidden": ".......xx.x.....",
        "after outside": "..............xx",
    }
    # An object that never comes back has nothing to compare.
    for states in ("vvvv", "vvhhhhh", "vvhhv"):
        assert set(shown(states)["before"] + shown(states)["after"]) == {"."}


def test_means_are_over_the_frames_and_then_over_the_objects() -> None:
    traces = {"a": {1: trace("vvvooorrr"), 2: trace("vvvvvvvvv")}, "b": {5: trace("vhhhrrrrr")}}
    scores = scores_of(
        a=[scored(1, [0.8, 0.6, 1.0, 1.0, 1.0, 0.2, 0.4]), scored(2, [0.5] * 7)],
        b=[scored(5, [1.0, 0.0, 1.0, 0.9, 0.7, 0.6, 0.6], [1.0, 0.0, 1.0, 0.5, 0.5, 0.5, 0.5])],
    )
    phases = phase_scores(scores, traces)
    assert set(phases) == set(PHASES)
    # The last frame is not scored: of the three frames in which object 1 is back, two count.
    assert (phases["after"].objects, phases["after"].frames) == (2, 6)
    assert phases["after"].statistics["J"].mean == pytest.approx((0.3 + 0.7) / 2)
    assert phases["after"].statistics["F"].mean == pytest.approx((0.3 + 0.5) / 2)
    assert phases["after"].g == pytest.approx((0.5 + 0.4) / 2)
    assert phases["after"].statistics["J"].recall == pytest.approx((0.0 + 1.0) / 2)
    assert phases["after outside"].g == pytest.approx(0.3)
    assert phases["after hidden"].objects == 1
    # Object 5 is gone in the first scored frame, so that none is left before it.
    assert (phases["before"].objects, phases["before"].frames) == (1, 2)
    assert phases["before"].g == pytest.approx(0.7)
    assert phases["all"].objects == 3
    assert phases["all"].g == pytest.approx(scores.j_and_f)


def test_an_empty_phase_is_undefined_and_not_zero() -> None:
    phases = phase_scores(scores_of(a=[scored(2, [0.5, 0.5])]), {"a": {2: trace("vvvv")}})
    assert math.isnan(phases["after"].g)
    assert (phases["after"].objects, phases["after"].frames) == (0, 0)
    assert phases["all"].g == pytest.approx(0.5)


@given(st.text("vhor", min_size=3, max_size=20), st.data())
def test_phases_agree_with_a_plain_loop(states: str, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.floats(0, 1), min_size=len(states) - 2, max_size=len(states) - 2))
    phases = phase_scores(scores_of(a=[scored(1, values)]), {"a": {1: trace(states)}})
    after = [value for value, state in zip(values, states[1:], strict=False) if state == "r"]
    assert phases["after"].frames == len(after)
    if after:
        assert phases["after"].statistics["J"].mean == pytest.approx(sum(after) / len(after))
    assert phases["after"].frames >= phases["after hidden"].frames + phases["after outside"].frames


def test_other_scores_are_errors() -> None:
    traces = {"a": {1: trace("vvvv")}}
    without = ObjectScores(1, {"J": Statistics(0.5)})
    with pytest.raises(OptionError, match="per frame"):
        phase_scores(scores_of(a=[without]), traces)
    with pytest.raises(DatasetError, match="'b'"):
        phase_scores(scores_of(b=[scored(1, [0.5])]), traces)
    with pytest.raises(DatasetError, match="Object 2"):
        phase_scores(scores_of(a=[scored(2, [0.5])]), traces)
    with pytest.raises(DatasetError, match="4 frames"):
        phase_scores(scores_of(a=[scored(1, [0.5] * 9)]), traces)
