"""Fixed bilinear enlargement as a transposed convolution: as OSVOS and MaskRNN enlarge side outputs.

| what | convention |
|---|---|
| kernel | 2s × 2s for stride s, the product of two triangles; it sums to s² and is never trained |
| output | (n + 1) s pixels for n cells, cut to the size about its middle (the larger half at the end) |
| outside | 0: within s / 2 pixels of the border values fade, as in the authors' networks |

At a size of n s, the cells' centres are those of `interpolate(align_corners=False)`, and both agree away
from the border.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from tinct.errors import OptionError


def bilinear_kernel(stride: int) -> Float[Tensor, "K K"]:
    """The kernel of 2s × 2s: (1 - |i - c| / f)(1 - |j - c| / f), f = (2s + 1) // 2, c = f - 0.5.

    Raises:
        OptionError: The stride is below 1.
    """
    if stride < 1:
        raise OptionError(f"A stride of {stride} came; strides start at 1.")
    factor = (2 * stride + 1) // 2
    offsets = (torch.arange(2 * stride) - (factor - 0.5)).abs() / factor
    return torch.outer(1 - offsets, 1 - offsets)


def enlarged_by_stride(
    maps: Float[Tensor, "B C h w"], stride: int, size: tuple[int, int]
) -> Float[Tensor, "B C H W"]:
    """Enlarge maps of a stride to the frame's size, each channel separately.

    Args:
        maps: [B, C, ceil(H / stride), ceil(W / stride)], or larger.
        stride: The stride of the maps.
        size: (H, W) of the frame.

    Raises:
        OptionError: The maps are too small for that size.
    """
    channels = maps.shape[1]
    kernel = bilinear_kernel(stride).to(maps).expand(channels, 1, -1, -1)
    large = F.conv_transpose2d(maps, kernel, stride=stride, groups=channels)
    excess = [have - want for have, want in zip(large.shape[-2:], size, strict=True)]
    if min(excess) < 0:
        raise OptionError(
            f"Maps of {tuple(maps.shape[-2:])} cells of stride {stride} do not cover {size} pixels; give "
            "maps of the whole frame."
        )
    top, left = (e // 2 for e in excess)
    return large[..., top : top + size[0], left : left + size[1]]
