"""The network behind clicks: a frame is encoded once, then every prompt is answered by a small decoder.

Clicks enter late, as in SAM (Kirillov et al., "Segment anything", ICCV 2023), so that the costly part runs
once per picture; how they are drawn, and that the previous mask comes in beside them, follows RITM (Sofiiuk
et al., "Reviving iterative training with mask guidance for interactive segmentation", ICIP 2022).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from tinct.networks.backbones import PyramidBackbone
from tinct.networks.small_stage import start_for_relu
from tinct.ops.resize import resize_like
from tinct.shapes import holds_arrays

COMPACT_BACKBONES = {"mobilenetv2": "mobilenetv2_100"}
"""Backbones, and timm's names for them."""

PROMPT_MAPS = ("inside", "outside", "box", "previous")
"""The maps of a prompt in their order: clicks and scribbles on the object, off it, the box filled, and the
object's probability so far."""

STRIDE = 32
"""Sides of pictures are multiples of it."""


@dataclass(frozen=True)
class ClickConfig:
    """What trained weights are bound to.

    Attributes:
        backbone: A name of `COMPACT_BACKBONES`.
        widths: Channels at strides 4, 8 and 16.
        blocks: Transformer blocks at stride 16.
        heads: Of their attention.
        embedding: Channels of the embedding in which clicks look for what is like them.
    """

    backbone: str = "mobilenetv2"
    widths: tuple[int, int, int] = (32, 64, 128)
    blocks: int = 2
    heads: int = 4
    embedding: int = 64


@holds_arrays
@dataclass(frozen=True, repr=False)
class ClickFeatures:
    """Pictures seen by the network: everything that depends on no prompt.

    Attributes:
        fine: [B, C4, H/4, W/4].
        middle: [B, C8, H/8, W/8].
        coarse: [B, C16, H/16, W/16].
        embedding: [B, E, H/16, W/16], of unit length at each cell.
    """

    fine: Tensor
    middle: Tensor
    coarse: Tensor
    embedding: Tensor


class PromptPyramid(nn.Module):
    """The maps of a prompt at strides 4, 8 and 16."""

    def __init__(self, widths: tuple[int, int, int]) -> None:
        super().__init__()
        fine, middle, coarse = widths
        self.fine = nn.Conv2d(len(PROMPT_MAPS), fine, 3, padding=1)
        self.middle = nn.Conv2d(fine, middle, 3, stride=2, padding=1)
        self.coarse = nn.Conv2d(middle, coarse, 3, stride=2, padding=1)
        start_for_relu(self)

    def forward(self, cells: Float[Tensor, "N M H4 W4"]) -> tuple[Tensor, Tensor, Tensor]:
        """Features of the maps, which are the means of cells of 4×4 pixels."""
        fine = F.relu(self.fine(cells))
        middle = F.relu(self.middle(fine))
        return fine, middle, F.relu(self.coarse(middle))


