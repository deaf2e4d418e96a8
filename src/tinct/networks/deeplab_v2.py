"""DeepLabv2 with a mask as fourth channel: MaskTrack's network.

Chen et al., "DeepLab: Semantic Image Segmentation with Deep Convolutional Nets, Atrous Convolution,
and Fully Connected CRFs", TPAMI 2018; used by MaskTrack (Perazzi et al., CVPR 2017) on VGG-16, and by
DyeNet's authors for their MaskTrack baseline on ResNet-101.

    frame, mask -> backbone of stride 8 -> four dilated branches, scores summed -> enlarged 8 times

The two classes' scores are given as one logit, their difference: its sigmoid is their softmax.

Cells lie on every eighth pixel, the first on the first: frames are continued to 8 k + 1 pixels, and
scores enlarged between the cells' places (`align_corners=True`, as the authors' Interp layer).

Deviations: ResNet-101 is torchvision's, whose blocks stride in the 3×3 convolution, with batch norm
folded; frames are seen at one scale, not at three.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import timm
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from tinct.errors import OptionError, near_match
from tinct.networks.backbones import ImageNormalisation, fold_batch_norm
from tinct.networks.guided_input import guided_input, padded_to_grid, with_drawn_channels
from tinct.networks.imagenet import load_imagenet
from tinct.networks.rates import RateFactors
from tinct.networks.side_outputs import SideLogits
from tinct.networks.vgg import Vgg16

STRIDE = 8
RATES = (6, 12, 18, 24)
"""Of the branches' dilated convolutions (DeepLabv2's ASPP-L)."""

BRANCH_CHANNELS = 1024
"""Width of the branches on VGG-16."""

SCORE_RATES: RateFactors = ((".scores.", 10.0),)
"""How fast layers learn: those that are new ten times as fast (DeepLab)."""

SCORE_SPREAD = 0.01
"""Of the first weights of the layers that give scores."""

RESNET_IMAGENET = "resnet101.tv_in1k"
"""timm's tag of torchvision's first weights, trained as the paper's were."""

RESNET_FIRST_SPREAD = 1e-4
"""Of the fourth channel's weights (a known port on ResNet-101)."""


