"""Windows over a grid, by blocks of cells: each block is compared with the patch that its windows reach.

All pairs of a block and its patch hold the windows' pairs and a few more, in a few large products instead
of many small ones. Patches are views of a strip as wide as they are, so that none is copied.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Shaped
from torch import Tensor

BLOCK = 8
"""Side of a block in cells: larger ones waste pairs, smaller ones waste products."""


def near_in_patch(radius: int, device: torch.device) -> Bool[Tensor, "M P"]:
    """Flags (cell of a block, pixel of its patch): whether the pixel is in the window of the cell."""
    near = (
        torch.arange(BLOCK + 2 * radius, device=device) - torch.arange(BLOCK, device=device)[:, None] - radius
    ).abs() <= radius
    return (near[:, None, :, None] & near[None, :, None, :]).flatten(2).flatten(0, 1)


def padded(grid: Shaped[Tensor, "H W K"], reach: int) -> Shaped[Tensor, "H2 W2 K"]:
    """Pad with zeros: `reach` on every side, and up to whole blocks."""
    below, right = -grid.shape[0] % BLOCK + reach, -grid.shape[1] % BLOCK + reach
    return F.pad(grid, (0, 0, reach, right, reach, below))


def blocks_of(grid: Shaped[Tensor, "H W K"], reach: int) -> Shaped[Tensor, "rows columns P K"]:
    """Every block of cells, with `reach` cells more on every side."""
    side = BLOCK + 2 * reach
    blocks = padded(grid, reach).unfold(0, side, BLOCK).unfold(1, side, BLOCK)
    return blocks.permute(0, 1, 3, 4, 2).flatten(2, 3)


def from_blocks(blocks: Shaped[Tensor, "G N M"], size: tuple[int, int]) -> Shaped[Tensor, "N H W"]:
    """Join blocks, given row by row, and cut the padding off."""
    rows, columns = -(-size[0] // BLOCK), -(-size[1] // BLOCK)
    grid = blocks.reshape(rows, columns, -1, BLOCK, BLOCK)
    return grid.permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2)[:, : size[0], : size[1]]


def patches_of_column(grid: Shaped[Tensor, "L H W K"], column: int, radius: int) -> Shaped[Tensor, "L B K P"]:
    """The patches of a column of blocks: overlapping views of one copy."""
    width = BLOCK + 2 * radius
    strip = grid[:, :, column * BLOCK : column * BLOCK + width].flatten(1, 2)
    return strip.unfold(1, width * width, BLOCK * width)
