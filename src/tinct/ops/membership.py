"""Membership of pixels in labels: label maps at the resolution of a network's grid.

Labels are positions here, not ids: the background is 0, the N objects are 1 to N, L = N + 1.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tinct.ops.pixel_sets import PixelSet
from tinct.ops.resize import resize_area, resize_nearest


def label_membership(
    labels: Int64[Tensor, "H W"],
    objects: int,
    grid: tuple[int, int],
    *,
    soft: bool,
    align_corners: bool = False,
) -> Float[Tensor, "L h w"]:
    """Which pixel of a grid belongs to which label, background first; void pixels belong to none.

    The paper resizes labels to the nearest one (`soft` false); a soft membership is each label's
    share of the cell. `align_corners` is for the nearest one.
    """
    if not soft:
        labels = resize_nearest(labels[None].float(), grid, align_corners=align_corners)[0].long()
    ids = torch.arange(objects + 1, device=labels.device)
    membership = (labels == ids.view(-1, 1, 1)).float()
    return resize_area(membership, grid) if soft else membership


def subsampled(pixels: PixelSet, per_label: int, *, representative: bool = False) -> PixelSet:
    """A limited number of pixels of each label, drawn uniformly without replacement (FEELVOS, 3.3).

    Args:
        pixels: Each belongs to the label of its largest membership.
        per_label: At most so many are kept.
        representative: Each pixel counts for those that were not drawn too. A soft minimum adds pixels up: if
            it saw fewer of one label in training than at test, that label would lie nearer at test.
    """
    chosen, counts = [], []
    owner = pixels.membership.argmax(1)
    for label in range(pixels.membership.shape[1]):
        of_label = torch.nonzero(owner == label)[:, 0]
        order = torch.randperm(len(of_label), device=of_label.device)[:per_label]
        chosen.append(of_label[order])
        counts.append(torch.full_like(order, len(of_label)) / max(1, len(order)))
    indices, counted = torch.cat(chosen), torch.cat(counts).unsqueeze(1)
    membership = pixels.membership[indices]
    return PixelSet(pixels.embedding[indices], membership * counted if representative else membership)
