"""How sure the masks of a frame are, without a truth, and which frame should be annotated next.

No paper gives these measures; what they are made of is inferred from what goes wrong when masks travel: an
object is lost where another label comes near it, and a lost object stays lost until somebody paints it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from tinct.io.masks import ObjectMasks
from tinct.shapes import BinaryMask, Float

LOOKED_AT_PX = 50_000
"""Larger frames are thinned to about this number of pixels: a mean does not need all of them."""

RIM = 0.02
"""How far around an object is looked, as a fraction of the frame's short side."""

SURE = 0.995
"""From here on a frame is as good as annotated, and is not proposed."""

_CANDIDATES = 256
"""Of long videos, only this number of the most doubtful frames are weighed against each other."""


def frame_confidence(masks: ObjectMasks) -> float:
    """The confidence of a frame's least sure object, in [0, 1]; 1 where nothing is to be doubted."""
    return min(object_confidences(masks).values(), default=1.0)


def object_confidences(masks: ObjectMasks) -> dict[int, float]:
    """How clearly each object of a frame is separated from the other labels, in [0, 1], by id.

    The margin of a pixel is the distance between its best and its second best label, the background
    among them. An object's confidence is the mean margin on its mask and around it (`RIM`). Of an
    object without a mask it is how far it stayed behind the winner where it came nearest: an object
    that is gone for certain gives 1, one that was nearly found gives little.

    Args:
        masks: Of one frame.
    """
    if not masks.object_ids:
        return {}
    H, W = masks.size
    step = max(1, round((H * W / LOOKED_AT_PX) ** 0.5))
    objects = np.ascontiguousarray(masks.probs[:, ::step, ::step])
    best = np.clip(1 - objects.sum(0), 0, 1)
    second, labels = np.zeros_like(best), np.zeros(best.shape, np.uint8)
    # One pass per object: sorting along the first axis is many times as slow.
    for object_id, probs in zip(masks.object_ids, objects, strict=True):
        np.copyto(labels, object_id, where=probs > best)
        second = np.maximum(second, np.minimum(best, probs))
        best = np.maximum(best, probs)
    reach = max(1, round(RIM * min(labels.shape)))
    sure = {
        object_id: _confidence_of(labels == object_id, best - second, best - probs, reach)
        for object_id, probs in zip(masks.object_ids, objects, strict=True)
    }
    return {object_id: float(np.clip(value, 0, 1)) for object_id, value in sure.items()}


def _confidence_of(
    mask: BinaryMask,
    margin: Float[np.ndarray, "h w"],
    behind: Float[np.ndarray, "h w"],
    reach: int,
) -> float:
    if not mask.any():
        return float(behind.min())
    return float(margin[_widened(mask, reach)].mean())


def _widened(mask: BinaryMask, reach: int) -> BinaryMask:
    """The mask and all pixels within a square of `reach` around it."""
    for axis in (0, 1):
        widened = mask.copy()
        for shift in range(1, min(reach, mask.shape[axis] - 1) + 1):
            ahead = [slice(None)] * 2
            behind = [slice(None)] * 2
            ahead[axis], behind[axis] = slice(shift, None), slice(None, -shift)
            widened[tuple(ahead)] |= mask[tuple(behind)]
            widened[tuple(behind)] |= mask[tuple(ahead)]
        mask = widened
    return mask


def agreement(forward: ObjectMasks, backward: ObjectMasks) -> float:
    """The overlap over the union (J) of two runs' masks of one frame: the mean over their objects, in [0, 1].

    An object that only one of the runs knows is left out; one that neither shows counts as 1, and so
    do two runs without an object in common.

    Args:
        forward: Masks from a run that came from earlier frames.
        backward: Of the same size, from a run that came from later ones.
    """
    found = []
    for object_id in sorted({*forward.object_ids} & {*backward.object_ids}):
        one, other = forward.label_map == object_id, backward.label_map == object_id
        union_px = np.count_nonzero(one | other)
        found.append(np.count_nonzero(one & other) / union_px if union_px else 1.0)
    return float(np.mean(found)) if found else 1.0


def most_helpful_frame(confidences: Mapping[int, float], prompts: Collection[int]) -> int | None:
    """The frame that would help most if it were annotated: where most doubt lies far from annotated frames.

    Annotating frame f helps a frame i the more, the nearer it lies to f compared with its nearest annotated
    frame: by the share max(0, 1 - |i - f| / distance to that frame) of its doubt, 1 - confidence. The
    frame with the largest sum is proposed; of equals, the earliest. So a long stretch of doubt outweighs
    a single worse frame, and its middle is proposed rather than its end.

    Args:
        confidences: Frame index → confidence in [0, 1], of any frames.
        prompts: The annotated frames; they are never proposed.

    Returns:
        A frame of `confidences`; None where all of them are annotated or as sure as `SURE`.
    """
    annotated = np.array(sorted(prompts), np.int64)
    known = np.array(sorted({*confidences} - {*prompts}), np.int64)
    doubt = np.array([1 - min(max(confidences[int(index)], 0), 1) for index in known], np.float64)
    known, doubt = known[doubt > 1 - SURE], doubt[doubt > 1 - SURE]
    if not len(known):
        return None
    away = np.full(len(known), np.inf)
    if len(annotated):
        after = np.searchsorted(annotated, known)
        for places in (np.clip(after - 1, 0, None), np.clip(after, None, len(annotated) - 1)):
            away = np.minimum(away, np.abs(known - annotated[places]))
    candidates = np.sort(np.argsort(-doubt, kind="stable")[:_CANDIDATES])
    gain = [(doubt * np.clip(1 - np.abs(known - known[f]) / away, 0, None)).sum() for f in candidates]
    return int(known[candidates[int(np.argmax(gain))]])
