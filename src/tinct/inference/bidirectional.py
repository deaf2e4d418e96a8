"""Several annotated frames, each run forwards and backwards; between two of them, both runs are fused.

A streaming segmenter takes later masks as corrections and goes on from them. When several frames are
annotated and the whole video is there, more can be had: a frame between two annotated ones is reached from
both (MaskTrack's paper takes the nearer one). Frames before the first annotated one get masks too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import IO, Any, Protocol, runtime_checkable

import numpy as np

from tinct.inference.confidence import agreement
from tinct.inference.segmenter import Prompts, StreamingSegmenter, VideoSegmenter, frame_results
from tinct.io.masks import ObjectMasks, object_ids_of
from tinct.io.video import Video
from tinct.shapes import Image, LabelMap


@runtime_checkable
class StartsAtEach(Protocol):
    """A streaming segmenter that learns from several annotated frames at once."""

    def start_at_each(self, frames: Sequence[Image], labels: Sequence[LabelMap]) -> list[Any]:
        """One state for each annotated frame, as after it alone, but with what all of them taught."""
        ...


class Bidirectional(VideoSegmenter):
    """Runs a streaming segmenter from every annotated frame in both directions.

    Each object of each frame comes from the nearest frames on which that object was annotated, the one
    before and the one after, each with its share (`shares`). The annotated masks themselves come out as
    they are. What runs backwards waits on disk for its turn: memory stays flat, and results stream.

    Args:
        segmenter: One with `start_at_each` learns from all annotated frames; any other is started at
            each of them by itself.
    """

    def __init__(self, segmenter: StreamingSegmenter[Any]) -> None:
        self.segmenter = segmenter
        self.device = getattr(segmenter, "device", "cpu")

    def segment(self, video: Video, prompts: Mapping[int, LabelMap]) -> Iterator[tuple[int, ObjectMasks]]:
        """Masks of every frame, of all objects of all prompts."""
        return ((index, masks) for index, masks, _ in self.compared(video, prompts))

    def compared(
        self, video: Video, prompts: Mapping[int, LabelMap]
    ) -> Iterator[tuple[int, ObjectMasks, float | None]]:
        """(index, masks, agreement) of every frame; the agreement of two runs where they meet, else None."""
        owners = _owners(prompts)
        states = dict(zip(prompts, self._states(video, prompts), strict=True))
        with closing(_Runs(self.segmenter, video, prompts, states, _reaches(owners, len(video)))) as runs:
            for index in range(len(video)):
                of = {i: shares(annotated, index) for i, annotated in owners.items()}
                found = {p: runs.masks(p, index) for p in sorted({p for each in of.values() for p in each})}
                fused = _fused(found, of, video.size)
                whole = fused.corrected(prompts[index]) if index in prompts else fused
                yield index, whole, _agreement(found, of, video.size)

    def _states(self, video: Video, prompts: Mapping[int, LabelMap]) -> list[Any]:
        frames, labels = [video[index] for index in prompts], list(prompts.values())
        if isinstance(self.segmenter, StartsAtEach):
            return self.segmenter.start_at_each(frames, labels)
        return [self.segmenter.start(*annotated) for annotated in zip(frames, labels, strict=True)]


def shares(prompts: Sequence[int], index: int) -> dict[int, float]:
    """What the runs of an object's annotated frames count at a frame: annotated frame → share, 1 in all.

    Between two of them, the share of the later one grows with the frame's place between both.

    Args:
        prompts: The frames on which the object was annotated.
        index: The frame.
    """
    before = max((p for p in prompts if p <= index), default=None)
    after = min((p for p in prompts if p >= index), default=None)
    if before is None or after is None or before == after:
        return {p: 1.0 for p in (before, after) if p is not None}
    later = (index - before) / (after - before)
    return {before: 1 - later, after: later}


def bidirectional_runs(prompts: Mapping[int, LabelMap], frames: int) -> list[range]:
    """The frames of every run, in its order, each from its annotated frame on."""
    reaches = _reaches(_owners(prompts), frames)
    return [
        run
        for prompt, (first, last) in sorted(reaches.items())
        for run in (range(prompt, first - 1, -1), range(prompt, last + 1))
        if len(run) > 1
    ]


def _owners(prompts: Mapping[int, LabelMap]) -> dict[int, list[int]]:
    """Object id → the frames on which it was annotated."""
    object_ids = sorted({i for labels in prompts.values() for i in object_ids_of(labels)})
    return {i: [p for p, labels in prompts.items() if (labels == i).any()] for i in object_ids}


def _reaches(owners: Mapping[int, Sequence[int]], frames: int) -> dict[int, tuple[int, int]]:
    """Per annotated frame the first and the last frame of its runs: those in which it has a share."""
    reaches = {prompt: (prompt, prompt) for prompts in owners.values() for prompt in prompts}
    for index in range(frames):
        for prompt in {p for prompts in owners.values() for p in shares(prompts, index)}:
            first, last = reaches[prompt]
            reaches[prompt] = min(first, index), max(last, index)
    return reaches


Shares = Mapping[int, Mapping[int, float]]
"""Object id → annotated frame → the share of its run."""


def _fused(found: Mapping[int, ObjectMasks], of: Shares, size: tuple[int, int]) -> ObjectMasks:
    """Objects from different runs in one result; where several want a pixel, each in its share."""
    ids = tuple(sorted(of))
    probs = np.zeros((len(ids), *size), np.float32)
    for position, object_id in enumerate(ids):
        for prompt, share in of[object_id].items():
            probs[position] += np.float32(share) * found[prompt][object_id]
    return ObjectMasks(ids, probs / np.maximum(probs.sum(0), 1))


def _agreement(found: Mapping[int, ObjectMasks], of: Shares, size: tuple[int, int]) -> float | None:
    """How well the two runs of the objects that have two agree; None if there is no such object."""
    two = {i: each for i, each in of.items() if len(each) > 1}
    if not two:
        return None
    sides = ({i: {side(each): 1.0} for i, each in two.items()} for side in (min, max))
    return agreement(*(_fused(found, each, size) for each in sides))


class _Runs:
    """The runs of all annotated frames; each is begun when the first of its frames is asked for."""

    def __init__(
        self,
        segmenter: StreamingSegmenter[Any],
        video: Video,
        prompts: Mapping[int, LabelMap],
        states: dict[int, Any],
        reaches: Mapping[int, tuple[int, int]],
    ) -> None:
        self._segmenter, self._video, self._prompts = segmenter, video, prompts
        self._states, self._reaches = states, reaches
        self._backward: dict[int, _OnDisk] = {}
        self._forward: dict[int, Iterator[tuple[int, ObjectMasks]]] = {}

    def masks(self, prompt: int, index: int) -> ObjectMasks:
        """Of the run from `prompt`, at `index`; asked for every frame of its reach, in order."""
        if index < prompt:
            if prompt not in self._backward:
                self._backward[prompt] = self._run_backward(prompt)
            return self._backward[prompt].masks(index)
        if index == prompt:
            if prompt in self._backward:
                self._backward.pop(prompt).close()
            return ObjectMasks.from_label_map(self._prompts[prompt])
        if prompt not in self._forward:
            frames = range(prompt + 1, self._reaches[prompt][1] + 1)
            self._forward[prompt] = self._run(prompt, self._states.pop(prompt), frames)
        return next(self._forward[prompt])[1]

    def _run(self, prompt: int, state: Any, frames: range) -> Iterator[tuple[int, ObjectMasks]]:
        of_this_run = Prompts({prompt: self._prompts[prompt]})
        results = frame_results(self._segmenter, self._video, of_this_run, frames, state)
        return ((result.index, result.masks) for result in results)

    def _run_backward(self, prompt: int) -> _OnDisk:
        stored = _OnDisk(self._video.size)
        frames = range(prompt - 1, self._reaches[prompt][0] - 1, -1)
        for index, masks in self._run(prompt, self._states[prompt], frames):
            stored.add(index, masks)
        return stored

    def close(self) -> None:
        """Remove what lies on disk."""
        for stored in self._backward.values():
            stored.close()


class _OnDisk:
    """Masks of the same objects in some frames, in a temporary file."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self.object_ids: tuple[int, ...] = ()
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        self._places: dict[int, int] = {}

    def add(self, index: int, masks: ObjectMasks) -> None:
        self._places[index] = len(self._places)
        self.object_ids = masks.object_ids
        self._file.write(np.ascontiguousarray(masks.probs, np.float32).tobytes())

    def masks(self, index: int) -> ObjectMasks:
        shape = (len(self.object_ids), *self.size)
        count = int(np.prod(shape))
        self._file.seek(self._places[index] * 4 * count)
        probs = np.frombuffer(self._file.read(4 * count), np.float32)
        return ObjectMasks(self.object_ids, probs.reshape(shape).copy())

    def close(self) -> None:
        self._file.close()
