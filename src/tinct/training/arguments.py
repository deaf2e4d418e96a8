"""Texts of the command line that mean numbers: steps of stages, and durations."""

from __future__ import annotations

import re

from tinct.errors import OptionError

SECONDS = {"s": 1, "m": 60, "h": 3600}


def parse_steps(text: str) -> dict[str, int]:
    """`stills=1500,video=2700` as a dictionary.

    Raises:
        OptionError: It is not written like that.
    """
    steps: dict[str, int] = {}
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\w+)\s*=\s*(\d+)\s*", part, re.ASCII)
        if found is None or found[1] in steps:
            raise OptionError(f"Steps {text!r} came; give each stage once, such as stills=1500,video=2700.")
        steps[found[1]] = int(found[2])
    return steps


def parse_duration(text: str) -> float:
    """`90s`, `30m`, `1.5h` or `1h30m` in seconds; a bare number is seconds.

    Raises:
        OptionError: It is not written like that, or is 0.
    """
    parts = re.fullmatch(r"(?:[\d.]+[smh])+|[\d.]+", text.strip(), re.ASCII)
    try:
        found = re.findall(r"([\d.]+)([smh]?)", text) if parts else []
        seconds = float(sum(float(number) * SECONDS[unit or "s"] for number, unit in found))
    except ValueError:
        seconds = 0.0
    if seconds <= 0:
        raise OptionError(f"The duration {text!r} came; write it as 90s, 30m, 1.5h or 1h30m.")
    return seconds
