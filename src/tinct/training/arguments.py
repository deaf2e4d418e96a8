"""Texts of the command line that mean numbers: steps of stages, and durations."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TypeVar

from tinct.errors import OptionError

Number = TypeVar("Number", int, float)

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


def parse_by_stage(text: str, of: Callable[[str], Number], example: str) -> dict[str, Number]:
    """A number for all stages, such as `8`, under the key ""; or one each: `stills=8,video=4`.

    Raises:
        OptionError: It is not written like that, or a number is not above 0.
    """
    values: dict[str, Number] = {}
    for part in text.split(","):
        name, separator, number = part.rpartition("=")
        try:
            value = of(number)
            if not 0 < value < math.inf or name.strip() in values or bool(separator) != bool(name.strip()):
                raise ValueError
        except ValueError:
            raise OptionError(
                f"{text!r} came; give one number above 0, or one for each stage, such as {example}."
            ) from None
        values[name.strip()] = value
    return values


def parse_size(text: str) -> tuple[int, int]:
    """`321x321`, height and width in pixels, as (H, W).

    Raises:
        OptionError: It is not written like that, or a side is 0.
    """
    found = re.fullmatch(r"\s*(\d+)\s*[x×]\s*(\d+)\s*", text, re.ASCII)
    if found is None or not int(found[1]) or not int(found[2]):
        raise OptionError(f"The size {text!r} came; write height and width in pixels, such as 321x321.")
    return int(found[1]), int(found[2])


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
