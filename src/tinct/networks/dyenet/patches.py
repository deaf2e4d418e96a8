"""What DyeNet's networks see of frames where boxes are: whole frames, or a patch for each box (section 3).

"Rather than full-resolution images, the advanced DyeNet accepts size-normalized patches that enclose objects
of interest as input." A patch is square, encloses its box with a margin, and has one size whatever the
object's; at test and in training it is cut by `patch_view`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tinct.networks.dyenet.network import DyeNetNetwork, FrameFeatures
from tinct.ops.boxes import enlarged_boxes
from tinct.ops.views import View, cut, cut_flow
from tinct.shapes import holds_arrays

PATCH_SIDE = 448
"""Of a patch, in pixels (VS-ReID: 449; a multiple of the features' stride)."""

PATCH_MARGIN = 0.15
"""By which a patch is wider on each side than the box that it encloses (VS-ReID)."""

LEAST_PATCH_SHARE = 0.25
"""Of the working frame's short side: a smaller patch would be enlarged beyond what there is to see."""


def patch_view(box: Float[Tensor, "4"], size: tuple[int, int], side: int) -> View:
    """A square view that encloses a box of the working frame (section 3).

    Args:
        box: Around the object.
        size: (H, W) of the working frame.
        side: Of the picture, in pixels.
    """
    x0, y0, x1, y1 = (float(edge) for edge in enlarged_boxes(box[None], 1 + 2 * PATCH_MARGIN)[0])
    reach = max(x1 - x0, y1 - y0, LEAST_PATCH_SHARE * min(size)) / 2
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return View((x - reach, y - reach, x + reach, y + reach), (side, side))


class Seen(NamedTuple):
    """Boxes where a network sees them; in the order in which the network's methods take them.

    Attributes:
        features: Of the pictures.
        boxes: In pixels of their pictures.
        picture: Which picture each lies in.
    """

    features: FrameFeatures
    boxes: Float[Tensor, "N 4"]
    picture: Int64[Tensor, "N"]


class SeenFrames(ABC):
    """A batch of frames as a network sees them around boxes."""

    @abstractmethod
    def around(self, boxes: Float[Tensor, "N 4"], index: Int64[Tensor, "N"]) -> Seen:
        """Boxes of the frames.

        Args:
            boxes: In pixels of the frames.
            index: Which frame each lies in.
        """


@holds_arrays
@dataclass(frozen=True, repr=False)
class WholeFrames(SeenFrames):
    """Frames that are seen whole.

    Attributes:
        features: Of all frames, computed once.
    """

    features: FrameFeatures

    def around(self, boxes: Float[Tensor, "N 4"], index: Int64[Tensor, "N"]) -> Seen:
        """The boxes as they are."""
        return Seen(self.features, boxes, index)


@holds_arrays
@dataclass(frozen=True, repr=False)
class Patches(SeenFrames):
    """Frames of which every box has a patch of its own.

    Attributes:
        network: Computes the patches' features.
        pictures: [B, 3, H, W] in [0, 1].
        flows: [B, 2, H, W], to the frame before; None for a network of one stream.
        side: Of the patches.
    """

    network: DyeNetNetwork
    pictures: Tensor
    flows: Tensor | None
    side: int

    def around(self, boxes: Float[Tensor, "N 4"], index: Int64[Tensor, "N"]) -> Seen:
        """A patch for every box, cut by `patch_view`."""
        size = (self.pictures.shape[-2], self.pictures.shape[-1])
        views = [patch_view(box, size, self.side) for box in boxes.detach().cpu()]
        frames = index.tolist()
        if not views:
            return Seen(self.network.features(self.pictures[:0], self._flows_of([], [])), boxes, index)
        pictures = torch.cat(
            [cut(self.pictures[i : i + 1], view, size) for i, view in zip(frames, views, strict=True)]
        )
        features = self.network.features(pictures, self._flows_of(views, frames))
        placed = torch.cat([view.to_view(box[None]) for view, box in zip(views, boxes, strict=True)])
        return Seen(features, placed, torch.arange(len(boxes), device=boxes.device))

    def _flows_of(self, views: list[View], frames: list[int]) -> Tensor | None:
        if self.flows is None or not views:
            return None if self.flows is None else self.flows[:0]
        return torch.cat(
            [cut_flow(self.flows[i : i + 1], view) for i, view in zip(frames, views, strict=True)]
        )
