from __future__ import annotations

import numpy as np
import pytest
from fault_kit import FaultyVideo

from tinct.errors import OptionError, VideoError
from tinct.inference.directions import check_direction, frame_range, frames_of
from tinct.io.video import Video


@pytest.mark.parametrize("name", ["forward", "backward", "both"])
def test_directions_have_names(name: str) -> None:
    assert check_direction(name) == name


def test_another_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(OptionError, match=r"no direction 'backwards'\. Did you mean 'backward'"):
        check_direction("backwards")


@pytest.mark.parametrize(
    ("start", "stop", "backward", "expected"),
    [
        (None, None, False, [0, 1, 2, 3, 4]),
        (None, None, True, [4, 3, 2, 1, 0]),
        (2, None, False, [2, 3, 4]),
        (2, None, True, [2, 1, 0]),
        (1, 3, False, [1, 2]),
        (3, 1, True, [3, 2]),
        (3, -1, True, [3, 2, 1, 0]),
        (3, 5, False, [3, 4]),
        (3, 3, False, []),
        (3, 1, False, []),
    ],
)
def test_frame_range(start: int | None, stop: int | None, backward: bool, expected: list[int]) -> None:
    assert list(frame_range(5, start, stop, backward=backward)) == expected


@pytest.mark.parametrize(
    ("start", "stop", "said"), [(5, None, "Frame 5 came"), (-1, None, "Frame -1"), (0, 6, "stop at frame 6")]
)
def test_frames_outside_the_video_are_refused(start: int, stop: int | None, said: str) -> None:
    with pytest.raises(OptionError, match=rf"{said}.*frames 0 to 4"):
        frame_range(5, start, stop)


@pytest.mark.parametrize("backward", [False, True])
def test_frames_of(backward: bool) -> None:
    video = Video.from_arrays([np.full((2, 3, 3), t, np.uint8) for t in range(40)])
    frames = range(30, 5, -1) if backward else range(20, 33)
    assert [int(frame[0, 0, 0]) for frame in frames_of(video, frames)] == list(frames)


def test_a_video_that_ends_too_early_is_not_turned_round_in_the_wrong_places() -> None:
    with pytest.raises(VideoError, match="ended after 3 of 6 frames"):
        list(frames_of(FaultyVideo("too few"), range(5, -1, -1)))
