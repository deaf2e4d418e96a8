"""The compact stage that DyeNet's heads end in, over the cells of a box: it stands for conv5_x.

Mask network, re-identification network and recurrent function each have their own (2.1, 2.2). Where
masks are wanted its strides are 1; the re-identification network's are not.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

SMALL_WIDTH = 64


class SmallStage(nn.Module):
    """The compact conv5_x: three 3×3 layers, the last two a residual.

    Args:
        inputs: Channels of the cells.
        channels: Of the result.
        strided: Half as many cells come out; else the second layer is dilated by 2 instead.
    """

    def __init__(self, inputs: int, channels: int = SMALL_WIDTH, *, strided: bool) -> None:
        super().__init__()
        self.channels = channels
        reach = 1 if strided else 2
        self.first = nn.Conv2d(inputs, channels, 3, stride=2 if strided else 1, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=reach, dilation=reach)
        self.third = nn.Conv2d(channels, channels, 3, padding=1)
        start_for_relu(self)

    def forward(self, cells: Float[Tensor, "N C m m"]) -> Float[Tensor, "N D k k"]:
        """Cells that know their neighbours."""
        first = F.relu(self.first(cells))
        return F.relu(first + self.third(F.relu(self.second(first))))


def start_for_relu(module: nn.Module) -> None:
    """He initialisation and no bias, so that signals keep their scale without batch norm."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
