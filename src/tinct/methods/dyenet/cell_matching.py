"""Where a whole frame looks like the annotated objects, cell by cell: beyond DyeNet's paper.

One embedding of a box mixes an object with whatever else the box shows, and a small network confuses
boxes. Its cells are surer: each cell of a frame is matched with those of the annotated frames, as FEELVOS
matches pixels, and reads off how much of every object they show (`networks.dyenet.matching_guide`). The
objects and the background share each cell, so that objects compete for what a frame shows.

The map of an object guides the recurrence (`CellMatching.guides`); it says where to look for the object
(`CellMatching.boxes`), and how far a mask is the object's (`CellMatching.agreements`). It comes from
annotated frames alone: no wrong mask can ever spoil it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from tinct.methods.dyenet.reid import best_objects
from tinct.methods.dyenet.sources import Sources
from tinct.methods.dyenet.tracklets import RoiMask, StartingPoint, box_tensor, patch_tensor, tight_boxes
from tinct.networks.dyenet.matching_guide import (
    AnnotatedCells,
    annotated_cells,
    guide_maps,
    recalled_by_frame,
)
from tinct.networks.frame_features import STRIDE
from tinct.ops.boxes import enlarged_boxes
from tinct.ops.rois import cropped, pasted

SURROUNDINGS = 1.8
"""Factor on the sides of a box: so far around an object that is annotated, others would have been, too."""

FINER = 4
"""Boxes are found on maps so much finer than the cells."""


class CellMatching:
    """The annotated frames' cells, and what of them every frame recalls.

    Args:
        sources: The video; its members have a matching guide.
        object_ids: All objects, increasing.
    """

    def __init__(self, sources: Sources, object_ids: tuple[int, ...]) -> None:
        self.sources, self.object_ids = sources, object_ids
        self._cells: list[list[AnnotatedCells]] = [[] for _ in sources.members]
        self._maps: dict[int, Tensor] = {}

    def learn(self, frame: int, starts: Sequence[StartingPoint]) -> None:
        """Remember an annotated frame; where objects are not annotated, only the surroundings of the others.

        What lies further away may be them.
        """
        looks = self.sources.looks(frame)
        h, w = looks[0].shape[-2:]
        boxes, patches = box_tensor([s.mask for s in starts]) / STRIDE, patch_tensor([s.mask for s in starts])
        shares = torch.zeros(len(self.object_ids), h, w)
        rows = [self.object_ids.index(start.object_id) for start in starts]
        shares[rows] = F.avg_pool2d(pasted(patches, boxes * FINER, (h * FINER, w * FINER)), FINER)
        known = None
        if len(starts) < len(self.object_ids):
            around = enlarged_boxes(tight_boxes(boxes, patches), SURROUNDINGS)
            known = (pasted(torch.ones_like(patches), around, (h, w)) > 0).any(0).to(self.sources.device)
        for cells, of_member in zip(self._cells, looks, strict=True):
            cells.append(annotated_cells(of_member, shares.to(self.sources.device), known))
        self._maps.clear()

    def recalled(self, frame: int) -> Float[Tensor, "K h w"]:
        """How much of each object the cells of a frame show, by what annotated frames showed."""
        return self._recalled(frame)[:-1].float()

    def guides(self, frame: int, object_ids: Sequence[int]) -> Float[Tensor, "N 2 h w"]:
        """The guide's maps of a frame, a row for each of some objects."""
        rows = [self.object_ids.index(i) for i in object_ids]
        return guide_maps(self._recalled(frame).float())[rows].to(self.sources.device)

    def _recalled(self, frame: int) -> Float[Tensor, "_ h w"]:
        """The mean over the members."""
        if frame not in self._maps:
            maps = [
                recalled_by_frame(looks, AnnotatedCells.joined(cells))
                for looks, cells in zip(self.sources.looks(frame), self._cells, strict=True)
            ]
            self._maps[frame] = torch.stack(maps).mean(0).half().cpu()
        return self._maps[frame]

    def boxes(self, frame: int) -> dict[int, Float[Tensor, "4"]]:
        """For each object that the frame recalls anywhere, the box around the most of it.

        That is the connected part that recalls the object more than all else, with the largest sum.
        """
        shares = self.recalled(frame)
        shares = torch.cat([shares, (1 - shares.sum(0, keepdim=True)).clamp_min(0)])
        finer = F.interpolate(shares[None], scale_factor=FINER, mode="bilinear")[0]
        winner = finer.argmax(0).numpy()
        found = {}
        for place, object_id in enumerate(self.object_ids):
            count, parts, boxes, _ = cv2.connectedComponentsWithStats((winner == place).astype(np.uint8))
            if count < 2:
                continue
            sums = np.bincount(parts.ravel(), finer[place].numpy().ravel(), count)
            x, y, width, height = boxes[1 + int(sums[1:].argmax()), :4]
            edges = torch.tensor([[x, y, x + width, y + height]], dtype=torch.float32)
            margin = 1 + 2 * self.sources.options.box_margin
            found[object_id] = enlarged_boxes(edges * (STRIDE / FINER), margin)[0]
        return found

    def agreements(self, frame: int, masks: Sequence[RoiMask]) -> Float[np.ndarray, "N K"]:
        """How far masks are each object's: the Dice overlap of the mask and the object's map, in [0, 1]."""
        maps = self.recalled(frame)
        boxes, inside = box_tensor(masks), (patch_tensor(masks) > 0.5).float()
        M = inside.shape[-1]
        cell_px = (boxes[:, 2:] - boxes[:, :2]).clamp_min(0).prod(1) / M**2
        common = [
            (cropped(of_object.expand(len(masks), -1, -1), boxes / STRIDE, M) * inside).sum((1, 2)) * cell_px
            for of_object in maps
        ]
        recalled_px = maps.sum((1, 2)) * STRIDE**2
        total = (inside.sum((1, 2)) * cell_px)[:, None] + recalled_px
        return (2 * torch.stack(common, 1) / total.clamp_min(1e-6)).numpy()


def best_agreeing(
    starts: Sequence[StartingPoint],
    agreements: Float[np.ndarray, "N K"],
    object_ids: Sequence[int],
    least: float,
) -> list[StartingPoint]:
    """Of a frame's starting points, for each object the one that agrees best; that is its similarity now.

    Args:
        starts: Any number for each object.
        agreements: Of each with every object.
        object_ids: Increasing.
        least: The least agreement. One that agrees better with another object is not taken either.
    """
    best: dict[int, StartingPoint] = {}
    for row, object_id, own, second, second_id in best_objects(agreements, object_ids, least):
        known = best.get(object_id)
        if object_id == starts[row].object_id and (known is None or known.similarity < own):
            best[object_id] = replace(starts[row], similarity=own, runner_up=second, runner_up_id=second_id)
    return [best[i] for i in sorted(best)]
