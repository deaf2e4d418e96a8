"""Image backbones: networks that give their features at several strides."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from tinct.networks.imagenet import load_imagenet
from tinct.networks.mobilenet import TAPS, MobileNetFeatures

COMPACT_NAME = "mobilenetv2_100"
"""timm's name of the network that is built without timm."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ImageNormalisation(nn.Module):
    """Takes frames in [0, 1] to the mean and spread that ImageNet weights expect."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, mean: tuple[float, ...] = IMAGENET_MEAN, std: tuple[float, ...] = IMAGENET_STD
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, frames: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
        """(frames - mean) / std, per channel."""
        return (frames - self.mean) / self.std


class PyramidBackbone(nn.Module):
    """A timm network's features at strides 4, 8, 16 and 32, its batch norm folded into the convolutions.

    Batch norm is frozen in all of tinct's training, so it is one more scale and shift per channel:
    folded, it costs nothing, neither in training nor at test.

    Args:
        name: A timm model name whose features come at these strides, such as "mobilenetv2_100".

    Attributes:
        channels: Channels of the four maps, finest first.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.normalise = ImageNormalisation()
        self.body: Any
        self.channels: tuple[int, ...]
        if name == COMPACT_NAME:
            self.body, self.channels = MobileNetFeatures(), tuple(TAPS.values())
        else:
            self.body = _timm_features(name)
            self.channels = tuple(self.body.feature_info.channels())
            fold_batch_norm(self.body)

    def start_from_imagenet(self, source: str = "auto") -> str:
        """Replace the weights by ImageNet ones; says where they came from (see `load_imagenet`)."""
        pretrained = _timm_features(self.name)
        origin = load_imagenet(pretrained, self.name, source)
        fold_batch_norm(pretrained)
        self.body.load_state_dict(pretrained.state_dict())
        return origin

    def forward(self, frames: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        """Four maps [B, channels[i], ceil(H / 2^(i+2)), ceil(W / 2^(i+2))] of frames in [0, 1]."""
        features: list[Tensor] = self.body(self.normalise(frames))
        return features

    def freeze_to_stride_4(self) -> None:
        """Take the layers up to stride 4 out of training: they are generic, and cost most to train."""
        for layer in (self.body.conv_stem, self.body.blocks[0], self.body.blocks[1]):
            layer.requires_grad_(False)


def _timm_features(name: str) -> Any:
    import timm

    return timm.create_model(name, features_only=True, pretrained=False, out_indices=(1, 2, 3, 4))


def fold_batch_norm(network: nn.Module) -> None:
    """Fold every batch norm that follows a convolution, in order of definition, into that convolution.

    What remains of timm's norm-and-activation layers is the activation. The network then computes
    what it computed in evaluation mode, in training mode too. The biases, which come from batch
    norm, are not trained, as those of a frozen batch norm are not.
    """
    convolution: nn.Conv2d | None = None
    for name, layer in list(network.named_modules()):
        if isinstance(layer, nn.Conv2d):
            convolution = layer
        elif isinstance(layer, nn.BatchNorm2d):
            assert convolution is not None
            assert layer.running_mean is not None
            assert layer.running_var is not None
            weight, bias = fuse_conv_bn_weights(
                convolution.weight,
                convolution.bias,
                layer.running_mean,
                layer.running_var,
                layer.eps,
                layer.weight,
                layer.bias,
            )
            convolution.weight, convolution.bias = weight, bias.requires_grad_(False)
            network.set_submodule(name, getattr(layer, "act", nn.Identity()))
            convolution = None
