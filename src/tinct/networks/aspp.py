"""Atrous spatial pyramid pooling (DeepLabv3+, Chen et al. 2018, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

DROPOUT = 0.1
"""The released code keeps 0.9 of the activations."""


class ConvNormRelu(nn.Sequential):
    """A convolution that keeps the size, batch norm, ReLU."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 1, *, dilation: int = 1, groups: int = 1
    ) -> None:
        padding = dilation * (kernel_size // 2)
        convolution = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=False,
        )
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        super().__init__(convolution, nn.BatchNorm2d(out_channels, eps=1e-5), nn.ReLU(inplace=True))


class SeparableConvNormRelu(nn.Sequential):
    """A 3×3 depthwise convolution and a 1×1 convolution, each with batch norm and ReLU."""

    def __init__(self, in_channels: int, out_channels: int, *, dilation: int = 1) -> None:
        super().__init__(
            ConvNormRelu(in_channels, in_channels, 3, dilation=dilation, groups=in_channels),
            ConvNormRelu(in_channels, out_channels),
        )


class AtrousSpatialPyramidPooling(nn.Module):
    """Looks at a feature map with several reaches at once: 1×1, three atrous rates, the whole image.

    Args:
        in_channels: Channels of the feature map.
        channels: Channels of every branch and of the result.
        rates: Atrous rates of the separable 3×3 convolutions, in pixels of the feature map.
    """

    def __init__(self, in_channels: int, channels: int = 256, rates: Sequence[int] = (6, 12, 18)) -> None:
        super().__init__()
        self.pointwise = ConvNormRelu(in_channels, channels)
        self.atrous = nn.ModuleList(
            SeparableConvNormRelu(in_channels, channels, dilation=rate) for rate in rates
        )
        self.image_pooling = ConvNormRelu(in_channels, channels)
        self.project = ConvNormRelu((2 + len(rates)) * channels, channels)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, features: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K H W"]:
        """Features [B, C, H, W] -> [B, channels, H, W]."""
        whole_image = self.image_pooling(F.adaptive_avg_pool2d(features, 1))
        branches = [
            self.pointwise(features),
            *(branch(features) for branch in self.atrous),
            whole_image.expand(-1, -1, *features.shape[2:]),
        ]
        result: Tensor = self.dropout(self.project(torch.cat(branches, 1)))
        return result
