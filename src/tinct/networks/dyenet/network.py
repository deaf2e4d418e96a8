"""DyeNet's network: shared features, proposals, re-identification, masks and their propagation.

Li, Loy, "Video Object Segmentation with Joint Re-identification and Attention-Aware Mask Propagation",
ECCV 2018, arXiv:1803.04242, and the authors' report to the DAVIS Challenge 2018.

| paper | here |
|---|---|
| N_feat, f_i (2) | `DyeNetNetwork.features`, `FrameFeatures.coarse` |
| object proposals b_j (2.1) | `proposals` |
| mask network (2.1) | `mask_logits` |
| re-identification network (2.1) | `embeddings` |
| h_j = N_R(h_{(j-1)→j}, x_j), eq. 1 | `forward`, `RecurrentMask.hidden` |
| region attention a_j (2.2) | `RecurrentMask.region_attention`, `Propagated.attention` |
| y_j = N_O(h_j), eq. 2 | `RecurrentMask.mask_logits`, `Propagated.mask_logits` |
| two streams, feature pyramid (3) | `FrameFeatures.motion`, `FrameFeatures.fine` |

Boxes are in pixels of the picture that was given to `features`; `index` says which picture of the
batch each lies in. No boxes give empty results everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from tinct.errors import OptionError, near_match
from tinct.networks.dyenet.matching_guide import MAPS, BoxCells, box_cells, recalled_by_boxes
from tinct.networks.dyenet.recurrent_mask import (
    Propagated,
    RecurrentFunction,
    RecurrentMask,
    at_grid,
    mask_attention,
)
from tinct.networks.dyenet.region_heads import MaskNetwork, ReidNetwork, WeighingReidNetwork
from tinct.networks.dyenet.region_proposals import Proposals, RegionProposals
from tinct.networks.frame_features import (
    FINE_STRIDE,
    STRIDE,
    CompactFeatures,
    CompactMotion,
    FrameFeatures,
    StagedFeatures,
    StagedMotion,
)
from tinct.networks.small_stage import SMALL_WIDTH, SmallStage
from tinct.networks.staged_backbones import FirstStages, LastStage, imagenet_tensors
from tinct.ops.rois import pooled
from tinct.ops.views import View

__all__ = ["COMPACT", "PAPER", "DyeNetConfig", "DyeNetNetwork", "FrameFeatures", "Propagated", "Proposals"]

BACKBONES = ("resnet101", "xception65", "mobilenetv2")

PAPER_WIDTH, COMPACT_WIDTH = 256, 48
"""Of the layers that give masks (inferred)."""

COMPACT_REID_GRID = 14
"""Half as fine as the paper's, however fine masks are: identities need no edges."""


@dataclass(frozen=True)
class DyeNetConfig:
    """What trained weights are bound to; the defaults are the paper's.

    Attributes:
        backbone: "resnet101" (2), "xception65" (3) or "mobilenetv2".
        roi_grid: m, cells of each side of a box (2.1: 28).
        hidden: d, channels of the hidden state (inferred: those of conv5_x).
        pyramid: Features of stride 4 join where masks come out, which then have twice as many cells (3).
        two_streams: A second stream sees the optical flow (3).
        attention: Region attention (2.2).
        mask_guide: Beyond the paper: the warped mask joins the recurrent input as one more channel.
        matching_guide: Beyond the paper: so does what FEELVOS's matching recalls of the annotated frames, and
            of the frame before; "mobilenetv2" alone.

    Raises:
        OptionError: No such backbone, or a number below 1.
    """

    backbone: str = "resnet101"
    roi_grid: int = 28
    hidden: int = 2048
    pyramid: bool = False
    two_streams: bool = False
    attention: bool = True
    mask_guide: bool = False
    matching_guide: bool = False

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES:
            raise OptionError(
                f"DyeNet has no backbone {self.backbone!r}. {near_match(self.backbone, BACKBONES)}"
            )
        if self.roi_grid < 2 or self.hidden < 1:
            raise OptionError(
                f"A grid of {self.roi_grid} and {self.hidden} hidden channels came; a grid has at least 2 "
                "cells a side, a hidden state at least 1 channel."
            )
        if self.matching_guide and self.backbone != "mobilenetv2":
            raise OptionError(
                f"matching_guide came with the backbone {self.backbone!r}, which has no embedding; only "
                "'mobilenetv2' has one, from FEELVOS."
            )


PAPER = DyeNetConfig()
COMPACT = DyeNetConfig(backbone="mobilenetv2", hidden=64, pyramid=True, mask_guide=True, matching_guide=True)


