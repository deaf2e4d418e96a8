"""DyeNet's shared features: what a frame looks like to all of its heads (N_feat, section 2)."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from tinct.networks.pyramid import FeaturePyramid

STRIDE = 8
FINE_STRIDE = 4

COMPACT_CHANNELS, COMPACT_FINE, COMPACT_IDENTITY = 96, 24, 128

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
    """

    coarse: Tensor
    fine: Tensor | None = None
    motion: Tensor | None = None
    identity: Tensor | None = None

    def select(self, index: Tensor | slice) -> FrameFeatures:
        """Some of the pictures."""
        fine, motion, identity = (None if maps is None else maps[index] for maps in self[1:])
        return FrameFeatures(self.coarse[index], fine, motion, identity)


class CompactFeatures(nn.Module):
    """MobileNetV2 with a light pyramid, by the names of FEELVOS's compact network.

    Beyond the paper: `identity` is a projection of the backbone's own maps of strides 8, 16 and 32. It
    keeps angles when it is drawn, so that re-identification starts from what ImageNet knows.

    Args:
        pyramid: Give the stride-4 map too.
    """

    channels, identity_channels = COMPACT_CHANNELS, COMPACT_IDENTITY

    def __init__(self, *, pyramid: bool) -> None:
        super().__init__()
        self.extractor = FeaturePyramid("mobilenetv2_100", COMPACT_CHANNELS, COMPACT_FINE)
        self.identity = nn.Conv2d(self.extractor.stacked_channels, COMPACT_IDENTITY, 1, bias=False)
        nn.init.orthogonal_(self.identity.weight)
        self.fine_channels = COMPACT_FINE if pyramid else 0

    def forward(self, frames: Float[Tensor, "B 3 H W"]) -> FrameFeatures:
        """Features of frames in [0, 1], of any size (strides round up)."""
        seen = self.extractor(frames)
        fine = seen.skip if self.fine_channels else None
        return FrameFeatures(seen.features, fine, identity=self.identity(seen.stacked))

    def start_from_imagenet(self, source: str = "auto") -> str:
        """ImageNet weights for the backbone; says where they came from."""
        return self.extractor.backbone.start_from_imagenet(source)

    def freeze_for_training(self) -> None:
        """Take the backbone's layers up to stride 4 out of training."""
        self.extractor.backbone.freeze_to_stride_4()


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

    def start_from_imagenet(self, source: str = "auto") -> str:
        """Nothing to start from."""
        return "the flow stream starts from nothing"

    def freeze_for_training(self) -> None:
        """Nothing is frozen."""


def scaled_flow(flows: Float[Tensor, "B 2 H W"]) -> Float[Tensor, "B 2 H W"]:
    """Flow as a network sees it: in [-5, 5], a unit for 20 pixels."""
    return (flows / FLOW_SCALE_PX).clamp(-FLOW_LIMIT, FLOW_LIMIT)


def _joining(inputs: int, channels: int) -> nn.Conv2d:
    """A layer that adds nothing before any training: the network starts as that of one stream."""
    join = nn.Conv2d(inputs, channels, 1)
    nn.init.zeros_(join.weight)
    nn.init.zeros_(join.bias)  # type: ignore[arg-type]
    return join
