"""What FEELVOS's network is made of and what it says, as plain values: nothing here needs torch."""

from __future__ import annotations

from dataclasses import dataclass

from tinct.ops.pixel_sets import Array
from tinct.shapes import holds_arrays

COMPACT_BACKBONES = {"mobilenetv2": "mobilenetv2_100"}
"""Backbones of compact variants, and timm's names for them."""

FAR = 80.0
"""The squared distance that stands for "no such pixel": `squash` takes it to 1."""


@dataclass(frozen=True)
class FeelvosConfig:
    """What trained weights are bound to; the defaults are the paper's.

    Attributes:
        backbone: "xception65" (3.1) or "mobilenetv2".
        feature_channels: Width of the backbone feature (256).
        embedding_channels: Width of the embedding (3.2: 100).
        head_layers: Convolutions of the head before the last one (3.6: 4).
        head_channels: Their width (3.6: 256).
        head_kernel: Their size (3.6: 7).
        head_separable: Depthwise-separable ones (3.6) or dense ones.
        background_head: Run the head for the background too (paper), or hold its logit at 0.
        distance_scale: Divides squared distances before eq. 1 squashes them (1 in the paper).
        unit_embedding: Beyond the paper: embeddings of one length, so that distances are bounded
            and matching starts as good as nearest neighbours on ImageNet features.
        contrast: Beyond the paper: each object also sees the distance to everything else.
        refinement: Beyond the paper: layers that sharpen the head's output with stride-4 features.
    """

    backbone: str = "xception65"
    feature_channels: int = 256
    embedding_channels: int = 100
    head_layers: int = 4
    head_channels: int = 256
    head_kernel: int = 7
    head_separable: bool = True
    background_head: bool = True
    distance_scale: float = 1.0
    unit_embedding: bool = False
    contrast: bool = False
    refinement: bool = False


@holds_arrays
@dataclass(frozen=True, repr=False)
class FrameEncoding:
    """Frames seen by the network: everything that does not depend on the objects.

    Attributes:
        features: [B, F, H, W] on the matching grid, for the head.
        embedding: [B, C, H, W] on the same grid.
        skip: [B, S, H4, W4], fine features for the refinement, if there is one.
    """

    features: Array
    embedding: Array
    skip: Array | None

    @property
    def grid(self) -> tuple[int, int]:
        """(H, W) of the matching grid."""
        return self.embedding.shape[-2], self.embedding.shape[-1]

    def select(self, index: Array | slice) -> FrameEncoding:
        """Some of the frames."""
        skip = None if self.skip is None else self.skip[index]
        return FrameEncoding(self.features[index], self.embedding[index], skip)


@holds_arrays
@dataclass(frozen=True, repr=False)
class ObjectMatches:
    """What one frame's pixels have found: for every label, the background's first.

    Attributes:
        global_distances: [L, H, W] squared distances to the reference frames.
        local_distances: [L, H, W] squared distances to the previous frame, within the window.
        previous_probs: [L, H, W], the previous frame's prediction.
    """

    global_distances: Array
    local_distances: Array
    previous_probs: Array
