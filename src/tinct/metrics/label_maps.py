"""J and F of a frame's objects, computed directly from two label maps.

The figures are those of `region_similarity` and `contour_accuracy` on each object's masks, bit for
bit; only the work is shared: a mask is made, packed and cropped once for both measures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinct.errors import OptionError
from tinct.metrics.boundary import (
    DEFAULT_BOUND_TH,
    bit_counts,
    contour_accuracy_of_pair,
    counts,
    pack_pair,
    side_by_side,
    tolerance_radius_px,
)
from tinct.metrics.region import check_same_size, overlap_over_union
from tinct.shapes import BACKGROUND, VOID, Bool, Float, LabelMap, UInt8


def score_objects(
    prediction: LabelMap,
    truth: UInt8[np.ndarray, "_ _"],
    object_ids: Sequence[int],
    *,
    contours: bool = True,
    bound_th: float = DEFAULT_BOUND_TH,
) -> tuple[Float[np.ndarray, "N"], Float[np.ndarray, "N"]]:
    """Region similarity J and contour accuracy F of each object, in [0, 1], in the order of the ids.

    An object that neither label map has scores 1 in both. Other ids, and void (255), count as background.

    Args:
        prediction: The label map to score.
        truth: The annotated label map, of the same size.
        object_ids: The objects to score, from 1 to 254.
        contours: Whether F is wanted; without it F is NaN, and J takes half the time.
        bound_th: F's tolerance, as in `contour_accuracy`.

    Raises:
        MaskError: The label maps differ in size.
        OptionError: An id is not from 1 to 254, or `bound_th` is negative or not finite.
    """
    check_same_size(prediction, truth)
    if wrong := [i for i in object_ids if not BACKGROUND < i < VOID]:
        raise OptionError(
            f"Object ids {wrong} came; objects have ids from 1 to 254 (0 is background, 255 void)."
        )
    height, width = prediction.shape
    radius_px = tolerance_radius_px(height, width, bound_th)
    labels = side_by_side(prediction, truth)
    masks = np.empty(labels.shape, np.bool_)
    scores = np.empty((2, len(object_ids)))
    for column, object_id in enumerate(object_ids):
        np.equal(labels, object_id, out=masks)
        scores[:, column] = _score_pair(masks, width, radius_px if contours else None)
    return scores[0], scores[1]


def _score_pair(masks: Bool[np.ndarray, "2 H P"], width: int, radius_px: int | None) -> tuple[float, float]:
    """(J, F) of one object; F is NaN if no radius is given."""
    pair = pack_pair(masks, width, radius_px or 0)
    if pair is None:
        return 1.0, 1.0 if radius_px is not None else float("nan")
    predicted, annotated = counts(pair.words)
    overlap_px = int(bit_counts(pair.words[0] & pair.words[1]).sum())
    similarity = overlap_over_union(overlap_px, predicted + annotated - overlap_px)
    if radius_px is None:
        return similarity, float("nan")
    return similarity, contour_accuracy_of_pair(pair, radius_px)
