"""MaskRNN's binary segmentation net: an appearance stream and a flow stream, fused linearly (3.2)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from tinct.networks.guided_pyramid import GuidedPyramid
from tinct.networks.localization import LocalizationNet
from tinct.networks.vgg import VggStream

PAPER_HIDDEN = 4096
"""Width of the paper's localization net: that of Fast R-CNN on VGG-16."""


class StreamFeatures(NamedTuple):
    """What of a frame does not depend on the object.

    Attributes:
        appearance: The appearance stream's maps, finest first.
        motion: The flow stream's; none where there is no flow stream.
    """

    appearance: list[Tensor]
    motion: list[Tensor]


class TwoStreamOutput(NamedTuple):
    """The binary segmentation net's logits, and the box.

    Attributes:
        fused: [B, h, w], of stride 4, or of the frame's size in the paper's variant.
        appearance: Those of the appearance stream alone.
        motion: Those of the flow stream alone, at the same size; 0 where there is no flow stream.
        deltas: [B, 4], the localization net's, from the box of the guiding mask.
    """

    fused: Tensor
    appearance: Tensor
    motion: Tensor
    deltas: Tensor


class TwoStreams(nn.Module):
    """Appearance stream, flow stream and localization net of one object.

    The flow stream looks at pictures of half the size, which the coarse edges of motion allow, and
    at the magnitudes of both flows and their mean in the place of red, green and blue.

    Args:
        backbone_name: A timm name, see `PyramidBackbone`.
        hidden: Width of the localization net.
    """

    def __init__(self, backbone_name: str, hidden: int = 128) -> None:
        super().__init__()
        self.appearance = GuidedPyramid(backbone_name, guides=1)
        self.motion = GuidedPyramid(backbone_name, guides=1)
        self.fusion = nn.Conv2d(2, 1, 1)
        stride_16 = self.appearance.backbone.channels[2]
        self.localization = LocalizationNet(stride_16, hidden)
        with torch.no_grad():
            # It starts as the appearance stream alone, near enough.
            self.fusion.weight.copy_(torch.tensor([1.0, 0.1]).view(1, 2, 1, 1))
            self.fusion.bias.zero_()  # type: ignore[union-attr]

    def features(
        self, frames: Float[Tensor, "B 3 H W"], magnitudes: Float[Tensor, "B 2 H W"]
    ) -> StreamFeatures:
        """Both backbones' maps of frames in [0, 1] and of the magnitude images of both flows."""
        small = F.avg_pool2d(magnitudes, 2, ceil_mode=True)
        image = torch.cat([small, small.mean(1, keepdim=True)], 1)
        return StreamFeatures(self.appearance.features(frames), self.motion.features(image))

    def forward(
        self,
        features: StreamFeatures,
        guides: Float[Tensor, "B 1 H W"],
        proposals: Float[Tensor, "B 4"],
    ) -> TwoStreamOutput:
        """Logits and box deltas under the guidance of warped masks.

        Args:
            features: Of the same batch.
            guides: Warped previous masks.
            proposals: Their boxes.
        """
        appearance = self.appearance(features.appearance, guides).fused
        fused, motion = self._fused(appearance, features, guides)
        return TwoStreamOutput(
            fused, appearance, motion, self.localization(features.appearance[2], proposals)
        )

    def _fused(
        self, appearance: Float[Tensor, "B h w"], features: StreamFeatures, guides: Float[Tensor, "B 1 H W"]
    ) -> tuple[Float[Tensor, "B h w"], Float[Tensor, "B h w"]]:
        """Logits of both streams together, and of the flow stream alone, given the appearance stream's."""
        if not features.motion:
            return appearance, torch.zeros_like(appearance)
        size = (appearance.shape[-2], appearance.shape[-1])
        motion = self.motion(features.motion, guides).fused
        motion = F.interpolate(motion[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
        return self.fusion(torch.stack([appearance, motion], 1))[:, 0], motion

    def freeze_for_training(self) -> None:
        """Take the first layers of both backbones out of training."""
        self.appearance.backbone.freeze_to_stride_4()
        self.motion.backbone.freeze_to_stride_4()

    def start_from_imagenet(self, source: str = "auto") -> str:
        """ImageNet weights for both backbones; says where they came from."""
        self.motion.start_from_imagenet(source)
        return self.appearance.start_from_imagenet(source)


class VggTwoStreams(nn.Module):
    """The paper's: VGG-16 in both streams, the guide as a channel of either's input.

    The flow stream sees three channels: the magnitudes of both flows, and the guide.

    Args:
        hidden: Width of the localization net's two layers.
    """

    def __init__(self, hidden: int | None = None) -> None:
        super().__init__()
        self.appearance = VggStream(1)
        self.motion = VggStream(0)
        self.fusion = nn.Conv2d(2, 1, 1)
        channels = self.appearance.backbone.channels[-1]
        self.localization = LocalizationNet(channels, hidden or PAPER_HIDDEN)
        with torch.no_grad():
            # The mean of both streams: the paper does not say how it starts.
            self.fusion.weight.fill_(0.5)
            self.fusion.bias.zero_()  # type: ignore[union-attr]

    def features(
        self, frames: Float[Tensor, "B 3 H W"], magnitudes: Float[Tensor, "B 2 H W"]
    ) -> StreamFeatures:
        """The frames and magnitudes themselves: nothing is shared by objects."""
        return StreamFeatures([frames], [magnitudes])

    def forward(
        self,
        features: StreamFeatures,
        guides: Float[Tensor, "B 1 H W"],
        proposals: Float[Tensor, "B 4"],
    ) -> TwoStreamOutput:
        """Logits of the frames' size, and box deltas; as in `TwoStreams`."""
        output, conv5 = self.appearance.with_conv5(features.appearance, guides)
        fused, motion = self._fused(output.fused, features, guides)
        return TwoStreamOutput(fused, output.fused, motion, self.localization(conv5, proposals))

    def _fused(
        self, appearance: Float[Tensor, "B H W"], features: StreamFeatures, guides: Float[Tensor, "B 1 H W"]
    ) -> tuple[Float[Tensor, "B H W"], Float[Tensor, "B H W"]]:
        """Logits of both streams together, and of the flow stream alone."""
        if not features.motion:
            return appearance, torch.zeros_like(appearance)
        magnitudes = features.motion[0].expand(len(guides), -1, -1, -1)
        motion = self.motion([torch.cat([magnitudes, guides], 1)]).fused
        return self.fusion(torch.stack([appearance, motion], 1))[:, 0], motion

    def freeze_for_training(self) -> None:
        """Nothing is frozen."""

    def start_from_imagenet(self, source: str = "auto") -> str:
        """ImageNet weights for both backbones; says where they came from."""
        self.motion.start_from_imagenet(source)
        return self.appearance.start_from_imagenet(source)
