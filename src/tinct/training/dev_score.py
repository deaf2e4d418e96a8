"""J and F on a split that is not trained on, measured at the end of a stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tinct.data.davis import Davis
from tinct.evaluation.live_score import score_davis_2016
from tinct.inference.segmenter import StreamingSegmenter

DevScore = Callable[[Path, torch.device], dict[str, float]]
"""Weights as they were saved, and the device → J&F, J and F."""


def scored_on(
    root: Path, split: str, segmenter_of: Callable[[Path, torch.device], StreamingSegmenter[Any]]
) -> DevScore:
    """A function that measures weights on a split.

    Args:
        root: Data in the layout of DAVIS-2016.
        split: The name of a list.
        segmenter_of: Weights and device → what is measured.

    Raises:
        DatasetError: The list or something of its sequences is missing. That is found now, and not
            after the first stage's hours.
    """
    Davis(root, split)

    def score(file: Path, device: torch.device) -> dict[str, float]:
        scores = score_davis_2016(segmenter_of(file, device), root, split)
        means = {measure.lower(): of.mean for measure, of in scores.statistics.items()}
        return {"j_and_f": scores.j_and_f, **means}

    return score
