"""Fine-tuning each object reports every step, and how it ended."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tinct.data.online_samples import AnnotatedFrame
from tinct.fine_tuning.fine_tune import Budget, FineTuning, FineTuningWarning
from tinct.fine_tuning.per_object import fine_tune_objects
from tinct.inference.callbacks import FineTuningProgress, callbacks
from tinct.networks.side_outputs import SideLogits


class OneLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.own = nn.Conv2d(3, 1, 3, padding=1)

    def features(self, frames: torch.Tensor) -> list[torch.Tensor]:
        return [frames]

    def forward(self, features: list[torch.Tensor], guides: torch.Tensor | None = None) -> SideLogits:
        return SideLogits((), self.own(features[0])[:, 0])

    def object_layers(self) -> dict[str, nn.Parameter]:
        return dict(self.named_parameters())


def painted() -> AnnotatedFrame:
    image = np.full((16, 20, 3), 110, np.uint8)
    labels = np.zeros((16, 20), np.uint8)
    labels[3:10, 2:9], labels[5:13, 11:18] = 1, 4
    image[labels == 1], image[labels == 4] = 240, 10
    return AnnotatedFrame(image, labels)


def progress_of(budget: Budget, **options: float) -> list[FineTuningProgress]:
    heard: list[FineTuningProgress] = []
    with callbacks(fine_tuning=heard.append):
        fine_tune_objects(OneLayer(), [painted()], (1, 4), FineTuning(budget=budget, **options))
    return heard


def test_every_step_of_every_object_is_told_and_its_end() -> None:
    heard = progress_of(Budget(steps=3))
    assert [(n.object_id, n.position, n.steps, n.finished) for n in heard] == [
        *((1, 0, step, False) for step in (1, 2, 3)),
        (1, 0, 3, True),
        *((4, 1, step, False) for step in (1, 2, 3)),
        (4, 1, 3, True),
    ]
    assert [n.done_of_all for n in heard] == [(i, 6) for i in (1, 2, 3, 3, 4, 5, 6, 6)]
    assert all(n.objects == 2 and n.seconds >= 0 and np.isfinite(n.loss) for n in heard)


def test_a_budget_in_seconds_is_counted_in_seconds() -> None:
    heard = progress_of(Budget(seconds=0.2))
    assert {n.units for n in heard} == {1}
    assert heard[-1].done_of_all == (2, 2)
    shares = [n.share for n in heard if n.object_id == 1]
    assert shares == sorted(shares)


def test_divergence_is_told() -> None:
    with pytest.warns(FineTuningWarning):
        heard = progress_of(Budget(steps=20), learning_rate=float("inf"))
    assert [n.diverged for n in heard if n.finished] == [True, True]


def test_nothing_is_reported_where_nothing_is_tuned() -> None:
    assert progress_of(Budget(steps=0)) == []


def test_seconds_that_are_over_before_the_first_step_are_no_divergence() -> None:
    assert not any(each.diverged for each in progress_of(Budget(seconds=1e-9)))
