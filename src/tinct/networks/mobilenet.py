"""MobileNetV2's features without its batch norm: timm's network after `fold_batch_norm`, by timm's names.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018. The network is timm's; it
stands here because timm, which loads all of its models and torchvision, takes longer to import than a short
video takes to segment. ImageNet's weights still come through timm.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

STAGES = ((16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))
"""Channels, blocks, and stride of the first block (table 2)."""

TAPS = {1: 24, 2: 32, 4: 96, 6: 320}
"""The stages whose maps are given, of strides 4, 8, 16 and 32, and their channels."""

STEM, EXPANSION = 32, 6


class _Separable(nn.Module):
    """The first stage's block, which does not widen."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv_dw = _convolution(inputs, inputs, 3, groups=inputs)
        self.conv_pw = _convolution(inputs, outputs, 1)

    def forward(self, maps: Tensor) -> Tensor:
        inner = F.relu6(self.conv_dw(maps), inplace=True)
        out: Tensor = self.conv_pw(inner)
        return out


class _InvertedResidual(nn.Module):
    """Widen, look around, narrow (figure 4)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        wide = inputs * EXPANSION
        self.skips = stride == 1 and inputs == outputs
        self.conv_pw = _convolution(inputs, wide, 1)
        self.conv_dw = _convolution(wide, wide, 3, stride=stride, groups=wide)
        self.conv_pwl = _convolution(wide, outputs, 1)

    def forward(self, maps: Tensor) -> Tensor:
        inner = F.relu6(self.conv_pw(maps), inplace=True)
        inner = F.relu6(self.conv_dw(inner), inplace=True)
        out: Tensor = self.conv_pwl(inner)
        return out + maps if self.skips else out


class MobileNetFeatures(nn.Module):
    """Maps of strides 4, 8, 16 and 32 of normalised frames; biases, batch norm's, are not trained."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = _convolution(3, STEM, 3, stride=2)
        stages, inputs = [], STEM
        for number, (channels, count, stride) in enumerate(STAGES):
            blocks: list[nn.Module] = []
            for block in range(count):
                if number == 0:
                    blocks.append(_Separable(inputs, channels))
                else:
                    blocks.append(_InvertedResidual(inputs, channels, 1 if block else stride))
                inputs = channels
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)

    def forward(self, frames: Tensor) -> list[Tensor]:
        """[B, 24, H/4, W/4], [B, 32, H/8, W/8], [B, 96, H/16, W/16], [B, 320, H/32, W/32], rounded up."""
        maps, found = F.relu6(self.conv_stem(frames), inplace=True), []
        for number, stage in enumerate(self.blocks):
            maps = stage(maps)
            if number in TAPS:
                found.append(maps)
        return found


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups)
    assert layer.bias is not None
    nn.init.normal_(layer.weight, std=math.sqrt(2 * groups / (kernel**2 * outputs)))
    nn.init.zeros_(layer.bias.requires_grad_(False))
    return layer
