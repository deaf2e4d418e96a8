"""VGG-16's convolutions (Simonyan and Zisserman, ICLR 2015), and OSVOS's and MaskRNN's streams made of them.

Layers are named as torchvision and timm name them, so that ImageNet weights fit.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tinct.networks.backbones import IMAGENET_STD, ImageNormalisation
from tinct.networks.guided_input import guided_input, with_drawn_channels
from tinct.networks.imagenet import load_imagenet
from tinct.networks.rates import RateFactors
from tinct.networks.side_outputs import SideLogits, SideOutputs

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Channels of the convolutions of each stage; a pooling lies between stages."""

FIRST_SPREAD = 0.01
"""Of the weights of channels beyond red, green and blue. MaskTrack: Gaussian, and zeros do as well."""

SIDE_STRIDES = (2, 4, 8, 16)
"""Of the stages that have side outputs: the second to the fifth (OSVOS, 3.1)."""

SIDE_RATES: RateFactors = ((".bias", 2.0), (".scores.", 0.1), (".fusion.", 0.01))
"""How fast layers learn: biases twice as fast, scores a tenth, the fusion a hundredth (the authors' code)."""

CAFFE_SCALE = 255 * sum(IMAGENET_STD) / 3
"""How much larger the maps of ImageNet's VGG-16 are in Caffe, whose input lies in 0 to 255."""

SIDE_WIDTH = 16
SIDE_SPREAD = 1e-3
"""Of the new layers' first weights; their biases are 0 (the authors' code)."""


class Vgg16(nn.Module):
    """The convolutions up to conv5_3.

    Args:
        inputs: Channels of the input.
        dilated: As DeepLabv2 changed it (Chen et al., TPAMI 2018): 3×3 poolings, the last two of
            stride 1, and a dilated fifth stage, so that features are of stride 8.

    Attributes:
        channels: Of the five maps.
    """

    def __init__(self, inputs: int = 3, *, dilated: bool = False) -> None:
        super().__init__()
        self.channels = tuple(stage[-1] for stage in STAGES)
        layers: list[nn.Module] = []
        self.taps: list[int] = []
        before = inputs
        for number, stage in enumerate(STAGES, 1):
            spread = 2 if dilated and number == 5 else 1
            for width in stage:
                convolution = nn.Conv2d(before, width, 3, padding=spread, dilation=spread)
                # A network that chance made passes signals on at their scale.
                nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
                layers += [convolution, nn.ReLU()]
                before = width
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

    @torch.no_grad()
    def take_pixels(self) -> None:
        """Change weights that take normalised frames to take those of 0 to 255, less the mean, instead.

        A network of convolutions, ReLUs and poolings scales with its input and its biases: all maps
        become `CAFFE_SCALE` times as large, and stay the same but for that.
        """
        for layer in self.features:
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                layer.bias *= CAFFE_SCALE
        first = self.get_submodule("features.0")
        assert isinstance(first, nn.Conv2d)
        first.weight[:, :3] *= CAFFE_SCALE / (255 * torch.tensor(IMAGENET_STD).view(3, 1, 1))

    def start_from_imagenet(self, source: str = "auto") -> str:
        """ImageNet weights, drawn ones for further channels; says where they came from."""
        plain = Vgg16()
        origin = load_imagenet(plain, "vgg16", source)
        tensors = plain.state_dict()
        first = self.get_submodule("features.0")
        assert isinstance(first, nn.Conv2d)
        weight = tensors["features.0.weight"]
        tensors["features.0.weight"] = with_drawn_channels(weight, first.in_channels, FIRST_SPREAD)
        self.load_state_dict(tensors)
        return origin


def _pooling(stage: int, dilated: bool) -> nn.MaxPool2d:
    if not dilated:
        return nn.MaxPool2d(2, 2, ceil_mode=True)
    return nn.MaxPool2d(3, 1 if stage == 4 else 2, 1)


class VggStream(nn.Module):
    """OSVOS's network, and each stream of MaskRNN: side outputs of VGG-16's stages 2 to 5, fused.

    Nothing is shared by objects, and all is fine-tuned, as in the papers.

    Args:
        guides: Guiding maps, further channels of the image: 0 (OSVOS) or 1 (MaskRNN).
        of_pixels: The backbone sees frames as Caffe's networks do, from 0 to 255 less the mean. Steps of SGD
            grow with the square of the maps, and OSVOS's rates are those of such maps (docs/experiments.md).
    """

    def __init__(self, guides: int, *, of_pixels: bool = False) -> None:
        super().__init__()
        self.guided, self.of_pixels = guides > 0, of_pixels
        self.normalise = ImageNormalisation(std=(1 / 255,) * 3) if of_pixels else ImageNormalisation()
        if of_pixels:
            # Saved with the weights: those of a network that takes normalised frames do not fit.
            self.register_buffer("pixel_range", torch.tensor(255.0))
        self.backbone = Vgg16(3 + guides)
        self.side_outputs = SideOutputs(self.backbone.channels[1:], SIDE_WIDTH, SIDE_STRIDES)
        for name, parameter in self.side_outputs.named_parameters():
            if name.endswith("weight"):
                nn.init.normal_(parameter, std=SIDE_SPREAD)
            else:
                nn.init.zeros_(parameter)

    def start_from_imagenet(self, source: str = "auto") -> str:
        """ImageNet weights for the backbone; says where they came from."""
        origin = self.backbone.start_from_imagenet(source)
        if self.of_pixels:
            self.backbone.take_pixels()
        return origin

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
        """Logits of the frames' own size.

        Args:
            features: The frames; one may serve several objects.
            guides: Maps in [0, 1] at the frames' size; a stream without guides does not look at them.
            deep_supervision: Give the side outputs' own logits too.
        """
        return self.with_conv5(features, guides, deep_supervision=deep_supervision)[0]

    def with_conv5(
        self,
        features: list[Tensor],
        guides: Float[Tensor, "B G H W"] | None = None,
        *,
        deep_supervision: bool = False,
    ) -> tuple[SideLogits, Float[Tensor, "B C h w"]]:
        """Logits, and conv5_3's map of stride 16, for MaskRNN's localization net."""
        frames = features[0]
        taps = self.backbone(guided_input(self.normalise(frames), guides if self.guided else None))
        size = (frames.shape[-2], frames.shape[-1])
        return self.side_outputs(taps[1:], size, deep_supervision=deep_supervision), taps[-1]

    def object_layers(self) -> Mapping[str, nn.Parameter]:
        """What belongs to an object once it is fine-tuned, by name: everything."""
        return dict(self.named_parameters())
