"""An evaluation with a segmenter that costs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from batch_kit import Still

from tinct.evaluation.evaluate import SequenceSegmentation


@dataclass
class StillSegmentation(SequenceSegmentation):
    """The segmentation of an evaluation, with `Still`."""

    @cached_property
    def segmenter(self) -> Still:
        return Still()
