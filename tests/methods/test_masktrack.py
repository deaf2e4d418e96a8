"""MaskTrack's own promises: what the network is given, and by which switches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tinct.data.deform import coarsened, filled_box
from tinct.errors import OptionError
from tinct.fine_tuning.fine_tune import Budget, FineTuning
from tinct.io.flow_files import Flow
from tinct.methods.masktrack import MaskTrack, MaskTrackNetwork, MaskTrackState, Options
from tinct.networks.flow import FlowEstimator
from tinct.shapes import Image

UNTUNED = Options(backbone="mobilenetv2", dilation_px=0, fine_tuning=FineTuning(budget=Budget(steps=0)))
H, W = 48, 64


class Sideways(FlowEstimator):
    name = "sideways"

    def _estimate(self, frame: Image, other: Image) -> Flow:
        flow = np.zeros((*frame.shape[:2], 2), np.float32)
        flow[..., 0] = -6
        return flow


def segmenter(options: Options) -> MaskTrack:
    torch.manual_seed(2)
    return MaskTrack(MaskTrackNetwork(options), flow=Sideways())


def frame(seed: int = 0, size: tuple[int, int] = (H, W)) -> Image:
    return np.random.default_rng(seed).integers(0, 255, (*size, 3)).astype(np.uint8)


def annotated() -> np.ndarray:
    rows, columns = np.mgrid[:H, :W]
    labels = np.zeros((H, W), np.uint8)
    labels[(rows - 22) ** 2 + (columns - 24) ** 2 < 100] = 3
    return labels


def guide(options: Options) -> np.ndarray:
    runner = segmenter(options)
    state = runner.start(frame(), annotated())
    return runner._guides(state.previous, runner._flow(frame(1), frame())).numpy()[0]


def test_the_mask_is_given_as_it_is_or_dilated() -> None:
    mask = annotated() == 3
    np.testing.assert_array_equal(guide(UNTUNED) > 0.5, mask)
    np.testing.assert_array_equal(guide(replace(UNTUNED, dilation_px=4)) > 0.5, coarsened(mask, 4))


@pytest.mark.parametrize("both_ways", [False, True])
def test_from_a_box_the_masks_outline_is_never_looked_at(both_ways: bool) -> None:
    """Neither by fine-tuning nor as the first previous mask; a rectangle is all that the person gave."""
    runner = segmenter(replace(UNTUNED, box=True, fine_tuning=FineTuning(Budget(steps=2))))
    labels = [annotated(), filled_box(annotated() == 3).astype(np.uint8) * 3]
    assert not np.array_equal(*labels)
    round_, square = (
        runner.start_at_each([frame()], [each])[0] if both_ways else runner.start(frame(), each)
        for each in labels
    )
    assert torch.equal(round_.previous, square.previous)
    for first, second in zip(round_.weights[0].tensors, square.weights[0].tensors, strict=True):
        assert torch.equal(first, second)
    outside = (square.previous[0].numpy() > 0.5) & (labels[1] == 0)
    assert not outside.any()


def test_from_a_box_in_which_nothing_is_found_the_box_is_the_mask() -> None:
    runner = segmenter(replace(UNTUNED, box=True))
    with torch.no_grad():
        runner.network.stream.side_outputs.fusion[0].bias.fill_(-50.0)
    state = runner.start(frame(), annotated())
    np.testing.assert_array_equal(state.previous[0].numpy() > 0.5, filled_box(annotated() == 3))


@pytest.mark.parametrize("tuning", [0, 1])
def test_the_network_may_see_the_masks_box_or_nothing_of_it(tuning: int) -> None:
    """In fine-tuning as at test: two masks of one box, or any two, give the same."""
    box = filled_box(annotated() == 3).astype(np.uint8) * 3
    seen = {}
    for mask_input in ("mask", "box", "none"):
        options = replace(UNTUNED, mask_input=mask_input, fine_tuning=FineTuning(Budget(steps=tuning)))
        runner = segmenter(options)
        state = runner.start(frame(), annotated())
        _, masks = runner.step(state, frame(1))
        seen[mask_input] = masks.probs
        if mask_input != "mask" and not tuning:
            others = {"box": box, "none": np.roll(annotated(), 9, 1)}
            _, same = runner.step(runner.start(frame(), others[mask_input]), frame(1))
            np.testing.assert_array_equal(masks.probs, same.probs)
    for one, other in (("mask", "box"), ("mask", "none"), ("box", "none")):
        assert np.abs(seen[one] - seen[other]).max() > 1e-4, (one, other)


def test_an_unknown_mask_input() -> None:
    with pytest.raises(OptionError, match="Did you mean 'box'"):
        replace(UNTUNED, mask_input="bo")


def test_the_mask_may_be_moved_along_the_flow() -> None:
    mask = annotated() == 3
    moved = guide(replace(UNTUNED, warp_previous="warped")) > 0.5
    np.testing.assert_array_equal(moved, np.roll(mask, 6, axis=1))
    union = guide(replace(UNTUNED, warp_previous="union")) > 0.5
    np.testing.assert_array_equal(union, mask | moved)
    with pytest.raises(OptionError, match="Did you mean 'union'"):
        replace(UNTUNED, warp_previous="unio")


def test_faint_probabilities_are_fed_back_near_the_mask_alone() -> None:
    runner = segmenter(replace(UNTUNED, soft_feedback=True, soft_reach=0.1))
    state = runner.start(frame(), annotated())
    faint = torch.where(state.previous > 0.5, state.previous, 0.4)
    given = runner._guides(faint, None).numpy()[0]
    near = coarsened(annotated() == 3, 5)
    assert (given[~near] == 0).all()
    assert (given[near] > 0.3).all()


def test_what_lies_apart_from_the_mask_is_dropped() -> None:
    runner = segmenter(replace(UNTUNED, gate_reach=0.1))
    guides = torch.from_numpy((annotated() == 3)[None].astype(np.float32))
    logits = torch.full((1, H // 4, W // 4), -1.0)
    logits[0, 3:7, 4:7] = 1.0  # where the object was
    logits[0, 1:4, 13:] = 1.0  # far from it
    gated = runner._gated(logits, guides)
    assert (gated[0, 1:4, 13:] < -10).all()
    gated[0, 1:4, 13:] = 1.0
    torch.testing.assert_close(gated, logits)
    # One that was lost may come back anywhere.
    torch.testing.assert_close(runner._gated(logits, torch.zeros_like(guides)), logits)


@pytest.mark.parametrize("soft", [False, True])
def test_what_is_fed_back(soft: bool) -> None:
    runner = segmenter(replace(UNTUNED, soft_feedback=soft))
    state, masks = runner.step(runner.start(frame(), annotated()), frame(1))
    given = runner._guides(state.previous, None)
    expected = masks.probs if soft else (masks.probs > 0.5).astype(np.float32)
    if soft:
        expected = expected * coarsened(masks.probs[0] > 0.5, 2)
    np.testing.assert_allclose(given.numpy(), expected, atol=1e-5)


def test_frames_are_brought_to_the_working_size_and_masks_back() -> None:
    runner = segmenter(replace(UNTUNED, working_height=32))
    state, masks = runner.step(runner.start(frame(), annotated()), frame(1))
    assert state.previous.shape == (1, 32, 40)
    assert masks.size == (H, W)


def test_fine_tuned_objects_have_layers_of_their_own() -> None:
    tuned = replace(UNTUNED, fine_tuning=FineTuning(budget=Budget(steps=2)))
    labels = annotated()
    labels[30:45, 45:60] = 9
    runner = segmenter(tuned)
    state = runner.start(frame(), labels)
    assert all(w.tensors for w in state.weights)
    first, second = (w.tensors[0] for w in state.weights)
    assert not torch.equal(first, second)
    parent = next(iter(runner.network.stream.object_layers().values()))
    assert not torch.equal(parent, first)


def test_a_correction_fine_tunes_the_objects_that_it_shows() -> None:
    runner = segmenter(replace(UNTUNED, fine_tuning=FineTuning(budget=Budget(steps=2))))
    labels = annotated()
    labels[30:45, 45:60] = 9
    state: MaskTrackState = runner.start(frame(), labels)
    later, _ = runner.step(state, frame(1), np.where(labels == 9, 9, 0).astype(np.uint8))
    assert torch.equal(state.weights[0].tensors[0], later.weights[0].tensors[0])
    assert not torch.equal(state.weights[1].tensors[0], later.weights[1].tensors[0])
    assert len(later.annotated) == 2


def test_a_lost_object_keeps_its_id() -> None:
    runner = segmenter(UNTUNED)
    state = runner.start(frame(), annotated())
    state = replace(state, previous=torch.zeros_like(state.previous))
    _, masks = runner.step(state, frame(1))
    assert masks.object_ids == (3,)
