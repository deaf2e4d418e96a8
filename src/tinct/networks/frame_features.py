"""DyeNet's shared features: what a frame looks like to all of its heads (N_feat, section 2)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from tinct.networks.backbones import ImageNormalisation
from tinct.networks.heads import UnitEmbedding
from tinct.networks.pyramid import FeaturePyramid

STRIDE = 8
FINE_STRIDE = 4

PYRAMID_CHANNELS = 256
"""Width of the papers' pyramid (FPN)."""

COMPACT_CHANNELS, COMPACT_FINE, COMPACT_IDENTITY, COMPACT_EMBEDDING = 96, 24, 128, 64

FLOW_SCALE_PX = 20.0
"""Flow is divided by this before a network sees it (FlowNet's own scale; inferred)."""

FLOW_LIMIT = 5.0
"""Larger values, after division, are cut: flow of lost pixels is wild (inferred)."""


class FrameFeatures(NamedTuple):
    """What of pictures does not depend on boxes.

    Attributes:
        coarse: [B, C, H/8, W/8], the paper's f_i.
        fine: [B, C4, H/4, W/4] of the feature pyramid, or None.
        motion: [B, C, H/8, W/8] of the flow stream, to be added to `coarse`, or None.
        identity: [B, I, H/8, W/8] for the re-identification network alone, or None; compact only.
        embedding: [B, E, H/8, W/8], FEELVOS's e_p, for the matching guide, or None; compact only.
    """

    coarse: Tensor
    fine: Tensor | None = None
    motion: Tensor | None = None
    identity: Tensor | None = None
    embedding: Tensor | None = None

    def select(self, index: Tensor | slice) -> FrameFeatures:
        """Some of the pictures."""
        coarse, *others = self
        return FrameFeatures(coarse[index], *(None if maps is None else maps[index] for maps in others))


class CompactFeatures(nn.Module):
    """MobileNetV2 with a light pyramid, by the names of FEELVOS's compact network.

    Beyond the paper: `identity` is a projection of the backbone's own maps of strides 8, 16 and 32. It
    keeps angles when it is drawn, so that re-identification starts from what ImageNet knows.

    Args:
        pyramid: Give the stride-4 map too.
        embedding: Give the embedding too.
    """

    channels, identity_channels = COMPACT_CHANNELS, COMPACT_IDENTITY

    def __init__(self, *, pyramid: bool, embedding: bool) -> None:
        super().__init__()
        self.extractor = FeaturePyramid("mobilenetv2_100", COMPACT_CHANNELS, COMPACT_FINE)
        self.identity = nn.Conv2d(self.extractor.stacked_channels, COMPACT_IDENTITY, 1, bias=False)
        nn.init.orthogonal_(self.identity.weight)
        self.embedding = (
            UnitEmbedding(self.extractor.stacked_channels, COMPACT_CHANNELS, COMPACT_EMBEDDING)
            if embedding
            else None
        )
        self.fine_channels = COMPACT_FINE if pyramid else 0
        if not pyramid:
            self.extractor.skip.requires_grad_(False)  # nothing looks at its map

    def forward(self, frames: Float[Tensor, "B 3 H W"]) -> FrameFeatures:
        """Features of frames in [0, 1], of any size (strides round up)."""
        seen = self.extractor(frames)
        fine = seen.skip if self.fine_channels else None
        embedding = None if self.embedding is None else self.embedding(seen.stacked, seen.features)
        return FrameFeatures(seen.features, fine, identity=self.identity(seen.stacked), embedding=embedding)

    def freeze_for_training(self) -> None:
        """Take the backbone out of training, as most of the paper's is: what it knows it has from before."""
        self.extractor.backbone.requires_grad_(False)


