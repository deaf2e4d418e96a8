"""The papers' backbones cut in two for DyeNet: what runs once per frame, and what runs once per box.

| | once per frame, of stride 8 | once per box |
|---|---|---|
| ResNet-101 (2) | conv1 to conv4_x, its 3×3 layers dilated by 2 instead of strided | conv5_x |
| Xception-65 (3) | entry and middle flow, dilated by 2 instead of strided (inferred) | exit flow |

Layers carry timm's names, so that ImageNet's weights fit; batch norm is folded into the convolutions.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import timm
from jaxtyping import Float
from torch import Tensor, nn

from tinct.networks.backbones import fold_batch_norm
from tinct.networks.imagenet import load_imagenet

STRIDE = 8
EXIT_BLOCKS = 2
"""Of Xception's blocks, those of the exit flow."""


@dataclass(frozen=True)
class Staged:
    """What is to be known of a backbone.

    Attributes:
        imagenet: timm's tag of the weights that the papers' authors used, or their like.
        frozen: Blocks of the last stage per frame that stay as they are in training, with all that
            comes before (the paper: conv1 to conv4_20, so that three are trained; inferred for Xception).
        sizes: timm's options that change the layers' sizes; none in the published networks.
    """

    imagenet: str
    frozen: int
    sizes: Mapping[str, Any] = field(default_factory=dict)


STAGED = {
    "resnet101": Staged("resnet101.tv_in1k", 20),
    "xception65": Staged("xception65.tf_in1k", 16),
}


class FirstStages(nn.Module):
    """What runs once per frame.

    Args:
        name: Of `STAGED`.
        inputs: Channels of the pictures.

    Attributes:
        fine_channels: Of the map of stride 4.
        channels: Of the map of stride 8.
    """

    def __init__(self, name: str, inputs: int = 3) -> None:
        super().__init__()
        self.staged = STAGED[name]
        whole = _whole(name, inputs, STRIDE)
        if name == "resnet101":
            _dilate(whole.layer3, 2)
            parts = ("conv1", "bn1", "act1", "maxpool", "layer1", "layer2", "layer3")
            self.body = nn.ModuleDict({part: getattr(whole, part) for part in parts})
            self.fine_after = parts.index("layer1")
            self.fine_channels, self.channels = (int(whole.feature_info[i]["num_chs"]) for i in (1, 3))
        else:
            blocks = whole.blocks[:-EXIT_BLOCKS]
            self.body = nn.ModuleDict({"stem": whole.stem, "blocks": blocks})
            self.fine_after = 1
            self.fine_channels, self.channels = (int(b.out_channels) for b in (blocks[0], blocks[-1]))
        fold_batch_norm(self.body)

    def forward(self, pictures: Float[Tensor, "B C H W"]) -> tuple[Tensor, Tensor]:
        """The maps of strides 4 and 8, [B, C, ceil(H / stride), ceil(W / stride)]."""
        seen = fine = pictures
        for number, layer in enumerate(self._layers()):
            seen = layer(seen)
            if number == self.fine_after:
                fine = seen
        return fine, seen

    def load_imagenet(self, tensors: Mapping[str, Tensor]) -> None:
        """Weights of the whole backbone (`imagenet_tensors`); colours are averaged for other pictures.

        The mean keeps the scale of the sum over channels (inferred: VS-ReID's flow stream starts from
        the RGB stream's weights, the text does not say how).
        """
        own = self.body.state_dict()
        taken = {name: tensors[name] for name in own}
        for name, tensor in taken.items():
            if tensor.shape != own[name].shape:
                inputs = own[name].shape[1]
                mean = tensor.mean(1, keepdim=True) * tensor.shape[1] / inputs
                taken[name] = mean.expand(-1, inputs, -1, -1)
        self.body.load_state_dict(taken)

    def freeze_for_training(self) -> None:
        """Take all but the last blocks out of training, which the paper's authors did for memory."""
        self.body.requires_grad_(False)
        last = list(self.body.values())[-1]
        assert isinstance(last, nn.Sequential)
        for layer in chain.from_iterable(block.modules() for block in last[self.staged.frozen :]):
            if isinstance(layer, nn.Conv2d):
                layer.weight.requires_grad_()

    def _layers(self) -> list[nn.Module]:
        *first, last = self.body.values()
        return [*first, *(last if "blocks" in self.body else [last])]  # type: ignore[misc]


class LastStage(nn.Module):
    """What runs once per box: every head of DyeNet has its own copy.

    Args:
        name: Of `STAGED`.
        strided: Half as many cells come out, as in the backbone; else its strides are 1 and its 3×3
            layers are dilated by 2, so that they reach as far (inferred).

    Attributes:
        channels: Of the result.
    """

    def __init__(self, name: str, *, strided: bool) -> None:
        super().__init__()
        whole = _whole(name, 3, 32 if strided else 16)
        if name == "resnet101":
            if not strided:
                _dilate(whole.layer4, 2)
            self.body = nn.ModuleDict({"layer4": whole.layer4})
        else:
            first = len(whole.blocks) - EXIT_BLOCKS
            blocks = {str(i): whole.blocks[i] for i in range(first, len(whole.blocks))}
            self.body = nn.ModuleDict({"blocks": nn.ModuleDict(blocks)})
        self.channels = int(whole.num_features)
        fold_batch_norm(self.body)

    def forward(self, cells: Float[Tensor, "N C m m"]) -> Float[Tensor, "N D k k"]:
        """Cells that know their neighbours."""
        seen = cells
        for part in self.body.values():
            for layer in part.values() if isinstance(part, nn.ModuleDict) else [part]:
                seen = layer(seen)
        return seen

    def load_imagenet(self, tensors: Mapping[str, Tensor]) -> None:
        """Weights of the whole backbone (`imagenet_tensors`)."""
        self.body.load_state_dict({name: tensors[name] for name in self.body.state_dict()})


def imagenet_tensors(name: str, source: str = "auto") -> tuple[dict[str, Tensor], str]:
    """A whole backbone's ImageNet weights, batch norm folded; and where they came from.

    Args:
        name: Of `STAGED`.
        source: See `load_imagenet`.
    """
    whole = _whole(name, 3, 32)
    origin = load_imagenet(whole, STAGED[name].imagenet, source)
    fold_batch_norm(whole)
    return dict(whole.state_dict()), origin


def _whole(name: str, inputs: int, output_stride: int) -> Any:
    sizes = deepcopy(dict(STAGED[name].sizes))  # timm writes into what it is given
    return timm.create_model(name, pretrained=False, in_chans=inputs, output_stride=output_stride, **sizes)


def _dilate(stage: Any, dilation: int) -> None:
    for block in stage:
        # timm leaves a stage's first block at the dilation of the stage before; DeepLab does not.
        block.conv2.dilation = block.conv2.padding = (dilation, dilation)
