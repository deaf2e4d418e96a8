"""SAM 2: Segment Anything in Images and Videos.

Nikhila Ravi, Valentin Gabeur, Yuan-Ting Hu, Ronghang Hu, Chaitanya Ryali, Tengyu Ma, and others.
ICLR 2025, arXiv:2408.00714.

An image encoder sees each frame once. Memory attention conditions its features on a bank of earlier frames
with their masks, and on the object's pointers; a mask decoder, which takes clicks and boxes as well, gives
the mask, and a memory encoder puts it into the bank. The network is that of `transformers`, the weights are
the authors'; the loop and its state are ours (`networks.sam2.tracker`).

| paper | here |
|---|---|
| image encoder, memory attention, prompt encoder, mask decoder, memory encoder | `networks.sam2.network` |
| memory bank: prompted frames and the last N others (4) | `networks.sam2.memory.ObjectMemory` |
| object pointers (4) | `FrameMemory.pointer` |
| several masks for an ambiguous click (4) | `NetworkParts.decode`, `multimask` |
| occlusion head (4) | `Decoded.scores` |
| temporal position encoding of the last N frames, none of prompted ones (C) | `ObjectMemory.frames_read` |

Deviations: annotated masks are taken as they are, and go through the decoder for their pointers alone, as in
`transformers`; several objects share each pixel by a softmax over their logits and a background of 0.
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

SAM2 = Family("SAM 2", "Sam2VideoModel", ("sam2_video",))

SMALLER = {
    "large": "--variant base-plus", "base-plus": "--variant small", "small": "--variant tiny",
    "tiny": "--method edgetam",
    "large-2.0": "--variant base-plus-2.0", "base-plus-2.0": "--variant small-2.0",
    "small-2.0": "--variant tiny-2.0", "tiny-2.0": "--method edgetam",
}  # fmt: skip
"""Variant → the next smaller network."""

Options = TrackerOptions

PRESETS: Mapping[str, Mapping[str, Options]] = {
    variant: {"default": Options(), "paper": Options("float32"), "fast": Options(compile=True)}
    for variant in SMALLER
}
"""Variant → preset → options."""


class Sam2(MemoryTracker):
    """SAM 2 at test time; it takes masks, clicks and boxes."""

    FAMILY = SAM2


def build(variant: str, preset: str, weights: Path, device: torch.device, **overrides: Any) -> Sam2:
    """A segmenter with weights from a folder, as the zoo asks for it."""
    options = replace(PRESETS[variant][preset], **overrides)
    return Sam2(load_network(weights, SAM2), options, device, SMALLER[variant])
