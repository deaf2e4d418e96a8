"""The compact stream that OSVOS, MaskTrack and MaskRNN share: a feature pyramid that a mask may guide.

The backbone sees the frame alone. What belongs to one object - the mask of the frame before - joins
at the pyramid, at every stride. So the backbone, which costs most, runs once per frame whatever the
number of objects, and one object's pyramid can be fine-tuned while the backbone stays as it is. (In
the papers the mask is a fourth channel of the image, and each object has a whole network.)
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from tinct.networks.backbones import PyramidBackbone
from tinct.networks.side_outputs import SideLogits, SideOutputs
from tinct.ops.resize import resize_area, resize_like


class GuidedPyramid(nn.Module):
    """Backbone maps of strides 4 to 32, merged top-down under the guidance of maps, with side outputs.

    Layer names are those of `FeaturePyramid`, so that a pyramid trained for another method can be
    taken over.

    Args:
        backbone_name: A timm name, see `PyramidBackbone`.
        guides: Guiding maps per object, such as 1 for a previous mask; 0 for none.
    """

    CHANNELS = 96
    """Width of the merged maps."""

    SKIP_CHANNELS = 24
    """Width of the stride-4 maps."""

    def __init__(self, backbone_name: str, guides: int) -> None:
        super().__init__()
        self.backbone = PyramidBackbone(backbone_name)
        channels, skip_channels = self.CHANNELS, self.SKIP_CHANNELS
        fine, *coarser = self.backbone.channels
        self.laterals = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in coarser)
        self.smooth_32 = nn.Conv2d(channels, channels, 3, padding=1)
        self.smooth_16 = nn.Conv2d(channels, channels, 3, padding=1)
        self.smooth_8 = nn.Conv2d(channels, channels, 3, padding=1)
        self.skip = nn.Conv2d(fine, skip_channels, 1)
        self.narrow = nn.Conv2d(channels, skip_channels, 1)
        self.smooth_4 = nn.Conv2d(skip_channels, skip_channels, 3, padding=1)
        widths = (skip_channels, channels, channels, channels)
        self.guides = nn.ModuleList(_guide(guides, width) for width in widths) if guides else None
        self.side_outputs = SideOutputs(widths)

    def start_from_imagenet(self, source: str = "auto") -> str:
        """ImageNet weights for the backbone; says where they came from."""
        return self.backbone.start_from_imagenet(source)

    def features(self, frames: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        """What does not depend on the object: the backbone's maps of frames in [0, 1], finest first."""
        maps: list[Tensor] = self.backbone(frames)
        return maps

    def forward(
        self,
        features: list[Tensor],
        guides: Float[Tensor, "B G H W"] | None = None,
        *,
        deep_supervision: bool = False,
    ) -> SideLogits:
        """Logits of stride 4 from the backbone's maps and, in a guided pyramid, the guiding maps.

        Args:
            features: Of the same batch, or of one frame for a batch of objects.
            guides: Maps in [0, 1] at the frame's size; strides take the mean of each cell.
            deep_supervision: Give the side outputs' own logits too.
        """
        stride_4, stride_8, stride_16, stride_32 = features
        lateral_8, lateral_16, lateral_32 = (
            lateral(x) for lateral, x in zip(self.laterals, (stride_8, stride_16, stride_32), strict=True)
        )
        guided = self._guided(guides, features)
        top = F.relu(self.smooth_32(F.relu(lateral_32 + next(guided))))
        merged_16 = F.relu(self.smooth_16(F.relu(lateral_16 + next(guided) + resize_like(top, lateral_16))))
        merged_8 = F.relu(self.smooth_8(F.relu(lateral_8 + next(guided) + resize_like(merged_16, lateral_8))))
        coarse = resize_like(self.narrow(merged_8), stride_4)
        fine = F.relu(self.smooth_4(F.relu(self.skip(stride_4) + next(guided) + coarse)))
        size = (stride_4.shape[-2], stride_4.shape[-1])
        output: SideLogits = self.side_outputs(
            (fine, merged_8, merged_16, top), size, deep_supervision=deep_supervision
        )
        return output

    def _guided(self, guides: Tensor | None, features: list[Tensor]) -> Iterator[Tensor]:
        """What the guiding maps add to the laterals, the coarsest first."""
        if self.guides is None or guides is None:
            yield from [features[0].new_zeros(())] * len(features)
            return
        for guide, like in zip(reversed(list(self.guides)), reversed(features), strict=True):
            yield guide(resize_area(guides, (like.shape[-2], like.shape[-1])))

    def object_layers(self) -> dict[str, nn.Parameter]:
        """What belongs to an object once it is fine-tuned, by name: all but the backbone."""
        return {name: p for name, p in self.named_parameters() if not name.startswith("backbone.")}


def _guide(guides: int, width: int) -> nn.Sequential:
    """Two layers that look at the guiding maps around each cell; they start by adding little."""
    out = nn.Conv2d(width // 2, width, 3, padding=1, bias=False)
    nn.init.normal_(out.weight, std=0.02)
    return nn.Sequential(nn.Conv2d(guides, width // 2, 5, padding=2), nn.ReLU(), out)


def take_over_pyramid(network: nn.Module, tensors: dict[str, torch.Tensor], prefix: str) -> int:
    """Start a pyramid from another network's tensors, those whose names and shapes agree.

    Args:
        network: Changed in place.
        tensors: Another network's state.
        prefix: Of the pyramid's names in it, such as "extractor.".

    Returns:
        How many tensors were taken.
    """
    own = network.state_dict()
    found = {
        name: tensors[prefix + name]
        for name in own
        if prefix + name in tensors and tensors[prefix + name].shape == own[name].shape
    }
    network.load_state_dict({**own, **found})
    return len(found)
