from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinct.data.visibility import (
    GONE_FRAMES,
    GONE_SHARE,
    Disappearance,
    Visibility,
    disappearances,
    from_letters,
    to_letters,
    visibility_states,
)
from tinct.errors import DatasetError


def letters(visible: list[int], inside: list[int], whole: float = 100.0) -> str:
    counts = [np.array(values, np.int64) for values in (visible, inside)]
    return to_letters(visibility_states(*counts, np.full(len(visible), whole)))


@pytest.mark.parametrize(
    ("visible", "inside", "expected"),
    [
        ([90, 50, 90], [100, 100, 100], "vvv"),
        # Two frames are too short a gap, three are one.
        ([90, 0, 0, 90], [100, 100, 100, 100], "vhhv"),
        ([90, 0, 0, 0, 90, 80], [100] * 6, "vhhhrr"),
        ([90, 0, 0, 0, 90], [100, 0, 0, 0, 100], "vooor"),
        # Once back it stays back, but for what it is gone again.
        ([90, 0, 0, 0, 90, 0, 90], [100] * 7, "vhhhrhr"),
        # A slit is no object, and 2 of 100 pixels are none.
        ([90, 1, 1, 1, 2], [100, 1, 1, 100, 100], "voohr"),
        ([0, 0, 0, 90], [0, 0, 0, 100], "ooor"),
    ],
)
def test_what_a_frame_shows(visible: list[int], inside: list[int], expected: str) -> None:
    assert letters(visible, inside) == expected


def test_a_gap_is_hidden_or_outside_as_most_of_its_frames_are() -> None:
    sizes = np.array([0.25, 0.3, 0.3, 0.3, 0.3, 0.5])
    assert disappearances(from_letters("vhooor"), sizes) == (
        Disappearance(Visibility.OUTSIDE, 1, 4, returns=True, size_factor=2.0),
    )
    assert disappearances(from_letters("vhhhoo"), sizes) == (
        Disappearance(Visibility.HIDDEN, 1, 5, returns=False),
    )
    assert disappearances(from_letters("vhhvvv"), sizes) == ()


def slow_states(visible: list[int], inside: list[int], whole: list[float]) -> str:
    """Frame by frame, as the module's first lines say it."""
    found = ""
    for t in range(len(visible)):
        least = max(1.0, GONE_SHARE * whole[t])
        if visible[t] < least:
            found += "o" if inside[t] < least else "h"
            continue
        past = found.replace("o", "h").replace("r", "v")
        found += "r" if "h" * GONE_FRAMES in past else "v"
    return found


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, 5, 90]), st.sampled_from([0, 20]), st.floats(1, 300)), max_size=25
    )
)
def test_states_agree_with_a_plain_loop(frames: list[tuple[int, int, float]]) -> None:
    visible, hidden, whole = ([frame[k] for frame in frames] for k in range(3))
    inside = [a + b for a, b in zip(visible, hidden, strict=True)]
    counts = np.array(visible, np.int64), np.array(inside, np.int64), np.array(whole, np.float64)
    assert to_letters(visibility_states(*counts)) == slow_states(visible, inside, whole)


@given(st.text("vhor", max_size=30))
def test_letters_come_back_and_gaps_are_apart(text: str) -> None:
    states = from_letters(text)
    assert to_letters(states) == text
    gaps = disappearances(states, np.ones(len(states)))
    for gap in gaps:
        assert gap.frames >= GONE_FRAMES
        assert set(text[gap.first : gap.last + 1]) <= {"h", "o"}
        assert gap.returns == (gap.last + 1 < len(text))
    assert all(a.last + 1 < b.first for a, b in pairwise(gaps))


def test_another_letter_is_refused() -> None:
    with pytest.raises(DatasetError, match="'x'"):
        from_letters("vvx")
