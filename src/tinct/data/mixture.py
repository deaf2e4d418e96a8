"""Several sets of training data as one: how often each is drawn from, and what tells a mix from another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from tinct.errors import OptionError

Random = np.random.Generator

Entry = TypeVar("Entry")


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


class MixedEntries(Generic[Entry]):
    """Entries of one set or of several, in order, and how often each is drawn to train on.

    Args:
        entries: Set after set.
        mixture: How often each is drawn, where they come from several sets.
    """

    def __init__(self, entries: tuple[Entry, ...], mixture: Mixture | None = None) -> None:
        self.entries = entries
        self.mixture = Mixture.of_one(len(entries)) if mixture is None else mixture

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __getitem__(self, index: int) -> Entry:
        return self.entries[index]

    def draw(self, random: Random) -> int:
        """The index of an entry to train on."""
        return self.mixture.draw(random)


def joined(sets: Sequence[tuple[MixedEntries[Entry], float]]) -> tuple[tuple[Entry, ...], Mixture]:
    """The entries of several sets, and their mixture, each set with its weight."""
    counts, weights = tuple(len(part) for part, _ in sets), tuple(weight for _, weight in sets)
    return tuple(entry for part, _ in sets for entry in part), Mixture(counts, weights)


def fingerprint(names: Iterable[str]) -> str:
    """Eight hexadecimal digits that other names, or the same in another order, hardly ever have."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:8]
