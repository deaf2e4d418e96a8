"""Several sets of training data as one: how often each is drawn from, and what tells a mix from another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tinct.errors import OptionError

Random = np.random.Generator


@dataclass(frozen=True)
class Mixture:
    """Sets that lie one after the other, each with the share of samples that it gives.

    Attributes:
        counts: The number of entries of each set.
        weights: Relative to each other; within a set all entries are drawn equally often.

    Raises:
        OptionError: A weight is not above 0.
    """

    counts: tuple[int, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if not all(weight > 0 and np.isfinite(weight) for weight in self.weights):
            raise OptionError(
                f"Sets with the weights {', '.join(f'{w:g}' for w in self.weights)} came; weights are above "
                "0. Leave out a set that is not wanted."
            )

    @classmethod
    def of_one(cls, count: int) -> Mixture:
        """One set."""
        return cls((count,), (1.0,))

    @property
    def firsts(self) -> tuple[int, ...]:
        """The index of the first entry of each set."""
        return tuple(int(first) for first in np.cumsum((0, *self.counts[:-1])))

    @property
    def shares(self) -> tuple[float, ...]:
        """The shares of samples; they sum to 1."""
        return tuple(weight / sum(self.weights) for weight in self.weights)

    def evenly(self, most: int) -> list[list[int]]:
        """At most this number of indices, evenly, of each set in proportion to its size, but one at least."""
        share = min(1.0, most / sum(self.counts))
        picked = []
        for first, count in zip(self.firsts, self.counts, strict=True):
            places = np.linspace(0, count - 1, max(1, round(count * share))).round().astype(int)
            picked.append([first + int(place) for place in places])
        return picked

    def draw(self, random: Random) -> int:
        """The index of an entry: a set by its share, then any of its entries."""
        if len(self.counts) == 1:
            return int(random.integers(self.counts[0]))
        chosen = int(random.choice(len(self.counts), p=self.shares))
        return self.firsts[chosen] + int(random.integers(self.counts[chosen]))


def fingerprint(names: Iterable[str]) -> str:
    """Eight hexadecimal digits that other names, or the same in another order, hardly ever have."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:8]
