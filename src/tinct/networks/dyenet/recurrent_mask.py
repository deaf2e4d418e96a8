"""DyeNet's recurrent mask propagation over the cells of a box (section 2.2, eq. 1 and 2; Figures 3 and 4)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from tinct.networks.dyenet.region_heads import MaskOutput
from tinct.networks.small_stage import SmallStage
from tinct.networks.staged_backbones import LastStage
from tinct.ops.resize import resize_area


class Propagated(NamedTuple):
    """What one step of propagation says of each box.

    Attributes:
        mask_logits: [N, M, M].
        hidden: [N, d, m, m], after attention.
        attention: [N, m, m], summing to 1; even where the network has none.
    """

    mask_logits: Tensor
    hidden: Tensor
    attention: Tensor


class RecurrentFunction(nn.Module):
    """N_R of eq. 1: h_j from the warped h_{j-1} and x_j.

    Both lie side by side and are brought to the last stage's width by a 1×1 layer, so that its ImageNet
    weights fit (inferred). That layer starts by handing x_j through, beside
    random parts of the rest.

    Args:
        stage: A copy of the backbone's last stage, its strides at 1.
        inputs: C, of x_j, and of the stage's input.
        hidden: d; where the stage is wider, a 1×1 layer narrows it.
        guides: Maps that join (beyond the paper): of the warped mask, of templates.
    """

    def __init__(self, stage: SmallStage | LastStage, inputs: int, hidden: int, guides: int) -> None:
        super().__init__()
        self.fuse = nn.Conv2d(inputs + hidden + guides, inputs, 1)
        self.stage = stage
        self.narrow = nn.Identity() if stage.channels == hidden else nn.Sequential(
            nn.Conv2d(stage.channels, hidden, 1), nn.ReLU()
        )  # fmt: skip
        nn.init.kaiming_normal_(self.fuse.weight, nonlinearity="relu")
        nn.init.zeros_(self.fuse.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            self.fuse.weight[:, :inputs, 0, 0] = torch.eye(inputs)

    def forward(
        self,
        warped: Float[Tensor, "N d m m"],
        cells: Float[Tensor, "N C m m"],
        guides: Float[Tensor, "N G m m"],
    ) -> Float[Tensor, "N d m m"]:
        """h_j before attention."""
        hidden: Tensor = self.narrow(self.stage(self.fuse(torch.cat([cells, warped, guides], 1))))
        return hidden


class RecurrentMask(nn.Module):
    """N_R, region attention and N_O.

    Args:
        function: N_R.
        hidden: d.
        width: Of N_O's layers.
        fine: Channels of the stride-4 features; 0 for none.
        attention: Whether there is region attention.
        guides: Maps that join in N_R and in N_O.
    """

    def __init__(
        self, function: RecurrentFunction, hidden: int, width: int, fine: int, *, attention: bool, guides: int
    ) -> None:
        super().__init__()
        self.function = function
        self.attention = nn.Conv2d(hidden, 1, 3, padding=1) if attention else None
        if self.attention is not None:
            # Nearly even at first: the network starts as the one without attention.
            nn.init.normal_(self.attention.weight, std=1e-3)
            nn.init.zeros_(self.attention.bias)  # type: ignore[arg-type]
        self.output = MaskOutput(hidden, width, fine + guides if fine else 0)

    def forward(
        self,
        warped: Float[Tensor, "N d m m"],
        cells: Float[Tensor, "N C m m"],
        fine: Float[Tensor, "N F M M"] | None,
        guides: Float[Tensor, "N g G G"],
    ) -> Propagated:
        """Region attention, eq. 1, eq. 2.

        Args:
            warped: h_{(j-1)→j}.
            cells: x_j.
            fine: The stride-4 features of the boxes, if there are any.
            guides: Maps that join; of any grid.
        """
        attention = self.region_attention(warped)
        hidden = self.hidden(warped, cells, guides, attention)
        return Propagated(self.mask_logits(hidden, fine, guides), hidden, attention)

    def hidden(
        self,
        warped: Float[Tensor, "N d m m"],
        cells: Float[Tensor, "N C m m"],
        guides: Float[Tensor, "N g G G"],
        attention: Float[Tensor, "N m m"],
    ) -> Float[Tensor, "N d m m"]:
        """Eq. 1, and its result multiplied by attention; guides may have any grid.

        Attention sums to 1 over the box's m² cells; it is multiplied by m², so that even attention
        leaves the hidden state as it is (inferred).
        """
        m = cells.shape[-1]
        state: Tensor = self.function(warped, cells, at_grid(guides, m))
        return state * (m**2 * attention)[:, None]

    def mask_logits(
        self,
        hidden: Float[Tensor, "N d m m"],
        fine: Float[Tensor, "N F M M"] | None,
        guides: Float[Tensor, "N g G G"],
    ) -> Float[Tensor, "N M M"]:
        """Eq. 2."""
        if fine is not None:
            fine = torch.cat([fine, at_grid(guides, fine.shape[-1])], 1)
        logits: Tensor = self.output(hidden, fine)
        return logits

    def region_attention(self, warped: Float[Tensor, "N d m m"]) -> Float[Tensor, "N m m"]:
        """Where in the box the object is, by the warped hidden state: sums to 1; even if switched off."""
        if self.attention is None:
            return torch.full_like(warped[:, 0], 1 / warped.shape[-1] ** 2)
        scores: Tensor = self.attention(warped)[:, 0]
        return scores.flatten(1).softmax(1).view_as(scores)


def mask_attention(masks: Float[Tensor, "N M M"], m: int) -> Float[Tensor, "N m m"]:
    """A given mask as attention (inferred): its share of every cell; even if it is empty."""
    shares = at_grid(masks[:, None], m)[:, 0].clamp_min(0)
    total = shares.sum((1, 2), keepdim=True)
    return torch.where(total > 0, shares / total.clamp_min(1e-6), 1 / m**2)


def at_grid(maps: Float[Tensor, "N g G G"], m: int) -> Float[Tensor, "N g m m"]:
    """Maps of boxes at another grid: means of cells where it is coarser, else bilinear."""
    grid = maps.shape[-1]
    if not maps.shape[1]:
        return maps.new_zeros(len(maps), 0, m, m)
    if grid == m:
        return maps
    if grid > m:
        return resize_area(maps, (m, m))
    return F.interpolate(maps, (m, m), mode="bilinear", align_corners=False)
