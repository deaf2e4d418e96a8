"""Where a box looks like what was annotated, cell by cell: beyond DyeNet's paper, for the compact network.

The paper compares whole boxes with templates, to find objects. A small network whose mask has lost an
arm does not find it again from its hidden state alone; the annotated frame still shows it. So each cell of
a box looks at all cells of the template (softmax of their cosines), and reads off how much of them the
object covers. The template is the object's box on an annotated frame, with its surroundings. The frame
before is looked at in the same way: there is less time in which looks change, and no flow that errs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tinct.networks.dyenet.recurrent_mask import at_grid

CELLS_AT_ONCE = 1024
"""Bounds the memory: of a frame, so many cells look at the remembered ones at once."""


class TemplateCells(NamedTuple):
    """What templates show, one row per object.

    Attributes:
        keys: [N, D, K], what each cell looks like, of length 1.
        shares: [N, K], how much of each cell the object covers.
    """

    keys: Tensor
    shares: Tensor

    def select(self, rows: Bool[Tensor, "N"]) -> TemplateCells:
        """Of some of the objects."""
        return TemplateCells(self.keys[rows], self.shares[rows])

    @classmethod
    def stacked(cls, several: Sequence[TemplateCells]) -> TemplateCells:
        """Of many objects, whatever their numbers of cells: empty keys, that nothing recalls, fill up."""
        most = max(cells.shares.shape[1] for cells in several)
        filled = [(F.pad(maps, (0, most - maps.shape[-1])) for maps in cells) for cells in several]
        keys, shares = zip(*filled, strict=True)
        return cls(torch.cat(keys), torch.cat(shares))

    @classmethod
    def joined(cls, several: Sequence[TemplateCells]) -> TemplateCells:
        """Of the same objects on many frames: all of their cells."""
        return cls(torch.cat([cells.keys for cells in several], 2), torch.cat([c.shares for c in several], 1))


class TemplateGuide(nn.Module):
    """Two maps of a box: how much of the object its cells recall, and how well they recall anything.

    Args:
        inputs: C, of the cells.
        channels: D; the projection starts as one that keeps angles.
    """

    MAPS = 2

    def __init__(self, inputs: int, channels: int = 64) -> None:
        super().__init__()
        self.project = nn.Conv2d(inputs, channels, 1, bias=False)
        nn.init.orthogonal_(self.project.weight)
        self.log_sharpness = nn.Parameter(torch.tensor(math.log(20.0)))

    def remember(self, cells: Float[Tensor, "N C m m"], masks: Float[Tensor, "N G G"]) -> TemplateCells:
        """Templates of boxes, from their cells and the objects' masks over them, of any grid."""
        shares = at_grid(masks[:, None].to(cells.dtype), cells.shape[-1])[:, 0]
        return TemplateCells(self.looks(cells).flatten(2), shares.flatten(1))

    def forward(self, cells: Float[Tensor, "N C m m"], templates: TemplateCells) -> Float[Tensor, "N 2 m m"]:
        """The maps of boxes; `templates` has a row for each."""
        cosines = (self.looks(cells).flatten(2).transpose(1, 2) @ templates.keys).float()
        empty = templates.keys.abs().amax(1, keepdim=True) == 0
        cosines = cosines.masked_fill(empty, -1)
        weights = (cosines * self.log_sharpness.exp()).softmax(2)
        recalled = (weights @ templates.shares.float()[:, :, None])[:, :, 0]
        maps = torch.stack([recalled, cosines.amax(2)], 1)
        return maps.view(len(cells), self.MAPS, *cells.shape[-2:]).to(cells.dtype)

    def recall(
        self,
        looks: Float[Tensor, "D h w"],
        keys: Float[Tensor, "D K"],
        counts: Float[Tensor, "K"],
        shares: Float[Tensor, "K N"],
    ) -> Float[Tensor, "N h w"]:
        """How much of several objects the cells of a frame recall, of cells that all of them share.

        Args:
            looks: What each cell of the frame looks like, of length 1.
            keys: What remembered cells look like.
            counts: For how many alike each of these stands.
            shares: How much of them each object covers.
        """
        sharpness, bias = self.log_sharpness.float().exp(), counts.log()
        recalled = [
            torch.softmax(part.T @ keys * sharpness + bias, 1) @ shares
            for part in torch.split(looks.flatten(1), CELLS_AT_ONCE, 1)
        ]
        return torch.cat(recalled).T.view(-1, *looks.shape[1:])

    def looks(self, maps: Float[Tensor, "N C h w"]) -> Float[Tensor, "N D h w"]:
        """What each cell of whole frames looks like, of length 1."""
        looks: Tensor = F.normalize(self.project(maps), dim=1)
        return looks
