"""Region similarity J: the overlap of two masks over their union.

Source: Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object
Segmentation", CVPR 2016, section 5.1.
"""

from __future__ import annotations

import numpy as np

from tinct.errors import MaskError
from tinct.shapes import BinaryMask, Bool, Shaped


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
    overlap_px, union_px = (int(np.count_nonzero(m)) for m in (prediction & truth, prediction | truth))
    return overlap_over_union(overlap_px, union_px)


def overlap_over_union(overlap_px: int, union_px: int) -> float:
    """J from the numbers of pixels in the intersection and the union; 1 if both masks are empty."""
    return overlap_px / union_px if union_px else 1.0


def check_same_size(prediction: Shaped[np.ndarray, "H W"], truth: Shaped[np.ndarray, "_ _"]) -> None:
    """Check that masks or label maps can be compared pixel by pixel.

    Raises:
        MaskError: The masks differ in size.
    """
    if prediction.shape != truth.shape:
        came, expected = (f"{mask.shape[0]}×{mask.shape[1]}" for mask in (prediction, truth))
        raise MaskError(
            f"A predicted mask of {came} (rows × columns) came for a truth of {expected}; "
            "resize the prediction to the truth before scoring."
        )
