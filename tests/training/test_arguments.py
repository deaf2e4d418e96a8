from __future__ import annotations

import pytest

from tinct.errors import OptionError
from tinct.training.arguments import parse_by_stage, parse_duration, parse_size, parse_steps


def test_steps_of_stages() -> None:
    assert parse_steps("stills=1500,video=2700") == {"stills": 1500, "video": 2700}
    assert parse_steps(" video = 0 ") == {"video": 0}


@pytest.mark.parametrize(
    "text", ["", "video", "video=", "video=-1", "video=1.5", "video=1,video=2", "a=1,,b=2"]
)
def test_steps_that_cannot_be_understood(text: str) -> None:
    with pytest.raises(OptionError, match="stills=1500,video=2700"):
        parse_steps(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("1.5h", 5400), ("1h30m", 5400), ("45", 45), (" 2m ", 120)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0m", "-5m", "soon", "5 m", "5d", "1..2h", "1h30x", "h"])
def test_durations_that_cannot_be_understood(text: str) -> None:
    with pytest.raises(OptionError, match="write it as 90s, 30m"):
        parse_duration(text)


def test_a_number_for_all_stages_or_for_each() -> None:
    assert parse_by_stage("8", int, "") == {"": 8}
    assert parse_by_stage("stills=1e-3, video = 0.5", float, "") == {"stills": 0.001, "video": 0.5}
    assert parse_by_stage("4,video=2", int, "") == {"": 4, "video": 2}


@pytest.mark.parametrize("text", ["", "0", "-1", "x", "=3", "a=", "a=1,a=2", "1.5", "inf", "a=b=3,"])
def test_numbers_that_cannot_be_understood(text: str) -> None:
    with pytest.raises(OptionError, match=r"came; give one number above 0, .* such as a=2"):
        parse_by_stage(text, int, "a=2")


def test_rates_are_finite() -> None:
    for text in ("inf", "nan", "1e999"):
        with pytest.raises(OptionError, match="above 0"):
            parse_by_stage(text, float, "a=2")


def test_sizes() -> None:
    assert parse_size("321x480") == (321, 480)
    for text in ("321", "0x4", "3x", "axb", "3x4x5"):
        with pytest.raises(OptionError, match="321x321"):
            parse_size(text)
