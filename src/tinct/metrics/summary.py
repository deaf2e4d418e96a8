"""Statistics of a sequence's per-frame scores: mean, recall and decay.

Source: Perazzi et al., CVPR 2016, section 5.2. The first frame is given to the method, and the
benchmark leaves out the last one too: drop both before. Frames without a score are NaN.
"""

from __future__ import annotations

import numpy as np

from tinct.errors import OptionError
from tinct.shapes import Float

BINS = 4
"""The decay compares the first and the last of this many parts of a sequence."""


def mean(values: Float[np.ndarray, "T"]) -> float:
    """The mean over the frames that have a score; NaN if none has one."""
    scored = values[~np.isnan(values)]
    return float(scored.mean()) if scored.size else float("nan")


def recall(values: Float[np.ndarray, "T"], threshold: float = 0.5) -> float:
    """The fraction of frames that score above the threshold (strictly); NaN if there is no frame.

    A frame without a score (NaN) counts as one below it, as in the benchmark's toolkit.
    """
    return float(np.mean(values > threshold)) if values.size else float("nan")


def decay(values: Float[np.ndarray, "T"], *, wrap_at_256: bool = False) -> float:
    """The mean of the first quarter less the mean of the last: the loss along the sequence.

    Neighbouring quarters share the frame on their border.

    Args:
        values: One score per frame.
        wrap_at_256: Compute as the benchmark's toolkit does: it stores frame numbers in eight bits,
            so that sequences of more than 256 frames give NaN or a meaningless figure. Only for comparison
            with its tables.

    Raises:
        OptionError: There is no frame.
    """
    if not values.size:
        raise OptionError("The decay of no frames is undefined; give at least one per-frame score.")
    # The tiny offset makes halves round up where numpy would round them to even.
    borders = np.round(np.linspace(1, values.size, BINS + 1) + 1e-10).astype(np.int64) - 1
    if wrap_at_256:
        borders %= 256
    first = values[borders[0] : borders[1] + 1]
    last = values[borders[-2] : borders[-1] + 1]
    return mean(first) - mean(last)
