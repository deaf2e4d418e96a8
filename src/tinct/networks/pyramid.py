"""A light feature pyramid over a small backbone, for compact variants (after Lin et al., FPN, CVPR 2017)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from tinct.networks.backbones import PyramidBackbone
from tinct.ops.resize import resize_like


class PyramidFeatures(NamedTuple):
    """What a frame looks like to a compact network.

    Attributes:
        features: [B, C, H8, W8], context from all strides, for the head.
        stacked: [B, S, H8, W8], the backbone's own maps of strides 8, 16 and 32 side by side,
            each scaled to unit length per pixel: what nearest-neighbour matching starts from.
        skip: [B, C4, H4, W4], fine features of stride 4, for the refinement.
    """

    features: Float[Tensor, "B C H8 W8"]
    stacked: Float[Tensor, "B S H8 W8"]
    skip: Float[Tensor, "B C4 H4 W4"]


class FeaturePyramid(nn.Module):
    """Backbone maps of strides 8, 16 and 32, merged top-down into one map of stride 8.

    Args:
        backbone_name: A timm name, see `PyramidBackbone`.
        channels: C, the width of the merged map.
        skip_channels: C4, the width of the stride-4 map.
    """

    def __init__(self, backbone_name: str, channels: int, skip_channels: int) -> None:
        super().__init__()
        self.backbone = PyramidBackbone(backbone_name)
        fine, *coarser = self.backbone.channels
        self.stacked_channels = sum(coarser)
        self.laterals = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in coarser)
        self.smooth_16 = nn.Conv2d(channels, channels, 3, padding=1)
        self.smooth_8 = nn.Conv2d(channels, channels, 3, padding=1)
        self.skip = nn.Conv2d(fine, skip_channels, 1)

    def forward(self, frames: Float[Tensor, "B 3 H W"]) -> PyramidFeatures:
        """Features of frames in [0, 1]; H and W are of any size (strides round up)."""
        stride_4, stride_8, stride_16, stride_32 = self.backbone(frames)
        lateral_8, lateral_16, lateral_32 = (
            lateral(x) for lateral, x in zip(self.laterals, (stride_8, stride_16, stride_32), strict=True)
        )
        merged_16 = F.relu(self.smooth_16(F.relu(lateral_16 + resize_like(lateral_32, lateral_16))))
        merged_8 = F.relu(self.smooth_8(F.relu(lateral_8 + resize_like(merged_16, lateral_8))))
        stacked = torch.cat(
            [F.normalize(resize_like(x, stride_8), dim=1) for x in (stride_8, stride_16, stride_32)], dim=1
        )
        return PyramidFeatures(merged_8, stacked, F.relu(self.skip(stride_4)))
