"""What a recipe is made of: a task that turns a batch into a loss, and stages that say how long and on what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tinct.data.samplers import Clips


class Task(nn.Module):
    """A network with its loss: what the loop trains.

    Attributes:
        network: What is saved, averaged and shipped.
    """

    network: nn.Module

    def forward(self, batch: Mapping[str, Tensor], step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch of clips at a step of the stage, and figures worth plotting."""
        raise NotImplementedError

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """Trained parameters in groups, each with its factor on the learning rate."""
        raise NotImplementedError


@dataclass(frozen=True)
class Stage:
    """One part of a recipe; weights are handed on to the next.

    Attributes:
        name: Names the stage's checkpoint, such as "stills".
        clips: The stage's data.
        steps: Optimiser steps.
        batch: Clips per step and process.
        learning_rate: The largest.
        schedule: (step, steps) → factor on the learning rate.
        optimiser: Parameter groups → optimiser, such as `adamw`.
        clip_gradient_norm: Gradients are scaled down to this norm.
        ema_decay: Of the moving average of the weights, which is what is saved as the result.
    """

    name: str
    clips: Clips
    steps: int
    batch: int
    learning_rate: float
    schedule: Callable[[int, int], float]
    optimiser: Callable[[list[dict[str, object]], float], torch.optim.Optimizer]
    clip_gradient_norm: float
    ema_decay: float


def cosine_schedule(warm_up_steps: int) -> Callable[[int, int], float]:
    """Rise linearly over the warm-up, then fall along half a cosine to 0."""

    def factor(step: int, steps: int) -> float:
        if step < warm_up_steps:
            return (step + 1) / warm_up_steps
        progress = (step - warm_up_steps) / max(1, steps - warm_up_steps)
        return 0.5 * (1 + float(torch.cos(torch.tensor(progress * torch.pi))))

    return factor


def polynomial_schedule(power: float) -> Callable[[int, int], float]:
    """Fall as (1 - step / steps) ** power (DeepLab's "poly")."""
    return lambda step, steps: float((1 - step / steps) ** power)


def adamw(weight_decay: float) -> Callable[[list[dict[str, object]], float], torch.optim.Optimizer]:
    """AdamW with decoupled weight decay."""
    return lambda groups, rate: torch.optim.AdamW(groups, lr=rate, weight_decay=weight_decay)


def sgd(momentum: float, weight_decay: float) -> Callable[[list[dict[str, object]], float], torch.optim.Optimizer]:
    """SGD with momentum."""
    return lambda groups, rate: torch.optim.SGD(groups, lr=rate, momentum=momentum, weight_decay=weight_decay)