class DyeNetNetwork(nn.Module):
    """All that is learned in DyeNet; flow comes from elsewhere. `forward` is one step of propagation.

    Args:
        config: Sizes and parts.

    Attributes:
        config: As it was given, or as `use_grid` changed it.
    """

    def __init__(self, config: DyeNetConfig) -> None:
        super().__init__()
        self.config = config
        compact = config.backbone == COMPACT.backbone
        self.extractor = (
            CompactFeatures(pyramid=config.pyramid, embedding=config.matching_guide)
            if compact
            else StagedFeatures(config.backbone, pyramid=config.pyramid)
        )
        channels, fine = self.extractor.channels, self.extractor.fine_channels
        self.motion: CompactMotion | StagedMotion | None = None
        if config.two_streams:
            self.motion = CompactMotion(channels) if compact else StagedMotion(config.backbone)
        self.rpn = RegionProposals(channels, STRIDE)
        width = COMPACT_WIDTH if compact else PAPER_WIDTH
        guides = int(config.mask_guide) + (2 * MAPS if config.matching_guide else 0)
        stage = _last_stage(config, channels, SMALL_WIDTH, strided=False)
        self.mask_network = MaskNetwork(stage, width if config.pyramid else 0, fine)
        self.reid_grid, self.reid = _reid(config, channels, self.extractor.identity_channels)
        stage = _last_stage(config, channels, config.hidden, strided=False)
        function = RecurrentFunction(stage, channels, config.hidden, guides)
        self.recurrent = RecurrentMask(
            function, config.hidden, width, fine, attention=config.attention, guides=guides
        )

    @property
    def mask_grid(self) -> int:
        """M, cells of each side of a mask: m, or 2 m with the pyramid."""
        return self.config.roi_grid * (2 if self.config.pyramid else 1)

    def use_grid(self, roi_grid: int) -> None:
        """Look at boxes with another m, to which no weights are bound."""
        self.config = replace(self.config, roi_grid=roi_grid)

    def start_from_imagenet(self, source: str = "auto") -> str:
        """ImageNet weights for all that is a copy of the backbone; says where they came from."""
        if isinstance(self.extractor, CompactFeatures):
            return self.extractor.extractor.backbone.start_from_imagenet(source)
        tensors, origin = imagenet_tensors(self.config.backbone, source)
        for module in self.modules():
            if isinstance(module, FirstStages | LastStage):
                module.load_imagenet(tensors)
        return origin

    def freeze_for_training(self) -> None:
        """Take the first layers of the backbone out of training."""
        self.extractor.freeze_for_training()
        if self.motion is not None:
            self.motion.freeze_for_training()

    def features(
        self, frames: Float[Tensor, "B 3 H W"], flows: Float[Tensor, "B 2 H W"] | None = None
    ) -> FrameFeatures:
        """What of pictures does not depend on boxes: computed once, used by everything.

        Args:
            frames: In [0, 1].
            flows: In pixels of the pictures, to the frame before; for two streams only.

        Raises:
            OptionError: A network of two streams came without flow.
        """
        seen: FrameFeatures = self.extractor(frames)
        if self.motion is None:
            return seen
        if flows is None:
            raise OptionError("This DyeNet has a second stream that sees flow; give the flow of the frames.")
        return seen._replace(motion=self.motion(flows))

    def proposals(self, features: FrameFeatures, view: View, count: int = 100) -> list[Proposals]:
        """Per picture at most `count` boxes in which some object may lie, the likeliest first (2.1)."""
        found: list[Proposals] = self.rpn(features.coarse, view.size, count)
        return found

    def proposal_losses(
        self, features: FrameFeatures, targets: list[Float[Tensor, "_ 4"]]
    ) -> dict[str, Float[Tensor, ""]]:
        """The region proposal network's losses, "objectness" and "box"; one list of boxes per picture."""
        losses: dict[str, Tensor] = self.rpn.losses(features.coarse, targets)
        return losses

    def embeddings(
        self, features: FrameFeatures, boxes: Float[Tensor, "N 4"], index: Int64[Tensor, "N"]
    ) -> Float[Tensor, "N 256"]:
        """Who is in each box: a direction in the space of identities (2.1)."""
        cells = pooled(features.coarse, boxes, index, self.reid_grid, STRIDE)
        identity = features.identity
        if identity is not None:
            # The strided stage has half as many cells.
            identity = pooled(identity, boxes, index, -(-self.reid_grid // 2), STRIDE)
        embedded: Tensor = self.reid(cells, identity)
        return embedded

    def mask_logits(
        self, features: FrameFeatures, boxes: Float[Tensor, "N 4"], index: Int64[Tensor, "N"]
    ) -> Float[Tensor, "N M M"]:
        """The mask of each box's main instance (2.1)."""
        cells, fine = self._cells(features, boxes, index), self._fine_cells(features, boxes, index)
        logits: Tensor = self.mask_network(cells, fine)
        return logits

    def remember(
        self,
        features: FrameFeatures,
        boxes: Float[Tensor, "N 4"],
        index: Int64[Tensor, "N"],
        masks: Float[Tensor, "N M M"],
    ) -> BoxCells | None:
        """What a frame shows of objects, for `forward` on the next one; None without a matching guide.

        Args:
            features: Of the pictures.
            boxes: Around the masks.
            index: The picture of each box.
            masks: In [0, 1], over the boxes' cells; of any grid.
        """
        embedded = self._embedded(features, boxes, index)
        return None if embedded is None else box_cells(embedded, masks)

    def begin(
        self,
        features: FrameFeatures,
        boxes: Float[Tensor, "N 4"],
        index: Int64[Tensor, "N"],
        masks: Float[Tensor, "N M M"],
        recalled: Float[Tensor, "N 2 M M"] | None = None,
    ) -> Float[Tensor, "N d m m"]:
        """The hidden state at a starting point: N_R(0, x_i), with the given mask as attention (inferred).

        Args:
            features: Of the pictures.
            boxes: Around the masks.
            index: The picture of each box.
            masks: In [0, 1], over the boxes' cells; of any grid.
            recalled: What the boxes recall of annotated frames, see `matching_guide`.
        """
        cells = self._cells(features, boxes, index)
        m = self.config.roi_grid
        nothing = cells.new_zeros(len(boxes), self.config.hidden, m, m)
        masks = masks.to(cells.dtype)
        attention = mask_attention(masks, m)
        embedded = self._embedded(features, boxes, index)
        itself = None if embedded is None else box_cells(embedded, masks)
        guides = self._guides(masks, embedded, recalled, itself)
        return self.recurrent.hidden(nothing, cells, guides, attention)

    def forward(
        self,
        features: FrameFeatures,
        boxes: Float[Tensor, "N 4"],
        index: Int64[Tensor, "N"],
        hidden_warped: Float[Tensor, "N d m m"],
        masks: Float[Tensor, "N G G"],
        recalled: Float[Tensor, "N 2 G G"] | None = None,
        before: BoxCells | None = None,
    ) -> Propagated:
        """One step of propagation (2.2): region attention, eq. 1, eq. 2.

        Args:
            features: Of the pictures at j.
            boxes: Around the warped masks.
            index: The picture of each box.
            hidden_warped: h_{(j-1)→j}, see `ops.rois.warped_between_boxes`.
            masks: The warped masks over the boxes' cells, of any grid: m, or M, which shows more of
                them to the last layers. A network without `mask_guide` does not look at them.
            recalled: What the boxes recall of annotated frames, see `matching_guide`.
            before: What `remember` gave for the frame before.
        """
        cells, fine = self._cells(features, boxes, index), self._fine_cells(features, boxes, index)
        embedded = self._embedded(features, boxes, index)
        guides = self._guides(masks.to(cells.dtype), embedded, recalled, before)
        propagated: Propagated = self.recurrent(hidden_warped, cells, fine, guides)
        return propagated

    def _guides(
        self,
        masks: Float[Tensor, "N G G"],
        embedded: Float[Tensor, "N E m m"] | None,
        recalled: Float[Tensor, "N 2 G G"] | None,
        before: BoxCells | None,
    ) -> Float[Tensor, "N g G G"]:
        """The maps that join the cells: none, the masks, and what the boxes recall of other frames."""
        grid = masks.shape[-1]
        maps = [masks[:, None]] if self.config.mask_guide else []
        if embedded is not None:
            if recalled is None or before is None:
                raise OptionError(
                    "This DyeNet has a matching guide; give what its boxes recall of annotated frames, and "
                    "what the frame before showed of their objects."
                )
            of_before = recalled_by_boxes(embedded, before)
            maps += [recalled.to(masks.dtype), at_grid(of_before, grid)]
        return torch.cat(maps, 1) if maps else masks.new_zeros(len(masks), 0, grid, grid)

    def _embedded(self, features: FrameFeatures, boxes: Tensor, index: Tensor) -> Tensor | None:
        """e_p of the boxes' cells; None without a matching guide."""
        if features.embedding is None:
            return None
        return pooled(features.embedding, boxes, index, self.config.roi_grid, STRIDE)

    def _cells(self, features: FrameFeatures, boxes: Tensor, index: Tensor) -> Tensor:
        """x: what masks are made of."""
        return pooled(_coarse(features), boxes, index, self.config.roi_grid, STRIDE)

    def _fine_cells(self, features: FrameFeatures, boxes: Tensor, index: Tensor) -> Tensor | None:
        if features.fine is None:
            return None
        return pooled(features.fine, boxes, index, self.mask_grid, FINE_STRIDE)


def _coarse(features: FrameFeatures) -> Float[Tensor, "B C h w"]:
    return features.coarse if features.motion is None else features.coarse + features.motion


def _last_stage(config: DyeNetConfig, inputs: int, channels: int, *, strided: bool) -> SmallStage | LastStage:
    if config.backbone == COMPACT.backbone:
        return SmallStage(inputs, channels, strided=strided)
    return LastStage(config.backbone, strided=strided)


def _reid(config: DyeNetConfig, inputs: int, identity: int) -> tuple[int, ReidNetwork | WeighingReidNetwork]:
    """The re-identification network and the grid that it sees."""
    stage = _last_stage(config, inputs, SMALL_WIDTH, strided=True)
    if identity:
        return COMPACT_REID_GRID, WeighingReidNetwork(stage, identity)
    return config.roi_grid, ReidNetwork(stage)
