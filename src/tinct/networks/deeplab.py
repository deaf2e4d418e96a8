"""DeepLabv3+ without its output layer: FEELVOS's features at stride 4.

Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation",
ECCV 2018; used by FEELVOS (Voigtlaender et al., CVPR 2019, section 3.1).

    frames -> backbone -> features at the output stride -> ASPP -> resized to stride 4 ->+
                |-> low-level features at stride 4 -> 1×1 convolution to 48 channels  ->+-> two separable 3×3

Xception's low-level features are tapped where the released TensorFlow code taps them: behind the second
separable convolution of the second entry block, in front of the ReLU that follows. `deeplab_checkpoint`
reads the released weights.

Deviation: layers that start from chance have He initialisation, so that signals keep their scale while the
statistics of batch norm are frozen.
"""

from __future__ import annotations

import timm
import torch
import torch.nn.functional as F
from jaxtyping import Float
from timm.models import FeatureHookNet
from timm.models.xception_aligned import XceptionAligned
from torch import Tensor, nn

from tinct.errors import OptionError
from tinct.networks.aspp import AtrousSpatialPyramidPooling, ConvNormRelu, SeparableConvNormRelu
from tinct.networks.imagenet import load_imagenet

ATROUS_RATES = {16: (6, 12, 18), 8: (12, 24, 36)}
"""Output stride -> rates of the ASPP: the same reach in pixels of the frame (released code)."""

LOW_LEVEL_STRIDE = 4
LOW_LEVEL_CHANNELS = 48
LOW_LEVEL_INDEX, OUTPUT_INDEX = 1, 4
"""Which of timm's five feature maps are used."""

PAPER_IMAGENET_NAMES = {"xception65": "xception65.tf_in1k"}
"""timm's tag of the ImageNet weights that the papers' authors released."""


class DeepLabV3Plus(nn.Module):
    """Frames to features of 256 channels at stride 4.

    The weights do not depend on the output stride: a state dict trained at 16 loads at 8.

    Args:
        backbone_name: A timm model with feature maps at strides 2 to 32, such as the paper's
            aligned Xception-65.
        output_stride: Of the backbone's last features: 16 (training) or 8 (test).
        channels: Of the ASPP and of the result.

    Attributes:
        mean: Per channel, of frames in [0, 1]; what the backbone's ImageNet weights expect.
        std: The spread to go with `mean`. The caller normalises: (frames - mean) / std.
        channels: Channels of the result.

    Raises:
        OptionError: An unknown backbone, one without the needed strides, or another output stride.
    """

    def __init__(
        self, backbone_name: str = "xception65", output_stride: int = 16, channels: int = 256
    ) -> None:
        super().__init__()
        if output_stride not in ATROUS_RATES:
            raise OptionError(f"output stride {output_stride} was given; DeepLabv3+ is defined for 16 and 8.")
        self.backbone_name = backbone_name
        self.output_stride = output_stride
        self.channels = channels
        self.backbone, (low_level_channels, deep_channels) = _backbone(backbone_name, output_stride)
        configuration = timm.get_pretrained_cfg(backbone_name)
        self.mean: tuple[float, ...] = tuple(configuration.mean)
        self.std: tuple[float, ...] = tuple(configuration.std)
        self.aspp = AtrousSpatialPyramidPooling(deep_channels, channels, ATROUS_RATES[output_stride])
        self.project_low_level = ConvNormRelu(low_level_channels, LOW_LEVEL_CHANNELS)
        self.decoder = nn.Sequential(
            SeparableConvNormRelu(channels + LOW_LEVEL_CHANNELS, channels),
            SeparableConvNormRelu(channels, channels),
        )

    def start_from_imagenet(self, source: str = "auto") -> str:
        """Replace the backbone's weights by ImageNet ones; says where they came from."""
        name = PAPER_IMAGENET_NAMES.get(self.backbone_name, self.backbone_name)
        return load_imagenet(self.backbone, name, source)

    def forward(self, frames: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C H4 W4"]:
        """Features of normalised frames of any size.

        Args:
            frames: [B, 3, H, W], normalised by `mean` and `std`.

        Returns:
            [B, channels, ceil(H / 4), ceil(W / 4)]: pixel (i, j) sits on frame pixel (4 i, 4 j).
        """
        low_level, deep = self.backbone(frames)
        pyramid = F.interpolate(
            self.aspp(deep), size=low_level.shape[2:], mode="bilinear", align_corners=True
        )
        features: Tensor = self.decoder(torch.cat([pyramid, self.project_low_level(low_level)], 1))
        return features


def _backbone(name: str, output_stride: int) -> tuple[nn.Module, tuple[int, int]]:
    """The timm network, and the channels of its low-level and of its deep features."""
    indices = (LOW_LEVEL_INDEX, OUTPUT_INDEX)
    try:
        if name.startswith("xception"):
            whole = timm.create_model(name, pretrained=False, output_stride=output_stride)
            backbone = _before_the_relu(whole)
        else:
            backbone = timm.create_model(
                name, features_only=True, pretrained=False, output_stride=output_stride, out_indices=indices
            )
    except (RuntimeError, AssertionError, TypeError, ValueError, IndexError) as error:
        raise OptionError(
            f"timm cannot make {name!r} with features at output stride {output_stride} "
            f"({str(error) or 'it has no such option'}): choose another backbone, such as xception65."
        ) from error
    strides = tuple(backbone.feature_info.reduction())
    if strides != (LOW_LEVEL_STRIDE, output_stride):
        raise OptionError(
            f"backbone {name} has features at strides {strides}, needed are {LOW_LEVEL_STRIDE} and "
            f"{output_stride}: choose one with five feature maps, such as xception65."
        )
    low_level, deep = backbone.feature_info.channels()
    return backbone, (int(low_level), int(deep))


def _before_the_relu(whole: XceptionAligned) -> FeatureHookNet:
    """Xception's features; timm would tap the low-level ones behind the ReLU."""
    tap = whole.feature_info[LOW_LEVEL_INDEX]
    block, stack, activation = tap["module"].rsplit(".", 2)
    tap["module"] = f"{block}.{stack}.conv2"
    # In place it would change what was tapped.
    whole.get_submodule(f"{block}.{stack}.{activation}").inplace = False
    return FeatureHookNet(whole, (LOW_LEVEL_INDEX, OUTPUT_INDEX), flatten_sequential=True)
