from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tinct.errors import OptionError
from tinct.metrics import decay, mean, recall

FIVE = np.array([0.9, 0.8, 0.5, 0.6, 0.4])
SCORES = arrays(np.float64, st.integers(1, 700), elements=st.floats(0, 1))


def test_five_frames() -> None:
    assert mean(FIVE) == pytest.approx(0.64)
    assert recall(FIVE) == pytest.approx(0.6)
    assert decay(FIVE) == pytest.approx(0.35)


@pytest.mark.parametrize(("frames", "expected"), [(48, 0.744681), (10, 0.777778)])
@pytest.mark.parametrize("wrap_at_256", [False, True])
def test_decay_agrees_with_the_benchmarks_toolkit(frames: int, expected: float, wrap_at_256: bool) -> None:
    falling = np.linspace(1, 0, frames)
    assert decay(falling, wrap_at_256=wrap_at_256) == pytest.approx(expected, abs=1e-6)


def test_decay_is_right_beyond_256_frames_unless_the_toolkits_wrap_is_asked_for() -> None:
    falling = np.linspace(1, 0, 300)
    assert decay(falling) == pytest.approx(0.75, abs=0.01)
    assert math.isnan(decay(falling, wrap_at_256=True))


def slow_decay(values: list[float]) -> float:
    frames = len(values)
    borders = [math.floor(1 + k * (frames - 1) / 4 + 1e-10 + 0.5) - 1 for k in (0, 1, 3, 4)]
    first, last = values[borders[0] : borders[1] + 1], values[borders[2] : borders[3] + 1]
    return sum(first) / len(first) - sum(last) / len(last)


@given(SCORES)
def test_agrees_with_the_plain_loop(values: np.ndarray) -> None:
    assert mean(values) == pytest.approx(sum(values) / len(values))
    assert recall(values) == pytest.approx(sum(v > 0.5 for v in values) / len(values))
    assert decay(values) == pytest.approx(slow_decay(values.tolist()))
    assert abs(decay(values)) <= 1


def test_frames_without_a_score_are_left_out_of_the_mean_but_count_as_low() -> None:
    values = np.array([np.nan, 0.8, 0.6, np.nan])
    assert mean(values) == pytest.approx(0.7)
    assert recall(values) == 0.5


def test_nothing_scored() -> None:
    assert math.isnan(mean(np.array([np.nan])))
    assert math.isnan(mean(np.array([])))
    assert math.isnan(recall(np.array([])))
    with pytest.raises(OptionError, match="no frames"):
        decay(np.array([]))
