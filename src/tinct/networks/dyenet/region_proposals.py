"""Boxes in which some object may lie: torchvision's region proposal network (Ren et al., NIPS 2015).

DyeNet takes object proposals from Faster R-CNN's network, without classes. Here it looks at the shared
features of stride 8. Its anchors, thresholds and samples are those of torchvision's Faster R-CNN
(inferred: the text names the network only).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead, concat_box_prediction_layers

ANCHOR_SIDES_PX = (32, 64, 128, 256, 512)
ANCHOR_RATIOS = (0.5, 1.0, 2.0)
"""Height by width."""

OVERLAP = 0.7
"""Of two proposals, above which the weaker one is dropped (inferred)."""

BEFORE_SUPPRESSION = 1000
"""The best of all anchors, which alone compete."""

LEAST_TARGET_PX = 1.0
"""Narrower boxes teach nothing: their logarithm would be no number."""


class Proposals(NamedTuple):
    """Boxes of one picture, the likeliest first.

    Attributes:
        boxes: [P, 4] in pixels of the picture, inside it.
        scores: [P], the probability that some object fills the box.
    """

    boxes: Tensor
    scores: Tensor


class RegionProposals(nn.Module):
    """One sliding 3×3 layer; per cell and anchor a score, and the way from the anchor to the box.

    Args:
        channels: Of the features.
        stride: Of the features.
    """

    def __init__(self, channels: int, stride: int = 8) -> None:
        super().__init__()
        self.stride = stride
        anchors = AnchorGenerator((ANCHOR_SIDES_PX,), (ANCHOR_RATIOS,))
        most = {"training": BEFORE_SUPPRESSION, "testing": BEFORE_SUPPRESSION}
        self.rpn = RegionProposalNetwork(
            anchors,
            RPNHead(channels, anchors.num_anchors_per_location()[0]),
            fg_iou_thresh=0.7,
            bg_iou_thresh=0.3,
            batch_size_per_image=256,
            positive_fraction=0.5,
            pre_nms_top_n=most,
            post_nms_top_n=most,
            nms_thresh=OVERLAP,
        )

    @torch.no_grad()
    def forward(
        self, features: Float[Tensor, "B C h w"], size: tuple[int, int], count: int
    ) -> list[Proposals]:
        """The best boxes of each picture, with their scores, in training as at test.

        Args:
            features: Of the pictures.
            size: (H, W) of the pictures.
            count: The largest number of boxes of each.
        """
        if not len(features):
            return []
        objectness, deltas, anchors, per_picture = self._seen(features)
        boxes = self.rpn.box_coder.decode(deltas, anchors).view(len(features), -1, 4)
        sizes = [size] * len(features)
        found = self.rpn.filter_proposals(boxes, objectness, sizes, [per_picture])
        return [Proposals(b[:count], s[:count]) for b, s in zip(*found, strict=True)]

    def losses(
        self, features: Float[Tensor, "B C h w"], targets: list[Float[Tensor, "_ 4"]]
    ) -> dict[str, Float[Tensor, ""]]:
        """Faster R-CNN's losses of the anchors that it draws: "objectness" and "box".

        Args:
            features: Of the pictures.
            targets: Per picture the boxes of its objects; none for a picture of background alone.
        """
        objectness, deltas, anchors, _ = self._seen(features)
        boxes = [{"boxes": _wide_enough(b.float())} for b in targets]
        labels, matched = self.rpn.assign_targets_to_anchors(anchors, boxes)
        ways = self.rpn.box_coder.encode(matched, anchors)
        of_score, of_box = self.rpn.compute_loss(objectness, deltas, labels, ways)
        return {"objectness": of_score, "box": of_box}

    def _seen(self, features: Tensor) -> tuple[Tensor, Tensor, list[Tensor], int]:
        """Scores [B A, 1], deltas [B A, 4], every picture's anchors [A, 4], and A."""
        with torch.autocast(features.device.type, enabled=False):
            scores, deltas = self.rpn.head([features.float()])
        h, w = features.shape[-2:]
        # Anchors lie where the cells do, on every eighth pixel, whatever the picture's own size.
        whole = torch.empty(1, 1, h * self.stride, w * self.stride, device="meta")
        pictures = ImageList(whole, [(h * self.stride, w * self.stride)] * len(features))
        anchors: list[Tensor] = self.rpn.anchor_generator(pictures, [features.float()])
        scores, deltas = concat_box_prediction_layers(scores, deltas)
        return scores, deltas, anchors, len(anchors[0])


def _wide_enough(boxes: Float[Tensor, "G 4"]) -> Float[Tensor, "K 4"]:
    return boxes[(boxes[:, 2:] - boxes[:, :2] >= LEAST_TARGET_PX).all(1)]
