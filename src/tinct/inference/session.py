"""A video in work: painted, run, watched, corrected and run again, without beginning at its first frame.

A `Session` holds the annotated frames (prompts) and the states that its runs leave behind. Whatever
was painted, taken back and run before, the masks are those of a fresh run with the prompts as they are now.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from tinct.errors import FrameIndexError, MaskError, OptionError, UnknownObjectError
from tinct.inference.bidirectional import Bidirectional
from tinct.inference.confidence import frame_confidence
from tinct.inference.directions import check_direction, frame_range
from tinct.inference.fingerprints import fingerprint_of, labels_sha256, segmenter_sha256, video_sha256
from tinct.inference.promptable import Box, FramePrompt, ObjectPrompt, Point, PromptableSegmenter
from tinct.inference.segmenter import (
    Prompts,
    StreamingSegmenter,
    VideoSegmenter,
    check_prompts,
    frame_results,
    state_class_of,
)
from tinct.inference.state_cache import (
    IN_MEMORY_BYTES,
    ON_DISK_BYTES,
    DiskStateCache,
    MemoryStateCache,
    StateCache,
)
from tinct.io.masks import MaskLike, ObjectMasks, as_binary_mask, check_size, object_ids_of
from tinct.io.video import Video, VideoLike, as_video
from tinct.shapes import BACKGROUND, VOID, BinaryMask, Float, LabelMap

BETWEEN_STATES_IN_MEMORY = 5
"""Frames from one cached state to the next; caching one costs nothing but its memory."""

BETWEEN_STATES_ON_DISK = 25
"""Writing a state takes about as long as a frame does."""


@dataclass(frozen=True)
class SessionFrame:
    """One frame of a run.

    Attributes:
        index: Which one, from 0.
        masks: Of the frame's size.
        confidence: In [0, 1]: how sure they are (`tinct.inference.confidence`).
    """

    index: int
    masks: ObjectMasks
    confidence: float


class Session:
    """A video, its annotated frames, and the runs that colour the others.

    It belongs to one thread at a time; but a run that is under way goes by the prompts that there were
    when it was asked for, and is not disturbed by later ones.

    Args:
        segmenter: Of either kind.
        video: A `Video`, a path, or a list or array of frames (see `as_video`); no iterator, since a session
            goes back.
        prompts: The annotated frames to begin with: frame index → label map, in any form that
            `tinct.io.masks.as_label_map` takes.
        promptable: Answers to `add_points` and `add_box`; see `tinct.build_promptable`.
        folder: Where states are stored on disk, for this session and for later ones with the same video;
            None stores them in memory alone. Those of another segmenter or video are left aside.

    Raises:
        OptionError: A prompt lies outside the video.
        MaskError: A prompt is empty or not of the frame's size.
    """

    def __init__(
        self,
        segmenter: StreamingSegmenter[Any] | VideoSegmenter,
        video: VideoLike,
        prompts: Mapping[int, MaskLike] | None = None,
        *,
        promptable: PromptableSegmenter | None = None,
        folder: Path | None = None,
    ) -> None:
        self.segmenter, self.video, self.folder = segmenter, as_video(video), folder
        self.promptable = promptable
        len(self.video)  # a stream has none, and says so
        self._prompts: dict[int, LabelMap] = {}
        self._states: dict[bool, list[tuple[int, StateCache]]] = {}
        self._identity = ""
        for index, labels in (prompts or {}).items():
            self.correct(index, labels)

    @property
    def prompts(self) -> Mapping[int, LabelMap]:
        """Every annotated frame, in order: frame index → label map, uint8 [H, W]."""
        return MappingProxyType(self._prompts)

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The objects of all prompts, increasing."""
        return tuple(sorted({i for labels in self._prompts.values() for i in object_ids_of(labels)}))

    def correct(self, index: int, labels: MaskLike) -> None:
        """Paint a frame, or paint it again; from then on it is a reference for every run.

        Args:
            index: Of the frame, from 0.
            labels: [H, W] of the video's size, in any form that `as_label_map` takes. Its ids are taken
                exactly as painted, new ones join; objects that it does not hold, and void pixels (255), are
                left to the network.

        Raises:
            OptionError: The frame lies outside the video.
            MaskError: The label map is empty or not of the video's size.
        """
        checked = check_prompts(self.video, {index: labels})[index].copy()
        self._prompts = dict(sorted({**self._prompts, index: checked}.items()))

    def add_mask(self, index: int, object_id: int, mask: MaskLike) -> None:
        """Paint one object on a frame; what else is painted there stays as it is.

        Args:
            index: Of the frame, from 0.
            object_id: From 1 to 254; the object is new, or this mask takes the place of its old one there.
            mask: [H, W] of the video's size, in any form that `as_label_map` takes: pixels that are not 0 are
                the object's, except those that are painted as another object.

        Raises:
            OptionError: The frame lies outside the video, or the id cannot be one.
            MaskError: The mask is empty, of another size, or of several objects; or all of it is painted as
                other objects.
        """
        if not 1 <= object_id < VOID:
            raise OptionError(f"The object id {object_id} came; ids lie between 1 and 254.")
        name = f"the mask of object {object_id} on frame {index}"
        pixels = as_binary_mask(mask, name=name)
        check_size((pixels.shape[0], pixels.shape[1]), self.video.size, name=name)
        before = self._prompts.get(index, np.zeros(self.video.size, np.uint8))
        others = np.where(before == object_id, np.uint8(BACKGROUND), before)
        labels = np.where(pixels & ((others == BACKGROUND) | (others == VOID)), np.uint8(object_id), others)
        if not (labels == object_id).any():
            raise MaskError(
                f"All pixels of {name} are painted as other objects; paint the whole frame: `correct`."
            )
        self.correct(index, labels)

    def add_points(
        self,
        index: int,
        object_id: int,
        points: Sequence[Point | tuple[float, float]],
        previous: BinaryMask | Float[np.ndarray, "H W"] | None = None,
    ) -> ObjectMasks:
        """Paint one object on a frame by clicks: on it, or, as `Point(x, y, inside=False)`, beside it.

        Args:
            index: Of the frame, from 0.
            object_id: From 1 to 254.
            points: In pixels, pixel centres at halves; all clicks of this object on this frame.
            previous: [H, W], the object's probability or mask so far, such as a run computed, which the
                points correct; by default what is painted of the object on the frame.

        Returns:
            The proposal, whose pixels above 0.5 are painted.

        Raises:
            OptionError: The session has no `promptable`, the frame or a point lies outside, or no point is on
                the object.
            MaskError: Nothing was found, or all of it is painted as other objects.
        """
        return self._prompt(index, object_id, ObjectPrompt(tuple(Point(*p) for p in points)), previous)

    def add_box(
        self, index: int, object_id: int, box: Box | tuple[float, float, float, float]
    ) -> ObjectMasks:
        """Paint one object on a frame by a box around it: (x0, y0, x1, y1) in pixels.

        Args:
            index: Of the frame, from 0.
            object_id: From 1 to 254.
            box: At the edges of pixels.

        Returns:
            The proposal, whose pixels above 0.5 are painted.

        Raises:
            OptionError: The session has no `promptable`, or the frame or the box lies outside.
            MaskError: Nothing was found, or all of it is painted as other objects.
        """
        return self._prompt(index, object_id, ObjectPrompt(box=Box(*box)), None)

    def _prompt(
        self,
        index: int,
        object_id: int,
        prompt: ObjectPrompt,
        previous: BinaryMask | Float[np.ndarray, "H W"] | None,
    ) -> ObjectMasks:
        if self.promptable is None:
            raise OptionError(
                "This session has nothing that understands points and boxes; make it with "
                "Session(..., promptable=tinct.build_promptable())."
            )
        if not 0 <= index < len(self.video):
            raise FrameIndexError(
                f"Frame {index} was prompted; the video has the frames 0 to {len(self.video) - 1}."
            )
        if previous is None and index in self._prompts:
            previous = self._prompts[index] == object_id
        if previous is not None and prompt.box is None and previous.any():
            prompt = replace(prompt, previous=previous.astype(np.float32))
        found = self.promptable.propose(self.video[index], FramePrompt({object_id: prompt}))
        self.add_mask(index, object_id, found[object_id] > 0.5)
        return found

    def withdraw(self, index: int) -> None:
        """Remove the prompt of an annotated frame.

        Raises:
            OptionError: The frame is not annotated.
        """
        if index not in self._prompts:
            annotated = ", ".join(str(i) for i in self._prompts) or "none"
            raise OptionError(
                f"The prompt of frame {index} was to be withdrawn, but that frame is not painted; painted "
                f"are: {annotated}."
            )
        self._prompts = {i: labels for i, labels in self._prompts.items() if i != index}

    def delete_object(self, object_id: int) -> None:
        """Take an object out of all prompts, and so out of every later run.

        A prompt that shows nothing else is withdrawn.

        Raises:
            OptionError: No prompt shows the object.
        """
        if object_id not in self.object_ids:
            known = ", ".join(str(i) for i in self.object_ids) or "none"
            raise UnknownObjectError(
                f"Object {object_id} was to be deleted, but the painted objects are: {known}."
            )
        without: dict[int, LabelMap] = {}
        for index, labels in self._prompts.items():
            remaining = np.where(labels == object_id, np.uint8(0), labels)
            if object_ids_of(remaining):
                without[index] = remaining
        self._prompts = without

    def run(
        self, start: int | None = None, stop: int | None = None, direction: str = "forward"
    ) -> Iterator[SessionFrame]:
        """Segment frames, as they are asked for; leave off after any of them, and ask again.

        `forward` gives start, start + 1, ...: every frame knows the prompts at it and before it.
        `backward` gives start, start - 1, ...: every frame knows the prompts at it and after it.
        `both` gives every frame from the prompts before and after it (`inference.bidirectional`), in the
        order of the video.
        Forward and backward runs go on from the nearest cached state that is still true. A run both ways,
        or by a segmenter that sees whole videos, computes all that it needs again; the latter knows no
        direction, and gives the frames that were asked for in the order of the video.

        Args:
            start: The first frame; None for the video's first one (backward: its last one).
            stop: The frame before which the run ends; None for the video's end (backward: its start).
            direction: `forward`, `backward` or `both`.

        Returns:
            The frames, each as soon as it is there. A run whose iterator is closed keeps its place.

        Raises:
            OptionError: There is no prompt yet, no such direction, or a frame outside the video.
            VideoError: A frame cannot be read (while iterating).
            NumericalError: The network gave NaN or infinity (while iterating).
        """
        backward = check_direction(direction) == "backward"
        prompts = check_prompts(self.video, self._prompts)
        frames = frame_range(len(self.video), start, stop, backward=backward)
        if isinstance(self.segmenter, StreamingSegmenter) and direction != "both":
            return self._stream(self.segmenter, prompts, frames)
        whole = (
            Bidirectional(self.segmenter)
            if isinstance(self.segmenter, StreamingSegmenter)
            else self.segmenter
        )
        return _of_whole_video(whole, self.video, prompts, frames[::-1] if backward else frames)

    def _stream(
        self, segmenter: StreamingSegmenter[Any], prompts: Prompts, frames: range
    ) -> Iterator[SessionFrame]:
        if not frames:
            return
        order = range(len(self.video))[:: frames.step]
        fingerprints = _StateFingerprints(self._segmenter_and_video(), prompts, order)
        caches = self._caches(backward=frames.step < 0)
        done, state = self._begin(caches, fingerprints, order.index(frames[0]))
        to_compute = order[done : order.index(frames[-1]) + 1]
        try:
            for result in frame_results(segmenter, self.video, prompts, to_compute, state):
                done, state = done + 1, result.state
                for every, cache in caches:
                    if state is not None and (done % every == 0 or done in fingerprints.places):
                        cache.add(done, state, fingerprints.at, fingerprints.places)
                if result.index in frames:
                    yield SessionFrame(result.index, result.masks, frame_confidence(result.masks))
        finally:
            for _, cache in caches:
                if state is not None:
                    cache.add(done, state, fingerprints.at, fingerprints.places)

    def _begin(
        self, caches: list[tuple[int, StateCache]], fingerprints: _StateFingerprints, place: int
    ) -> tuple[int, Any | None]:
        """(frames done, state after them) of the cached state nearest before `place`."""
        found = [cache.nearest(place, fingerprints.at) for _, cache in caches]
        begun = max((each for each in found if each is not None), key=lambda each: each[0], default=None)
        # What lies before the first prompt has no objects, and needs no computing.
        return begun or (min(place, fingerprints.places[0]), None)

    def _caches(self, *, backward: bool) -> list[tuple[int, StateCache]]:
        """(frames from one state to the next, states), in memory and on disk."""
        if backward not in self._states:
            caches: list[tuple[int, StateCache]] = [
                (BETWEEN_STATES_IN_MEMORY, MemoryStateCache(IN_MEMORY_BYTES))
            ]
            state_class = state_class_of(self.segmenter)
            if self.folder is not None and state_class is not None:
                folder = self.folder / ("backward" if backward else "forward")
                device = str(getattr(self.segmenter, "device", "cpu"))
                on_disk = DiskStateCache(folder, state_class, device, ON_DISK_BYTES)
                caches.append((BETWEEN_STATES_ON_DISK, on_disk))
            self._states[backward] = caches
        return self._states[backward]

    def _segmenter_and_video(self) -> str:
        """What a state on disk must be of; in memory there is no other."""
        if not self._identity and self.folder is not None:
            self._identity = fingerprint_of([segmenter_sha256(self.segmenter), video_sha256(self.video)])
        return self._identity


