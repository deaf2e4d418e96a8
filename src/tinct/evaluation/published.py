"""What others published on the benchmarks, each figure with its source.

The figures lie in `published.json`. Most come from summaries of the papers; where one could not be
confirmed it is marked as doubtful, and so is a figure whose split is a guess.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tinct.evaluation.results import MEASURES, NAN, Statistics, j_and_f

_FILE = Path(__file__).with_name("published.json")


@dataclass(frozen=True)
class PublishedFigure:
    """One measure of one result, as a fraction from 0 to 1.

    Attributes:
        mean: As published.
        recall: NaN where it was not published.
        decay: NaN where it was not published.
        doubtful: It could not be confirmed.
    """

    mean: float
    recall: float = NAN
    decay: float = NAN
    doubtful: bool = False

    @property
    def statistics(self) -> Statistics:
        """The same as the statistics of a measure."""
        return Statistics(self.mean, self.recall, self.decay)


@dataclass(frozen=True)
class PublishedResult:
    """What one source says of one method on one split.

    Attributes:
        method: Such as "OSVOS".
        variant: What sets it apart from the method's other rows; "" for none.
        dataset: Such as "davis-2016", as the protocols are called.
        split: Such as "val"; "all" where a dataset has no lists.
        measures: Per measure ("J", "F", "T", and "J&F" where it was printed) the figure.
        source: The publication, with its table where that is known.
        doubtful: At least one of the figures, or what it was measured on, could not be confirmed.
        ablation: A method with something taken away, to show what that is worth.
        seconds_per_frame: On the hardware of its authors; None where nobody says.
        note: What a reader should know.
    """

    method: str
    variant: str
    dataset: str
    split: str
    measures: Mapping[str, PublishedFigure]
    source: str
    doubtful: bool = False
    ablation: bool = False
    seconds_per_frame: float | None = None
    note: str = ""

    @property
    def title(self) -> str:
        """The method with its variant."""
        return f"{self.method} ({self.variant})" if self.variant else self.method

    @property
    def statistics(self) -> dict[str, Statistics]:
        """The published statistics of J, F and T."""
        return {name: self.measures[name].statistics for name in MEASURES if name in self.measures}

    @property
    def j_and_f(self) -> float:
        """As published, else (mean J + mean F) / 2; NaN where neither can be had."""
        if "J&F" in self.measures:
            return self.measures["J&F"].mean
        return j_and_f(self.statistics)


def published_results(dataset: str, split: str | None = None) -> tuple[PublishedResult, ...]:
    """The published results on a dataset, ablations among them; none if nobody published any.

    Args:
        dataset: Such as "davis-2016".
        split: Only those on this split.
    """
    return tuple(
        result
        for result in _all_results()
        if result.dataset == dataset and (split is None or result.split == split)
    )


def published_splits(dataset: str) -> tuple[str, ...]:
    """The splits of a dataset on which there are results, in the order of the file."""
    return tuple(dict.fromkeys(result.split for result in published_results(dataset)))


@cache
def _all_results() -> tuple[PublishedResult, ...]:
    content = json.loads(_FILE.read_text(encoding="utf-8"))
    return tuple(_result(entry) for entry in content["results"])


def _result(entry: Mapping[str, Any]) -> PublishedResult:
    measures = {name: PublishedFigure(**figure) for name, figure in entry["measures"].items()}
    return PublishedResult(**{**entry, "measures": measures})
