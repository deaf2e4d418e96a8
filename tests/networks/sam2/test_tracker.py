"""What is ours beside the loop: memory that stays, prompts of people, options, and refusals."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from tiny_trackers import tiny_network, tiny_tracker

from tinct.errors import OptionError
from tinct.inference.fingerprints import segmenter_sha256
from tinct.inference.promptable import Box, FramePrompt, ObjectPrompt, Point
from tinct.methods.sam2 import Sam2
from tinct.networks.sam2.memory import BankSizes, FrameMemory, ObjectMemory
from tinct.networks.sam2.prompts import scribble_points
from tinct.networks.sam2.tracker import MemoryTracker, TrackerOptions, enough_memory

SIZE = (47, 61)


def frame_at(index: int) -> np.ndarray:
    frame = np.random.default_rng(0).integers(60, 160, (*SIZE, 3))
    frame[8:30, 6 + index % 20 : 26 + index % 20] = (220, 40, 40)
    return frame.astype(np.uint8)


def labels() -> np.ndarray:
    found = np.zeros(SIZE, np.uint8)
    found[8:30, 6:26] = 3
    found[32:44, 30:50] = 9
    return found


@pytest.fixture(scope="module")
def tracker() -> MemoryTracker:
    return tiny_tracker("sam2")


def tensors_of(value: Any) -> list[torch.Tensor]:
    """Every tensor behind a state."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, tuple):
        return [tensor for item in value for tensor in tensors_of(item)]
    if dataclasses.is_dataclass(value):
        return [t for field in dataclasses.fields(value) for t in tensors_of(getattr(value, field.name))]
    return []


def held(state: Any) -> tuple[int, int]:
    """(tensors, bytes of the memory behind them) of a state."""
    found = tensors_of(state)
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in found}
    return len(found), sum(storages.values())


def test_a_state_does_not_grow_with_the_video(tracker: MemoryTracker) -> None:
    state = tracker.start(frame_at(0), labels())
    sizes = tracker._parts.sizes
    seen = []
    for index in range(1, 25):
        state, _ = tracker.step(state, frame_at(index))
        seen.append(held(state))
    # Position, and of each object the annotated frame and the pointers and features of the last ones.
    each = 2 + (sizes.pointer_frames - 1) + (sizes.memory_frames - 1)
    assert seen[-1] == seen[10] == (1 + 2 * each, seen[-1][1])
    assert seen[0][0] < seen[3][0] < seen[-1][0]


def test_a_bank_drops_what_no_later_frame_reads() -> None:
    sizes = BankSizes(memory_frames=3, pointer_frames=5, annotated_frames=2)
    bank = ObjectMemory()
    for index in range(12):
        memory = FrameMemory(index, torch.full((1,), index), torch.full((1, 1), index))
        bank = bank.with_frame(memory, sizes, prompted=index in (0, 4, 5))
        read = [(at, int(features)) for at, features in bank.frames_read(index + 1, sizes)]
        prompted = [i for i in (0, 4, 5) if i <= index]
        nearest = prompted[-2:]
        others = [i for i in range(index - 1, index + 1) if i >= 0 and i not in nearest]
        assert read == [(0, i) for i in nearest] + [(index + 1 - i, i) for i in others]
        pointers = sorted(int(pointer) for _, pointer in bank.pointers_read(index + 1))
        assert pointers == sorted({*prompted, *range(max(0, index - 3), index + 1)})
    assert [memory.features is None for memory in bank.annotated] == [True, False, False]


