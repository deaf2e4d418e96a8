"""Rates by name: factors multiply, frozen parameters and factors of 0 are left out."""

from __future__ import annotations

import torch
from torch import nn

from tinct.networks.rates import rate_groups


def test_factors_multiply_and_frozen_parameters_are_left_out() -> None:
    a, b, c, d = (nn.Parameter(torch.zeros(1)) for _ in range(4))
    frozen = nn.Parameter(torch.zeros(1), requires_grad=False)
    named = [
        ("body.weight", a), ("body.bias", b), ("body.scores.bias", c), ("body.scores.weight", d),
        ("body.other.weight", frozen),
    ]  # fmt: skip
    groups = rate_groups(named, ((".bias", 2.0), (".scores.", 0.1)))
    assert [(len(p), p[0] is q, factor) for (p, factor), q in zip(groups, (a, b, c, d), strict=True)] == [
        (1, True, 1.0), (1, True, 2.0), (1, True, 0.2), (1, True, 0.1),
    ]  # fmt: skip
    assert [len(p) for p, _ in rate_groups(named, ((".scores.", 0.0),))] == [2]
    assert [len(p) for p, _ in rate_groups(named, ())] == [4]
