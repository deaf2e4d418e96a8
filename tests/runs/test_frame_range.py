"""The frames that a run is of: how a range is read, its prompts, and what is none."""

from __future__ import annotations

import numpy as np
import pytest

from tinct.errors import OptionError
from tinct.runs.frame_range import FrameRange


@pytest.mark.parametrize(
    ("text", "start", "stop"),
    [("10:20", 10, 20), ("10:", 10, 30), (":20", 0, 20), (":", 0, 30), ("29:30", 29, 30)],
)
def test_ranges_are_read_as_python_has_them(text: str, start: int, stop: int) -> None:
    found = FrameRange.parse(text, 30)
    assert found == FrameRange(start, stop)
    assert str(found) == f"{start}:{stop}"


@pytest.mark.parametrize("text", ["", "10", "-5:", "1:2:3", "a:b", "10-20", "1.5:3", "²:3"])
def test_what_is_no_range_is_explained(text: str) -> None:
    with pytest.raises(OptionError, match=r"give START:STOP, such as 10:200"):
        FrameRange.parse(text, 30)


@pytest.mark.parametrize("text", ["3:3", "4:2", "0:31", "30:", ":0", "0:0", "31:40"])
def test_a_range_lies_in_the_video_and_holds_a_frame(text: str) -> None:
    with pytest.raises(OptionError, match=f"^The frames {text} came, but the video has 30 frames"):
        FrameRange.parse(text, 30)


def test_prompts_of_the_whole_become_prompts_of_the_range() -> None:
    labels = np.ones((2, 3), np.uint8)
    some = FrameRange(2, 5)
    assert list(some.prompts({2: labels, 4: labels})) == [0, 2]
    for outside in (1, 5):
        with pytest.raises(OptionError, match=rf"mask of frame {outside} came with --frames 2:5.*2 to 4"):
            some.prompts({2: labels, outside: labels})
