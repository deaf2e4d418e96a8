"""The two kinds of segmenter, and the one way to drive them.

A `StreamingSegmenter` sees one frame after another and carries an immutable state; a
`VideoSegmenter` wants the whole video. `segment_video` drives either: it is the one way in for
the command line, the evaluation and every other caller.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar, get_args, get_origin

import numpy as np

from tinct.errors import FrameIndexError, NumericalError, OptionError, TinctError
from tinct.inference.devices import OnDevice
from tinct.inference.directions import frames_from
from tinct.io.masks import MaskLike, ObjectMasks, check_labels
from tinct.io.video import Video, VideoLike, as_video
from tinct.shapes import Image, LabelMap

State = TypeVar("State")


class StreamingSegmenter(OnDevice, ABC, Generic[State]):
    """Segments a video frame by frame.

    The state is a frozen dataclass of the method: `step` returns a new one and never edits the one
    it was given, so that a hundred videos can share one segmenter and any state can be kept and
    gone back to. The network's weights are never changed.
    """

    @abstractmethod
    def start(self, frame: Image, labels: LabelMap) -> State:
        """The state after the first annotated frame. `labels` is H×W: ids, 0 background, 255 void."""

    @abstractmethod
    def step(self, state: State, frame: Image, labels: LabelMap | None = None) -> tuple[State, ObjectMasks]:
        """The next frame's masks, and the state after it.

        Args:
            state: What `start` or the previous `step` returned.
            frame: uint8 RGB, of the size that `start` saw.
            labels: A correction painted on this frame. Ids that it holds are taken exactly as
                painted (new ids join the tracked objects); objects that it does not hold keep
                what the network says, outside the painted pixels; void pixels are left to the
                network.
        """


class VideoSegmenter(OnDevice, ABC):
    """Segments a whole video at once, seeing past and future.

    Attributes:
        streams: Whether results come while the video is being read; False where all of them come
            after the last frame was seen.
    """

    streams: bool = True

    @abstractmethod
    def segment(self, video: Video, prompts: Mapping[int, LabelMap]) -> Iterator[tuple[int, ObjectMasks]]:
        """Yield (frame index, masks) for every frame, in order; `prompts` maps frame index → labels."""


def segment_video(
    segmenter: StreamingSegmenter[Any] | VideoSegmenter, video: VideoLike, prompts: Mapping[int, MaskLike]
) -> Iterator[tuple[int, ObjectMasks]]:
    """Segment a video from painted frames: one result per frame, in order, as soon as it is there.

    The prompts are checked when this is called, not when the first result is asked for.

    Args:
        segmenter: Of either kind.
        video: A `Video`, a path, a list or array of frames, or an iterator of frames (see `as_video`); a
            method that sees the whole video takes no iterator.
        prompts: Frame index → label map [H, W] of the video's size (ids, 0 background, 255 void), in any
            form that `tinct.io.masks.as_label_map` takes. A later prompt corrects objects and adds new ones.

    Returns:
        (frame index, masks) for every frame. With a `StreamingSegmenter`, frames before the first
        prompt have no objects, and the first prompted frame's masks are the prompt itself (void
        pixels become background).

    Raises:
        OptionError: There is no prompt, or its index lies outside the video (of an iterator: at its end).
        MaskError: A prompt is no label map, empty or not of the frame's size.
        VideoError: It is no video; or a frame cannot be read (while iterating).
        NumericalError: The network gave NaN or infinity (while iterating).
    """
    whole = as_video(video)
    if isinstance(segmenter, StreamingSegmenter):
        return iter(StreamingRun(segmenter, whole, prompts))
    len(whole)  # a stream has none, and says so
    checked = check_prompts(whole, prompts)
    results = segmenter.segment(whole, checked)
    return ((index, check_masks(masks, index, whole.size)) for index, masks in results)


class StreamingRun(Generic[State]):
    """One video on its way through a streaming segmenter; iterate over it for (frame index, masks).

    After each result, `state` and `next_index` say where the run stands. Both can be kept and given
    to a new run, which goes on from there and yields the same masks as this one would have.

    Args:
        segmenter: Any streaming segmenter.
        video: The frames.
        prompts: As for `segment_video`; all of them, also when going on in the middle.
        start_at: The first frame to segment; None for the video's first, or its last if `backward`.
        state: The state after the frame before it (`start_at - 1`, or `start_at + 1` if `backward`);
            None if no prompt was passed on the way there.
        backward: Go from the last frame to the first, as if the video were turned round.

    Raises:
        OptionError: No prompt, one outside the video, or a `state` that does not fit `start_at`.
        MaskError: A prompt is empty or not of the frame's size.
    """

    def __init__(
        self,
        segmenter: StreamingSegmenter[State],
        video: Video,
        prompts: Mapping[int, MaskLike],
        *,
        start_at: int | None = None,
        state: State | None = None,
        backward: bool = False,
    ) -> None:
        self._segmenter = segmenter
        self._video = video
        self._prompts = check_prompts(video, prompts)
        self._backward = backward
        beginning = len(video) - 1 if backward else 0
        self.next_index = beginning if start_at is None else start_at
        self.state = state
        first = max(self._prompts) if backward else min(self._prompts)
        begun = self.next_index < first if backward else self.next_index > first
        if (state is not None) != begun:
            raise OptionError(
                f"A run that goes on at frame {self.next_index}, with its first prompt at frame {first}, "
                f"takes {'a state' if begun else 'no state'}."
            )

    def __iter__(self) -> Iterator[tuple[int, ObjectMasks]]:
        step = -1 if self._backward else 1
        for frame in frames_from(self._video, self.next_index, backward=self._backward):
            index = self.next_index
            masks = check_masks(self._advance(frame, self._prompts.get(index)), index, self._video.size)
            self.next_index = index + step
            yield index, masks
        if not self._backward:
            _check_inside(self._prompts, self.next_index)

    def _advance(self, frame: Image, labels: LabelMap | None) -> ObjectMasks:
        if self.state is not None:
            self.state, masks = self._segmenter.step(self.state, frame, labels)
            return masks
        if labels is None:
            return ObjectMasks((), np.zeros((0, *self._video.size), np.float32))
        self.state = self._segmenter.start(frame, labels)
        return ObjectMasks.from_label_map(labels)


def state_class_of(segmenter: StreamingSegmenter[Any] | VideoSegmenter) -> type | None:
    """The class that a streaming segmenter names as its state: `class X(StreamingSegmenter[XState])`."""
    for cls in type(segmenter).__mro__:
        for base in getattr(cls, "__orig_bases__", ()):
            if get_origin(base) is StreamingSegmenter and isinstance(get_args(base)[0], type):
                state_class: type = get_args(base)[0]
                return state_class
    return None


def check_prompts(video: Video, prompts: Mapping[int, MaskLike]) -> dict[int, LabelMap]:
    """The prompts in the order of their frames, each checked against the video.

    Raises:
        OptionError: There is no prompt, or its index lies outside the video.
        MaskError: A prompt is empty or not of the frame's size.
    """
    if not prompts:
        raise OptionError("No prompt came; give the mask of at least one frame, {frame index: label map}.")
    _check_inside(prompts, video.length)
    return {
        index: check_labels(prompts[index], frame_size=video.size, name=f"the mask of frame {index}")
        for index in sorted(prompts)
    }


def _check_inside(prompts: Mapping[int, Any], frames: int | None) -> None:
    """FrameIndexError if a prompt lies outside the video; a stream has no end until it is reached."""
    outside = [i for i in sorted(prompts) if i < 0 or (frames is not None and i >= frames)]
    if outside:
        there = "indices start at 0" if frames is None else f"the video has frames 0 to {frames - 1}"
        raise FrameIndexError(f"A prompt for frame {outside[0]} came, but {there} (the first frame is 0).")


def check_masks(masks: ObjectMasks, index: int, size: tuple[int, int]) -> ObjectMasks:
    """The masks as they came, if they are finite and of the video's size."""
    if masks.size != size:
        raise TinctError(
            f"The segmenter gave masks of {masks.size} for frame {index} of {size} (height, width); "
            "a segmenter must return masks of the frame's own size."
        )
    # A sum is one pass without a temporary, and no term can hide a NaN or an infinity in it.
    if not np.isfinite(masks.probs.sum()):
        raise NumericalError(
            f"The network gave NaN or infinity for frame {index}, so its masks would be meaningless. "
            "Check the weights file; if the frame is ordinary, try --device cpu or full precision (float32)."
        )
    return masks
