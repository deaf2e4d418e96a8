"""MaskRNN's own promises: what the flow stream, the box and the look-ahead do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tinct.fine_tuning.fine_tune import Budget, FineTuning
from tinct.inference.segmenter import segment_video
from tinct.io.flow_files import Flow
from tinct.io.masks import ObjectMasks
from tinct.io.video import Video
from tinct.methods.maskrnn import MaskRnn, MaskRnnLookingAhead, MaskRnnNetwork, Options
from tinct.networks.flow import FlowEstimator
from tinct.shapes import Image

UNTUNED = Options(backbone="mobilenetv2", fine_tuning=FineTuning(budget=Budget(steps=0)))
H, W = 48, 64


class Constant(FlowEstimator):
    """The same flow everywhere, and a count of how often it was asked for."""

    name = "constant"

    def __init__(self, dx: float = 0.0, dy: float = 0.0) -> None:
        self.flow, self.calls = (dx, dy), 0

    def _estimate(self, frame: Image, other: Image) -> Flow:
        self.calls += 1
        return np.broadcast_to(np.array(self.flow, np.float32), (*frame.shape[:2], 2)).copy()


def segmenter(options: Options = UNTUNED, flow: FlowEstimator | None = None) -> MaskRnn:
    torch.manual_seed(2)
    network = MaskRnnNetwork(options)
    return MaskRnn(network, flow=flow or Constant())


def clip(frames: int = 4) -> tuple[Video, np.ndarray]:
    draws = np.random.default_rng(0)
    images = [draws.integers(0, 255, (H, W, 3)).astype(np.uint8) for _ in range(frames)]
    labels = np.zeros((H, W), np.uint8)
    labels[10:30, 8:28], labels[12:40, 40:60] = 2, 5
    return Video.from_arrays(images), labels


def masks_of(runner: MaskRnn | MaskRnnLookingAhead, frames: int = 4) -> list[ObjectMasks]:
    video, labels = clip(frames)
    return [masks for _, masks in segment_video(runner, video, {0: labels})]


def test_the_previous_mask_is_moved_along_the_flow() -> None:
    video, labels = clip(2)
    runner = segmenter(flow=Constant(dx=-6.0))
    seen: list[torch.Tensor] = []
    inner = runner._segment
    runner._segment = lambda f, guide, m, w: (seen.append(guide), inner(f, guide, m, w))[1]  # type: ignore[method-assign]
    runner.step(runner.start(video[0], labels), video[1])
    expected = np.zeros((H, W), np.float32)
    expected[10:30, 14:34] = 1
    np.testing.assert_allclose(seen[0][0, 0].numpy(), expected, atol=1e-5)


def test_nothing_lies_outside_the_enlarged_box() -> None:
    video, labels = clip(2)
    runner = segmenter(replace(UNTUNED, enlargement=1.5))
    state, _ = runner.step(runner.start(video[0], labels), video[1])
    for number, (rows, columns) in enumerate([((10, 30), (8, 28)), ((12, 40), (40, 60))]):
        inside = np.zeros((H, W), bool)
        pad_y, pad_x = (rows[1] - rows[0]) // 4, (columns[1] - columns[0]) // 4
        inside[rows[0] - pad_y : rows[1] + pad_y, columns[0] - pad_x : columns[1] + pad_x] = True
        assert state.previous[number].numpy()[~inside].max() < 1e-6
        assert state.previous[number].numpy()[inside].min() > 1e-6


def test_an_object_that_was_lost_may_come_back_anywhere() -> None:
    video, labels = clip(2)
    runner = segmenter()
    state = runner.start(video[0], labels)
    state = replace(state, previous=torch.zeros_like(state.previous))
    found, masks = runner.step(state, video[1])
    assert found.previous.min() > 1e-6
    assert masks.object_ids == (2, 5)


@pytest.mark.parametrize(
    "change", [{"flow_stream": False}, {"localization": False}, {"dilation_px": 3}, {"union": True}]
)
def test_switches_change_the_masks(change: dict[str, bool]) -> None:
    plain = masks_of(segmenter(flow=Constant(3.0)))
    changed = masks_of(segmenter(replace(UNTUNED, **change), Constant(3.0)))
    assert not np.array_equal(plain[1].probs, changed[1].probs)
    assert len(plain) == len(changed) == 4


def test_looking_ahead_sees_the_following_frame_and_computes_each_flow_once() -> None:
    flow = Constant(3.0, 1.0)
    runner = segmenter(flow=flow)
    alone = masks_of(runner)
    assert flow.calls == 3
    flow.calls = 0
    ahead = masks_of(MaskRnnLookingAhead(runner))
    assert flow.calls == 3 + 2
    assert [m.object_ids for m in ahead] == [(2, 5)] * 4
    assert not np.array_equal(alone[1].probs, ahead[1].probs)


def test_without_a_flow_stream_nothing_looks_at_the_flow_ahead() -> None:
    flow = Constant(3.0, 1.0)
    masks_of(MaskRnnLookingAhead(segmenter(replace(UNTUNED, flow_stream=False), flow)))
    assert flow.calls == 3


def test_the_last_frame_has_no_following_one() -> None:
    alone, ahead = (masks_of(r, 2) for r in (segmenter(), MaskRnnLookingAhead(segmenter())))
    np.testing.assert_array_equal(alone[1].probs, ahead[1].probs)
    (only,) = masks_of(MaskRnnLookingAhead(segmenter()), 1)
    np.testing.assert_array_equal(only.label_map, clip(1)[1])


def test_prompts_in_mid_video_when_looking_ahead() -> None:
    video, labels = clip()
    late = np.zeros((H, W), np.uint8)
    late[:8, :8] = 7
    runner = MaskRnnLookingAhead(segmenter())
    results = [masks for _, masks in segment_video(runner, video, {1: labels, 2: late})]
    assert [m.object_ids for m in results] == [(), (2, 5), (2, 5, 7), (2, 5, 7)]
    np.testing.assert_array_equal(results[1].label_map, labels)
    np.testing.assert_array_equal(results[2].label_map == 7, late == 7)
