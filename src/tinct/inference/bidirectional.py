"""Several annotated frames, each run forwards and backwards, and the nearest wins (from MaskTrack's paper).

A streaming segmenter takes later masks as corrections and goes on from them. When several frames are
annotated and the whole video is there, more can be had: a frame between two annotated ones is reached from
both, and the nearer one gives its masks. Frames before the first annotated one get
masks too.
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

    Each object of each frame comes from the nearest frame on which that object was annotated; of two
    that are equally near, from the earlier. The annotated masks themselves come out as they are.
    What runs backwards waits on disk for its turn: memory stays flat, and results stream.
    Where two runs meet, the later one goes a frame further, so that they can be compared.

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
                nearest = {i: nearest_prompt(annotated, index) for i, annotated in owners.items()}
                found = {p: runs.masks(p, index) for p in sorted(set(nearest.values()))}
                merged = _merged({i: found[p] for i, p in nearest.items()}, video.size)
                whole = merged.corrected(prompts[index]) if index in prompts else merged
                met = _met(owners, index)
                other = _merged({i: runs.masks(p, index) for i, p in met.items()}, video.size)
                yield index, whole, agreement(whole, other) if met else None

    def _states(self, video: Video, prompts: Mapping[int, LabelMap]) -> list[Any]:
        frames, labels = [video[index] for index in prompts], list(prompts.values())
        if isinstance(self.segmenter, StartsAtEach):
            return self.segmenter.start_at_each(frames, labels)
        return [self.segmenter.start(*annotated) for annotated in zip(frames, labels, strict=True)]


def nearest_prompt(prompts: Sequence[int], index: int) -> int:
    """The annotated frame nearest to `index`; the earlier of two that are equally near."""
    return min(prompts, key=lambda prompt: (abs(prompt - index), prompt))


def _met(owners: Mapping[int, Sequence[int]], index: int) -> dict[int, int]:
    """Objects whose two runs meet: the next frame is nearer to another prompt; and which prompt that is."""
    nearest = {i: nearest_prompt(annotated, index) for i, annotated in owners.items()}
    ahead = {i: nearest_prompt(annotated, index + 1) for i, annotated in owners.items()}
    return {i: prompt for i, prompt in ahead.items() if nearest[i] not in (index, prompt)}


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
    """Per annotated frame the first and the last frame of its runs.

    Those for which it is the nearest one of some object, and the one where its run meets an earlier one.
    """
    reaches = {prompt: (prompt, prompt) for prompts in owners.values() for prompt in prompts}
    for index in range(frames):
        nearest = (nearest_prompt(prompts, index) for prompts in owners.values())
        for prompt in {*nearest, *_met(owners, index).values()}:
            first, last = reaches[prompt]
            reaches[prompt] = min(first, index), max(last, index)
    return reaches


def _merged(masks: Mapping[int, ObjectMasks], size: tuple[int, int]) -> ObjectMasks:
    """Objects from different runs in one result; where several want a pixel, each in its share."""
    ids = tuple(sorted(masks))
    probs = np.zeros((len(ids), *size), np.float32)
    for position, object_id in enumerate(ids):
        of = masks[object_id]
        probs[position] = of.probs[of.object_ids.index(object_id)]
    return ObjectMasks(ids, probs / np.maximum(probs.sum(0), 1))


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