class DilatedResNet101(nn.Module):
    """ResNet-101 of stride 8: its last two stages dilated by 2 and 4 instead of strided, batch norm folded.

    Args:
        inputs: Channels of the input.

    Attributes:
        channels: Of the result.
    """

    channels = 2048

    def __init__(self, inputs: int = 4) -> None:
        super().__init__()
        self.body = _resnet(inputs)
        fold_batch_norm(self.body)

    def forward(self, inputs: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 2048 h w"]:
        """Features of stride 8."""
        features: list[Tensor] = self.body(inputs)
        return features[-1]

    def start_from_imagenet(self, source: str = "auto") -> str:
        """ImageNet weights, drawn ones for the fourth channel; says where they came from."""
        plain = _resnet(3)
        origin = load_imagenet(plain, RESNET_IMAGENET, source)
        fold_batch_norm(plain)
        tensors = plain.state_dict()
        inputs = self.body.conv1.in_channels
        tensors["conv1.weight"] = with_drawn_channels(tensors["conv1.weight"], inputs, RESNET_FIRST_SPREAD)
        self.body.load_state_dict(tensors)
        return origin


def _resnet(inputs: int) -> Any:
    body = timm.create_model(
        "resnet101", features_only=True, pretrained=False, in_chans=inputs, output_stride=STRIDE,
        out_indices=(4,),
    )  # fmt: skip
    for stage, dilation in ((body.layer3, 2), (body.layer4, 4)):
        for block in stage:
            # timm leaves a stage's first block at the dilation of the stage before; DeepLab does not.
            block.conv2.dilation = block.conv2.padding = (dilation, dilation)
    return body


class LargeFieldOfView(nn.Module):
    """The head on VGG-16: in each branch a dilated 3×3 and a 1×1 convolution, then scores; all summed.

    Args:
        channels: Of the features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, BRANCH_CHANNELS, 3, padding=rate, dilation=rate),
                nn.ReLU(),
                nn.Dropout(0.5),
                nn.Conv2d(BRANCH_CHANNELS, BRANCH_CHANNELS, 1),
                nn.ReLU(),
                nn.Dropout(0.5),
            )
            for rate in RATES
        )
        for name, parameter in self.branches.named_parameters():
            if name.endswith("weight"):
                nn.init.kaiming_normal_(parameter, nonlinearity="relu")
        self.scores = nn.ModuleList(_score(nn.Conv2d(BRANCH_CHANNELS, 2, 1)) for _ in RATES)

    def forward(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 2 h w"]:
        """Scores of background and object."""
        found = [score(branch(features)) for branch, score in zip(self.branches, self.scores, strict=True)]
        return torch.stack(found).sum(0)


class SummedScores(nn.Module):
    """The head on ResNet-101: dilated 3×3 convolutions that give scores at once; all summed.

    Args:
        channels: Of the features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scores = nn.ModuleList(
            _score(nn.Conv2d(channels, 2, 3, padding=rate, dilation=rate)) for rate in RATES
        )

    def forward(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 2 h w"]:
        """Scores of background and object."""
        return torch.stack([score(features) for score in self.scores]).sum(0)


def _score(convolution: nn.Conv2d) -> nn.Conv2d:
    assert convolution.bias is not None
    nn.init.normal_(convolution.weight, std=SCORE_SPREAD)
    nn.init.zeros_(convolution.bias)
    return convolution


class DeepLabV2Stream(nn.Module):
    """Frame and mask in, the object's logits out. Nothing is shared by objects, and all is fine-tuned.

    Args:
        backbone_name: "vgg16" or "resnet101".

    Raises:
        OptionError: Another backbone.
    """

    BACKBONES = ("vgg16", "resnet101")

    def __init__(self, backbone_name: str = "vgg16") -> None:
        super().__init__()
        self.normalise = ImageNormalisation()
        self.backbone: Vgg16 | DilatedResNet101
        self.head: LargeFieldOfView | SummedScores
        if backbone_name == "vgg16":
            self.backbone = Vgg16(4, dilated=True)
            self.head = LargeFieldOfView(self.backbone.channels[-1])
        elif backbone_name == "resnet101":
            self.backbone = DilatedResNet101(4)
            self.head = SummedScores(self.backbone.channels)
        else:
            raise OptionError(
                f"DeepLabv2 has no backbone {backbone_name!r}. {near_match(backbone_name, self.BACKBONES)}"
            )

    def features(self, frames: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        """The frames, in [0, 1]: all that does not depend on the object."""
        return [frames]

    def forward(
        self,
        features: list[Tensor],
        guides: Float[Tensor, "B G H W"] | None = None,
        *,
        deep_supervision: bool = False,
    ) -> SideLogits:
        """Logits of the frames' own size; there are no side outputs to supervise.

        Args:
            features: The frames; one may serve several objects.
            guides: Previous masks in [0, 1] at the frames' size.
            deep_supervision: Changes nothing.

        Raises:
            OptionError: No guides: the network has a channel for them.
        """
        if guides is None:
            raise OptionError("MaskTrack's DeepLabv2 needs a previous mask; give an empty one where none is.")
        frames = padded_to_grid(self.normalise(features[0]), STRIDE)
        seen = self.backbone(guided_input(frames, padded_to_grid(guides, STRIDE)))
        scores = self.head(seen if isinstance(seen, Tensor) else seen[-1])
        logits = scores[:, 1:] - scores[:, :1]
        H, W = guides.shape[-2:]
        size = (frames.shape[-2], frames.shape[-1])
        enlarged = F.interpolate(logits, size=size, mode="bilinear", align_corners=True)
        return SideLogits((), enlarged[:, 0, :H, :W])

    def object_layers(self) -> Mapping[str, nn.Parameter]:
        """What belongs to an object once it is fine-tuned, by name: all but the biases of batch norm."""
        return {
            name: p
            for name, p in self.named_parameters()
            if not (name.startswith("backbone.body.") and name.endswith(".bias"))
        }
