"""Samples whose pictures leave a part of the frame free."""

from __future__ import annotations

import torch

from tinct.data.samplers import Samples
from tinct.data.synthetic import BLANK
from tinct.shapes import VOID


def void_rims(samples: Samples, count: int) -> int:
    """How many of the first samples have a blank rim; in each frame it must be void."""
    rims = 0
    for index in range(count):
        clip = samples[index]
        blank = (clip["frames"] == torch.tensor(BLANK, dtype=torch.uint8)).all(-1)
        rims += int(blank.any())
        assert (clip["labels"][blank] == VOID).all()
    return rims
