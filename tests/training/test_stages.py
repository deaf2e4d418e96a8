from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from tinct.data.samplers import ClipOptions, Clips
from tinct.errors import OptionError
from tinct.training.stages import SGD, AdamW, CosineSchedule, PolynomialSchedule, Stage, StairSchedule, Task


class NoClips(Clips):
    def draw(self, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        raise AssertionError

    def describe(self) -> str:
        return "no clips"


def stage(**changes: Any) -> Stage:
    defaults = {
        "name": "video", "clips": NoClips(ClipOptions()), "steps": 10, "batch": 2, "learning_rate": 0.1,
        "schedule": CosineSchedule(2), "optimiser": AdamW(0.01), "clip_gradient_norm": 1.0, "ema_decay": 0.9,
    }  # fmt: skip
    return Stage(**{**defaults, **changes})


def test_cosine_rises_and_falls_to_zero() -> None:
    schedule = CosineSchedule(4)
    assert [schedule(step, 12) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert schedule(8, 12) == pytest.approx(0.5)
    assert schedule(10, 12) == pytest.approx(0.5 * (1 + math.cos(0.75 * math.pi)))
    assert schedule(12, 12) == pytest.approx(0)
    assert CosineSchedule(0)(0, 5) == 1.0


def test_polynomial_falls_from_one_to_zero() -> None:
    schedule = PolynomialSchedule(0.9)
    assert schedule(0, 10) == 1.0
    assert schedule(5, 10) == pytest.approx(0.5**0.9)
    assert schedule(10, 10) == 0.0


@pytest.mark.parametrize(
    ("make", "kind"), [(AdamW(0.01), torch.optim.AdamW), (SGD(0.9, 0.01), torch.optim.SGD)]
)
def test_optimisers_take_groups_with_rates_of_their_own(make: Any, kind: type) -> None:
    parameters = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    optimiser = make([{"params": [p], "lr": rate} for p, rate in zip(parameters, (0.1, 0.2), strict=True)])
    assert type(optimiser) is kind
    assert [group["lr"] for group in optimiser.param_groups] == [0.1, 0.2]
    assert {group["weight_decay"] for group in optimiser.param_groups} == {0.01}


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0}, {"batch": 0}, {"learning_rate": 0.0}, {"clip_gradient_norm": 0.0},
        {"ema_decay": 1.0}, {"ema_decay": -0.1},
    ],
)  # fmt: skip
def test_wrong_numbers_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="'video'"):
        stage(**wrong)


def test_every_setting_shows_in_the_description() -> None:
    changes: list[dict[str, Any]] = [
        {}, {"name": "stills"}, {"steps": 11}, {"batch": 3}, {"learning_rate": 0.2},
        {"schedule": CosineSchedule(3)}, {"schedule": PolynomialSchedule(0.9)}, {"optimiser": AdamW(0.02)},
        {"optimiser": SGD(0.9, 0.01)}, {"clip_gradient_norm": 2.0}, {"ema_decay": 0.8},
        {"unused": ("scores.",)},
    ]  # fmt: skip
    described = [tuple(stage(**change).describe().items()) for change in changes]
    assert len(set(described)) == len(changes)
    assert stage().describe() == stage().describe()


def test_a_task_is_an_interface() -> None:
    with pytest.raises(NotImplementedError):
        Task()({}, 0)
    with pytest.raises(NotImplementedError):
        Task().parameter_groups()


def test_stairs() -> None:
    schedule = StairSchedule(10, 0.5)
    assert [schedule(step, 35) for step in (0, 9, 10, 19, 20, 34)] == [1, 1, 0.5, 0.5, 0.25, 0.125]


def test_a_task_remembers_nothing_unless_it_says_so() -> None:
    task = Task()
    task.prepare([])
    assert task.memory() == {}
    task.take_memory({})
