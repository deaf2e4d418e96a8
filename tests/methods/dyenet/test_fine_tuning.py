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
from tinct.methods.dyenet.fine_tuning import PAPER_TRAINING, TUNED, OnlineTraining, trained_online
from tinct.methods.dyenet.options import PRESETS
from tinct.networks.dyenet.network import COMPACT, PAPER, DyeNetNetwork, Propagated
from tinct.ops.losses import RegionLossOptions

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


def test_it_learns_on_the_training_s_grid_and_runs_on_its_own(
    network: DyeNetNetwork, annotated: list[LabelledFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    grids: set[tuple[int, ...]] = set()
    forward = DyeNetNetwork.forward

    def noted(self: DyeNetNetwork, *arguments: Any) -> Propagated:
        grids.add(tuple(arguments[3].shape[-2:]))
        return forward(self, *arguments)

    monkeypatch.setattr(DyeNetNetwork, "forward", noted)
    tuned = trained_online(network, annotated, replace(OPTIONS, roi_grid=4))
    assert grids == {(4, 4)}
    assert tuned.config == network.config
    assert tuned.mask_grid == network.mask_grid == 12


def small(options: OnlineTraining) -> OnlineTraining:
    return replace(options, budget=Budget(steps=2), height=48, batch=1)


def trained_parts(before: DyeNetNetwork, after: DyeNetNetwork) -> set[str]:
    own = before.state_dict()
    return {name for name, tensor in after.state_dict().items() if not torch.equal(own[name], tensor)}


def test_the_compact_paper_preset_teaches_all_but_the_backbone(
    network: DyeNetNetwork, annotated: list[LabelledFrame]
) -> None:
    training = PRESETS["mobilenetv2"]["paper"].fine_tuning
    changed = trained_parts(network, trained_online(network, annotated, small(training)))
    assert {n.split(".")[0] for n in changed} >= {"extractor", "rpn", "mask_network", "reid", "recurrent"}
    assert not any(".backbone." in name for name in changed)


def test_the_papers_variant_learns_what_its_training_learnt(
    annotated: list[LabelledFrame], thin_networks: Any
) -> None:
    torch.manual_seed(0)
    with thin_networks():
        network = DyeNetNetwork(replace(PAPER, roi_grid=6)).eval()
        frozen = deepcopy(network)
        frozen.freeze_for_training()
        tuned = trained_online(network, annotated, small(PRESETS["resnet101"]["paper"].fine_tuning))
    changed = trained_parts(network, tuned)
    expected = {name for name, parameter in frozen.named_parameters() if parameter.requires_grad}
    assert changed <= expected
    assert {name.split(".")[0] for name in changed} == {name.split(".")[0] for name in expected}
    assert any(name.startswith("extractor.stages.") for name in changed)


def test_the_papers_loss_and_descent() -> None:
    for variant, presets in PRESETS.items():
        training = presets["paper"].fine_tuning
        assert training.budget.is_none
        assert (training.loss.mask, training.loss.references_first) == (RegionLossOptions(), False)
        assert (training.tuned, training.tuned_share, training.lucid) == ((), 1.0, 1.0)
        assert training.motion.blank_rim
        if variant != "mobilenetv2":
            assert training == PAPER_TRAINING
            assert (training.optimiser, training.weight_decay, training.batch) == ("sgd", 5e-4, 8)
            assert (training.clips.frames, training.clip_gradient_norm, training.rates) == (4, 0.0, ())
            assert training.loss.enlargement == (1.0, 1.0)
    assert PRESETS["mobilenetv2"]["default"].fine_tuning == OnlineTraining(roi_grid=28)


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
    with pytest.raises(OptionError, match="Unknown schedule 'steep'"):
        OnlineTraining(schedule="steep")
