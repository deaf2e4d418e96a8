"""Losses: each takes (prediction, target) and gives a scalar. Void pixels (255) teach nothing."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
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
        kept_fraction: The share of pixels that counts, in (0, 1]. As in the authors' code, void
            pixels are counted in the share and weigh 0.
    """
    losses = pixel_cross_entropy(logits, labels).flatten(1)
    kept = max(1, round(kept_fraction * losses.shape[1]))
    if kept == losses.shape[1]:
        return losses.mean()
    return losses.topk(kept, dim=1, sorted=False).values.mean()


def bootstrapping_schedule(step: int, warm_up_steps: int, final_fraction: float) -> float:
    """The share of pixels that counts at a step, falling linearly from 1 (FEELVOS: to 0.15 at 100,000)."""
    progress = min(1.0, step / max(1, warm_up_steps))
    return 1.0 + progress * (final_fraction - 1.0)


def soft_dice(logits: Float[Tensor, "B L H W"], labels: Int64[Tensor, "B H W"]) -> Float[Tensor, ""]:
    """1 - Dice of softmax probabilities, averaged over the objects that occur; the background is none."""
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
