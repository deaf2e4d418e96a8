"""A method's one file, as docs/add-a-method.md wants it: every object stays where it was, a little darker.

Equation ↔ name: p_t = decay · p_{t-1} is `Toy.step`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tinct.inference.segmenter import StreamingSegmenter
from tinct.io.masks import ObjectMasks
from tinct.shapes import Image, LabelMap


@dataclass(frozen=True)
class Options:
    """The toy's options; `decay` is the paper's."""

    decay: float = 0.9


PRESETS: Mapping[str, Mapping[str, Options]] = {
    "tiny": {"default": Options(), "paper": Options(), "fast": Options(decay=0.8)}
}


@dataclass(frozen=True)
class ToyState:
    """The objects and their probabilities [N, H, W]."""

    object_ids: tuple[int, ...]
    probs: torch.Tensor


class Toy(StreamingSegmenter[ToyState]):
    """Leaves every object where it was painted last."""

    def __init__(self, options: Options, device: torch.device) -> None:
        self.options, self.device = options, device

    def start(self, frame: Image, labels: LabelMap) -> ToyState:
        """The painted objects."""
        masks = ObjectMasks.from_label_map(labels)
        return ToyState(masks.object_ids, torch.from_numpy(masks.probs))

    def step(
        self, state: ToyState, frame: Image, labels: LabelMap | None = None
    ) -> tuple[ToyState, ObjectMasks]:
        """The same objects, a little less sure."""
        if labels is not None:
            state = self.start(frame, labels)
        probs = torch.clamp(self.options.decay * state.probs, min=0.6 * (state.probs > 0.5).float())
        return ToyState(state.object_ids, probs), ObjectMasks(state.object_ids, np.asarray(probs))


def build(variant: str, preset: str, weights: Path, device: torch.device, **overrides: Any) -> Toy:
    """A toy; its weights are read and not needed."""
    weights.read_bytes()
    return Toy(replace(PRESETS[variant][preset], **overrides), device)