class TransformerBlock(nn.Module):
    """Attention between all cells, and layers for each cell; a depthwise convolution says who is near whom.

    Args:
        channels: Of the cells.
        heads: Of the attention.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.near = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm_1, self.norm_2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.layers = nn.Sequential(
            nn.Linear(channels, 3 * channels), nn.ReLU(), nn.Linear(3 * channels, channels)
        )
        for last in (self.out, self.layers[-1]):
            assert isinstance(last, nn.Linear)
            nn.init.trunc_normal_(last.weight, std=0.02)

    def forward(self, cells: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
        """Cells that know all others."""
        cells = cells + self.near(cells)
        N, C, H, W = cells.shape
        tokens = cells.flatten(2).transpose(1, 2)
        split = self.query_key_value(self.norm_1(tokens)).view(N, H * W, 3, self.heads, C // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.out(seen.transpose(1, 2).reshape(N, H * W, C))
        tokens = tokens + self.layers(self.norm_2(tokens))
        joined: Tensor = tokens.transpose(1, 2).reshape(N, C, H, W)
        return joined


class ClickNetwork(nn.Module):
    """Backbone, prompt pyramid, and a decoder that joins both from stride 16 to stride 4.

    Args:
        config: Sizes.
    """

    def __init__(self, config: ClickConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or ClickConfig()
        fine, middle, coarse = config.widths
        self.backbone = PyramidBackbone(COMPACT_BACKBONES[config.backbone])
        channels = self.backbone.channels
        self.lateral_4, self.lateral_8 = nn.Conv2d(channels[0], fine, 1), nn.Conv2d(channels[1], middle, 1)
        self.lateral_16 = nn.Conv2d(channels[2] + channels[3], coarse, 1)
        self.embedding = nn.Conv2d(channels[2] + channels[3], config.embedding, 1, bias=False)
        nn.init.orthogonal_(self.embedding.weight)
        self.prompts = PromptPyramid(config.widths)
        self.likeness = nn.Conv2d(3, coarse, 1)
        self.blocks = nn.Sequential(*(TransformerBlock(coarse, config.heads) for _ in range(config.blocks)))
        self.to_8, self.to_4 = nn.Conv2d(coarse, middle, 1), nn.Conv2d(middle, fine, 1)
        self.layers_8, self.layers_4 = _residual(middle), _residual(fine)
        self.score = nn.Conv2d(fine, 1, 1)
        nn.init.trunc_normal_(self.score.weight, std=0.01)

    def encode(self, frames: Float[Tensor, "B 3 H W"]) -> ClickFeatures:
        """Features of pictures in [0, 1] whose sides are multiples of `STRIDE`."""
        stride_4, stride_8, stride_16, stride_32 = self.backbone(frames)
        stacked = torch.cat([stride_16, resize_like(stride_32, stride_16)], 1)
        return ClickFeatures(
            self.lateral_4(stride_4),
            self.lateral_8(stride_8),
            self.lateral_16(stacked),
            F.normalize(self.embedding(stacked), dim=1),
        )

    def forward(
        self, features: ClickFeatures, owners: Int64[Tensor, "N"], maps: Float[Tensor, "N 4 H W"]
    ) -> Float[Tensor, "N H W"]:
        """Logits of N objects.

        Args:
            features: Of B pictures.
            owners: The picture of each object.
            maps: Of each object's prompt, in the order of `PROMPT_MAPS`, at the pictures' size.
        """
        cells = F.avg_pool2d(maps, 4)
        prompt_4, prompt_8, prompt_16 = self.prompts(cells)
        likeness = self.likeness(_likeness(features.embedding[owners], cells))
        coarse = self.blocks(features.coarse[owners] + prompt_16 + likeness)
        middle = features.middle[owners] + prompt_8 + resize_like(self.to_8(coarse), prompt_8)
        middle = F.relu(middle + self.layers_8(middle))
        fine = features.fine[owners] + prompt_4 + resize_like(self.to_4(middle), prompt_4)
        fine = F.relu(fine + self.layers_4(fine))
        return resize_like(self.score(fine), maps)[:, 0]


def _residual(channels: int) -> nn.Sequential:
    layers = nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 3, padding=1),
    )
    start_for_relu(layers)
    return layers


def _likeness(embedding: Float[Tensor, "N E h w"], cells: Float[Tensor, "N 4 H4 W4"]) -> Tensor:
    """How like each cell is to what was marked inside, to what was marked outside, and to the mask so far.

    Returns:
        [N, 3, h, w] of cosines; -1, -1 and 0 where nothing was marked.
    """
    N, _, h, w = embedding.shape
    vectors = embedding.flatten(2)
    cosines = vectors.transpose(1, 2) @ vectors
    marked = F.max_pool2d(cells[:, :2], 4).flatten(2) > 0.3
    inside, outside = (_nearest(cosines, marked[:, i]) for i in (0, 1))
    weights = F.avg_pool2d(cells[:, 3:], 4).flatten(2)
    mean = F.normalize((vectors * weights).sum(2, keepdim=True), dim=1)
    previous = (mean * vectors).sum(1)
    return torch.stack([inside, outside, previous], 1).view(N, 3, h, w)


def _nearest(cosines: Float[Tensor, "N L L"], marked: Bool[Tensor, "N L"]) -> Float[Tensor, "N L"]:
    return cosines.masked_fill(~marked[:, None], -1.0).amax(2)
