"""FEELVOS's matching as a guide of DyeNet's recurrence: beyond DyeNet's paper, for the compact network.

The paper compares whole boxes with templates, to find objects. A small network whose mask has lost an
arm does not find it again from its hidden state alone; the annotated frame still shows it. So each cell of
a frame is matched with all cells of the annotated frames, as FEELVOS's global matching does it (CVPR 2019,
eq. 2; a soft minimum over squared distances of embeddings), and each cell of a box with those of the box on
the frame before, as its local matching does: there is less time in which looks change, and no flow that errs.

What is read off has two maps (`MAPS`): which share of the matched cells an object covers, and how like
the nearest of them is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tinct.networks.dyenet.recurrent_mask import at_grid
from tinct.ops.matching import squared_distances, squash

MAPS = 2

BACKGROUND_STEP = 2
"""Of background, every second cell across and down is remembered, and counts for all: there is much of it."""

COVERED = 0.05
"""A cell that objects cover by less is background."""

DISTANCE_SCALE = 4.0
"""Divides squared distances where likeness is told, as in compact FEELVOS."""

CELLS_AT_ONCE = 1024
"""Bounds the memory: of a frame, so many cells look at the remembered ones at once."""


class BoxCells(NamedTuple):
    """What boxes show of their objects, one row per object.

    Attributes:
        keys: [N, K, E], the cells' embeddings.
        shares: [N, K], how much of each cell the object covers.
    """

    keys: Tensor
    shares: Tensor

    def select(self, rows: Bool[Tensor, "N"]) -> BoxCells:
        """Of some of the objects."""
        return BoxCells(self.keys[rows], self.shares[rows])

    def joined(self, other: BoxCells) -> BoxCells:
        """Those of another frame too, of the same objects."""
        return BoxCells(torch.cat([self.keys, other.keys], 1), torch.cat([self.shares, other.shares], 1))


class AnnotatedCells(NamedTuple):
    """What annotated frames show of all objects.

    Attributes:
        keys: [K, E], the cells' embeddings.
        counts: [K], for how many cells alike each of these stands.
        shares: [K, N], how much of them each object covers.
    """

    keys: Tensor
    counts: Tensor
    shares: Tensor

    @classmethod
    def joined(cls, several: Sequence[AnnotatedCells]) -> AnnotatedCells:
        """Of several frames: all of their cells."""
        return cls(
            torch.cat([cells.keys for cells in several]),
            torch.cat([cells.counts for cells in several]),
            torch.cat([cells.shares for cells in several]),
        )


def annotated_cells(
    embedding: Float[Tensor, "E h w"],
    shares: Float[Tensor, "N h w"],
    surroundings: Bool[Tensor, "h w"] | None = None,
) -> AnnotatedCells:
    """An annotated frame's cells: all that show objects, and a part of the background.

    Args:
        embedding: Of the frame.
        shares: How much of each cell each object covers.
        surroundings: Where background is known to be none of the objects; None for everywhere.
    """
    objects = shares.sum(0) > COVERED
    grid = torch.zeros_like(objects)
    grid[::BACKGROUND_STEP, ::BACKGROUND_STEP] = True
    if surroundings is not None:
        grid &= surroundings
    chosen = objects | grid
    counts = torch.where(objects, 1.0, float(BACKGROUND_STEP**2))
    return AnnotatedCells(embedding[:, chosen].T.float(), counts[chosen], shares[:, chosen].T.float())


def recalled_by_frame(embedding: Float[Tensor, "E h w"], annotated: AnnotatedCells) -> Float[Tensor, "_ h w"]:
    """What the cells of a frame recall of annotated ones: a share of each object, and the nearest's likeness.

    A cell's share of an object is the softmax's weight of the remembered cells that show it; the shares of
    all objects and of the background sum to 1.
    """
    bias = annotated.counts.log()
    found = []
    for part in torch.split(embedding.flatten(1).T, CELLS_AT_ONCE):
        distances = squared_distances(part, annotated.keys)
        shares = _read((bias - distances).softmax(1), annotated.shares)
        found.append(torch.cat([shares, _likeness(distances)[:, None]], 1))
    return torch.cat(found).T.view(-1, *embedding.shape[1:])


def guide_maps(recalled: Float[Tensor, "_ h w"]) -> Float[Tensor, "N 2 h w"]:
    """The two maps of every object."""
    return torch.stack([recalled[:-1], recalled[-1:].expand_as(recalled[:-1])], 1)


def box_cells(cells: Float[Tensor, "N E m m"], masks: Float[Tensor, "N G G"]) -> BoxCells:
    """What boxes show, from their cells' embeddings and the objects' masks over them, of any grid."""
    shares = at_grid(masks[:, None].to(cells.dtype), cells.shape[-1])[:, 0]
    return BoxCells(cells.flatten(2).transpose(1, 2), shares.flatten(1))


def recalled_by_boxes(cells: Float[Tensor, "N E m m"], before: BoxCells) -> Float[Tensor, "N 2 m m"]:
    """What the cells of boxes recall of those on the frame before."""
    distances = squared_distances(cells.flatten(2).transpose(1, 2), before.keys)
    shares = _read((-distances).softmax(2), before.shares[:, :, None])[:, :, 0]
    maps = torch.stack([shares, _likeness(distances)], 1)
    return maps.view(len(cells), MAPS, *cells.shape[-2:]).to(cells.dtype)


def _read(weights: Float[Tensor, "*N Q K"], shares: Float[Tensor, "*N K O"]) -> Float[Tensor, "*N Q O"]:
    """The mean share of the matched cells; in float32 even under autocast, as the distances are."""
    with torch.autocast(weights.device.type, enabled=False):
        return weights @ shares.to(weights.dtype)


def _likeness(distances: Float[Tensor, "*N Q K"]) -> Float[Tensor, "*N Q"]:
    """1 where the nearest matched cell is the same, 0 far away from all (FEELVOS, 1 minus eq. 1)."""
    return 1 - squash(distances.amin(-1) / DISTANCE_SCALE)
