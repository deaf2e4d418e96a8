"""Region similarity J: the overlap of two masks over their union.

Source: Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object
Segmentation", CVPR 2016, section 5.1.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from tinct.errors import MaskError
from tinct.shapes import BinaryMask


# The second size is left open here, so that a mismatch gives MaskError and not a shape checker's error.
def region_similarity(prediction: BinaryMask, truth: Bool[np.ndarray, "_ _"]) -> float:
    """J = |prediction ∩ truth| / |prediction ∪ truth|, in [0, 1]; two empty masks agree (1).

    Args:
        prediction: The mask to score.
        truth: The annotated mask, of the same size.

    Raises:
        MaskError: The masks differ in size.
    """
    check_same_size(prediction, truth)
    union = np.count_nonzero(prediction | truth)
    if union == 0:
        return 1.0
    return np.count_nonzero(prediction & truth) / union


def check_same_size(prediction: Bool[np.ndarray, "H W"], truth: Bool[np.ndarray, "_ _"]) -> None:
    """Refuse masks that cannot be compared pixel by pixel.

    Raises:
        MaskError: The masks differ in size.
    """
    if prediction.shape != truth.shape:
        came, expected = (f"{mask.shape[0]}×{mask.shape[1]}" for mask in (prediction, truth))
        raise MaskError(
            f"A predicted mask of {came} (rows × columns) came for a truth of {expected}; "
            "resize the prediction to the truth before scoring."
        )
