"""Parts of heads that several methods or variants share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn


class SharedInputConv(nn.Module):
    """One convolution over [frame features | object maps], with the frame's part computed only once.

    A convolution is linear in its input channels: the sum of a part over the features, shared by
    all objects of the frame, and a part over each object's own maps is the convolution over both
    side by side. (The ReLU between a depthwise and a pointwise convolution acts on each channel
    alone, so the same holds for separable ones.)
    """

    def __init__(self, features: int, maps: int, channels: int, kernel: int, *, separable: bool) -> None:
        super().__init__()
        self.on_features = convolution(features, channels, kernel, separable=separable, bias=True)
        self.on_maps = convolution(maps, channels, kernel, separable=separable, bias=False)
        if isinstance(self.on_maps, nn.Sequential):
            depthwise = self.on_maps[0]
            assert isinstance(depthwise, nn.Conv2d)
            # Maps are not negative: behind a kernel of negative sum the ReLU would let nothing through.
            with torch.no_grad():
                depthwise.weight *= torch.where(depthwise.weight.sum((1, 2, 3), keepdim=True) < 0, -1, 1)

    def forward(
        self,
        features: Float[Tensor, "B F H W"],
        owners: Int64[Tensor, "N"],
        maps: Float[Tensor, "N M H W"],
    ) -> Float[Tensor, "N C H W"]:
        """`owners[n]` is the frame that object n lies in."""
        return F.relu(self.on_features(features)[owners] + self.on_maps(maps))


def convolution(inputs: int, channels: int, kernel: int, *, separable: bool, bias: bool) -> nn.Module:
    """A dense convolution, or a depthwise one, a ReLU and a pointwise one; the size stays."""
    if not separable:
        return nn.Conv2d(inputs, channels, kernel, padding=kernel // 2, bias=bias)
    depthwise = nn.Conv2d(inputs, inputs, kernel, padding=kernel // 2, groups=inputs)
    pointwise = nn.Conv2d(inputs, channels, 1, bias=bias)
    nn.init.trunc_normal_(depthwise.weight, std=0.33)  # the authors' code's starting values
    nn.init.trunc_normal_(pointwise.weight, std=0.06)
    for layer in (depthwise, pointwise):
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return nn.Sequential(depthwise, nn.ReLU(), pointwise)


class Refinement(nn.Module):
    """Sharpens the head's output with stride-4 features (beyond the paper, whose grid is stride 4)."""

    def __init__(self, width: int, skip_channels: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(width, skip_channels, 1)
        self.first = SharedInputConv(skip_channels, skip_channels + 1, skip_channels, 3, separable=False)
        self.second = nn.Conv2d(skip_channels, skip_channels, 3, padding=1)
        self.score = nn.Conv2d(skip_channels, 1, 1)
        nn.init.zeros_(self.score.weight)
        nn.init.zeros_(self.score.bias)  # type: ignore[arg-type]

    def forward(
        self,
        skip: Float[Tensor, "B S H4 W4"],
        owners: Int64[Tensor, "N"],
        hidden: Float[Tensor, "N K H W"],
        coarse: Float[Tensor, "N 1 H W"],
    ) -> Float[Tensor, "N 1 H4 W4"]:
        """The coarse logits, enlarged, plus a correction."""
        maps = torch.cat([self.narrow(hidden), coarse], 1)
        maps = F.interpolate(maps, size=skip.shape[-2:], mode="bilinear", align_corners=False)
        correction: Tensor = self.score(F.relu(self.second(self.first(skip, owners, maps))))
        return maps[:, -1:] + correction


class UnitEmbedding(nn.Module):
    """Embeddings of one learned length: a projection of the ImageNet features plus a learned branch.

    The branch starts at zero and the projection keeps angles, so that before any training matching
    is nearest neighbours on ImageNet features.
    """

    def __init__(self, stacked: int, features: int, channels: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(stacked, channels, 1, bias=False)
        self.branch = nn.Conv2d(features, channels, 1)
        # ‖e‖² = 10 makes the largest squared distance 40 and that of cosine 0.9 just 2.
        self.log_length = nn.Parameter(torch.tensor(10.0).sqrt().log())
        nn.init.orthogonal_(self.projection.weight)
        nn.init.zeros_(self.branch.weight)
        nn.init.zeros_(self.branch.bias)  # type: ignore[arg-type]

    def forward(
        self, stacked: Float[Tensor, "B S H W"], features: Float[Tensor, "B F H W"]
    ) -> Float[Tensor, "B C H W"]:
        """The embedding e_p of every pixel."""
        direction = F.normalize(self.projection(stacked) + self.branch(features), dim=1)
        return direction * self.log_length.exp()
