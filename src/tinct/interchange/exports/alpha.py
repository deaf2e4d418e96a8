"""The alpha channel of cut-outs."""

from __future__ import annotations

import numpy as np

from tinct.interchange.exports.formats import ExportJob
from tinct.shapes import UInt8


def alpha_of(job: ExportJob, index: int) -> UInt8[np.ndarray, "H W"]:
    """255 in any object and 0 outside; with soft edges, 255 × the probability of being in any object."""
    if not job.soft:
        return np.where(job.source.read(index) > 0, 255, 0).astype(np.uint8)
    inside = job.source.read_soft(index).probs.sum(axis=0).clip(0, 1)
    return np.asarray(np.rint(255 * inside), np.uint8)
