"""Clips with the optical flow between their frames, estimated on the clip as it is."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tinct.data.samplers import Samples
from tinct.networks.flow import FlowEstimator, backward_flow


class FlowClips(Samples):
    """Clips that also hold `flow_backward` and `flow_forward`, float16 [T, H, W, 2], where asked for.

    The flow is estimated on the finished clip, not carried through its making: so it has the errors
    that it will have at test. `flow_backward[t]` leads to frame t - 1, for t ≥ 2; `flow_forward[t]`
    to frame t + 1. A clip's reference frame (0) has no neighbours; flow that leads nowhere is 0.

    Args:
        clips: Of [reference, previous, query, ...].
        estimator: Of the flow.
        forward: Give the forward flow too.
    """

    def __init__(self, clips: Samples, estimator: FlowEstimator, *, forward: bool = False) -> None:
        self.clips, self.estimator, self.forward = clips, estimator, forward
        self.identities = clips.identities

    def describe(self) -> str:
        """The clips, and whose flow they have."""
        directions = "both ways" if self.forward else "backward"
        return f"{self.clips.describe()}; flow {directions} by {self.estimator.name}"

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Clip `index` with its flow."""
        clip = self.clips[index]
        frames = clip["frames"].numpy()
        backward = backward_flow(self.estimator, frames)
        clip["flow_backward"] = torch.from_numpy(backward)
        if self.forward:
            forward = np.zeros_like(backward)
            for t in range(1, len(frames) - 1):
                forward[t] = self.estimator.between(frames[t], frames[t + 1])
            clip["flow_forward"] = torch.from_numpy(forward)
        return clip
