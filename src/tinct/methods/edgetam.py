"""EdgeTAM: On-Device Track Anything Model.

Chong Zhou, Chenchen Zhu, Yunyang Xiong, Saksham Suri, Fanyi Xiao, Lemeng Wu, Raghuraman Krishnamoorthi,
Bo Dai, Chen Change Loy, Vikas Chandra, Bilge Soran. CVPR 2025, arXiv:2501.07256.

SAM 2 with a small image encoder (RepViT) and small memories: a perceiver reads each frame's memory into a few
hundred tokens, half of them global, half one for each patch. The network is that of `transformers`, the
weights are the authors'; the loop and its state are ours (`networks.sam2.tracker`).

| paper | here |
|---|---|
| 2D spatial perceiver: global and patch-level latents (3.2) | `NetworkParts.remember`, `Family.perceived` |
| two blocks of memory attention (3.2) | the network's config |

Deviations: those of `methods.sam2`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tinct.networks.sam2.loading import load_network
from tinct.networks.sam2.network import Family
from tinct.networks.sam2.tracker import MemoryTracker, TrackerOptions

EDGETAM = Family("EdgeTAM", "EdgeTamVideoModel", ("edgetam_video",), perceived=True)

SMALLER = "--method feelvos (in the package)"

Options = TrackerOptions

PRESETS: Mapping[str, Mapping[str, Options]] = {
    "repvit": {"default": Options(), "paper": Options("float32"), "fast": Options(compile=True)}
}
"""Variant → preset → options."""


class EdgeTam(MemoryTracker):
    """EdgeTAM at test time; it takes masks, clicks and boxes."""

    FAMILY = EDGETAM


def build(variant: str, preset: str, weights: Path, device: torch.device, **overrides: Any) -> EdgeTam:
    """A segmenter with weights from a folder, as the zoo asks for it."""
    options = replace(PRESETS[variant][preset], **overrides)
    return EdgeTam(load_network(weights, EDGETAM), options, device, SMALLER)
