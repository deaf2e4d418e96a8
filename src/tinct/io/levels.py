"""How values of more than 8 bits become 8: by one range for the whole video."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tinct.errors import OptionError
from tinct.shapes import Shaped, UInt8

_BITS = (8, 10, 12, 14, 16)
"""What cameras, microscopes and scanners deliver."""

_GIVE_LEVELS = (
    "say which values are to be black and white: --levels LOW:HIGH, in Python "
    "`Video.open(path, tinct.io.levels.Levels(low, high))`"
)


@dataclass(frozen=True)
class Levels:
    """The values that become black and white.

    Args:
        low: Becomes 0, as does all below.
        high: Becomes 255, as does all above.
    """

    low: float | int
    high: float | int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise OptionError(f"The levels {self} came; expected LOW:HIGH with LOW below HIGH, as 0:4095.")

    @staticmethod
    def parse(text: str) -> Levels:
        """The levels of a text such as 0:4095; OptionError if it is none."""
        low, _, high = text.partition(":")
        try:
            return Levels(float(low), float(high))
        except ValueError:
            raise OptionError(
                f"The levels {text!r} came; expected LOW:HIGH, the values that are to be black and white, "
                "as 0:4095."
            ) from None

    def __str__(self) -> str:
        """As `parse` reads it."""
        return f"{self.low:.17g}:{self.high:.17g}"

    def eight_bits(self, pixels: Shaped[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
        """The values as 0 to 255, rounded.

        Raises:
            ValueError: Some are NaN.
        """
        if np.issubdtype(pixels.dtype, np.floating) and np.isnan(pixels).any():
            raise ValueError("some of its values are NaN")
        clipped = np.clip(pixels.astype(np.float64), self.low, self.high)
        return np.rint((clipped - self.low) * 255 / (self.high - self.low)).astype(np.uint8)


@dataclass(frozen=True)
class BitRange:
    """Values of 0 to 2 ** bits - 1, of which the upper 8 bits are taken."""

    bits: int

    @staticmethod
    def holding(value: int) -> BitRange:
        """The smallest of the usual ranges with this value; that of 16 bits if none has it."""
        return BitRange(next((bits for bits in _BITS if value < 2**bits), _BITS[-1]))

    @property
    def high(self) -> int:
        """The largest value."""
        return int(2**self.bits) - 1

    def eight_bits(self, pixels: Shaped[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
        """The upper 8 bits.

        Raises:
            ValueError: A value lies outside, or they are fractions.
        """
        if np.issubdtype(pixels.dtype, np.floating):
            raise ValueError(f"its pixels are fractions; {_GIVE_LEVELS}")
        for value in (int(pixels.min()), int(pixels.max())):
            if not 0 <= value <= self.high:
                raise ValueError(
                    f"it has the value {value}, and 0 to {self.high} is the range of the frames that were "
                    f"looked at; {_GIVE_LEVELS}"
                )
        return (pixels.astype(np.int64) >> (self.bits - 8)).astype(np.uint8)
