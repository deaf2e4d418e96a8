"""How fine-tuned layers descend: optimisers, and how the rate changes while the budget is spent."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from tinct.errors import OptionError, near_match
from tinct.networks.rates import RateFactors, rate_groups

OPTIMISERS = ("adamw", "sgd")


def _warm_cosine(step: int, share_spent: float) -> float:
    """Rise over 10 steps, and fall to a tenth like a cosine."""
    warm = min(1.0, (step + 1) / 10)
    return warm * (0.1 + 0.45 * (1 + math.cos(math.pi * min(1.0, share_spent))))


def _constant(step: int, share_spent: float) -> float:
    return 1.0


def _polynomial(step: int, share_spent: float) -> float:
    """DeepLab's "poly": to 0, nearly linearly."""
    return float((1 - min(1.0, share_spent)) ** 0.9)


SCHEDULES: Mapping[str, Callable[[int, float], float]] = {
    "warm-cosine": _warm_cosine,
    "constant": _constant,
    "polynomial": _polynomial,
}
"""Name → (steps done, share of the budget spent) → factor on the learning rate."""


def check_descent(optimiser: str, schedule: str, clip_gradient_norm: float) -> None:
    """OptionError for an optimiser or a schedule that does not exist, or a norm below 0."""
    for kind, name, known in (("optimiser", optimiser, OPTIMISERS), ("schedule", schedule, SCHEDULES)):
        if name not in known:
            raise OptionError(f"Unknown {kind} {name!r}. {near_match(name, known)}")
    if clip_gradient_norm < 0:
        raise OptionError(
            f"clip_gradient_norm = {clip_gradient_norm} came; it is above 0, or 0 for gradients as they are."
        )


def make_optimiser(
    name: str,
    layers: Iterable[tuple[str, nn.Parameter]],
    learning_rate: float,
    weight_decay: float,
    rates: RateFactors,
) -> torch.optim.Optimizer:
    """An optimiser of layers that are given by name; each group knows its own `full_rate`.

    Args:
        name: Of `OPTIMISERS`; "sgd" has a momentum of 0.9.
        layers: Those that are trained.
        learning_rate: The largest.
        weight_decay: Of the optimiser.
        rates: Which layers learn slower or faster.
    """
    groups: list[dict[str, Any]] = [
        {"params": parameters, "full_rate": learning_rate * factor}
        for parameters, factor in rate_groups(layers, rates)
    ]
    if name == "sgd":
        return torch.optim.SGD(groups, lr=learning_rate, momentum=0.9, weight_decay=weight_decay)
    return torch.optim.AdamW(groups, lr=learning_rate, weight_decay=weight_decay)


def set_rate(optimiser: torch.optim.Optimizer, schedule: str, step: int, share_spent: float) -> None:
    """Give every group its rate before a step."""
    factor = SCHEDULES[schedule](step, share_spent)
    for group in optimiser.param_groups:
        group["lr"] = group["full_rate"] * factor


def clip_gradients(layers: Iterable[nn.Parameter], norm: float) -> None:
    """Scale gradients down to a norm; 0 leaves them as they are."""
    if norm:
        nn.utils.clip_grad_norm_(layers, norm)