def test_prompts_of_people_become_masks_and_can_be_followed(tracker: MemoryTracker) -> None:
    scribble = np.zeros(SIZE, bool)
    scribble[10:12, 8:24] = True
    objects = {
        7: ObjectPrompt(box=Box(6, 8, 26, 30)),
        2: ObjectPrompt((Point(40.5, 38.5), Point(3, 3, False))),
        5: ObjectPrompt(inside=scribble, previous=(labels() == 3).astype(np.float32)),
    }
    frame = frame_at(0)
    proposed = tracker.propose(frame, FramePrompt(objects))
    assert proposed.object_ids == (2, 5, 7)
    assert proposed.size == SIZE
    alone = tracker.propose(frame, FramePrompt({7: objects[7]}))
    started, masks = tracker.start_prompted(frame, FramePrompt({7: objects[7]}))
    np.testing.assert_array_equal(masks.probs, alone.probs)
    following, masks = tracker.step_prompted(started, frame_at(1), FramePrompt({2: objects[2]}))
    assert following.object_ids == masks.object_ids == (2, 7)
    assert [len(bank.annotated) for bank in following.memories] == [1, 1]
    without = dataclasses.replace(objects[5], previous=None)
    other = tracker.propose(frame, FramePrompt({5: without}))
    assert not np.array_equal(other.probs, tracker.propose(frame, FramePrompt({5: objects[5]})).probs)


def test_prompts_that_say_nothing_are_refused(tracker: MemoryTracker) -> None:
    with pytest.raises(OptionError, match="A prompt of no object came"):
        tracker.propose(frame_at(0), FramePrompt())
    with pytest.raises(OptionError, match="lies outside the frame"):
        tracker.start_prompted(frame_at(0), FramePrompt({1: ObjectPrompt((Point(99, 3),))}))


def test_points_stand_for_a_scribble() -> None:
    scribble = np.zeros((20, 30), bool)
    scribble[4:9, 2:28] = True
    points = scribble_points(scribble)
    assert len(points) == len(set(points)) == 4
    assert all(scribble[int(y), int(x)] for x, y in points)
    assert points[0][1] == 6.5  # deepest inside
    assert max(x for x, _ in points) - min(x for x, _ in points) > 15
    assert scribble_points(np.zeros((4, 4), bool)) == []


def test_half_precision_and_compilation_are_options(monkeypatch: pytest.MonkeyPatch) -> None:
    network = tiny_network("sam2")
    exact = Sam2(network, TrackerOptions("float32"))
    half = Sam2(network, TrackerOptions("bfloat16"))
    first, second = (one.start(frame_at(0), labels()) for one in (exact, half))
    for index in (1, 2):
        first, masks = exact.step(first, frame_at(index))
        second, rounded = half.step(second, frame_at(index))
        assert np.abs(masks.probs - rounded.probs).max() < 0.1
    assert next(half.network.parameters()).dtype == torch.bfloat16
    assert next(network.parameters()).dtype == torch.float32
    compiled: list[str] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **_: compiled.append(type(self).__name__))
    Sam2(network, TrackerOptions("float32", compile=True))
    assert compiled == ["Sam2VisionModel", "Sam2VideoMemoryAttention"]
    with pytest.raises(OptionError, match=r"Unknown precision 'float61'\. Did you mean 'bfloat16'"):
        TrackerOptions("float61")


def test_a_segmenter_is_moved_as_a_copy(tracker: MemoryTracker) -> None:
    moved = tracker.to("cpu")
    assert type(moved) is type(tracker)
    assert (moved.options, moved.smaller) == (tracker.options, tracker.smaller)
    pointers = {t.data_ptr() for t in tracker.network.state_dict().values() if t.numel()}
    assert not pointers & {t.data_ptr() for t in moved.network.state_dict().values() if t.numel()}


def test_one_frame_is_encoded_once_however_often_it_is_asked_for(
    tracker: MemoryTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    encode = tracker._parts.encode
    monkeypatch.setattr(tracker._parts, "encode", lambda frame: encoded.append(1) or encode(frame))
    prompt = FramePrompt({1: ObjectPrompt((Point(10, 10),))})
    for _ in range(3):
        tracker.propose(frame_at(5), prompt)
    before = segmenter_sha256(tracker)
    state = tracker.start(frame_at(5), labels())
    tracker.step(state, frame_at(6))
    assert len(encoded) == 2
    # What is cached is no part of what a segmenter is: states on disk stay true.
    assert segmenter_sha256(tracker) == before == segmenter_sha256(tiny_tracker("sam2"))


def test_a_device_that_is_too_small_is_told_what_fits() -> None:
    said = r"memory does not suffice .*take --variant tiny, give precision"
    with pytest.raises(OptionError, match=said), enough_memory("--variant tiny"):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")
