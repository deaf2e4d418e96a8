"""The networks that decide together: one, its mirror image, or several backbones (section 3).

An ensemble averages the probabilities of its members (inferred: the report does not say how they are
joined), and the cosines of their embeddings. What is carried along, boxes, masks and hidden states, is
never mirrored: a mirrored member turns everything round at its own door.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from tinct.networks.dyenet.matching_guide import BoxCells
from tinct.networks.dyenet.network import FrameFeatures, Propagated, Proposals
from tinct.ops.views import View

BOXES_AT_ONCE = 16
"""Bounds the memory: the mask network looks at so many boxes at once."""


@dataclass(frozen=True)
class EncodedViews:
    """What one member sees of a frame.

    Attributes:
        features: Of one picture of the frame, or of one for each box.
        views: What the pictures show.
    """

    features: FrameFeatures
    views: tuple[View, ...]

    def place(self, boxes: Float[Tensor, "N 4"]) -> tuple[Float[Tensor, "N 4"], Int64[Tensor, "N"]]:
        """Boxes of the working frame in pixels of their pictures, and which pictures these are."""
        if len(self.views) == 1:
            index = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
            return self.views[0].to_view(boxes), index
        placed = [view.to_view(box[None]) for view, box in zip(self.views, boxes, strict=True)]
        return torch.cat(placed), torch.arange(len(boxes), device=boxes.device)


class Member:
    """One network, as it is or looking at mirrored pictures.

    Args:
        network: A `DyeNetNetwork`; never changed.
        device: Where it runs.
        mirrored: Whether it sees pictures mirrored left to right.
        lowered: Compute in bfloat16 where that is safe.
    """

    def __init__(
        self, network: Any, device: torch.device, *, mirrored: bool = False, lowered: bool = False
    ) -> None:
        self.network = network
        self.device, self.mirrored, self.lowered = device, mirrored, lowered

    @property
    def mask_grid(self) -> int:
        """M, cells of each side of its masks."""
        grid: int = self.network.mask_grid
        return grid

    def features(
        self, pictures: Float[Tensor, "B 3 H W"], flows: Float[Tensor, "B 2 H W"] | None
    ) -> FrameFeatures:
        """Of pictures in [0, 1]; `flows` lead to the frame before, for a network of two streams."""
        if not self.network.config.two_streams:
            flows = None
        if self.mirrored:
            pictures = pictures.flip(-1)
            flows = None if flows is None else flows.flip(-1) * flows.new_tensor([-1, 1]).view(1, 2, 1, 1)
        with self._autocast():
            features: FrameFeatures = self.network.features(pictures, flows)
        return features

    def proposals(self, encoding: EncodedViews, count: int) -> Proposals:
        """The likeliest boxes of a frame that is seen whole, in its own pixels."""
        (view,) = encoding.views
        with self._autocast():
            found = self.network.proposals(encoding.features, view, count)[0]
        boxes = found.boxes.float()
        if self.mirrored:
            boxes = mirrored_boxes(boxes, boxes.new_full((len(boxes),), view.size[1]))
        return Proposals(view.to_frame(boxes), found.scores.float())

    def embeddings(self, encoding: EncodedViews, boxes: Float[Tensor, "N 4"]) -> Float[Tensor, "N D"]:
        """Who is in each box."""
        with self._autocast():
            found: Tensor = self.network.embeddings(encoding.features, *self._placed(encoding, boxes))
        return found.float()

    def mask_probs(self, encoding: EncodedViews, boxes: Float[Tensor, "N 4"]) -> Float[Tensor, "N M M"]:
        """The mask of each box's main instance."""
        parts = zip(*(torch.split(x, BOXES_AT_ONCE) for x in self._placed(encoding, boxes)), strict=True)
        with self._autocast():
            logits = torch.cat([self.network.mask_logits(encoding.features, *part) for part in parts])
        return self._back(logits).sigmoid()

    def looks(self, encoding: EncodedViews) -> Float[Tensor, "E h w"]:
        """The embedding of every cell of a frame that is seen whole."""
        embedding = encoding.features.embedding
        assert embedding is not None, "only networks with a matching guide are asked"
        return self._back(embedding[0])

    def remember(
        self, encoding: EncodedViews, boxes: Float[Tensor, "N 4"], masks: Float[Tensor, "N G G"]
    ) -> BoxCells | None:
        """What masks show of their objects, cell by cell; None for a network that does not ask."""
        with self._autocast():
            found: BoxCells | None = self.network.remember(
                encoding.features, *self._placed(encoding, boxes), self._back(masks)
            )
        return found

    def begin(
        self,
        encoding: EncodedViews,
        boxes: Float[Tensor, "N 4"],
        masks: Float[Tensor, "N G G"],
        recalled: Float[Tensor, "N 2 G G"] | None = None,
    ) -> Float[Tensor, "N d m m"]:
        """The hidden state at a starting point."""
        placed = self._placed(encoding, boxes)
        with self._autocast():
            hidden = self.network.begin(encoding.features, *placed, self._back(masks), self._turned(recalled))
        return self._back(hidden)

    def propagate(
        self,
        encoding: EncodedViews,
        boxes: Float[Tensor, "N 4"],
        hidden: Float[Tensor, "N d m m"],
        masks: Float[Tensor, "N G G"],
        recalled: Float[Tensor, "N 2 G G"] | None = None,
        before: BoxCells | None = None,
    ) -> tuple[Float[Tensor, "N M M"], Float[Tensor, "N d m m"]]:
        """Equations 1 and 2: each object's probabilities, and its hidden state."""
        placed = self._placed(encoding, boxes)
        with self._autocast():
            step: Propagated = self.network(
                encoding.features,
                *placed,
                self._back(hidden),
                self._back(masks),
                self._turned(recalled),
                before,
            )
        return self._back(step.mask_logits).sigmoid(), self._back(step.hidden)

    def _placed(self, encoding: EncodedViews, boxes: Tensor) -> tuple[Tensor, Tensor]:
        placed, index = encoding.place(boxes)
        if self.mirrored:
            widths = placed.new_tensor([view.size[1] for view in encoding.views])[index]
            placed = mirrored_boxes(placed, widths)
        return placed, index

    def _back(self, maps: Tensor) -> Tensor:
        """Maps of boxes, mirrored or not, in full precision."""
        return (maps.flip(-1) if self.mirrored else maps).float()

    def _turned(self, maps: Tensor | None) -> Tensor | None:
        return None if maps is None else self._back(maps)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.lowered)


