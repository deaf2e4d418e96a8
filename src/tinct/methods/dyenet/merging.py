"""Merging: each object's masks of a frame become probabilities that share the pixels out (spec of the end).

The report gives no formula. This is that of the same authors' "Video Object Segmentation with
Re-identification" (DAVIS challenge 2017): the background is what no object claims, the product of
1 - P_k, and all are divided by their sum (inferred for DyeNet).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tinct.io.masks import ObjectMasks
from tinct.methods.dyenet.tracklets import RoiMask, box_tensor, patch_tensor
from tinct.ops.rois import pasted


def with_product_background(probs: Float[Tensor, "N H W"]) -> Float[Tensor, "N H W"]:
    """Independent probabilities as shares of each pixel: P_k / (Π (1 - P_l) + Σ P_l)."""
    background = (1 - probs).prod(0)
    return probs / (background + probs.sum(0)).clamp_min(1e-6)


def shared_out(probs: Float[Tensor, "N H W"]) -> Float[Tensor, "N H W"]:
    """Beyond the paper: where another object is more probable, an object gets what that one leaves over.

    So that of objects that are propagated together none keeps a mask on another one's pixels. Equals
    go to the first one.
    """
    if len(probs) < 2:
        return probs
    best, owner = probs.max(0)
    # `max` names any of several equals; the first one is meant.
    owner = (probs == best).to(torch.uint8).argmax(0)
    others = torch.arange(len(probs), device=probs.device).view(-1, 1, 1) != owner
    return torch.where(others, torch.minimum(probs, 1 - best), probs)


def merged(
    masks: Mapping[int, RoiMask],
    object_ids: tuple[int, ...],
    working: tuple[int, int],
    size: tuple[int, int],
) -> ObjectMasks:
    """One frame's masks at the video's own size.

    Args:
        masks: Object id → mask; an object without one is not in the frame.
        object_ids: All objects, increasing.
        working: (H, W) of the working frame, in whose pixels the masks' boxes are.
        size: (H, W) of the video.
    """
    probs = torch.zeros(len(object_ids), *size)
    seen = [i for i in object_ids if i in masks]
    if seen:
        scale = torch.tensor([size[1] / working[1], size[0] / working[0]]).repeat(2)
        own = [masks[i] for i in seen]
        maps = pasted(patch_tensor(own), box_tensor(own) * scale, size).clamp(0, 1)
        probs[[object_ids.index(i) for i in seen]] = with_product_background(maps)
    return ObjectMasks(object_ids, np.ascontiguousarray(probs.numpy(), np.float32))
