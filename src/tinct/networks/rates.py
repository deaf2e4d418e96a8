"""Which layers learn how fast: factors on the learning rate, chosen by the layers' names."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from torch import nn

RateFactors = tuple[tuple[str, float], ...]
"""(part of a parameter's name, factor): a parameter takes the product of all whose part its name holds."""


def rate_groups(
    named: Iterable[tuple[str, nn.Parameter]], factors: RateFactors
) -> list[tuple[list[nn.Parameter], float]]:
    """The parameters that are trained, in groups, each with its factor on the learning rate.

    Args:
        named: Parameters with their names.
        factors: A factor of 0 takes parameters out.
    """

    def factor_of(name: str) -> float:
        return math.prod((factor for part, factor in factors if part in name), start=1.0)

    return grouped_by_rate(named, factor_of)


def grouped_by_rate(
    named: Iterable[tuple[str, nn.Parameter]], factor_of: Callable[[str], float]
) -> list[tuple[list[nn.Parameter], float]]:
    """`rate_groups` by a function from a parameter's name to its factor."""
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in named:
        if parameter.requires_grad and (factor := factor_of(name)):
            groups.setdefault(factor, []).append(parameter)
    return [(parameters, factor) for factor, parameters in groups.items()]
