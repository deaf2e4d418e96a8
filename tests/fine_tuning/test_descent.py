"""How rates change, and how gradients are clipped, while a budget is spent."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tinct.errors import OptionError
from tinct.fine_tuning.descent import SCHEDULES, check_descent, clip_gradients, make_optimiser, set_rate


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("warm-cosine", [0.1, 0.55, 0.1]),
        ("constant", [1.0, 1.0, 1.0]),
        ("polynomial", [1.0, 0.5**0.9, 0.0]),
    ],
)
def test_schedules_at_the_start_the_middle_and_the_end(schedule: str, expected: list[float]) -> None:
    found = [SCHEDULES[schedule](step, share) for step, share in ((0, 0.0), (100, 0.5), (200, 1.0))]
    assert found == pytest.approx(expected)


def test_every_group_has_its_own_rate() -> None:
    layers = nn.ModuleDict({"slow": nn.Linear(1, 1), "fast": nn.Linear(1, 1)})
    optimiser = make_optimiser("sgd", layers.named_parameters(), 0.5, 0.0, (("slow.", 0.1),))
    set_rate(optimiser, "polynomial", 3, 0.5)
    assert sorted(group["lr"] for group in optimiser.param_groups) == pytest.approx(
        [0.05 * 0.5**0.9, 0.5 * 0.5**0.9]
    )
    assert all(group["momentum"] == 0.9 for group in optimiser.param_groups)


@pytest.mark.parametrize(("norm", "expected"), [(0.0, 10.0), (2.0, 2.0), (20.0, 10.0)])
def test_gradients_are_scaled_down_or_left_alone(norm: float, expected: float) -> None:
    layer = nn.Parameter(torch.zeros(4))
    layer.grad = torch.full((4,), 5.0)
    clip_gradients([layer], norm)
    assert float(layer.grad.norm()) == pytest.approx(expected)


def test_names_and_numbers_that_make_no_sense() -> None:
    with pytest.raises(OptionError, match="Did you mean 'adamw'"):
        check_descent("adam", "constant", 0.0)
    with pytest.raises(OptionError, match="Unknown schedule 'poly'"):
        check_descent("sgd", "poly", 0.0)
    with pytest.raises(OptionError, match="clip_gradient_norm = -1"):
        check_descent("sgd", "constant", -1.0)
