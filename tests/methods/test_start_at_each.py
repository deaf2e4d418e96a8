"""OSVOS, MaskTrack and MaskRNN learn from several annotated frames at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tinct.fine_tuning.fine_tune import Budget, FineTuning
from tinct.inference.bidirectional import Bidirectional, StartsAtEach
from tinct.inference.callbacks import FineTuningProgress, callbacks
from tinct.inference.segmenter import StreamingSegmenter, segment_video
from tinct.io.video import Video
from tinct.methods import maskrnn, masktrack, osvos

H, W, FRAMES = 40, 56, 5
TWO_STEPS = FineTuning(budget=Budget(steps=2))


def made(method: str) -> StreamingSegmenter[Any]:
    torch.manual_seed(3)
    common = {"backbone": "mobilenetv2", "fine_tuning": TWO_STEPS}
    if method == "osvos":
        return osvos.Osvos(osvos.OsvosNetwork(osvos.Options(**common)))
    if method == "masktrack":
        return masktrack.MaskTrack(masktrack.MaskTrackNetwork(masktrack.Options(**common)))
    return maskrnn.MaskRnn(maskrnn.MaskRnnNetwork(maskrnn.Options(**common)))


@pytest.fixture
def video() -> Video:
    draws = np.random.default_rng(0)
    return Video.from_arrays([draws.integers(0, 256, (H, W, 3), np.uint8) for _ in range(FRAMES)])


def square(left: int, object_id: int) -> np.ndarray:
    labels = np.zeros((H, W), np.uint8)
    labels[8:24, left : left + 16] = object_id
    return labels


def tensors(weights: Any) -> list[torch.Tensor]:
    return list(weights.tensors)


@pytest.mark.parametrize("method", ["osvos", "masktrack", "maskrnn"])
def test_every_object_is_fine_tuned_once_on_all_frames_that_show_it(method: str, video: Video) -> None:
    segmenter = made(method)
    assert isinstance(segmenter, StartsAtEach)
    heard: list[FineTuningProgress] = []
    labels = [square(4, 1), square(30, 6) + square(6, 1)]
    with callbacks(fine_tuning=heard.append):
        first, second = segmenter.start_at_each([video[0], video[3]], labels)
    assert [(n.object_id, n.steps) for n in heard if n.finished] == [(1, 2), (6, 2)]
    assert second.object_ids == (1, 6)
    # Both know what both frames taught.
    for one, other in zip(tensors(first.weights[0]), tensors(second.weights[0]), strict=True):
        assert torch.equal(one, other)
    alone = segmenter.start(video[0], labels[0])
    assert not all(
        torch.equal(a, b) for a, b in zip(tensors(first.weights[0]), tensors(alone.weights[0]), strict=True)
    )


@pytest.mark.parametrize("method", ["osvos", "masktrack", "maskrnn"])
def test_one_annotated_frame_is_a_plain_start(method: str, video: Video) -> None:
    segmenter = made(method)
    (state,) = segmenter.start_at_each([video[0]], [square(4, 2)])  # type: ignore[attr-defined]
    plain = segmenter.start(video[0], square(4, 2))
    np.testing.assert_array_equal(
        segmenter.step(state, video[1])[1].probs, segmenter.step(plain, video[1])[1].probs
    )


@pytest.mark.parametrize("method", ["osvos", "masktrack", "maskrnn"])
def test_a_video_runs_both_ways(method: str, video: Video) -> None:
    prompts = {1: square(4, 2), 4: square(30, 7)}
    results = dict(segment_video(Bidirectional(made(method)), video, prompts))
    assert [masks.object_ids for masks in results.values()] == [(2, 7)] * FRAMES
    for index, labels in prompts.items():
        found = results[index].label_map
        np.testing.assert_array_equal(found[labels != 0], labels[labels != 0])