def mirrored_boxes(boxes: Float[Tensor, "N 4"], widths: Float[Tensor, "N"]) -> Float[Tensor, "N 4"]:
    """Boxes of pictures of some widths in the mirror images, and back again."""
    x0, y0, x1, y1 = boxes.T
    return torch.stack([widths - x1, y0, widths - x0, y1], 1)


def make_members(
    networks: Sequence[Any], device: torch.device, *, flip: bool, attention: bool, lowered: bool
) -> tuple[Member, ...]:
    """Members from copies of networks, each with its mirror image where `flip`."""
    members = []
    for network in networks:
        copied: Any = deepcopy(network).to(device)
        if not attention:
            copied.recurrent.attention = None
        copied = copied.to(memory_format=torch.channels_last).eval()
        for mirrored in (False, True) if flip else (False,):
            members.append(Member(copied, device, mirrored=mirrored, lowered=lowered))
    return tuple(members)


def averaged(probs: Sequence[Float[Tensor, "N _ _"]]) -> Float[Tensor, "N M M"]:
    """The mean of the members' probabilities, on the first one's grid."""
    grid = probs[0].shape[-1]
    same = [p if p.shape[-1] == grid else _resized(p, grid) for p in probs]
    return torch.stack(same).mean(0) if len(same) > 1 else same[0]


def _resized(probs: Float[Tensor, "N G G"], grid: int) -> Float[Tensor, "N M M"]:
    resized: Tensor = F.interpolate(probs[:, None], size=(grid, grid), mode="bilinear", align_corners=False)
    return resized.squeeze(1)


def joined(embeddings: Sequence[Float[Tensor, "N _"]]) -> Float[Tensor, "N E"]:
    """Embeddings side by side, whose cosine is the mean of the members' cosines."""
    return torch.cat(list(embeddings), 1) / math.sqrt(len(embeddings))
