"""Online training per video: a copy learns, the parent and the features stay as they are."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tinct.data.online_clips import LabelledFrame
from tinct.errors import MaskError, OptionError
from tinct.fine_tuning.budget import Budget
from tinct.fine_tuning.fine_tune import FineTuningWarning
from tinct.methods.dyenet.fine_tuning import TUNED, OnlineTraining, trained_online
from tinct.networks.dyenet.network import COMPACT, DyeNetNetwork

OPTIONS = OnlineTraining(Budget(steps=2), height=48, tuned_share=1.0)


@pytest.fixture(scope="module")
def network() -> DyeNetNetwork:
    torch.manual_seed(0)
    return DyeNetNetwork(replace(COMPACT, roi_grid=6, hidden=8)).eval()


@pytest.fixture
def annotated() -> list[LabelledFrame]:
    labels = np.zeros((48, 64), np.uint8)
    labels[6:26, 6:30], labels[28:44, 36:60] = 1, 5
    image = np.full((48, 64, 3), 128, np.uint8)
    image[labels == 1], image[labels == 5] = 255, 0
    return [LabelledFrame(image, labels)]


def test_a_copy_learns_and_its_features_stay(network: DyeNetNetwork, annotated: list[LabelledFrame]) -> None:
    before = deepcopy(network.state_dict())
    seen: list[int] = []
    tuned = trained_online(network, annotated, OPTIONS, progress=lambda step, *_: seen.append(step))
    assert seen == [1, 2]
    for name, after in tuned.state_dict().items():
        assert torch.equal(before[name], network.state_dict()[name])
        if not name.startswith(TUNED):
            assert torch.equal(before[name], after), name
    changed = {n.split(".")[0] for n, x in tuned.state_dict().items() if not torch.equal(before[n], x)}
    assert changed == {"mask_network", "reid", "recurrent"}
    assert not any(parameter.requires_grad for parameter in tuned.parameters())


def test_the_same_seed_gives_the_same_network(network: DyeNetNetwork, annotated: list[LabelledFrame]) -> None:
    torch.manual_seed(1)
    one = trained_online(network, annotated, OPTIONS).state_dict()
    torch.manual_seed(2)
    other = trained_online(network, annotated, OPTIONS).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_share_of_the_parent_is_mixed_in(network: DyeNetNetwork, annotated: list[LabelledFrame]) -> None:
    whole = trained_online(network, annotated, OPTIONS).recurrent.output.score.weight
    half = trained_online(network, annotated, replace(OPTIONS, tuned_share=0.5)).recurrent.output.score.weight
    torch.testing.assert_close(half, (whole + network.recurrent.output.score.weight) / 2)


def test_no_budget_changes_nothing(network: DyeNetNetwork, annotated: list[LabelledFrame]) -> None:
    tuned = trained_online(network, annotated, OnlineTraining())
    assert tuned is not network
    assert all(map(torch.equal, tuned.parameters(), network.parameters()))


def test_divergence_falls_back_to_the_parent(network: DyeNetNetwork, annotated: list[LabelledFrame]) -> None:
    with pytest.warns(FineTuningWarning, match="diverged after 1 steps"):
        tuned = trained_online(network, annotated, replace(OPTIONS, learning_rate=float("inf")))
    assert all(map(torch.equal, tuned.parameters(), network.parameters()))


def test_frames_without_objects_are_refused(network: DyeNetNetwork, annotated: list[LabelledFrame]) -> None:
    empty = replace(annotated[0], labels=np.zeros((48, 64), np.uint8))
    with pytest.raises(MaskError, match="shows an object"):
        trained_online(network, [empty], OPTIONS)


@pytest.mark.parametrize("changes", [{"tuned_share": 0.0}, {"batch": 0}, {"height": 8}])
def test_options_out_of_range(changes: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="came"):
        OnlineTraining(**changes)
