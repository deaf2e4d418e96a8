"""Optical flow as a displacement of pixels: warping and magnitude.

Conventions, for everything in this file:

| what | convention |
|---|---|
| axes | flow is [B, 2, H, W]; channel 0 is dx (right), channel 1 is dy (down) |
| units | pixels of the frame on which the flow lives |
| meaning | the point at p in the flow's own frame is at p + flow(p) in the other frame |
| names | `flow_backward` lives on frame t and points to t - 1; `flow_forward` to t + 1 |
| pixel centres | whole numbers: the top left one is (0, 0), the last one (W - 1, H - 1) |
| warping | backward and bilinear: out(p) = source(p + flow(p)) |
| outside | 0 beyond half a pixel from the border ("zeros"), or the border's value ("border") |
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from tinct.errors import OptionError, near_match

OUTSIDE = ("zeros", "border")


def warp(
    source: Float[Tensor, "B C H W"],
    flow: Float[Tensor, "B 2 H W"],
    outside: str = "zeros",
) -> Float[Tensor, "B C H W"]:
    """Warp the source to the flow's frame: out(p) = source(p + flow(p)), bilinear.

    To carry the mask of t - 1 to frame t, give the mask and `flow_backward` of t. Gradients flow to
    the source and to the flow.

    Args:
        source: Maps of the frame to which the flow points.
        flow: In pixels.
        outside: "zeros" or "border", the values beyond the source: zeros for masks, border for images.

    Raises:
        OptionError: `outside` is unknown.
    """
    if outside not in OUTSIDE:
        raise OptionError(f"Unknown outside {outside!r}. {near_match(outside, OUTSIDE)}")
    points = pixel_grid(flow) + flow
    size = flow.new_tensor([flow.shape[-1], flow.shape[-2]])
    # torch counts from -1 to 1, from the outer edge of the first pixel to that of the last.
    normalised = (2 * points.permute(0, 2, 3, 1) + 1) / size - 1
    sampled: Tensor = F.grid_sample(
        source, normalised.to(source.dtype), mode="bilinear", padding_mode=outside, align_corners=False
    )
    return sampled


def pixel_grid(flow: Float[Tensor, "B 2 H W"]) -> Float[Tensor, "2 H W"]:
    """(x, y) of every pixel."""
    H, W = flow.shape[-2:]
    rows = torch.arange(H, dtype=flow.dtype, device=flow.device)
    columns = torch.arange(W, dtype=flow.dtype, device=flow.device)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x, y])


def magnitude(flow: Float[Tensor, "B 2 H W"]) -> Float[Tensor, "B H W"]:
    """The length of the flow vectors, in pixels."""
    # Not `norm`, whose gradient at 0 is NaN.
    return (flow.square().sum(1) + 1e-12).sqrt()


def magnitude_image(flow: Float[Tensor, "B 2 H W"], least_px: float = 1.0) -> Float[Tensor, "B H W"]:
    """The magnitude as a picture in [0, 1]: the frame's fastest pixel is white.

    Neither paper says how the magnitude is scaled; this is linear, by each frame's largest value.

    Args:
        flow: In pixels.
        least_px: Minimum of the largest value, so that noise of a static scene is not amplified.
    """
    lengths = magnitude(flow)
    largest = lengths.flatten(1).amax(1).clamp_min(least_px)
    return lengths / largest.view(-1, 1, 1)
