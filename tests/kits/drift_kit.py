"""A segmenter of no network whose every result depends on the whole past."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from tinct.inference.segmenter import StreamingSegmenter
from tinct.io.masks import ObjectMasks


@dataclass(frozen=True)
class DriftState:
    object_ids: tuple[int, ...]
    probs: torch.Tensor


class Drift(StreamingSegmenter[DriftState]):
    """Lets the masks drift with the frames' brightness, and takes over what is painted."""

    def start(self, frame: np.ndarray, labels: np.ndarray) -> DriftState:
        masks = ObjectMasks.from_label_map(labels)
        return DriftState(masks.object_ids, torch.from_numpy(masks.probs))

    def step(
        self, state: DriftState, frame: np.ndarray, labels: np.ndarray | None = None
    ) -> tuple[DriftState, ObjectMasks]:
        brightness = torch.from_numpy(frame[..., 0].astype(np.float32) / 255)
        probs = (0.9 * state.probs.roll(1, dims=2) + 0.1 * brightness).clamp(0, 0.5)
        masks = ObjectMasks(state.object_ids, probs.numpy())
        masks = masks if labels is None else masks.corrected(labels)
        return DriftState(masks.object_ids, torch.from_numpy(masks.probs)), masks
