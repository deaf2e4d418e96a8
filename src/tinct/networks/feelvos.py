"""FEELVOS's network: backbone, embedding, and the head that runs once for every object (Figure 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from tinct.networks.backbones import ImageNormalisation
from tinct.networks.batch_norm import freeze_batch_norm
from tinct.networks.feelvos_parts import COMPACT_BACKBONES, FAR, FeelvosConfig, FrameEncoding, ObjectMatches
from tinct.networks.heads import Refinement, SharedInputConv, UnitEmbedding, convolution
from tinct.networks.pyramid import FeaturePyramid
from tinct.ops.matching import squash

if TYPE_CHECKING:
    from tinct.networks.deeplab import DeepLabV3Plus


class SemanticEmbedding(nn.Module):
    """Depthwise 3×3, then 1×1 to C channels, a ReLU after each (3.2; the ReLUs are the authors' code's)."""

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(features, features, 3, padding=1, groups=features)
        self.pointwise = nn.Conv2d(features, channels, 1)
        self._start_near_identity()

    def _start_near_identity(self) -> None:
        for weight in (self.depthwise.weight, self.pointwise.weight):
            nn.init.trunc_normal_(weight, std=0.03)
        with torch.no_grad():
            self.depthwise.weight[:, 0, 1, 1] += 1
            shared = min(self.pointwise.weight.shape[:2])
            self.pointwise.weight[range(shared), range(shared)] += 1
        nn.init.zeros_(self.depthwise.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.pointwise.bias)  # type: ignore[arg-type]

    def forward(self, features: Float[Tensor, "B F H W"]) -> Float[Tensor, "B C H W"]:
        """The embedding e_p of every pixel."""
        return F.relu(self.pointwise(F.relu(self.depthwise(features))))


class HeadOutput(NamedTuple):
    """What the head says of N objects, or of N labels, before the softmax over them.

    Attributes:
        logits: [N, H', W'], of stride 4.
        coarse_logits: [N, H, W] on the matching grid; the same tensor where nothing refines it.
    """

    logits: Float[Tensor, "N H4 W4"]
    coarse_logits: Float[Tensor, "N H W"]


class DynamicSegmentationHead(nn.Module):
    """The head that runs once for every object with the same weights (3.6)."""

    def __init__(self, config: FeelvosConfig, maps: int, skip_channels: int) -> None:
        super().__init__()
        width, kernel, separable = config.head_channels, config.head_kernel, config.head_separable
        self.first = SharedInputConv(config.feature_channels, maps, width, kernel, separable=separable)
        self.layers = nn.Sequential(
            *(
                nn.Sequential(convolution(width, width, kernel, separable=separable, bias=True), nn.ReLU())
                for _ in range(config.head_layers - 1)
            )
        )
        self.score = nn.Conv2d(width, 1, 1)
        nn.init.trunc_normal_(self.score.weight, std=0.01)
        self.refinement = Refinement(width, skip_channels) if config.refinement else None

    def forward(
        self, encoding: FrameEncoding, owners: Int64[Tensor, "N"], maps: Float[Tensor, "N M H W"]
    ) -> HeadOutput:
        """Logits of all objects of all frames; `owners[n]` is the frame that object n lies in."""
        hidden = self.layers(self.first(encoding.features, owners, maps))
        coarse = self.score(hidden)
        if self.refinement is None or encoding.skip is None:
            return HeadOutput(coarse[:, 0], coarse[:, 0])
        return HeadOutput(self.refinement(encoding.skip, owners, hidden, coarse)[:, 0], coarse[:, 0])


def head_maps(
    matches: ObjectMatches, config: FeelvosConfig, soft_minimum: float | None
) -> Float[Tensor, "N M H W"]:
    """The head's input for each of its objects, in the paper's order: global, previous, local."""
    maps = torch.cat(
        [
            distance_maps(matches.global_distances, config, soft_minimum),
            matches.previous_probs.unsqueeze(1),
            distance_maps(matches.local_distances, config, soft_minimum),
        ],
        dim=1,
    )
    return maps if config.background_head else maps[1:]


def distance_maps(
    distances: Float[Tensor, "L H W"], config: FeelvosConfig, soft_minimum: float | None = None
) -> Float[Tensor, "L K H W"]:
    """Eq. 1 of each label's distance; with `contrast` also the nearest other label's, and who is nearer."""
    own, scale = distances.clamp_max(FAR), config.distance_scale
    if not config.contrast:
        return squash(own / scale).unsqueeze(1)
    temperature = soft_minimum or 1.0
    others = torch.stack([torch.cat([own[:i], own[i + 1 :]]) for i in range(len(own))])
    if soft_minimum is None:
        other = others.amin(1)
    else:
        other = -temperature * torch.logsumexp(-others / temperature, dim=1)
    nearer = torch.sigmoid((other - own) / temperature)
    return torch.stack([squash(own / scale), squash(other / scale), nearer], dim=1)


class FeelvosNetwork(nn.Module):
    """Backbone, embedding and head (Figure 2).

    Args:
        config: Sizes and parts.
        output_stride: Of the paper's backbone; the weights do not depend on it.
    """

    SKIP_CHANNELS = 24

    def __init__(self, config: FeelvosConfig, output_stride: int = 8) -> None:
        super().__init__()
        self.config = config
        features, channels = config.feature_channels, config.embedding_channels
        self.extractor: FeaturePyramid | DeepLabV3Plus
        self.embedding: UnitEmbedding | SemanticEmbedding
        if config.backbone in COMPACT_BACKBONES:
            self.extractor = FeaturePyramid(COMPACT_BACKBONES[config.backbone], features, self.SKIP_CHANNELS)
            self.embedding = UnitEmbedding(self.extractor.stacked_channels, features, channels)
        else:
            from tinct.networks.deeplab import DeepLabV3Plus  # it needs timm as a whole, which loads slowly

            self.extractor = DeepLabV3Plus(config.backbone, output_stride, features)
            self.normalise = ImageNormalisation(self.extractor.mean, self.extractor.std)
            self.embedding = SemanticEmbedding(features, channels)
        maps = 2 * (3 if config.contrast else 1) + 1
        self.head = DynamicSegmentationHead(config, maps, self.SKIP_CHANNELS)

    def start_from_imagenet(self, source: str = "auto") -> str:
        """Give the backbone ImageNet weights; says where they came from."""
        if isinstance(self.extractor, FeaturePyramid):
            return self.extractor.backbone.start_from_imagenet(source)
        return self.extractor.start_from_imagenet(source)

    def freeze_for_training(self) -> None:
        """Take out of training the statistics of batch norm, or the compact variant's first layers.

        The authors' code freezes statistics in all layers, those of ASPP and decoder too, which its script
        starts from chance; scale and shift learn. The paper says nothing of it.
        """
        if isinstance(self.extractor, FeaturePyramid):
            self.extractor.backbone.freeze_to_stride_4()
        else:
            freeze_batch_norm(self.extractor, affine=False)

    def encode(self, frames: Float[Tensor, "B 3 H W"]) -> FrameEncoding:
        """Features and embedding of frames in [0, 1]."""
        if isinstance(self.extractor, FeaturePyramid):
            seen = self.extractor(frames)
            skip = seen.skip if self.config.refinement else None
            return FrameEncoding(seen.features, self.embedding(seen.stacked, seen.features), skip)
        features = self.extractor(self.normalise(frames))
        return FrameEncoding(features, self.embedding(features), None)

    def forward(
        self, encoding: FrameEncoding, matches: Sequence[ObjectMatches], soft_minimum: float | None = None
    ) -> list[HeadOutput]:
        """From matches to logits (3.5, 3.6): the head runs once for every object of every frame.

        Args:
            encoding: Of B frames.
            matches: What each of them has found.
            soft_minimum: With which temperature, if any, it was matched.

        Returns:
            For each frame the logits of all its labels, the background's first.
        """
        maps = [head_maps(found, self.config, soft_minimum) for found in matches]
        counts = [len(of_frame) for of_frame in maps]
        owners = [frame for frame, count in enumerate(counts) for _ in range(count)]
        output: HeadOutput = self.head(
            encoding, torch.tensor(owners, device=encoding.embedding.device), torch.cat(maps)
        )
        parts = zip(*(torch.split(logits, counts) for logits in output), strict=True)
        return [HeadOutput(*(label_logits(part, self.config) for part in of_frame)) for of_frame in parts]


def label_logits(object_logits: Float[Tensor, "N H W"], config: FeelvosConfig) -> Float[Tensor, "L H W"]:
    """Logits of all labels, the background's first: the head's, or 0 where the head runs for objects only."""
    if config.background_head:
        return object_logits
    return F.pad(object_logits, (0, 0, 0, 0, 1, 0))