class StagedFeatures(nn.Module):
    """The paper's: conv1 to conv4_x of a backbone, dilated to stride 8 (2).

    The pyramid is one step of Lin et al. (FPN, CVPR 2017): the maps of stride 4 and, enlarged, of stride
    8, each through a 1×1 layer, summed and smoothed (inferred: the text names the technique only).

    Args:
        backbone: "resnet101" or "xception65".
        pyramid: Give the stride-4 map too.
    """

    identity_channels = 0

    def __init__(self, backbone: str, *, pyramid: bool) -> None:
        super().__init__()
        import timm

        configuration = timm.get_pretrained_cfg(backbone)
        self.normalise = ImageNormalisation(tuple(configuration.mean), tuple(configuration.std))
        self.stages = _first_stages(backbone)
        self.channels = self.stages.channels
        self.fine_channels = PYRAMID_CHANNELS if pyramid else 0
        if pyramid:
            self.lateral = nn.Conv2d(self.stages.fine_channels, PYRAMID_CHANNELS, 1)
            self.top = nn.Conv2d(self.channels, PYRAMID_CHANNELS, 1)
            self.smooth = nn.Conv2d(PYRAMID_CHANNELS, PYRAMID_CHANNELS, 3, padding=1)

    def forward(self, frames: Float[Tensor, "B 3 H W"]) -> FrameFeatures:
        """Features of frames in [0, 1], of any size (strides round up)."""
        fine, coarse = self.stages(self.normalise(frames))
        if not self.fine_channels:
            return FrameFeatures(coarse)
        lateral = self.lateral(fine)
        top = F.interpolate(self.top(coarse), lateral.shape[-2:], mode="bilinear", align_corners=False)
        return FrameFeatures(coarse, self.smooth(lateral + top))

    def freeze_for_training(self) -> None:
        """Take conv1 to conv4_20 out of training."""
        self.stages.freeze_for_training()


class CompactMotion(nn.Module):
    """A small flow stream of stride 8, learned from nothing; at first it adds nothing.

    Args:
        channels: Of the features to which its map is added.
    """

    WIDTHS = (16, 32, 64)

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = (2, *self.WIDTHS)
        self.layers = nn.Sequential(
            *(
                layer
                for before, after in pairwise(widths)
                for layer in (nn.Conv2d(before, after, 3, stride=2, padding=1), nn.ReLU())
            )
        )
        self.join = _joining(self.WIDTHS[-1], channels)

    def forward(self, flows: Float[Tensor, "B 2 H W"]) -> Float[Tensor, "B C h w"]:
        """The map of flow in pixels."""
        joined: Tensor = self.join(self.layers(scaled_flow(flows)))
        return joined

    def freeze_for_training(self) -> None:
        """Nothing is frozen."""


class StagedMotion(nn.Module):
    """The paper's flow stream: a second backbone, whose pictures are flow; at first it adds nothing.

    Both streams' maps are summed before any head sees them (inferred: VS-ReID sums the logits of two
    whole networks, for which the heads here would have to run twice).

    Args:
        backbone: "resnet101" or "xception65".
    """

    def __init__(self, backbone: str) -> None:
        super().__init__()
        self.stages = _first_stages(backbone, inputs=2)
        self.join = _joining(self.stages.channels, self.stages.channels)

    def forward(self, flows: Float[Tensor, "B 2 H W"]) -> Float[Tensor, "B C h w"]:
        """The map of flow in pixels."""
        joined: Tensor = self.join(self.stages(scaled_flow(flows))[1])
        return joined

    def freeze_for_training(self) -> None:
        """Nothing is frozen: ImageNet knows no flow."""


def _first_stages(backbone: str, inputs: int = 3) -> Any:
    from tinct.networks.staged_backbones import FirstStages  # it loads timm, which takes seconds

    return FirstStages(backbone, inputs)


def scaled_flow(flows: Float[Tensor, "B 2 H W"]) -> Float[Tensor, "B 2 H W"]:
    """Flow as a network sees it: in [-5, 5], a unit for 20 pixels."""
    return (flows / FLOW_SCALE_PX).clamp(-FLOW_LIMIT, FLOW_LIMIT)


def _joining(inputs: int, channels: int) -> nn.Conv2d:
    """A layer that adds nothing before any training: the network starts as that of one stream."""
    join = nn.Conv2d(inputs, channels, 1)
    nn.init.zeros_(join.weight)
    nn.init.zeros_(join.bias)  # type: ignore[arg-type]
    return join
