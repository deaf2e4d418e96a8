from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fault_kit import FAULTS, Fault, prompt
from PIL import Image

from tinct.errors import (
    FrameIndexError,
    MaskError,
    NumericalError,
    OptionError,
    TinctError,
    UnknownLengthError,
    VideoError,
)
from tinct.inference.segmenter import (
    StreamingSegmenter,
    VideoSegmenter,
    check_prompts,
    frame_results,
    segment_video,
)
from tinct.io.masks import ObjectMasks
from tinct.io.video import Video, as_video

H, W = 9, 12


@dataclass(frozen=True)
class HeldState:
    labels: np.ndarray
    steps: int


class Held(StreamingSegmenter[HeldState]):
    """Holds the newest prompt where it was, and writes down what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int, bool]] = []

    def start(self, frame: np.ndarray, labels: np.ndarray) -> HeldState:
        self.calls.append(("start", int(frame[0, 0, 0]), True))
        return HeldState(labels, 0)

    def step(
        self, state: HeldState, frame: np.ndarray, labels: np.ndarray | None = None
    ) -> tuple[HeldState, ObjectMasks]:
        self.calls.append(("step", int(frame[0, 0, 0]), labels is not None))
        newest = HeldState(state.labels if labels is None else labels, state.steps + 1)
        return newest, ObjectMasks.from_label_map(newest.labels)


class Whole(VideoSegmenter):
    def segment(self, video: Video, prompts: Mapping[int, np.ndarray]) -> Iterator[tuple[int, ObjectMasks]]:
        for index, _ in enumerate(video):
            yield index, ObjectMasks.from_label_map(prompts[min(prompts)])


class Broken(Held):
    """Gives what it is told to give."""

    def __init__(self, probs: np.ndarray) -> None:
        super().__init__()
        self.probs = probs

    def step(
        self, state: HeldState, frame: np.ndarray, labels: np.ndarray | None = None
    ) -> tuple[HeldState, ObjectMasks]:
        return state, ObjectMasks((1,), self.probs)


def numbered(frames: int = 5) -> Video:
    """Frame t is t all over."""
    return Video.from_arrays([np.full((H, W, 3), t, np.uint8) for t in range(frames)])


def square(object_id: int = 1, column: int = 2) -> np.ndarray:
    labels = np.zeros((H, W), np.uint8)
    labels[2:6, column : column + 4] = object_id
    return labels


def test_one_result_per_frame_and_one_call_each() -> None:
    segmenter = Held()
    results = list(segment_video(segmenter, numbered(), {0: square()}))
    assert [index for index, _ in results] == [0, 1, 2, 3, 4]
    assert segmenter.calls == [("start", 0, True), *(("step", t, False) for t in range(1, 5))]


def test_results_come_while_the_video_is_read() -> None:
    segmenter = Held()
    results = segment_video(segmenter, numbered(), {0: square()})
    assert segmenter.calls == []
    next(results)
    assert len(segmenter.calls) == 1


def test_frames_before_the_first_prompt_have_no_objects() -> None:
    segmenter = Held()
    results = dict(segment_video(segmenter, numbered(), {2: square()}))
    assert [len(results[t].object_ids) for t in range(5)] == [0, 0, 1, 1, 1]
    assert results[0].size == (H, W)
    assert not results[1].label_map.any()
    assert segmenter.calls[0] == ("start", 2, True)


def test_the_first_prompted_frame_is_the_prompt_and_void_is_background() -> None:
    labels = square(5)
    labels[0, :3] = 255
    _, masks = next(segment_video(Held(), numbered(), {0: labels}))
    assert masks.object_ids == (5,)
    np.testing.assert_array_equal(masks.label_map, square(5))


def test_later_prompts_reach_the_segmenter_whatever_their_order() -> None:
    segmenter = Held()
    results = dict(segment_video(segmenter, numbered(), {3: square(7), 0: square(1)}))
    assert [call[2] for call in segmenter.calls] == [True, False, False, True, False]
    assert results[4].object_ids == (7,)


def test_a_video_segmenter_is_driven_too() -> None:
    results = list(segment_video(Whole(), numbered(), {1: square(3), 0: square(2)}))
    assert [index for index, _ in results] == [0, 1, 2, 3, 4]
    assert results[4][1].object_ids == (2,)


@pytest.mark.parametrize("segmenter", [Held(), Whole()])
@pytest.mark.parametrize("index", [-1, 5, 99])
def test_a_prompt_outside_the_video_is_refused_at_once(segmenter: Held | Whole, index: int) -> None:
    with pytest.raises(OptionError, match=rf"frame {index} came.*frames 0 to 4"):
        segment_video(segmenter, numbered(), {0: square(), index: square()})


@pytest.mark.parametrize("segmenter", [Held(), Whole()])
def test_no_prompt_is_refused_at_once(segmenter: Held | Whole) -> None:
    with pytest.raises(OptionError, match="No prompt"):
        segment_video(segmenter, numbered(), {})


def test_an_empty_mask_is_refused_at_once() -> None:
    with pytest.raises(MaskError, match="frame 3"):
        segment_video(Held(), numbered(), {0: square(), 3: np.zeros((H, W), np.uint8)})


def test_a_mask_of_another_size_is_refused_at_once() -> None:
    with pytest.raises(MaskError):
        segment_video(Held(), numbered(), {0: square()[:-1]})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_is_reported_with_its_frame(value: float) -> None:
    probs = np.zeros((1, H, W), np.float32)
    probs[0, 4, 4] = value
    results = segment_video(Broken(probs), numbered(), {0: square()})
    next(results)
    with pytest.raises(NumericalError, match="frame 1"):
        next(results)


def test_masks_of_another_size_are_reported() -> None:
    results = segment_video(Broken(np.zeros((1, H, W + 1), np.float32)), numbered(), {0: square()})
    next(results)
    with pytest.raises(TinctError, match=r"\(9, 13\) for frame 1 of \(9, 12\)"):
        next(results)


@pytest.mark.parametrize("first", [0, 2])
@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_a_run_goes_on_from_any_of_its_states(first: int, cut: int) -> None:
    prompts = {first: square(), 4: square(9)}
    whole = list(segment_video(Held(), numbered(), prompts))
    checked = check_prompts(numbered(), prompts)
    results = frame_results(Held(), numbered(), checked)
    head = [next(results) for _ in range(cut)]
    rest = frame_results(Held(), numbered(), checked, range(cut, 5), head[-1].state)
    for result, (expected_index, expected) in zip([*head, *rest], whole, strict=True):
        assert result.index == expected_index
        np.testing.assert_array_equal(result.masks.probs, expected.probs)


@pytest.mark.parametrize("cut", [1, 3, 4, 5])
def test_a_backward_run_asks_for_the_frames_turned_round_and_goes_on_too(cut: int) -> None:
    prompts = check_prompts(numbered(), {1: square(9), 3: square()})
    segmenter, backward = Held(), range(4, -1, -1)
    results = frame_results(segmenter, numbered(), prompts, backward)
    found = [next(results) for _ in range(cut)]
    found += frame_results(segmenter, numbered(), prompts, backward[cut:], found[-1].state)
    assert [result.index for result in found] == [4, 3, 2, 1, 0]
    assert [result.masks.object_ids for result in found] == [(), (1,), (1,), (9,), (9,)]
    assert segmenter.calls == [
        ("start", 3, True), ("step", 2, False), ("step", 1, True), ("step", 0, False)
    ]  # fmt: skip


def test_a_backward_run_refuses_a_state_that_does_not_fit() -> None:
    prompts = check_prompts(numbered(), {2: square()})
    with pytest.raises(
        OptionError, match=r"goes on at frame 1, with its first prompt at frame 2, takes a state"
    ):
        frame_results(Held(), numbered(), prompts, range(1, -1, -1))
    with pytest.raises(OptionError, match="takes no state"):
        frame_results(Held(), numbered(), prompts, range(4, -1, -1), HeldState(square(), 0))


def test_the_state_is_that_after_the_last_result() -> None:
    run = frame_results(Held(), numbered(), check_prompts(numbered(), {0: square()}))
    assert [(result.index, result.state.steps) for result in run] == [(t, t) for t in range(5)]


@pytest.mark.parametrize(
    ("start_at", "state"), [(3, None), (0, HeldState(square(), 0)), (1, HeldState(square(), 0))]
)
def test_a_state_that_does_not_fit_is_refused(start_at: int, state: HeldState | None) -> None:
    with pytest.raises(OptionError, match="goes on at frame"):
        frame_results(Held(), numbered(), check_prompts(numbered(), {1: square()}), range(start_at, 5), state)


def test_whole_videos_have_no_middle_to_begin_in() -> None:
    prompts = check_prompts(numbered(), {1: square()})
    for frames in (range(2, 5), range(4, -1, -1)):
        with pytest.raises(OptionError, match=f"Frames {frames[0]} to {frames[-1]} were asked"):
            frame_results(Whole(), numbered(), prompts, frames)


@pytest.mark.parametrize("fault", FAULTS)
def test_what_breaks_the_rules_is_found_at_its_frame(fault: Fault) -> None:
    segmenter, video = fault.make()
    found = fault.found_in(segment_video(segmenter, video, {0: prompt()}))
    assert [index for index, _ in found] == fault.good


FRAMES = np.stack(list(numbered()))


@pytest.mark.parametrize(
    ("video", "mask"),
    [
        (FRAMES, square().astype(np.int64)),
        (list(FRAMES), square() > 0),
        (torch.from_numpy(FRAMES).permute(0, 3, 1, 2), torch.from_numpy(square())),
        ([Image.fromarray(frame) for frame in FRAMES], Image.fromarray(square())),
        ((frame for frame in FRAMES), square().tolist()),
    ],
)
def test_videos_and_prompts_come_in_the_forms_that_people_have(video: Any, mask: Any) -> None:
    segmenter = Held()
    results = list(segment_video(segmenter, video, {0: mask}))
    assert [index for index, _ in results] == [0, 1, 2, 3, 4]
    assert segmenter.calls == [("start", 0, True), *(("step", t, False) for t in range(1, 5))]
    assert all((masks.label_map == square()).all() for _, masks in results)


def test_a_path_and_a_part_of_a_video_are_videos(tmp_path: Path) -> None:
    for index, frame in enumerate(FRAMES):
        Image.fromarray(frame).save(tmp_path / f"{index}.png")
    for path in (tmp_path, str(tmp_path)):
        assert len(list(segment_video(Held(), path, {0: square()}))) == 5
    segmenter = Held()
    list(segment_video(segmenter, Video.open(tmp_path)[2:4], {0: square()}))
    assert segmenter.calls == [("start", 2, True), ("step", 3, False)]


def test_what_is_no_video_is_refused_at_once() -> None:
    with pytest.raises(VideoError, match="single frame"):
        segment_video(Held(), FRAMES[0], {0: square()})


def test_a_stream_gives_its_results_while_frames_come() -> None:
    given: list[int] = []

    def camera() -> Iterator[np.ndarray]:
        for index, frame in enumerate(FRAMES):
            given.append(index)
            yield frame

    results = segment_video(Held(), camera(), {0: square(), 3: square(2)})
    assert [next(results)[0], next(results)[0]] == [0, 1]
    assert given == [0, 1]
    assert [masks.object_ids for _, masks in results] == [(1,), (2,), (2,)]


def test_a_stream_is_not_for_a_method_that_sees_the_whole_video_nor_backward() -> None:
    with pytest.raises(UnknownLengthError, match=r"list\(frames\)"):
        segment_video(Whole(), iter(FRAMES), {0: square()})
    stream = as_video(iter(FRAMES))
    prompts = check_prompts(stream, {0: square()})
    with pytest.raises(UnknownLengthError, match=r"list\(frames\)"):
        frame_results(Held(), stream, prompts, range(4, -1, -1))
    assert len(list(segment_video(Whole(), list(iter(FRAMES)), {0: square()}))) == 5


def test_a_prompt_that_a_stream_did_not_reach_is_reported_at_its_end() -> None:
    results = segment_video(Held(), iter(FRAMES), {0: square(), 7: square()})
    assert [next(results)[0] for _ in FRAMES] == [0, 1, 2, 3, 4]
    with pytest.raises(FrameIndexError, match="A prompt for frame 7 came, but the video has frames 0 to 4"):
        next(results)
    with pytest.raises(FrameIndexError, match="frame -1 came"):
        segment_video(Held(), iter(FRAMES), {-1: square()})


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        (square(), r"A ndarray came as the prompts.*\{0: mask\}"),
        ([square()], r"A list came as the prompts.*\{0: mask\}"),
        ({"0": square()}, r"frame '0' came.*whole number: \{0: mask\}"),
    ],
)
def test_masks_without_the_index_of_their_frame_are_refused(prompts: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        segment_video(Held(), numbered(), prompts)


def test_an_index_may_be_a_whole_number_of_numpy() -> None:
    prompts: Any = {np.int64(0): square()}
    assert len(list(segment_video(Held(), numbered(), prompts))) == 5
