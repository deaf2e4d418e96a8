"""MaskRNN's binary segmentation net: an appearance stream and a flow stream, fused linearly (3.2)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from tinct.networks.guided_pyramid import GuidedPyramid
from tinct.networks.localization import LocalizationNet


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
        fused: [B, h, w], of stride 4.
        appearance: Those of the appearance stream alone.
        motion: Those of the flow stream alone, at the same size.
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
        fused, motion = self.fused(appearance, features, guides)
        deltas = self.localization(features.appearance[2], proposals)
        return TwoStreamOutput(fused, appearance, motion, deltas)

    def fused(
        self, appearance: Float[Tensor, "B h w"], features: StreamFeatures, guides: Float[Tensor, "B 1 H W"]
    ) -> tuple[Float[Tensor, "B h w"], Float[Tensor, "B h w"]]:
        """Logits of both streams together, and of the flow stream alone, given the appearance stream's."""
        size = (appearance.shape[-2], appearance.shape[-1])
        motion = self.motion(features.motion, guides).fused
        motion = F.interpolate(motion[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
        return self.fusion(torch.stack([appearance, motion], 1))[:, 0], motion

    def object_layers(self) -> dict[str, nn.Parameter]:
        """What belongs to an object once it is fine-tuned, by name: all but the backbones."""
        return {name: p for name, p in self.named_parameters() if ".backbone." not in name}
