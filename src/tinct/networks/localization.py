"""MaskRNN's localization net: where the object's box goes from one frame to the next (section 3.3)."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torchvision.ops import roi_pool

from tinct.ops.boxes import apply_deltas, mask_boxes


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
    proposals: Float[Tensor, "B 4"], deltas: Float[Tensor, "B 4"], seen: Bool[Tensor, "B"]
) -> Float[Tensor, "B 4"]:
    """The regressed boxes; proposals stay where nothing was seen before."""
    return torch.where(seen[:, None], apply_deltas(proposals, deltas), proposals)
