"""VGG-16's convolutions (Simonyan and Zisserman, ICLR 2015), and the papers' streams made of them.

Layers are named as torchvision and timm name them, so that ImageNet weights fit.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from tinct.networks.backbones import ImageNormalisation
from tinct.networks.imagenet import load_imagenet
from tinct.networks.side_outputs import SideLogits, SideOutputs

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Channels of the convolutions of each stage; a pooling lies between stages."""


class Vgg16(nn.Module):
    """The convolutions up to conv5_3.

    Args:
        inputs: Channels of the input.
        dilated: As DeepLabv2 changed it (Chen et al., TPAMI 2018): 3×3 poolings, the last two of
            stride 1, and a dilated fifth stage, so that features are of stride 8.
    """

    def __init__(self, inputs: int = 3, *, dilated: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self.taps: list[int] = []
        channels = inputs
        for number, stage in enumerate(STAGES, 1):
            spread = 2 if dilated and number == 5 else 1
            for width in stage:
                layers += [nn.Conv2d(channels, width, 3, padding=spread, dilation=spread), nn.ReLU()]
                channels = width
            self.taps.append(len(layers) - 1)
            if number < len(STAGES):
                layers.append(_pooling(number, dilated))
        if dilated:
            layers.append(nn.MaxPool2d(3, 1, 1))
        self.features = nn.Sequential(*layers)

    def forward(self, inputs: Float[Tensor, "B C H W"]) -> list[Tensor]:
        """The last map of each stage before its pooling (of the fifth, after DeepLabv2's), finest first."""
        maps: list[Tensor] = []
        seen = inputs
        last = len(self.features) - 1
        for number, layer in enumerate(self.features):
            seen = layer(seen)
            if number in self.taps[:-1] or number == last:
                maps.append(seen)
        return maps

    def start_from_imagenet(self, source: str = "auto") -> str:
        """ImageNet weights; those of channels beyond red, green and blue are drawn (MaskTrack: Gaussian)."""
        plain = Vgg16()
        origin = load_imagenet(plain, "vgg16", source)
        tensors = plain.state_dict()
        first = next(iter(tensors))
        extra = torch.randn_like(self.state_dict()[first][:, 3:]) * 0.01
        tensors[first] = torch.cat([tensors[first], extra], 1)
        self.load_state_dict(tensors)
        return origin


def _pooling(stage: int, dilated: bool) -> nn.MaxPool2d:
    if not dilated:
        return nn.MaxPool2d(2, 2, ceil_mode=True)
    return nn.MaxPool2d(3, 1 if stage == 4 else 2, 1)


class VggStream(nn.Module):
    """OSVOS's network, and each stream of MaskRNN: side outputs of VGG-16's stages 2 to 5, fused.

    The guide is a fourth channel of the image, from -1 to 1. Nothing is shared by objects, and all
    is fine-tuned, as in the papers.

    Args:
        guides: Guiding maps: 0 (OSVOS) or 1 (MaskRNN).
    """

    def __init__(self, guides: int) -> None:
        super().__init__()
        self.normalise = ImageNormalisation()
        self.backbone = Vgg16(3 + guides)
        self.side_outputs = SideOutputs((128, 256, 512, 512), 16)
        for name, parameter in self.side_outputs.named_parameters():
            if name.endswith("weight"):
                nn.init.normal_(parameter, std=1e-3)
            else:
                nn.init.zeros_(parameter)

    def features(self, frames: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        """The frames: all that does not depend on the object."""
        return [frames]

    def forward(
        self,
        features: list[Tensor],
        guides: Float[Tensor, "B G H W"] | None = None,
        *,
        deep_supervision: bool = False,
    ) -> SideLogits:
        """Logits of the frames' own size."""
        return self.with_conv5(features, guides, deep_supervision=deep_supervision)[0]

    def with_conv5(
        self,
        features: list[Tensor],
        guides: Float[Tensor, "B G H W"] | None = None,
        *,
        deep_supervision: bool = False,
    ) -> tuple[SideLogits, Float[Tensor, "B 512 h w"]]:
        """Logits, and the map of stride 16, for MaskRNN's localization net."""
        frames = features[0]
        taps = self.backbone(_with_guides(self.normalise(frames), guides))
        size = (frames.shape[-2], frames.shape[-1])
        return self.side_outputs(taps[1:], size, deep_supervision=deep_supervision), taps[-1]

    def object_layers(self) -> Mapping[str, nn.Parameter]:
        """Everything."""
        return dict(self.named_parameters())


class DeepLabV2Stream(nn.Module):
    """MaskTrack's network: DeepLabv2 on VGG-16, four channels in, the object's logits out.

    Four branches of dilated convolutions look at conv5's map, and their scores are summed. The two
    classes' scores are given as one logit, their difference.

    Args:
        width: Channels of the branches (1024).
    """

    RATES = (6, 12, 18, 24)

    def __init__(self, width: int = 1024) -> None:
        super().__init__()
        self.normalise = ImageNormalisation()
        self.backbone = Vgg16(4, dilated=True)
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(512, width, 3, padding=rate, dilation=rate), nn.ReLU(), nn.Dropout(0.5),
                nn.Conv2d(width, width, 1), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(width, 2, 1),
            )
            for rate in self.RATES
        )  # fmt: skip
        for branch in self.branches:
            score = branch[-1]  # type: ignore[index]
            nn.init.normal_(score.weight, std=0.01)
            nn.init.zeros_(score.bias)

    def features(self, frames: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        """The frames: all that does not depend on the object."""
        return [frames]

    def forward(
        self,
        features: list[Tensor],
        guides: Float[Tensor, "B G H W"] | None = None,
        *,
        deep_supervision: bool = False,
    ) -> SideLogits:
        """Logits of stride 8; the paper has no side outputs, so there are none to supervise."""
        seen = self.backbone(_with_guides(self.normalise(features[0]), guides))[-1]
        scores = torch.stack([branch(seen) for branch in self.branches]).sum(0)
        return SideLogits((), scores[:, 1] - scores[:, 0])

    def object_layers(self) -> Mapping[str, nn.Parameter]:
        """Everything."""
        return dict(self.named_parameters())


def _with_guides(
    frames: Float[Tensor, "B 3 H W"], guides: Float[Tensor, "N G h w"] | None
) -> Float[Tensor, "N C H W"]:
    """Frames and guides side by side; one frame may serve several objects."""
    if guides is None:
        return frames
    if guides.shape[-2:] != frames.shape[-2:]:
        guides = F.interpolate(guides, size=frames.shape[-2:], mode="bilinear", align_corners=False)
    return torch.cat([frames.expand(len(guides), -1, -1, -1), 2 * guides - 1], 1)
