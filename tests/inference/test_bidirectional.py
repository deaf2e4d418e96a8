"""Several painted frames run both ways: which run gives which frame, and that nothing else is changed."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies

from tinct.errors import MaskError, OptionError
from tinct.inference import directions
from tinct.inference.bidirectional import Bidirectional, shares
from tinct.inference.directions import backwards
from tinct.inference.segmenter import StreamingSegmenter, segment_video
from tinct.io.masks import ObjectMasks
from tinct.io.video import Video

H, W, FRAMES = 6, 9, 12


@dataclass(frozen=True)
class Trail:
    """Where a run began, the frames that it saw, and its objects."""

    began: int
    seen: tuple[int, ...]
    masks: ObjectMasks


class Tracer(StreamingSegmenter[Trail]):
    """Holds the painted masks, a little fainter with every frame; writes down what it was asked."""

    def __init__(self) -> None:
        self.trails: list[Trail] = []

    def start(self, frame: np.ndarray, labels: np.ndarray) -> Trail:
        return Trail(int(frame[0, 0, 0]), (), ObjectMasks.from_label_map(labels))

    def step(
        self, state: Trail, frame: np.ndarray, labels: np.ndarray | None = None
    ) -> tuple[Trail, ObjectMasks]:
        assert labels is None
        masks = ObjectMasks(state.masks.object_ids, state.masks.probs * np.float32(0.97))
        trail = Trail(state.began, (*state.seen, int(frame[0, 0, 0])), masks)
        self.trails.append(trail)
        return trail, masks


class Learner(Tracer):
    """Learns from all painted frames at once."""

    taught: tuple[int, ...] = ()

    def start_at_each(self, frames: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> list[Trail]:
        self.taught = tuple(int(frame[0, 0, 0]) for frame in frames)
        return [self.start(frame, painted) for frame, painted in zip(frames, labels, strict=True)]


@pytest.fixture
def video() -> Video:
    return Video.from_arrays([np.full((H, W, 3), t, np.uint8) for t in range(FRAMES)])


def square(object_id: int, left: int) -> np.ndarray:
    labels = np.zeros((H, W), np.uint8)
    labels[1:4, left : left + 3] = object_id
    return labels


def distances(results: Mapping[int, ObjectMasks], object_id: int) -> list[int]:
    """How many frames each mask is away from the painted one, by how faint it is."""
    peaks = [m.probs[m.object_ids.index(object_id)].max() for m in results.values()]
    return [round(float(np.log(peak) / np.log(0.97))) for peak in peaks]


def run(segmenter: StreamingSegmenter[Any], video: Video, prompts: Mapping[int, np.ndarray]) -> Any:
    return dict(segment_video(Bidirectional(segmenter), video, prompts))


def test_every_frame_is_fused_from_the_annotated_ones_around_it(video: Video) -> None:
    tracer = Tracer()
    prompts = {2: square(1, 0), 7: square(1, 4)}
    results = run(tracer, video, prompts)
    assert list(results) == list(range(FRAMES))
    outside = {index: masks for index, masks in results.items() if not 2 < index < 7}
    assert distances(outside, 1) == [2, 1, 0, 0, 1, 2, 3, 4]
    for index, later in {3: 0.2, 4: 0.4, 5: 0.6, 6: 0.8}.items():
        probs = results[index].probs[0]
        np.testing.assert_allclose(probs[2, 0], (1 - later) * 0.97 ** (index - 2), 1e-5)
        np.testing.assert_allclose(probs[2, 6], later * 0.97 ** (7 - index), 1e-5)
    longest = {(t.began, t.seen[0] < t.began): t.seen for t in tracer.trails}
    assert longest == {
        (2, True): (1, 0),
        (2, False): (3, 4, 5, 6),
        (7, True): (6, 5, 4, 3),
        (7, False): (8, 9, 10, 11),
    }


def test_where_two_runs_meet_they_are_compared(video: Video) -> None:
    prompts = {2: square(1, 0), 7: square(1, 2), 8: square(1, 2)}
    compared = list(Bidirectional(Tracer()).compared(video, prompts))
    plain = run(Tracer(), video, prompts)
    assert all(np.array_equal(masks.probs, plain[index].probs) for index, masks, _ in compared)
    # Squares of 3 × 3 that lie two columns apart: 3 of 15 pixels.
    agreed = {index: agreed for index, _, agreed in compared if agreed is not None}
    assert agreed == dict.fromkeys((3, 4, 5, 6), 3 / 15)


def test_only_objects_with_two_runs_are_compared(video: Video) -> None:
    prompts = {0: square(1, 0) + square(5, 6), 6: square(1, 0), 8: square(5, 6), 11: square(2, 3)}
    compared = Bidirectional(Tracer()).compared(video, prompts)
    agreed = {index: value for index, _, value in compared if value is not None}
    assert agreed == dict.fromkeys((1, 2, 3, 4, 5, 6, 7), 1.0)


@given(prompts=strategies.sets(strategies.integers(0, 30), min_size=1), index=strategies.integers(0, 30))
def test_shares_are_of_the_neighbours_and_grow_with_nearness(prompts: set[int], index: int) -> None:
    found = shares(sorted(prompts), index)
    assert sum(found.values()) == pytest.approx(1)
    if index in prompts:
        assert found == {index: 1.0}
    assert all(share > 0 for share in found.values())
    between = [p for p in prompts for f in found if min(f, index) < p < max(f, index)]
    assert not between
    if len(found) == 2:
        nearer, farther = sorted(found, key=lambda prompt: abs(prompt - index))
        assert found[nearer] >= found[farther]


def test_each_object_has_its_own_annotated_frames(video: Video) -> None:
    both = square(1, 0) + square(5, 6)
    results = run(Tracer(), video, {0: both, 10: square(5, 6)})
    assert all(masks.object_ids == (1, 5) for masks in results.values())
    assert distances(results, 1) == list(range(FRAMES))
    ends = {index: results[index] for index in (0, 10, 11)}
    assert distances(ends, 5) == [0, 0, 1]
    np.testing.assert_allclose(results[4].probs[1].max(), 0.6 * 0.97**4 + 0.4 * 0.97**6, 1e-5)


def test_objects_that_claim_a_pixel_together_share_it(video: Video) -> None:
    results = run(Tracer(), video, {0: square(1, 2), 11: square(2, 2)})
    assert all(masks.probs.sum(0).max() <= 1 + 1e-6 for masks in results.values())
    claims = np.array([0.97**5, 0.97**6])
    np.testing.assert_allclose(results[5].probs[:, 2, 3], claims / claims.sum(), 1e-5)


def test_a_painted_mask_comes_out_as_it_is(video: Video) -> None:
    prompts = {3: square(1, 2), 8: square(2, 3)}
    results = run(Tracer(), video, prompts)
    for index, labels in prompts.items():
        painted = labels != 0
        np.testing.assert_array_equal(results[index].label_map[painted], labels[painted])


def test_one_that_learns_from_all_frames_is_asked_once(video: Video) -> None:
    learner = Learner()
    prompts = {2: square(1, 0), 7: square(1, 4), 9: square(2, 0)}
    results = run(learner, video, prompts)
    assert learner.taught == (2, 7, 9)
    plain = run(Tracer(), video, prompts)
    assert all(np.array_equal(results[t].probs, plain[t].probs) for t in range(FRAMES))


def test_one_painted_first_frame_is_a_plain_run(video: Video) -> None:
    both = run(Tracer(), video, {0: square(3, 1)})
    plain = dict(segment_video(Tracer(), video, {0: square(3, 1)}))
    assert all(np.array_equal(both[t].probs, plain[t].probs) for t in range(FRAMES))


@pytest.mark.parametrize(("start", "stop"), [(0, 12), (3, 4), (5, 5), (1, 11)])
def test_backwards_gives_the_frames_turned_round(
    video: Video, start: int, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directions, "FRAMES_AT_ONCE", 4)
    found = [int(frame[0, 0, 0]) for frame in backwards(video, start, stop)]
    assert found == list(range(stop - 1, start - 1, -1))


def test_results_stream_and_what_runs_backwards_is_not_in_memory() -> None:
    frame = np.zeros((120, 160, 3), np.uint8)
    labels = np.zeros((120, 160), np.uint8)
    labels[10:40, 20:60] = 1

    class Plain(StreamingSegmenter[np.ndarray]):
        def start(self, frame: np.ndarray, labels: np.ndarray) -> np.ndarray:
            return labels

        def step(
            self, state: np.ndarray, frame: np.ndarray, labels: np.ndarray | None = None
        ) -> tuple[np.ndarray, ObjectMasks]:
            return state, ObjectMasks.from_label_map(state)

    peaks = []
    for frames in (40, 160):
        video = Video.from_arrays([frame] * frames)
        tracemalloc.start()
        for _ in segment_video(Bidirectional(Plain()), video, {frames - 1: labels}):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 40 * 4 * 120 * 160


def test_prompts_are_checked(video: Video) -> None:
    with pytest.raises(OptionError, match="frames 0 to 11"):
        run(Tracer(), video, {12: square(1, 0)})
    with pytest.raises(MaskError):
        run(Tracer(), video, {0: np.zeros((H, W), np.uint8)})
