"""Membership of pixels in labels: label maps at the resolution of a network's grid, and labelled pixels.

Labels are positions here, not ids: the background is 0, the N objects are 1 to N, L = N + 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tinct.ops.resize import resize_area, resize_nearest
from tinct.shapes import VOID, LabelMap, holds_arrays


def label_positions(labels: LabelMap, object_ids: tuple[int, ...]) -> Int64[Tensor, "H W"]:
    """Ids replaced by their positions: background 0, the objects 1 to N, anything else void."""
    table = np.full(256, VOID, np.int64)
    table[[0, *object_ids]] = np.arange(len(object_ids) + 1)
    return torch.from_numpy(table[labels])


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


@holds_arrays
@dataclass(frozen=True, repr=False)
class PixelSet:
    """Reference pixels: embeddings and the label that each belongs to.

    Attributes:
        embedding: [R, C].
        membership: [R, L] in [0, 1], the background first.
    """

    embedding: Tensor
    membership: Tensor

    @classmethod
    def of_frame(cls, embedding: Float[Tensor, "C H W"], membership: Float[Tensor, "L H W"]) -> PixelSet:
        """All pixels of a frame."""
        return cls(embedding.flatten(1).T, membership.flatten(1).T)

    def joined(self, other: PixelSet) -> PixelSet:
        """The union of both sets."""
        return PixelSet(
            torch.cat([self.embedding, other.embedding]), torch.cat([self.membership, other.membership])
        )

    def with_labels(self, old: tuple[int, ...], new: tuple[int, ...]) -> PixelSet:
        """The pixels with columns for further objects, to which none of them belongs."""
        wider = self.membership.new_zeros(len(self.membership), len(new) + 1)
        wider[:, [0, *(new.index(i) + 1 for i in old)]] = self.membership
        return PixelSet(self.embedding, wider)

    def relabelled(self, old: tuple[int, ...], new: tuple[int, ...]) -> PixelSet:
        """The pixels of a frame that shows `old` objects, in the labels of one that shows `new` ones.

        Objects that the other lacks are background to it. The background of a frame that lacks one of its
        objects may hold that object, and belongs to nobody.
        """
        membership = self.membership.new_zeros(len(self.membership), len(new) + 1)
        for column, object_id in enumerate(old, 1):
            membership[:, new.index(object_id) + 1 if object_id in new else 0] += self.membership[:, column]
        if {*new} <= {*old}:
            membership[:, 0] += self.membership[:, 0]
        return PixelSet(self.embedding, membership)

    def thinned(self, keep_every: int) -> PixelSet:
        """Every n-th pixel."""
        return PixelSet(self.embedding[::keep_every], self.membership[::keep_every])

    def weighted(self, factor: float | Float[Tensor, "L"]) -> PixelSet:
        """Multiply the weight of pixels, or of each label, in a soft minimum; an exact one has no weights."""
        return PixelSet(self.embedding, self.membership * factor)

    def subsampled(self, per_label: int) -> PixelSet:
        """A limited number of pixels of each label, drawn uniformly without replacement (3.3)."""
        chosen = []
        owner = self.membership.argmax(1)
        for label in range(self.membership.shape[1]):
            pixels = torch.nonzero(owner == label)[:, 0]
            order = torch.randperm(len(pixels), device=pixels.device)[:per_label]
            chosen.append(pixels[order])
        indices = torch.cat(chosen)
        return PixelSet(self.embedding[indices], self.membership[indices])
