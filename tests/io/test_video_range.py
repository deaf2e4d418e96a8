"""Some frames of a video in a row: names, frames and prompts of the view, and what is no range."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinct.errors import OptionError
from tinct.io.video import Video
from tinct.io.video_range import VideoRange, parse_range


@pytest.fixture
def video() -> Video:
    frames = [np.full((2, 3, 3), t, np.uint8) for t in range(6)]
    return Video.from_arrays(frames, names=[f"shot{t}" for t in range(6)])


def test_frames_keep_their_names(video: Video) -> None:
    some = VideoRange(video, 2, 5)
    assert (len(some), some.size, some.rate) == (3, video.size, video.rate)
    assert some.names == ("shot2", "shot3", "shot4")
    assert [int(frame[0, 0, 0]) for frame in some] == [2, 3, 4]
    assert int(some[-1][0, 0, 0]) == 4
    assert [int(frame[0, 0, 0]) for frame in some.frames(1, 2)] == [3]
    with pytest.raises(OptionError, match="frames 0 to 2"):
        some.frames(0, 4)
    assert len(VideoRange(video)) == 6
    assert VideoRange(video, 4).names == ("shot4", "shot5")


def test_prompts_of_the_whole_become_prompts_of_the_range(video: Video) -> None:
    labels = np.ones((2, 3), np.uint8)
    some = VideoRange(video, 2, 5)
    assert list(some.prompts({2: labels, 4: labels})) == [0, 2]
    for outside in (1, 5):
        with pytest.raises(OptionError, match=rf"mask of frame {outside} came with --frames 2:5.*2 to 4"):
            some.prompts({2: labels, outside: labels})


@pytest.mark.parametrize("span", [(3, 3), (4, 2), (0, 7), (6, None), (-1, 3)])
def test_a_range_lies_in_the_video_and_holds_a_frame(video: Video, span: tuple[Any, Any]) -> None:
    with pytest.raises(OptionError, match="the video has 6 frames"):
        VideoRange(video, *span)


@pytest.mark.parametrize(
    ("text", "span"), [("10:200", (10, 200)), ("10:", (10, None)), (":200", (0, 200)), (":", (0, None))]
)
def test_ranges_are_read_as_python_has_them(text: str, span: tuple[int, int | None]) -> None:
    assert parse_range(text) == span


@pytest.mark.parametrize("text", ["", "10", "-5:", "1:2:3", "a:b", "10-20", "1.5:3", "²:3"])
def test_what_is_no_range_is_explained(text: str) -> None:
    with pytest.raises(OptionError, match=r"give START:STOP, such as 10:200"):
        parse_range(text)
