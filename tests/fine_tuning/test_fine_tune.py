"""Online fine-tuning: it learns, it leaves the parent alone, it keeps its budget, and it falls back."""

from __future__ import annotations

import copy
import math
import threading
from contextlib import closing
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from tinct.data.online_samples import AnnotatedFrame, OnlineAugmentation, OnlineSamples
from tinct.errors import MaskError, OptionError
from tinct.fine_tuning import fine_tune as online
from tinct.fine_tuning.fine_tune import (
    Budget,
    FineTuning,
    FineTuningWarning,
    TuningBatch,
    fine_tune,
)
from tinct.fine_tuning.per_object import (
    ObjectWeights,
    fine_tune_objects,
    resized_frame,
)
from tinct.networks.side_outputs import SideLogits
from tinct.ops.losses import FrameLossOptions


class TinyStream(nn.Module):
    """A stream of two small convolutions: one for all objects, one for each."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Conv2d(3, 8, 3, padding=1)
        self.own = nn.Conv2d(9, 1, 3, padding=1)

    def features(self, frames: torch.Tensor) -> list[torch.Tensor]:
        return [torch.relu(self.shared(frames))]

    def forward(self, features: list[torch.Tensor], guides: torch.Tensor | None = None) -> SideLogits:
        guide = features[0].new_zeros(features[0][:, :1].shape) if guides is None else guides
        return SideLogits((), self.own(torch.cat([features[0], guide], 1))[:, 0])

    def object_layers(self) -> dict[str, nn.Parameter]:
        return {name: p for name, p in self.named_parameters() if name.startswith("own")}


def annotated(size: tuple[int, int] = (32, 40)) -> AnnotatedFrame:
    """A bright square, id 1, and a dark one, id 4, on grey."""
    image = np.full((*size, 3), 110, np.uint8)
    labels = np.zeros(size, np.uint8)
    labels[6:20, 4:18], labels[10:26, 22:36] = 1, 4
    image[labels == 1], image[labels == 4] = 240, 10
    return AnnotatedFrame(image, labels)


@pytest.fixture
def stream() -> TinyStream:
    torch.manual_seed(1)
    return TinyStream()


def state(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def options(**changes: Any) -> FineTuning:
    return FineTuning(**{"budget": Budget(steps=60), "learning_rate": 2e-2, **changes})


def of_object(object_id: int) -> AnnotatedFrame:
    frame = annotated()
    return AnnotatedFrame(frame.image, (frame.labels == object_id).astype(np.uint8))


def test_it_learns_and_touches_only_a_copy(stream: TinyStream) -> None:
    before = state(stream)
    losses: list[float] = []
    tuned = fine_tune(stream, [of_object(1)], options(), progress=lambda *at: losses.append(at[2]))
    assert len(losses) == tuned.steps == 60
    assert tuned.loss < 0.7 * losses[0]
    assert not tuned.diverged
    assert all(torch.equal(before[name], tensor) for name, tensor in stream.state_dict().items())
    assert torch.equal(before["shared.weight"], tuned.network.shared.weight)
    assert not torch.equal(before["own.weight"], tuned.network.own.weight)
    assert not any(p.requires_grad for p in tuned.network.parameters())


def test_the_same_seed_gives_the_same_weights(stream: TinyStream) -> None:
    first, again = (fine_tune(stream, [of_object(1)], options(budget=Budget(steps=5))) for _ in range(2))
    assert torch.equal(first.network.own.weight, again.network.own.weight)
    other = fine_tune(stream, [of_object(1)], options(budget=Budget(steps=5), seed=1))
    assert not torch.equal(first.network.own.weight, other.network.own.weight)


def test_the_parent_may_keep_a_share(stream: TinyStream) -> None:
    whole = fine_tune(stream, [of_object(1)], options(budget=Budget(steps=5)))
    some = fine_tune(stream, [of_object(1)], options(budget=Budget(steps=5), tuned_share=0.25))
    expected = 0.75 * stream.own.weight + 0.25 * whole.network.own.weight
    torch.testing.assert_close(some.network.own.weight, expected)
    with pytest.raises(OptionError, match="tuned_share"):
        FineTuning(tuned_share=1.5)


def test_seconds_end_it(stream: TinyStream, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(10_000))
    monkeypatch.setattr(online.time, "monotonic", lambda: float(next(ticks)))
    tuned = fine_tune(stream, [of_object(1)], options(budget=Budget(seconds=30.0)))
    assert 2 <= tuned.steps <= 30


def test_nothing_is_fine_tuned_without_a_budget(stream: TinyStream) -> None:
    tuned = fine_tune(stream, [of_object(1)], options(budget=Budget(steps=0)))
    assert tuned.steps == 0
    assert math.isnan(tuned.loss)
    assert torch.equal(stream.own.weight, tuned.network.own.weight)
    assert ObjectWeights.of(tuned) == ObjectWeights()


def test_it_stops_early_when_it_is_good_enough(stream: TinyStream) -> None:
    tuned = fine_tune(stream, [of_object(1)], options(early_stop_loss=1e6))
    assert tuned.steps == 20


@pytest.mark.parametrize("rate", [1e4, float("inf")])
def test_divergence_falls_back_to_the_parent(stream: TinyStream, rate: float) -> None:
    with pytest.warns(FineTuningWarning, match="the parent network is used"):
        tuned = fine_tune(stream, [of_object(1)], options(learning_rate=rate))
    assert tuned.diverged
    assert torch.equal(stream.own.weight, tuned.network.own.weight)
    assert ObjectWeights.of(tuned) == ObjectWeights()


@pytest.mark.parametrize("rate", [1e4, 1e30])
def test_what_the_last_step_did_is_seen(stream: TinyStream, rate: float) -> None:
    """No loss is computed after the last step for its own sake; its harm would show in the masks alone."""
    with pytest.warns(FineTuningWarning, match="after 1 step "):
        tuned = fine_tune(stream, [of_object(1)], options(budget=Budget(steps=1), learning_rate=rate))
    assert tuned.diverged
    assert torch.equal(stream.own.weight, tuned.network.own.weight)


def test_hard_samples_after_an_easy_one_are_no_divergence(stream: TinyStream) -> None:
    """The parent is good at one annotated frame, and no network can be good at the other."""
    easy = of_object(1)
    noise = np.random.default_rng(0).integers(0, 2, easy.labels.shape).astype(np.uint8)
    hard = AnnotatedFrame(np.full_like(easy.image, 240), noise)
    parent = fine_tune(stream, [easy], options(budget=Budget(steps=150))).network
    losses: list[float] = []
    seed = next(s for s in range(20) if np.random.default_rng([s, 0]).integers(2) == 0)
    careful = options(budget=Budget(steps=20), learning_rate=1e-5, seed=seed)
    tuned = fine_tune(parent, [easy, hard], careful, progress=lambda *at: losses.append(at[2]))
    assert losses[-1] > 3 * losses[0]
    assert not tuned.diverged


def test_objects_are_fine_tuned_apart_and_called_with_their_own_layers(stream: TinyStream) -> None:
    weights = fine_tune_objects(stream, [annotated()], (1, 4), options(budget=Budget(steps=80)))
    assert set(weights) == {1, 4}
    frames = torch.from_numpy(annotated().image).permute(2, 0, 1)[None].float() / 255
    features, guide = stream.features(frames), torch.zeros(1, 1, 32, 40)
    first, fourth = (weights[i].call(stream, features, guide).fused[0] for i in (1, 4))
    labels = annotated().labels
    assert first[labels == 1].mean() > first[labels == 4].mean()
    assert fourth[labels == 4].mean() > fourth[labels == 1].mean()
    own = copy.deepcopy(stream)
    for parameter, tensor in zip(own.object_layers().values(), weights[1].tensors, strict=True):
        parameter.data = tensor
    torch.testing.assert_close(own(features, guide).fused[0], first)
    parent = ObjectWeights().call(stream, features, guide).fused
    torch.testing.assert_close(parent, stream(features, guide).fused)


def test_an_object_that_vanished_at_the_working_size_keeps_the_parents_layers(stream: TinyStream) -> None:
    assert fine_tune_objects(stream, [annotated()], (9,), options()) == {9: ObjectWeights()}


def test_fine_tuning_works_under_inference_mode(stream: TinyStream) -> None:
    with torch.inference_mode():
        weights = fine_tune_objects(stream, [annotated()], (1,), options(budget=Budget(steps=3)))
    assert weights[1].tensors


def test_no_frame_with_the_object(stream: TinyStream) -> None:
    with pytest.raises(MaskError, match="None of the 1 annotated frames"):
        fine_tune(stream, [of_object(9)], options())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", Budget(steps=0)),
        ("200", Budget(steps=200)),
        ("60s", Budget(seconds=60.0)),
        ("1.5s", Budget(seconds=1.5)),
    ],
)
def test_budgets_as_people_write_them(text: str, expected: Budget) -> None:
    assert Budget.parse(text) == expected


def test_budgets_say_what_they_are() -> None:
    assert str(Budget.parse("none")) == "none"
    assert str(Budget(steps=3, seconds=2.5)) == "3 steps or 2.5 s"
    assert not Budget.parse("auto").is_none
    assert Budget.parse("auto", torch.device("cuda")) != Budget.parse("auto", torch.device("cpu"))


def test_bars_count_steps_or_else_whole_seconds() -> None:
    assert Budget(steps=3, seconds=2.5).units == 3
    assert Budget(seconds=2.5).units == 3
    assert Budget(steps=0).units == 0


@pytest.mark.parametrize("text", ["", "60 s", "s", "-3", "many", "1e3", "5m"])
def test_budgets_that_are_none(text: str) -> None:
    with pytest.raises(OptionError, match="give auto, none, a number of steps"):
        Budget.parse(text)


def test_budgets_that_never_end_or_lie_below_0() -> None:
    with pytest.raises(OptionError, match="never ends"):
        Budget()
    with pytest.raises(OptionError, match="neither lies below 0"):
        Budget(steps=-1)


def test_frames_at_another_size() -> None:
    small = resized_frame(annotated(), (16, 20))
    assert small.image.shape == (16, 20, 3)
    assert set(np.unique(small.labels)) == {0, 1, 4}
    frame = annotated()
    assert resized_frame(frame, (32, 40)) is frame


def test_layers_learn_at_their_rates(stream: TinyStream) -> None:
    for optimiser in ("adamw", "sgd"):
        still = options(optimiser=optimiser, rates=((".weight", 0.0),), budget=Budget(steps=3))
        tuned = fine_tune(stream, [of_object(1)], still).network
        assert torch.equal(tuned.own.weight, stream.own.weight)
        assert not torch.equal(tuned.own.bias, stream.own.bias)


def test_sgd_takes_the_steps_that_torch_takes(stream: TinyStream) -> None:
    """A weight decay alone moves a layer that the loss does not see."""
    still = FrameLossOptions(balanced=0.0, cross_entropy=1e-12, hardest=0.0, dice=0.0)
    taken = options(
        optimiser="sgd", learning_rate=0.1, weight_decay=0.5, rates=((".bias", 2.0),), loss=still,
        budget=Budget(steps=1),
    )  # fmt: skip
    tuned = fine_tune(stream, [of_object(1)], taken).network
    # The first of ten steps of warm-up: a tenth of the rate.
    torch.testing.assert_close(tuned.own.weight, stream.own.weight * (1 - 0.1 * 0.1 * 0.5))
    torch.testing.assert_close(tuned.own.bias, stream.own.bias * (1 - 0.2 * 0.1 * 0.5))


def test_a_networks_own_loss_teaches_too(stream: TinyStream) -> None:
    """One that wants a small bias, beside logits that teach nothing."""

    def answer(network: TinyStream, batch: TuningBatch) -> tuple[torch.Tensor, torch.Tensor]:
        return batch.guides.new_zeros(batch.labels.shape), network.own.bias.square().sum()

    tuned = fine_tune(stream, [of_object(1)], options(budget=Budget(steps=50)), answer=answer)
    assert not tuned.diverged
    assert tuned.network.own.bias.abs() < 0.5 * stream.own.bias.abs()


def test_magnitudes_move_with_their_frame() -> None:
    frame = of_object(1)
    magnitudes = np.zeros((*frame.labels.shape, 2), np.uint8)
    magnitudes[frame.labels == 1, 1] = 200
    plain = OnlineAugmentation(lucid=0.0, colour=0.0)
    seen = [OnlineSamples([replace(frame, magnitudes=magnitudes)], plain).sample(i) for i in range(8)]
    inside = np.concatenate([s.magnitudes[cv2.erode(s.labels, np.ones((3, 3))) == 1] for s in seen])
    outside = np.concatenate([s.magnitudes[cv2.dilate(s.labels, np.ones((5, 5))) == 0] for s in seen])
    assert len(inside) > 100
    assert (inside[:, 0] == 0).all()
    # Labels go to the nearest pixel, magnitudes are interpolated.
    assert inside[:, 1].mean() > 190
    assert outside.mean() < 5
    assert not OnlineSamples([frame], plain).sample(0).magnitudes.any()


@pytest.mark.parametrize("threads", [1, 2])
def test_everything_is_made_once_and_in_order_whoever_makes_it(threads: int) -> None:
    makers: list[tuple[int, int]] = []

    def square_of(number: int) -> int:
        makers.append((number, threading.get_ident()))
        return number**2

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with closing(online.made_ahead(square_of)) as squares:
            assert [next(squares) for _ in range(3)] == [0, 1, 4]
    finally:
        torch.set_num_threads(before)
    # With a thread of its own the next one was begun.
    assert [number for number, _ in makers] == [0, 1, 2, 3][: 2 + threads]
    assert {thread == threading.get_ident() for _, thread in makers} == {threads == 1}


def test_seconds_that_are_over_at_once_still_give_one_step(stream: TinyStream) -> None:
    tuned = fine_tune(stream, [of_object(1)], options(budget=Budget(seconds=1e-9)))
    assert (tuned.steps, tuned.diverged) == (1, False)
    assert ObjectWeights.of(tuned).tensors


def test_samples_that_differ_are_no_divergence() -> None:
    torch.manual_seed(1)
    parent = fine_tune(TinyStream(), [of_object(1)], options(budget=Budget(steps=200))).network
    # An easy sample first, and hard ones after it: the loss rises without anything being wrong.
    tuned = fine_tune(parent, [of_object(1), of_object(4)], options(learning_rate=1e-6, seed=3))
    assert not tuned.diverged
