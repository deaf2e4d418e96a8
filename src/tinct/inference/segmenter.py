"""The two kinds of segmenter, and the one loop that drives them.

A `StreamingSegmenter` sees one frame after another and carries an immutable state; a
`VideoSegmenter` wants the whole video. `segment_video` drives either. It is `frame_results` in
short, through which the command line, the page, the evaluation and every other caller go, so that no
result is used, or written down as complete, that was not checked.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NewType, TypeAlias, TypeVar, get_args, get_origin

import numpy as np

from tinct.errors import FrameIndexError, MaskError, NumericalError, OptionError, TinctError
from tinct.inference.devices import OnDevice
from tinct.inference.directions import cut_short, frames_of
from tinct.io.masks import MaskLike, ObjectMasks, check_labels
from tinct.io.video import Video, VideoLike, as_video
from tinct.shapes import Image, LabelMap, holds_arrays

if TYPE_CHECKING:
    PromptsLike: TypeAlias = Mapping[int, MaskLike]
else:
    PromptsLike = Any
"""Frame index → mask, before `check_prompts` has seen them."""

State = TypeVar("State")

Prompts = NewType("Prompts", dict[int, LabelMap])
"""Prompts in the order of their frames, checked against a video by `check_prompts`."""


class StreamingSegmenter(OnDevice, ABC, Generic[State]):
    """Segments a video frame by frame.

    The state is a frozen dataclass of the method: `step` returns a new one and never edits the one
    it was given, so that a hundred videos can share one segmenter and any state can be stored and
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
            labels: A correction of this frame. Ids that it holds are taken exactly as
                they are there (new ids join the tracked objects); objects that it does not hold keep
                what the network says, outside the pixels of those; void pixels are left to the
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
        """Yield (frame index, masks) for every frame, in order.

        Args:
            video: The frames.
            prompts: Frame index → labels, in order; `segment_video` has checked them.
        """

    def compared(
        self, video: Video, prompts: Mapping[int, LabelMap]
    ) -> Iterator[tuple[int, ObjectMasks, float | None]]:
        """As `segment`, with how well two runs agree on the frame (`inference.confidence`) where two met."""
        return ((index, masks, None) for index, masks in self.segment(video, prompts))


@holds_arrays
@dataclass(frozen=True, repr=False)
class FrameResult:
    """What a segmenter gave for one frame.

    Attributes:
        index: Of the frame.
        masks: Of the frame's size.
        state: The state after the frame, to go on from; None before the first prompt, and from a
            `VideoSegmenter`.
        agreement: How well two runs agree where two met, in [0, 1]; else None.
        frame: The frame itself, where it was read for this result alone; None from a `VideoSegmenter`.
    """

    index: int
    masks: ObjectMasks
    state: Any = None
    agreement: float | None = None
    frame: Image | None = None


def segment_video(
    segmenter: StreamingSegmenter[Any] | VideoSegmenter, video: VideoLike, prompts: PromptsLike
) -> Iterator[tuple[int, ObjectMasks]]:
    """Segment a video from annotated frames: one result per frame, in order, as soon as it is there.

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
        MaskError: A prompt is no label map, empty or not of the frame's size, or (while iterating) masks
            are not.
        VideoError: It is no video; or a frame cannot be read (while iterating).
        NumericalError: The network gave NaN or infinity (while iterating).
        TinctError: The segmenter left a frame out, gave one twice, or gave them in another order
            (while iterating).
    """
    whole = as_video(video)
    checked = check_prompts(whole, prompts)
    if whole.length is None and isinstance(segmenter, StreamingSegmenter):
        results = _live(segmenter, whole, checked)
    else:
        results = frame_results(segmenter, whole, checked)
    return ((result.index, result.masks) for result in results)


def frame_results(
    segmenter: StreamingSegmenter[Any] | VideoSegmenter,
    video: Video,
    prompts: Prompts,
    frames: range | None = None,
    state: Any = None,
) -> Iterator[FrameResult]:
    """Segment frames of a video, and check every result: the one loop that drives a segmenter.

    The state of any result can be given to a later call, which goes on after that frame and yields the same
    masks as this one would have.

    Args:
        segmenter: Of either kind; only a streaming one takes `frames` and `state`.
        video: The frames.
        prompts: All of them, also when going on in the middle.
        frames: Which frames, in the order of the run: with a step of 1, or of -1 to go through the
            video as if it were turned round. None for all of them.
        state: The state after the frame before `frames`; None if the run has met no prompt there.

    Yields:
        Every frame once, in the order of `frames`, its masks finite and of its size. The last one comes
        when it is certain that nothing follows it.

    Raises:
        OptionError: A `state` that does not fit `frames`, or either with a `VideoSegmenter`.
        MaskError, VideoError, NumericalError, TinctError: As `segment_video`, while iterating.
    """
    every = range(len(video))
    frames = every if frames is None else frames
    results: Iterator[FrameResult]
    if isinstance(segmenter, StreamingSegmenter):
        _check_state(state, frames, prompts)
        results = _stream(segmenter, video, prompts, frames, state)
    elif frames != every or state is not None:
        raise OptionError(
            f"Frames {frames.start} to {frames.stop - frames.step} were asked of a segmenter that sees whole "
            "videos; it begins at the first frame and gives all of them."
        )
    else:
        compared = segmenter.compared(video, prompts)
        results = (FrameResult(index, masks, None, agreed) for index, masks, agreed in compared)
    return _checked(results, video, frames)


