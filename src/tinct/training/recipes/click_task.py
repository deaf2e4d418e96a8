"""What the click network learns from: rounds of simulated clicks, each where the answer before was wrong."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from tinct.data.clicks import RADIUS_PX, draw_clicks, random_error_click, worst_error_click
from tinct.networks.click import ClickNetwork
from tinct.networks.rates import RateFactors, rate_groups
from tinct.shapes import VOID
from tinct.training.stages import Task

RATES: RateFactors = (("backbone.", 0.1),)
"""ImageNet's layers learn slower."""

RANDOM_CLICKS = 0.3
"""Share of clicks that lie anywhere in what is wrong, as a person's may."""

FOCUS = 2.0
"""The exponent of the focal loss."""


class ClickTask(Task):
    """The loss of a batch of `ClickSamples`, summed over rounds of clicks.

    Args:
        network: What is trained.
        rounds: Answers to a sample, each with one click more.
    """

    network: ClickNetwork

    def __init__(self, network: ClickNetwork, rounds: int = 3) -> None:
        super().__init__()
        self.network, self.rounds = network, rounds

    def parameter_groups(self) -> list[tuple[list[torch.nn.Parameter], float]]:
        """Trained parameters, with their factors on the learning rate."""
        return rate_groups(self.network.named_parameters(), RATES)

    def forward(
        self, batch: Mapping[str, Tensor], step: int
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """The mean loss of the rounds, and the overlap after the first and the last."""
        frames, labels = batch["frames"].permute(0, 3, 1, 2).float() / 255, batch["labels"].long()
        maps = batch["prompt"].float() / 255
        features = self.network.encode(frames)
        owners = torch.arange(len(frames), device=frames.device)
        random = np.random.default_rng(int(torch.randint(2**31, (1,))))
        unprompted = maps.flatten(1).amax(1) == 0
        only_previous = maps[:, :3].flatten(1).amax(1) == 0
        maps = with_clicks(maps, labels, maps[:, 3] > 0.5, unprompted | only_previous, random)
        losses, overlaps = [], []
        for number in range(self.rounds):
            logits = self.network(features, owners, maps)
            losses.append(normalised_focal_loss(logits, labels) + 0.5 * dice_loss(logits, labels))
            found = logits.detach() > 0
            overlaps.append(overlap(found, labels))
            if number + 1 < self.rounds:
                maps = torch.cat([maps[:, :3], logits.detach().sigmoid()[:, None]], 1)
                maps = with_clicks(maps, labels, found, torch.ones_like(unprompted), random)
        loss = torch.stack(losses).mean()
        return loss, {"loss": loss.detach(), "iou_first": overlaps[0], "iou_last": overlaps[-1]}


def with_clicks(
    maps: Float[Tensor, "B 4 H W"],
    labels: Int64[Tensor, "B H W"],
    found: Tensor,
    wanted: Tensor,
    random: np.random.Generator,
) -> Float[Tensor, "B 4 H W"]:
    """The maps with one more click in those that want one."""
    drawn = maps.cpu().numpy().copy()
    truths, answers = labels.cpu().numpy(), found.cpu().numpy()
    for number in np.flatnonzero(wanted.cpu().numpy()):
        truth, decided = truths[number] == 1, truths[number] != VOID
        if random.random() < RANDOM_CLICKS:
            click = random_error_click(truth, answers[number], random, decided)
        else:
            click = worst_error_click(truth, answers[number], decided)
        if click is not None:
            x, y, inside = click
            draw_clicks(drawn[number, 0 if inside else 1], [(x, y)], RADIUS_PX)
    return torch.from_numpy(drawn).to(maps.device)


def normalised_focal_loss(
    logits: Float[Tensor, "B H W"], labels: Int64[Tensor, "B H W"]
) -> Float[Tensor, ""]:
    """Focal loss whose weights sum to 1 in each picture (Sofiiuk et al., "AdaptIS", ICCV 2019, 3.3)."""
    decided = (labels != VOID).to(logits.dtype)
    truth = (labels == 1).to(logits.dtype)
    losses = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    weights = (1 - torch.exp(-losses.detach())) ** FOCUS * decided
    return ((losses * weights).sum((1, 2)) / weights.sum((1, 2)).clamp_min(1e-3)).mean()


def dice_loss(logits: Float[Tensor, "B H W"], labels: Int64[Tensor, "B H W"]) -> Float[Tensor, ""]:
    """1 - Dice of the object's probabilities."""
    truth = (labels == 1).to(logits.dtype)
    probs = logits.sigmoid() * (labels != VOID)
    overlaps, totals = (probs * truth).sum((1, 2)), (probs + truth).sum((1, 2))
    return (1 - (2 * overlaps + 1) / (totals + 1)).mean()


def overlap(found: Tensor, labels: Int64[Tensor, "B H W"]) -> Float[Tensor, ""]:
    """The mean intersection over union, for the curve."""
    found, truth = found & (labels != VOID), labels == 1
    union = (found | truth).sum((1, 2)).clamp_min(1)
    return ((found & truth).sum((1, 2)) / union).mean()
