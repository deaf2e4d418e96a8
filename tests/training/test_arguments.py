from __future__ import annotations

import pytest

from tinct.errors import OptionError
from tinct.training.arguments import parse_duration, parse_steps


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