class _StateFingerprints:
    """The fingerprint of a state at each place of a run: of all prompts that were passed.

    Args:
        identity: Of segmenter and video.
        prompts: Frame index → label map.
        order: The frames in the order of the run.

    Attributes:
        places: Where in the run the prompts stand, increasing.
    """

    def __init__(self, identity: str, prompts: Mapping[int, LabelMap], order: range) -> None:
        passed = sorted((order.index(index), labels_sha256(labels)) for index, labels in prompts.items())
        self.places = [place for place, _ in passed]
        self._fingerprints = [fingerprint_of([identity, passed[:n]]) for n in range(len(passed) + 1)]

    def at(self, done: int) -> str:
        """The fingerprint of a true state after a number of frames."""
        return self._fingerprints[bisect_left(self.places, done)]


def _of_whole_video(
    segmenter: VideoSegmenter, video: Video, prompts: Prompts, frames: range
) -> Iterator[SessionFrame]:
    """Some frames, in the order of the video, of a run that computes all of them."""
    for result in frame_results(segmenter, video, prompts) if frames else ():
        if result.index in frames:
            sure = frame_confidence(result.masks)
            agreed = 1.0 if result.agreement is None else result.agreement
            yield SessionFrame(result.index, result.masks, min(sure, agreed))
        if result.index == frames[-1]:
            return
