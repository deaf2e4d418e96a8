"""What networks of one object learn from single frames: the parts of the loss, side outputs among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from tinct.networks.rates import RateFactors, rate_groups
from tinct.networks.side_outputs import SideLogits
from tinct.ops.losses import FrameLossOptions, at_size, class_balanced_cross_entropy, frame_losses
from tinct.training.stages import Task

Segment = Callable[..., SideLogits]
"""(frames [B, 3, H, W] in [0, 1], previous masks [B, 1, H, W], deep_supervision=...) → logits."""


SIDE_SCORES = ("side_outputs.scores.",)
"""What only the side outputs' own losses teach: unused in stages without them (`Stage.unused`)."""


class FrameTask(Task):
    """The loss of a batch of `MaskedFrames`.

    Args:
        network: What is trained.
        segment: How it is asked.
        loss: Of what the loss consists.
        rates: Which layers learn slower or faster.
    """

    def __init__(
        self, network: nn.Module, segment: Segment, loss: FrameLossOptions, rates: RateFactors
    ) -> None:
        super().__init__()
        self.network = network
        self.segment, self.loss, self.rates = segment, loss, rates

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """Trained parameters, with their factors on the learning rate."""
        return rate_groups(self.network.named_parameters(), self.rates)

    def forward(
        self, batch: Mapping[str, Tensor], step: int
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """All parts weighted, and each part by itself.

        A stage may say what its side outputs count (`SideWeighted`); else their weight fades, and where
        it is 0 they are still asked: every step of a stage reaches the same parameters.
        """
        frames = batch["frames"].permute(0, 3, 1, 2).float() / 255
        previous = batch["previous"].unsqueeze(1).float() / 255
        sides = self.loss.sides * max(0.0, 1 - step / self.loss.sides_until)
        supervised = self.loss.sides > 0
        if "side_weight" in batch:
            sides = float(batch["side_weight"][0])
            supervised = sides > 0
        logits = self.segment(frames, previous, deep_supervision=supervised)
        labels = batch["labels"].long()
        figures = frame_losses(logits.fused, labels, self.loss)
        total = sum(
            (getattr(self.loss, name) * value for name, value in figures.items()), frames.new_zeros(())
        )
        if supervised:
            size = (labels.shape[-2], labels.shape[-1])
            figures["sides"] = torch.stack(
                [class_balanced_cross_entropy(at_size(s, size), labels) for s in logits.sides]
            ).sum()
            total = total + sides * figures["sides"]
        overlap = overlap_of(logits.fused, labels)
        detached = {name: value.detach() for name, value in figures.items()}
        return total, {"loss": total.detach(), **detached, "iou": overlap}


@torch.no_grad()
def overlap_of(fused: Float[Tensor, "B h w"], labels: Int64[Tensor, "B H W"]) -> Float[Tensor, ""]:
    """The mean intersection over union with the truth, for the curve."""
    found = (at_size(fused, (labels.shape[-2], labels.shape[-1])) > 0) & (labels != 255)
    truth = labels == 1
    union = (found | truth).sum((1, 2)).clamp_min(1)
    return ((found & truth).sum((1, 2)) / union).mean()
