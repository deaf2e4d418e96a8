"""The papers' way to show a network a mask: as one more channel of the image (MaskTrack 3.1, MaskRNN 3.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

GUIDE_RANGE = 100 / 255 / 0.226
"""How far a guide goes either way, in the spread of a normalised frame. The papers give no scale; a known
port of MaskTrack takes masks to -100 and 100 beside colours of 0 to 255, so that both weigh alike."""


def guided_input(
    frames: Float[Tensor, "B 3 H W"], guides: Float[Tensor, "N G H W"] | None
) -> Float[Tensor, "N C H W"]:
    """Frames and guides side by side.

    Args:
        frames: Normalised; one may serve several objects.
        guides: Maps in [0, 1], or None.
    """
    if guides is None:
        return frames
    channels = GUIDE_RANGE * (2 * guides - 1)
    return torch.cat([frames.expand(len(guides), -1, -1, -1), channels], 1)


def with_drawn_channels(
    weight: Float[Tensor, "C 3 K K"], inputs: int, spread: float
) -> Float[Tensor, "C D K K"]:
    """The first layer's ImageNet weights, and Gaussian ones for the channels beyond red, green and blue.

    Args:
        weight: Of the layer for images.
        inputs: Channels that the layer is to have.
        spread: Standard deviation of the drawn weights.
    """
    outputs, _, height, width = weight.shape
    drawn = torch.randn(outputs, inputs - 3, height, width).to(weight) * spread
    return torch.cat([weight, drawn], 1)


def padded_to_grid(
    maps: Float[Tensor, "B C H W"], stride: int, value: float = 0.0
) -> Float[Tensor, "B C H2 W2"]:
    """Maps continued to the right and down to k · stride + 1 pixels: cells then lie on pixels 0, stride, ...

    Args:
        maps: Of a frame.
        stride: Of the network's cells.
        value: Of the new pixels.
    """
    down, right = (-(side - 1) % stride for side in maps.shape[-2:])
    return F.pad(maps, (0, right, 0, down), value=value)
