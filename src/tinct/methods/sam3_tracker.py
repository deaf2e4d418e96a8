"""SAM 3: Segment Anything with Concepts; its tracker.

Nicolas Carion, Laura Gustafson, Yuan-Ting Hu, Shoubhik Debnath, Ronghang Hu, Didac Suris, and others. 2025,
arXiv:2511.16719.

SAM 3 finds all objects of a name, and follows them. What follows them is SAM 2's memory on the features of a
perception encoder that detector and tracker share; here it follows what was painted or clicked. The network
is that of `transformers`, the weights are the authors', under a licence of their own; the loop and its state
are ours (`networks.sam2.tracker`).

| paper | here |
|---|---|
| tracker: memory attention, mask decoder, memory encoder, as in SAM 2 (3) | `networks.sam2.network` |
| at most four annotated frames are read | the config's `max_cond_frame_num`, `BankSizes.annotated_frames` |
| detector, text prompts | not here |

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

HALVES = (0.5, 0.5, 0.5)

SAM3_TRACKER = Family(
    "SAM 3's tracker", "Sam3TrackerVideoModel", ("sam3_tracker_video", "sam3_video"), HALVES, HALVES
)

SMALLER = "--method sam2"

Options = TrackerOptions

PRESETS: Mapping[str, Mapping[str, Options]] = {
    "pe": {"default": Options(), "paper": Options("float32"), "fast": Options(compile=True)}
}
"""Variant → preset → options."""


class Sam3Tracker(MemoryTracker):
    """SAM 3's tracker at test time; it takes masks, clicks and boxes."""

    FAMILY = SAM3_TRACKER


def build(variant: str, preset: str, weights: Path, device: torch.device, **overrides: Any) -> Sam3Tracker:
    """A segmenter with weights from a folder, as the zoo asks for it."""
    options = replace(PRESETS[variant][preset], **overrides)
    return Sam3Tracker(load_network(weights, SAM3_TRACKER), options, device, SMALLER)
