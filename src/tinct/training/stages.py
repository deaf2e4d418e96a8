"""What a recipe is made of: a task (network and loss), and stages that say how long and on what."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tinct.data.samplers import Samples
from tinct.errors import OptionError

ParameterGroups = list[dict[str, Any]]
"""As torch's optimisers take them: each with its "params" and "lr"."""


class Task(nn.Module):
    """A network with its loss: what the loop trains. A recipe derives its own.

    Attributes:
        network: What is saved, averaged and shipped.
    """

    network: nn.Module

    def forward(
        self, batch: Mapping[str, Tensor], step: int
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """The loss of a batch of clips at a step of the stage, and figures worth plotting.

        Args:
            batch: A batch of the stage's samples, on the task's device.
            step: Counted from 0 in every stage.
        """
        raise NotImplementedError

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """Trained parameters in groups, each with its factor on the learning rate."""
        raise NotImplementedError

    def prepare(self, stages: Sequence[Stage]) -> None:
        """Make room for what the stages to come will show; nothing for most."""

    def memory(self) -> dict[str, Tensor]:
        """What the task keeps beside the network, such as a table of identities; nothing for most.

        It is in the checkpoints, so that a resumed run goes on with it, and not in the weights.
        """
        return {}

    def take_memory(self, memory: Mapping[str, Tensor]) -> None:
        """Go on with what `memory` gave."""
        for name, own in self.memory().items():
            own.copy_(memory[name])


@dataclass(frozen=True)
class CosineSchedule:
    """Rise linearly over the warm-up, then fall along half a cosine to 0.

    Attributes:
        warm_up_steps: Steps until the full learning rate is reached.
    """

    warm_up_steps: int

    def __call__(self, step: int, steps: int) -> float:
        """The factor on the learning rate at one of a number of steps."""
        if step < self.warm_up_steps:
            return (step + 1) / self.warm_up_steps
        progress = (step - self.warm_up_steps) / max(1, steps - self.warm_up_steps)
        return 0.5 * (1 + math.cos(progress * math.pi))


@dataclass(frozen=True)
class PolynomialSchedule:
    """Fall as (1 - step / steps) ** power: DeepLab's "poly".

    Attributes:
        power: DeepLab takes 0.9.
    """

    power: float

    def __call__(self, step: int, steps: int) -> float:
        """The factor on the learning rate at one of a number of steps."""
        return float((1 - step / steps) ** self.power)


@dataclass(frozen=True)
class StepSchedule:
    """The full learning rate until a share of the stage is done, then a fixed fraction of it (OSVOS).

    Attributes:
        until: The share of the steps.
        factor: The fraction.
    """

    until: float
    factor: float

    def __call__(self, step: int, steps: int) -> float:
        """The factor on the learning rate at one of a number of steps."""
        return 1.0 if step < self.until * steps else self.factor


@dataclass(frozen=True)
class StairSchedule:
    """Fall to a fraction again and again, after a number of steps each (DyeNet: a tenth every 8,000).

    Attributes:
        every: Steps.
        factor: The fraction.
    """

    every: int
    factor: float

    def __call__(self, step: int, steps: int) -> float:
        """The factor on the learning rate at one of a number of steps."""
        return float(self.factor ** (step // self.every))


@dataclass(frozen=True)
class AdamW:
    """Makes AdamW with decoupled weight decay; without any it is Adam."""

    weight_decay: float

    def __call__(self, groups: ParameterGroups) -> torch.optim.Optimizer:
        """The optimiser of these parameters."""
        return torch.optim.AdamW(groups, weight_decay=self.weight_decay)


@dataclass(frozen=True)
class SGD:
    """Makes SGD with momentum."""

    momentum: float
    weight_decay: float

    def __call__(self, groups: ParameterGroups) -> torch.optim.Optimizer:
        """The optimiser of these parameters."""
        return torch.optim.SGD(groups, momentum=self.momentum, weight_decay=self.weight_decay)


@dataclass(frozen=True)
class Stage:
    """One part of a recipe; weights are handed on to the next.

    Attributes:
        name: Names the stage's weights, such as "stills".
        clips: The stage's data.
        steps: Optimiser steps.
        batch: Clips per step and process.
        learning_rate: The largest.
        schedule: (step, steps) → factor on the learning rate, such as `CosineSchedule`.
        optimiser: Parameter groups → optimiser, such as `AdamW`.
        clip_gradient_norm: Gradients are scaled down to this norm.
        clip_each: Each parameter's gradient is, by itself, as in TensorFlow's slim; else all of them as one.
        ema_decay: Of the moving average of the weights, which is what is saved as the result; less
            at first, so that it soon forgets what the stage began with. 0 keeps the weights as they are.
        unused: Parts of the names of parameters that the loss does not reach in this stage: they are frozen
            in it. Several processes would wait for their gradients for ever.
        accumulate: The parts in which a step's batch goes through the network; their gradients are averaged.

    Raises:
        OptionError: A number is out of its range.
    """

    name: str
    clips: Samples
    steps: int
    batch: int
    learning_rate: float
    schedule: Callable[[int, int], float]
    optimiser: Callable[[ParameterGroups], torch.optim.Optimizer]
    clip_gradient_norm: float
    ema_decay: float
    unused: tuple[str, ...] = ()
    clip_each: bool = False
    accumulate: int = 1

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1:
            raise OptionError(
                f"Stage {self.name!r} has steps = {self.steps} and batch = {self.batch}; both start at 1. "
                "Leave out a stage that is not wanted."
            )
        if self.accumulate < 1 or self.batch % self.accumulate:
            raise OptionError(
                f"Stage {self.name!r} has a batch of {self.batch}, which cannot be cut into "
                f"{self.accumulate} equal parts to accumulate; give a number that divides it."
            )
        if self.learning_rate <= 0 or self.clip_gradient_norm <= 0 or not 0 <= self.ema_decay < 1:
            raise OptionError(
                f"Stage {self.name!r} has learning_rate = {self.learning_rate}, clip_gradient_norm = "
                f"{self.clip_gradient_norm} and ema_decay = {self.ema_decay}; the first two are above 0, and "
                "ema_decay lies in [0, 1)."
            )

    def describe(self) -> dict[str, str]:
        """Everything that decides what the stage computes, as text: a resumed run must agree with it."""
        more = {"unused": ", ".join(self.unused)} if self.unused else {}
        more |= {"clip_each": "True"} if self.clip_each else {}
        more |= {"accumulate": str(self.accumulate)} if self.accumulate > 1 else {}
        return {
            "name": self.name,
            "steps": str(self.steps),
            "batch": str(self.batch),
            "learning_rate": repr(self.learning_rate),
            "schedule": repr(self.schedule),
            "optimiser": repr(self.optimiser),
            "clip_gradient_norm": repr(self.clip_gradient_norm),
            "ema_decay": repr(self.ema_decay),
            "clips": self.clips.describe(),
            **more,
        }

    @contextmanager
    def frozen(self, network: nn.Module) -> Iterator[None]:
        """Take the parameters that the stage does not use out of training, and bring them back after it."""
        frozen = [
            parameter
            for name, parameter in network.named_parameters()
            if parameter.requires_grad and any(part in name for part in self.unused)
        ]
        try:
            for parameter in frozen:
                parameter.requires_grad_(False)
            yield
        finally:
            for parameter in frozen:
                parameter.requires_grad_(True)
