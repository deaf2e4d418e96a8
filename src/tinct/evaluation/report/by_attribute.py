"""Scores by attribute, such as occlusion or fast motion.

Source: Perazzi et al., CVPR 2016, the table of attribute-based performance: the mean over the
sequences that have an attribute, and the gain on those without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinct.data.attributes import ATTRIBUTES
from tinct.evaluation.results import NAN, Scores
from tinct.metrics import mean


@dataclass(frozen=True)
class AttributeScore:
    """A measure over the sequences that have an attribute.

    Attributes:
        letters: The abbreviation of the benchmark, such as "OCC".
        name: The full name.
        sequences: Number of scored sequences that have it.
        mean: The mean of the measure over them, a fraction from 0 to 1.
        gain_without: The mean over the sequences without it, minus `mean`; NaN if all have it.
    """

    letters: str
    name: str
    sequences: int
    mean: float
    gain_without: float


def attribute_scores(
    scores: Scores, attributes: Mapping[str, Sequence[str]], measure: str = "J"
) -> tuple[AttributeScore, ...]:
    """The scores of every attribute that a scored sequence has, the hardest first.

    Args:
        scores: The scores of a whole set.
        attributes: Abbreviations by sequence; other sequences are left out everywhere.
        measure: "J" or "F".
    """
    means = {
        sequence.name: sequence.statistics[measure].mean
        for sequence in scores.sequences
        if sequence.name in attributes and measure in sequence.statistics
    }
    letters = sorted({letter for name in means for letter in attributes[name]})
    rows = [_score(letter, means, attributes) for letter in letters]
    return tuple(sorted(rows, key=lambda row: (np.nan_to_num(row.mean, nan=2.0), row.letters)))


def _score(
    letters: str, means: Mapping[str, float], attributes: Mapping[str, Sequence[str]]
) -> AttributeScore:
    having = [value for name, value in means.items() if letters in attributes[name]]
    lacking = [value for name, value in means.items() if letters not in attributes[name]]
    with_it = mean(np.asarray(having, np.float64))
    gain = mean(np.asarray(lacking, np.float64)) - with_it if lacking else NAN
    return AttributeScore(letters, ATTRIBUTES.get(letters, letters), len(having), with_it, gain)
