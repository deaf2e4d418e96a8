"""The adapter: the foreign network behind tinct's door."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tinct.inference.segmenter import StreamingSegmenter
from tinct.io.masks import ObjectMasks
from tinct.networks.weights import load_weights
from tinct.ops.tensors import frame_tensor
from tinct.shapes import Image, LabelMap
from tinct_drift.network import DriftNetwork, DriftProcessor


@dataclass(frozen=True)
class Options:
    """What can be set; the foreign network has nothing to set."""


PRESETS: Mapping[str, Mapping[str, Options]] = {
    "toy": {"default": Options(), "paper": Options(), "fast": Options()}
}


@dataclass(frozen=True)
class DriftState:
    """What the foreign processor remembers, and whose its channels are."""

    object_ids: tuple[int, ...]
    memory: torch.Tensor


class Drift(StreamingSegmenter[DriftState]):
    """The foreign processor, made anew for each frame from the state, so that states stay as they are."""

    def __init__(self, network: DriftNetwork, options: Options, device: torch.device) -> None:
        self.network = deepcopy(network).to(device).eval()
        self.options, self.device = options, device

    def start(self, frame: Image, labels: LabelMap) -> DriftState:
        """The annotated masks are the memory."""
        return self._state(ObjectMasks.from_label_map(labels))

    @torch.inference_mode()
    def step(
        self, state: DriftState, frame: Image, labels: LabelMap | None = None
    ) -> tuple[DriftState, ObjectMasks]:
        """One step of the foreign processor; a correction takes the place of what it found."""
        processor = DriftProcessor(self.network)
        processor.memory = state.memory
        probs = processor.step(frame_tensor(frame, self.device)[0])
        masks = ObjectMasks(state.object_ids, probs[1:].cpu().numpy())
        if labels is not None:
            masks = masks.corrected(labels)
            return self._state(masks), masks
        return replace(state, memory=probs), masks

    def _state(self, masks: ObjectMasks) -> DriftState:
        background = 1 - masks.probs.sum(0, keepdims=True)
        probs = torch.from_numpy(np.concatenate([background, masks.probs])).to(self.device)
        return DriftState(masks.object_ids, probs)


def build(variant: str, preset: str, weights: Path, device: torch.device, **overrides: Any) -> Drift:
    """What tinct calls; `weights` is what `--weights` gave."""
    network = DriftNetwork()
    load_weights(weights, network, method="drift", variant=variant)
    return Drift(network, replace(PRESETS[variant][preset], **overrides), device)
