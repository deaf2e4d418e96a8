"""MaskRNN's localization net: where the object's box goes from one frame to the next (section 3.3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torchvision.ops import roi_pool

from tinct.ops.boxes import apply_deltas, box_deltas, enlarged_boxes, hull_boxes, mask_boxes

FARTHEST = 2.0
"""Largest delta that is taught: what lies farther off is no matter of the proposal's surroundings."""


class LocalizationNet(nn.Module):
    """RoI pooling over the box of the warped previous mask, two hidden layers, four numbers.

    Args:
        channels: Of the features.
        hidden: Width of the hidden layers.
        stride: Of the features.
    """

    GRID = 7

    def __init__(self, channels: int, hidden: int, stride: int = 16) -> None:
        super().__init__()
        self.scale = 1 / stride
        self.hidden = nn.Sequential(
            nn.Linear(channels * self.GRID**2, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()
        )
        self.regression = nn.Linear(hidden, 4)
        nn.init.zeros_(self.regression.weight)
        nn.init.zeros_(self.regression.bias)

    def forward(
        self, features: Float[Tensor, "B C h w"], proposals: Float[Tensor, "B 4"]
    ) -> Float[Tensor, "B 4"]:
        """Deltas (`tinct.ops.boxes`) of one proposal per image; zeros before any training."""
        with torch.autocast(features.device.type, enabled=False):
            index = torch.arange(len(proposals), device=proposals.device, dtype=torch.float32)
            rois = torch.cat([index[:, None], proposals.float()], 1)
            pooled = roi_pool(features.float(), rois, self.GRID, self.scale)
            deltas: Tensor = self.regression(self.hidden(pooled.flatten(1)))
        return deltas


def proposals_of(guides: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B 4"]:
    """The tight boxes of warped masks above one half; the whole frame for one that is empty."""
    return mask_boxes(guides[:, 0] > 0.5)


def located(
    warped: Float[Tensor, "B 1 H W"],
    deltas: Float[Tensor, "B 4"],
    enlargement: float,
    before: Float[Tensor, "B 1 H W"] | None = None,
) -> Float[Tensor, "B 4"]:
    """The boxes outside of which an object's map is 0, in training as at test; they have no gradient.

    Args:
        warped: The warped previous masks, whose boxes the net moves. Of an empty one, the object was lost,
            and its box is the whole frame.
        deltas: The net's.
        enlargement: Of the boxes (1.25).
        before: Beyond the paper: the unwarped masks, which the boxes contain too.
    """
    proposals, seen = proposals_of(warped), (warped > 0.5).flatten(1).any(1)
    boxes = torch.where(seen[:, None], apply_deltas(proposals, deltas.detach().float()), proposals)
    if before is not None:
        shown = before[:, 0] > 0.5
        hull = hull_boxes(boxes, mask_boxes(shown))
        boxes = torch.where(shown.flatten(1).any(1)[:, None], hull, boxes)
    return enlarged_boxes(boxes, enlargement)


def box_loss(
    deltas: Float[Tensor, "B 4"], proposals: Float[Tensor, "B 4"], truth: Bool[Tensor, "B H W"]
) -> Float[Tensor, ""]:
    """Smooth L1 between deltas and those that lead to the true masks' boxes (Fast R-CNN's).

    Args:
        deltas: The net's.
        proposals: From which they lead.
        truth: The true masks; an empty one teaches nothing.
    """
    targets = box_deltas(proposals, mask_boxes(truth)).clamp(-FARTHEST, FARTHEST)
    shown = truth.flatten(1).any(1).float()
    distance = F.smooth_l1_loss(deltas, targets, reduction="none").sum(1)
    return (distance * shown).sum() / shown.sum().clamp_min(1)
