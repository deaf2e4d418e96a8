"""Side outputs of a network's stages, and their linear fusion (OSVOS, 3.1; MaskRNN, 3.2).

Each tapped stage gives a few channels ("side prep"); these are enlarged by fixed bilinear
interpolation, laid side by side, and combined linearly into one map of logits. In training every
stage also gives a map of its own, for deep supervision.

The papers write the enlargement as a transposed convolution with a fixed bilinear kernel of size 2s
and stride s whose output is cropped to the image (`ops.bilinear`), which is what their networks do
here. Away from the border that is bilinear interpolation with pixel centres aligned, which is what
the compact networks do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from tinct.ops.bilinear import enlarged_by_stride


class SideLogits(NamedTuple):
    """What a stream with side outputs says, before the sigmoid.

    Attributes:
        sides: One map [B, H, W] per tapped stage; empty where nobody asked for them.
        fused: [B, H, W], the result.
    """

    sides: tuple[Tensor, ...]
    fused: Float[Tensor, "B H W"]


class SideOutputs(nn.Module):
    """Side prep, deep supervision and fusion over the maps of several stages.

    Args:
        channels: Of the tapped maps.
        width: Channels of each side prep (16 in the papers).
        strides: Of the tapped maps, for the papers' transposed convolutions; None interpolates.
    """

    def __init__(
        self, channels: Sequence[int], width: int = 16, strides: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        self.strides: Sequence[int | None] = strides or [None] * len(channels)
        self.preps = nn.ModuleList(nn.Conv2d(c, width, 3, padding=1) for c in channels)
        self.scores = nn.ModuleList(nn.Conv2d(width, 1, 1) for _ in channels)
        # The fusion of all preps, written as a sum of parts: a linear map commutes with the
        # enlargement, so that each part is enlarged as one channel instead of `width` of them.
        self.fusion = nn.ModuleList(nn.Conv2d(width, 1, 1, bias=i == 0) for i in range(len(channels)))

    def forward(
        self, taps: Sequence[Tensor], size: tuple[int, int], *, deep_supervision: bool = False
    ) -> SideLogits:
        """Logits at a size from the tapped maps, the finest first.

        Args:
            taps: [B, channels[i], h_i, w_i].
            size: (H, W) of the logits.
            deep_supervision: Give the maps of the single stages too.
        """
        preps = [prep(tap) for prep, tap in zip(self.preps, taps, strict=True)]
        parts = [part for part in self.fusion if isinstance(part, nn.Conv2d)]
        assert parts[0].bias is not None
        # Added after the enlargement: at the border the papers' one would fade it.
        fused = parts[0].bias.view(1, 1, 1, 1)
        for part, prep, stride in zip(parts, preps, self.strides, strict=True):
            fused = fused + _enlarged(F.conv2d(prep, part.weight), stride, size)
        sides: tuple[Tensor, ...] = ()
        if deep_supervision:
            scored = (score(prep) for score, prep in zip(self.scores, preps, strict=True))
            sides = tuple(
                _enlarged(map_, stride, size)[:, 0] for map_, stride in zip(scored, self.strides, strict=True)
            )
        return SideLogits(sides, fused[:, 0])


def _enlarged(
    maps: Float[Tensor, "B C h w"], stride: int | None, size: tuple[int, int]
) -> Float[Tensor, "B C H W"]:
    if stride is not None:
        return enlarged_by_stride(maps, stride, size)
    if maps.shape[-2:] == size:
        return maps
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
