"""What OSVOS, MaskTrack and MaskRNN share: states, annotations in mid-video, the copy of the network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tinct.fine_tuning.budget import Budget
from tinct.fine_tuning.fine_tune import FineTuning
from tinct.fine_tuning.per_object import ObjectWeights, fine_tune_objects
from tinct.fine_tuning.segmenter import FineTunedSegmenter, FineTunedState, Learnt
from tinct.inference.segmenter import state_class_of
from tinct.io.masks import ObjectMasks
from tinct.networks.side_outputs import SideLogits
from tinct.ops.tensors import frame_tensor, object_masks
from tinct.shapes import Image, LabelMap

H, W = 32, 40


@dataclass(frozen=True)
class Options:
    fine_tuning: FineTuning = field(default_factory=lambda: FineTuning(Budget(steps=3), learning_rate=2e-2))
    working_height: int | None = None


class OneLayer(nn.Module):
    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options
        self.own = nn.Conv2d(3, 1, 3, padding=1)

    @property
    def stream(self) -> OneLayer:
        return self

    def features(self, frames: torch.Tensor) -> list[torch.Tensor]:
        return [frames]

    def forward(self, features: list[torch.Tensor], guides: torch.Tensor | None = None) -> SideLogits:
        return SideLogits((), self.own(features[0])[:, 0])

    def object_layers(self) -> dict[str, nn.Parameter]:
        return dict(self.named_parameters())


@dataclass(frozen=True)
class Certain(FineTunedState):
    masks: tuple[np.ndarray, ...]


class ByColour(FineTunedSegmenter[Certain]):
    """The smallest segmenter that fine-tunes: one layer per object, and nothing else."""

    def step(
        self, state: Certain, frame: Image, labels: LabelMap | None = None
    ) -> tuple[Certain, ObjectMasks]:
        features = self.network.features(frame_tensor(self.working(frame), self.device))
        with torch.inference_mode():
            logits = torch.cat([w.call(self.network, features).fused for w in state.weights])
        masks = object_masks(state.object_ids, logits, frame.shape[:2])
        return (state, masks) if labels is None else self.corrected(state, frame, labels, masks)

    def certain_state(self, learnt: Learnt, frame: Image, masks: ObjectMasks) -> Certain:
        return Certain(*learnt.of(masks.object_ids), tuple(masks.probs))


class Boxed(ByColour):
    """Takes an annotation for the box around each object."""

    def annotated_masks(self, frame: Image, labels: LabelMap) -> LabelMap:
        filled = labels.copy()
        filled[6:20, 4:18] = 1
        return filled


def segmenter(cls: type[ByColour] = ByColour, **changes: Any) -> ByColour:
    torch.manual_seed(1)
    return cls(OneLayer(Options(**changes)))


def frame() -> Image:
    image = np.full((H, W, 3), 110, np.uint8)
    image[square(1) == 1], image[square(4) == 4] = 240, 10
    return image


def square(object_id: int) -> LabelMap:
    """Object 1 on the left, object 4 on the right."""
    labels = np.zeros((H, W), np.uint8)
    labels[(slice(6, 20), slice(4, 18)) if object_id == 1 else (slice(10, 26), slice(22, 36))] = object_id
    return labels


def layers(weights: ObjectWeights) -> torch.Tensor:
    return torch.cat([tensor.flatten() for tensor in weights.tensors])


def test_the_annotated_objects_are_fine_tuned_on_all_frames_and_the_others_keep_their_layers() -> None:
    """The slow way: everything by hand."""
    runner = segmenter()
    first = runner.start(frame(), square(1))
    assert [f.labels.max() for f in first.annotated] == [1]
    second, masks = runner.step(first, frame(), square(4))
    assert second.object_ids == masks.object_ids == (1, 4)
    assert second.weights[0] is first.weights[0]
    third, _ = runner.step(second, frame(), square(1) + square(4))
    assert len(third.annotated) == 3
    expected = fine_tune_objects(runner.network.stream, third.annotated, (1, 4), runner.options.fine_tuning)
    for own, wanted in zip(third.weights, expected.values(), strict=True):
        assert torch.equal(layers(own), layers(wanted))
    assert not torch.equal(layers(third.weights[0]), layers(second.weights[0]))


def test_masks_and_state_hold_what_was_annotated_in_mid_video() -> None:
    runner = segmenter()
    _, found = runner.step(runner.start(frame(), square(1)), frame())
    state, masks = runner.step(runner.start(frame(), square(1)), frame(), square(4))
    np.testing.assert_array_equal(masks.probs, found.corrected(square(4)).probs)
    np.testing.assert_array_equal(np.stack(state.masks), masks.probs)


def test_a_start_at_several_frames_has_each_frames_own_objects_and_all_frames_weights() -> None:
    runner = segmenter()
    left, both = runner.start_at_each([frame(), frame()], [square(1), square(1) + square(4)])
    assert (left.object_ids, both.object_ids) == ((1,), (1, 4))
    assert torch.equal(layers(left.weights[0]), layers(both.weights[0]))
    assert len(left.annotated) == 2


def test_what_an_annotation_stands_for_is_learnt_from_and_goes_into_the_state() -> None:
    point = np.zeros((H, W), np.uint8)
    point[10, 10] = 1
    state = segmenter(Boxed).start(frame(), point)
    np.testing.assert_array_equal(state.masks[0], square(1))
    np.testing.assert_array_equal(state.annotated[0].labels, square(1))
    later, masks = segmenter(Boxed).step(state, frame(), point)
    np.testing.assert_array_equal(later.masks[0], square(1))
    # What is given out is what was annotated.
    assert masks.probs[0][10, 10] == 1
    assert masks.probs[0].sum() == 1


def test_annotated_frames_are_of_the_working_size() -> None:
    runner = segmenter(working_height=16)
    state = runner.start(frame(), square(1))
    assert state.annotated[0].image.shape == (16, 16, 3)
    assert state.annotated[0].labels.shape == (16, 16)
    assert runner.step(state, frame())[1].size == (H, W)


def test_the_network_that_was_given_is_never_changed() -> None:
    network = OneLayer(Options()).train()
    before = network.own.weight.clone()
    ByColour(network).start(frame(), square(1))
    assert network.training
    assert torch.equal(network.own.weight, before)


@pytest.mark.parametrize("cls", [ByColour, Boxed])
def test_its_states_class_is_known_through_every_base(cls: type[ByColour]) -> None:
    assert state_class_of(segmenter(cls)) is Certain
