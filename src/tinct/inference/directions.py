"""The order of frames: forward, backward, or in both directions from the annotated frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

from tinct.errors import FrameIndexError, OptionError, VideoError, near_match
from tinct.io.video import Video
from tinct.shapes import Image

Direction = Literal["forward", "backward", "both"]
"""`forward`: from each annotated frame to those after it; `backward`: to those before it; `both`: to both."""

FRAMES_AT_ONCE = 16
"""Video files are read forwards: a backward run reads this number of frames, and turns them round."""


def check_direction(direction: str) -> Direction:
    """The direction, if it is one.

    Raises:
        OptionError: It is none.
    """
    for known in get_args(Direction):
        if direction == known:
            found: Direction = known
            return found
    raise OptionError(f"There is no direction {direction!r}. {near_match(direction, get_args(Direction))}")


def frame_range(frames: int, start: int | None, stop: int | None, *, backward: bool = False) -> range:
    """The frames from `start` on, to before `stop`, in either direction.

    Args:
        frames: How many the video has.
        start: The first of them; None for the video's first frame, or its last if `backward`.
        stop: The frame before which they end; None for all that there are.
        backward: Down from `start`, as `range(start, stop, -1)`.

    Raises:
        OptionError: `start` or `stop` lies outside the video.
    """
    step = -1 if backward else 1
    everything = range(frames)[::step]
    first = everything[0] if start is None else start
    last = everything[-1] + step if stop is None else stop
    if first not in everything or last not in range(-1, frames + 1):
        came = f"frame {first}" if first not in everything else f"a stop at frame {last}"
        raise FrameIndexError(
            f"{came[:1].upper() + came[1:]} came, but the video has frames 0 to {frames - 1} (the first "
            "frame is 0)."
        )
    return range(first, last, step)


def frames_of(video: Video, frames: range) -> Iterator[Image]:
    """These frames, whose step is 1 or -1, in their order; fewer if the video turns out shorter than it said.

    Raises:
        VideoError: A frame cannot be read, or, of those that come last to first, is not there.
    """
    if frames.step > 0:
        return video.frames(frames.start, frames.stop)
    return backwards(video, frames.stop + 1, frames.start + 1)


def backwards(video: Video, start: int, stop: int) -> Iterator[Image]:
    """The frames from before `stop` down to `start`; a few are in memory at a time."""
    while stop > start:
        chunk = max(start, stop - FRAMES_AT_ONCE)
        read = list(video.frames(chunk, stop))
        if len(read) < stop - chunk:
            raise cut_short(video, chunk + len(read))
        yield from reversed(read)
        stop = chunk


def cut_short(video: Video, frames: int) -> VideoError:
    """The error of a video that ended after a number of frames."""
    return VideoError(
        f"The video ended after {frames} of {len(video)} frames; the file is cut short. "
        "Check it, or give the frames as a folder of images."
    )
