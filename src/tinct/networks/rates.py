"""Which layers learn how fast: factors on the learning rate, chosen by the layers' names."""

from __future__ import annotations

from collections.abc import Iterable

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
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in named:
        factor = 1.0
        for part, of_part in factors:
            factor *= of_part if part in name else 1.0
        if parameter.requires_grad and factor:
            groups.setdefault(factor, []).append(parameter)
    return [(parameters, factor) for factor, parameters in groups.items()]
