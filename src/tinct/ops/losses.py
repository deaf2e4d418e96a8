"""Losses: each takes (prediction, target) and gives a scalar. Void pixels (255) have no loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, Integer
from torch import Tensor

from tinct.shapes import VOID


def pixel_cross_entropy(
    logits: Float[Tensor, "B L H W"], labels: Int64[Tensor, "B H W"]
) -> Float[Tensor, "B H W"]:
    """Cross-entropy of every pixel, 0 at void ones; class L of a pixel is its label."""
    return F.cross_entropy(logits, labels, ignore_index=VOID, reduction="none")


def bootstrapped_cross_entropy(
    logits: Float[Tensor, "B L H W"], labels: Int64[Tensor, "B H W"], kept_fraction: float
) -> Float[Tensor, ""]:
    """Mean cross-entropy of each image's hardest pixels (FEELVOS, section 3.7).

    Args:
        logits: One channel per label, the background's first.
        labels: Indices into those channels, or 255.
        kept_fraction: The share of pixels that counts, in (0, 1]. As in the authors' code, it includes
            void pixels, with loss 0.
    """
    losses = pixel_cross_entropy(logits, labels).flatten(1)
    pixels = max(1, round(kept_fraction * losses.shape[1]))
    if pixels == losses.shape[1]:
        return losses.mean()
    return losses.topk(pixels, dim=1, sorted=False).values.mean()


def bootstrapping_schedule(step: int, warm_up_steps: int, final_fraction: float) -> float:
    """The share of pixels that counts at a step, falling linearly from 1 (FEELVOS: to 0.15 at 100,000)."""
    progress = min(1.0, step / max(1, warm_up_steps))
    return 1.0 + progress * (final_fraction - 1.0)


def soft_dice(logits: Float[Tensor, "B L H W"], labels: Int64[Tensor, "B H W"]) -> Float[Tensor, ""]:
    """1 - Dice of softmax probabilities, averaged over the objects that occur; the background is not one."""
    probs = logits.softmax(1)[:, 1:]
    decided = (labels != VOID).unsqueeze(1)
    ids = torch.arange(1, logits.shape[1], device=labels.device).view(1, -1, 1, 1)
    truth = (labels.unsqueeze(1) == ids).to(probs.dtype)
    probs = probs * decided
    overlap = (probs * truth).sum((2, 3))
    total = (probs + truth).sum((2, 3))
    occurs = truth.amax((2, 3)) > 0
    dice = 1 - (2 * overlap + 1) / (total + 1)
    return (dice * occurs).sum() / occurs.sum().clamp_min(1)


def class_balanced_cross_entropy(
    logits: Float[Tensor, "B H W"], labels: Integer[Tensor, "B H W"]
) -> Float[Tensor, ""]:
    """Binary cross-entropy whose two classes weigh the same in each image (OSVOS, eq. 1; MaskRNN, eq. 3).

    The paper sums over the pixels; here it is their mean, so that learning rates do not depend on
    the size: multiply the paper's by the number of pixels. An image without objects has loss 0.

    Args:
        logits: Logits of the object.
        labels: 1 the object, 0 background, 255 void.
    """
    decided = (labels != VOID).to(logits.dtype)
    truth = (labels == 1).to(logits.dtype)
    pixels = decided.sum((1, 2)).clamp_min(1)
    foreground = (truth.sum((1, 2)) / pixels).view(-1, 1, 1)
    weights = decided * torch.where(truth > 0, 1 - foreground, foreground)
    losses = F.binary_cross_entropy_with_logits(logits, truth, weight=weights, reduction="none")
    return (losses.sum((1, 2)) / pixels).mean()


@dataclass(frozen=True)
class FrameLossOptions:
    """Weights of the parts of the loss of a frame.

    Attributes:
        balanced: Weight of the class-balanced cross-entropy (OSVOS, MaskRNN).
        cross_entropy: Weight of the plain cross-entropy (MaskTrack).
        hardest: Weight of the cross-entropy of the hardest pixels.
        kept_fraction: Share of the hardest pixels.
        dice: Weight of the Dice loss.
        sides: Weight of each side output's class-balanced cross-entropy at the first step.
        sides_until: The step at which `sides` has decayed to 0 (OSVOS: deep supervision fades out).
    """

    balanced: float = 0.0
    cross_entropy: float = 1.0
    hardest: float = 0.5
    kept_fraction: float = 0.10
    dice: float = 0.5
    sides: float = 0.0
    sides_until: int = 1


BALANCED = FrameLossOptions(balanced=1.0, cross_entropy=0.0, hardest=0.0, dice=0.0)
"""The loss of OSVOS and MaskRNN."""

PLAIN = FrameLossOptions(cross_entropy=1.0, hardest=0.0, dice=0.0)
"""The loss of MaskTrack, which is that of DeepLab: cross-entropy alone."""


def frame_losses(
    fused: Float[Tensor, "B h w"], labels: Int64[Tensor, "B H W"], loss: FrameLossOptions
) -> dict[str, Float[Tensor, ""]]:
    """The parts that have a weight, by name; logits are resized to the labels first."""
    logits = at_size(fused, (labels.shape[-2], labels.shape[-1]))
    scores = torch.stack([torch.zeros_like(logits), logits], 1)
    parts: dict[str, Callable[[], Tensor]] = {
        "balanced": lambda: class_balanced_cross_entropy(logits, labels),
        "cross_entropy": lambda: bootstrapped_cross_entropy(scores, labels, 1.0),
        "hardest": lambda: bootstrapped_cross_entropy(scores, labels, loss.kept_fraction),
        "dice": lambda: soft_dice(scores, labels),
    }
    return {name: part() for name, part in parts.items() if getattr(loss, name)}


def at_size(logits: Float[Tensor, "B h w"], size: tuple[int, int]) -> Float[Tensor, "B H W"]:
    """Logits in float32, enlarged to a size."""
    return F.interpolate(logits.float().unsqueeze(1), size=size, mode="bilinear", align_corners=False)[:, 0]


@dataclass(frozen=True)
class RegionLossOptions:
    """Weights of the parts of the loss of regions; the defaults are DyeNet's: cross-entropy alone (inferred).

    Attributes:
        cross_entropy: Weight of the binary cross-entropy of all cells.
        hardest: Weight of the binary cross-entropy of each region's hardest cells.
        kept_fraction: Share of the hardest cells.
        dice: Weight of the Dice loss.
    """

    cross_entropy: float = 1.0
    hardest: float = 0.0
    kept_fraction: float = 0.15
    dice: float = 0.0


def region_loss(
    logits: Float[Tensor, "N M M"],
    targets: Float[Tensor, "N M M"],
    decided: Float[Tensor, "N M M"],
    loss: RegionLossOptions,
) -> Float[Tensor, ""]:
    """The weighted sum of all parts, averaged over the regions; 0 without regions.

    Args:
        logits: Logits of the object, on the grid of each region.
        targets: The object's share of each cell, in [0, 1].
        decided: The share of each cell that is not void: its weight.
        loss: The parts and their weights.
    """
    if not len(logits):
        return logits.sum()
    logits = logits.float()
    cells = F.binary_cross_entropy_with_logits(logits, targets, weight=decided, reduction="none").flatten(1)
    weight = decided.flatten(1).sum(1).clamp_min(1)
    total = loss.cross_entropy * cells.sum(1) / weight
    if loss.hardest:
        hardest = max(1, round(loss.kept_fraction * cells.shape[1]))
        total = total + loss.hardest * cells.topk(hardest, dim=1, sorted=False).values.mean(1)
    if loss.dice:
        probs, truth = torch.sigmoid(logits) * decided, targets * decided
        overlap, both = (probs * truth).flatten(1).sum(1), (probs + truth).flatten(1).sum(1)
        # An object that is hidden has no Dice: cross-entropy alone teaches the empty mask.
        occurs = truth.flatten(1).amax(1) > 0.5
        total = total + loss.dice * occurs * (1 - (2 * overlap + 1) / (both + 1))
    return total.mean()
