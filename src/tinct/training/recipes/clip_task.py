"""What guided networks learn from clips: each frame's mask, moved along, guides the next one.

The gradient flows through the fed-back masks, the warp among them (back-propagation through time),
so that the network meets its own errors and learns to mend them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from tinct.methods.masktrack import MaskTrackNetwork
from tinct.networks.rates import RateFactors
from tinct.ops.losses import FrameLossOptions, at_size, frame_losses
from tinct.ops.warp import warp
from tinct.training.recipes.frame_task import FrameTask, overlap_of


@dataclass(frozen=True)
class RollOut:
    """How masks are handed on in training.

    Attributes:
        warped: Share of batches whose masks are joined by themselves moved along the optical flow.
        dilation_px: Masks are dilated by so much.
    """

    warped: float = 0.7
    dilation_px: int = 1


class ClipTask(FrameTask):
    """The loss of a batch of clips of one object; batches of single frames as in `FrameTask`."""

    network: MaskTrackNetwork

    def __init__(
        self, network: MaskTrackNetwork, loss: FrameLossOptions, rates: RateFactors, roll_out: RollOut
    ) -> None:
        super().__init__(network, network, loss, rates)
        self.roll_out = roll_out

    def forward(
        self, batch: Mapping[str, Tensor], step: int
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """The mean over the clip's queries of all parts of the loss, weighted; and each part by itself."""
        if batch["frames"].ndim == 4:
            return super().forward(batch, step)
        labels = batch["labels"].long()
        B, T = labels.shape[:2]
        queries = batch["frames"][:, 2:].transpose(0, 1).flatten(0, 1)
        seen = self.network.stream.features(queries.permute(0, 3, 1, 2).float() / 255)
        guide = batch["previous"][:, :1].float() / 255
        warped = "flow_backward" in batch and bool(torch.rand(()) < self.roll_out.warped)
        parts: dict[str, list[Tensor]] = {}
        for t in range(2, T):
            if warped:
                flow = batch["flow_backward"][:, t].float().permute(0, 3, 1, 2)
                guide = torch.maximum(guide, warp(guide, flow))
            features = [maps[(t - 2) * B : (t - 1) * B] for maps in seen]
            seen_mask = self.network.seen_of(dilated(guide, self.roll_out.dilation_px))
            logits = self.network.stream(features, seen_mask).fused
            for name, value in frame_losses(logits, labels[:, t], self.loss).items():
                parts.setdefault(name, []).append(value)
            parts.setdefault("iou", []).append(overlap_of(logits, labels[:, t]))
            guide = torch.sigmoid(at_size(logits, (guide.shape[-2], guide.shape[-1]))).unsqueeze(1)
        means = {name: torch.stack(values).mean() for name, values in parts.items()}
        weighted = [getattr(self.loss, name) * value for name, value in means.items() if name != "iou"]
        total = torch.stack(weighted).sum()
        return total, {"loss": total.detach(), **{name: value.detach() for name, value in means.items()}}


def dilated(masks: Float[Tensor, "B 1 H W"], radius_px: int) -> Float[Tensor, "B 1 H W"]:
    """Soft masks dilated by a square."""
    if radius_px == 0:
        return masks
    return F.max_pool2d(masks, 2 * radius_px + 1, stride=1, padding=radius_px)