def _check_state(state: Any, frames: range, prompts: Prompts) -> None:
    first = min(prompts) if frames.step > 0 else max(prompts)
    begun = (frames.start - first) * frames.step > 0
    if (state is not None) != begun:
        raise OptionError(
            f"A run that goes on at frame {frames.start}, with its first prompt at frame {first}, "
            f"takes {'a state' if begun else 'no state'}."
        )


def _stream(
    segmenter: StreamingSegmenter[State],
    video: Video,
    prompts: Prompts,
    frames: range,
    state: State | None,
) -> Iterator[FrameResult]:
    for place, frame in enumerate(frames_of(video, frames)):
        index = frames.start + place * frames.step
        labels = prompts.get(index)
        if state is not None:
            state, masks = segmenter.step(state, frame, labels)
        elif labels is not None:
            state, masks = segmenter.start(frame, labels), ObjectMasks.from_label_map(labels)
        else:
            masks = ObjectMasks((), np.zeros((0, *video.size), np.float32))
        yield FrameResult(index, masks, state, frame=frame)


def _live(segmenter: StreamingSegmenter[Any], video: Video, prompts: Prompts) -> Iterator[FrameResult]:
    """Results of a stream of frames, of which nobody knows the end before it is there."""
    frames = 0
    for result in _stream(segmenter, video, prompts, range(sys.maxsize), None):
        check_masks(result.masks, result.index, video.size)
        frames += 1
        yield result
    _check_inside(prompts, frames)


def _checked(results: Iterator[FrameResult], video: Video, frames: range) -> Iterator[FrameResult]:
    for expected in frames:
        result = next(results, None)
        if result is None:
            raise _missing(video, expected)
        if result.index != expected:
            raise TinctError(
                f"Masks of frame {result.index} came where those of frame {expected} were expected; a "
                "segmenter must give every frame once, in order."
            )
        check_masks(result.masks, expected, video.size)
        if expected == frames[-1] and (more := next(results, None)) is not None:
            raise TinctError(
                f"Masks of frame {more.index} came after the last frame, {expected}; a segmenter must give "
                "every frame once, in order."
            )
        yield result


def _missing(video: Video, index: int) -> TinctError:
    """Why there are no masks of a frame: the frame itself may be missing."""
    if next(video.frames(index, index + 1), None) is None:
        return cut_short(video, index)
    return TinctError(
        f"For frame {index} of {len(video)} the segmenter gave nothing; it must give masks for every frame."
    )


def state_class_of(segmenter: StreamingSegmenter[Any] | VideoSegmenter) -> type | None:
    """The class that a streaming segmenter names as its state: `class X(StreamingSegmenter[XState])`."""
    for cls in type(segmenter).__mro__:
        for base in getattr(cls, "__orig_bases__", ()):
            streams = issubclass(get_origin(base) or object, StreamingSegmenter)
            if streams and isinstance(get_args(base)[0], type):
                state_class: type = get_args(base)[0]
                return state_class
    return None


def check_prompts(video: Video, prompts: PromptsLike | Any) -> Prompts:
    """The prompts in the order of their frames, each checked against the video.

    Raises:
        OptionError: There is no prompt, or its index lies outside the video.
        MaskError: A prompt is empty or not of the frame's size.
    """
    if not isinstance(prompts, Mapping):
        raise OptionError(
            f"A {type(prompts).__name__} came as the prompts; say of which frame each mask is: {{0: mask}}."
        )
    if not prompts:
        raise OptionError("No prompt came; give the mask of at least one frame, {frame index: label map}.")
    for index in prompts:
        if not isinstance(index, (int, np.integer)):
            raise OptionError(
                f"A prompt for frame {index!r} came; a frame's index is a whole number: {{0: mask}}."
            )
    given = {int(index): prompts[index] for index in sorted(prompts)}
    _check_inside(given, video.length)
    return Prompts(
        {
            index: check_labels(labels, frame_size=video.size, name=f"the mask of frame {index}")
            for index, labels in given.items()
        }
    )


def _check_inside(prompts: Mapping[int, Any], frames: int | None) -> None:
    """FrameIndexError if a prompt lies outside the video; a stream has no end until it is reached."""
    outside = [i for i in sorted(prompts) if i < 0 or (frames is not None and i >= frames)]
    if outside:
        there = "indices start at 0" if frames is None else f"the video has frames 0 to {frames - 1}"
        raise FrameIndexError(f"A prompt for frame {outside[0]} came, but {there} (the first frame is 0).")


def check_masks(masks: ObjectMasks, index: int, size: tuple[int, int]) -> None:
    """MaskError if a frame's masks are of another size, NumericalError if they are not finite."""
    if masks.size != size:
        raise MaskError(
            f"The segmenter gave masks of {masks.size} for frame {index} of {size} (height, width); "
            "a segmenter's masks have the size of its frames."
        )
    # A sum is one pass without a temporary, and no term can hide a NaN or an infinity in it.
    if not np.isfinite(masks.probs.sum()):
        raise NumericalError(
            f"The network gave NaN or infinity for frame {index}, so its masks would be meaningless. "
            "Check the weights file; if the frame is ordinary, try --device cpu or full precision (float32)."
        )
