from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from web_kit import until

from tinct.errors import OptionError, VideoError
from tinct.io.video import Video
from tinct.io.video_writer import VideoWriter
from tinct.shapes import Image as Frame
from tinct.web.frames import PREFETCH_FRAMES, FrameCache, FrameReader

COUNT = 60


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Video:
    """Frames whose grey tells their index."""
    path = tmp_path_factory.mktemp("video") / "video.mp4"
    with VideoWriter(path, 24) as writer:
        for index in range(COUNT):
            writer.write(np.full((32, 48, 3), 4 * index, np.uint8))
    return Video.open(path)


def index_of(frame: np.ndarray) -> int:
    return round(float(frame.mean()) / 4)


def test_any_order_gives_the_frames_of_a_plain_walk(video: Video) -> None:
    reader = FrameReader(video)
    order = [0, 1, 2, 40, 41, 39, 5, 30, 59, 0, 59, 58, *np.random.default_rng(0).integers(0, COUNT, 20)]
    whole = list(video)
    for index in order:
        np.testing.assert_array_equal(reader.frame(int(index)), whole[index])


class Counting(Video):
    """Frames that count how often reading began again."""

    def __init__(self, broken: int = -1) -> None:
        self.size, self.begun, self.broken = (4, 4), 0, broken

    def __len__(self) -> int:
        return COUNT

    @property
    def names(self) -> list[str]:
        return [str(i) for i in range(COUNT)]

    def _read(self, start: int, stop: int) -> Iterator[Frame]:
        self.begun += 1
        for index in range(start, stop):
            if index == self.broken:
                raise VideoError(f"frame {index} is damaged")
            yield np.full((4, 4, 3), index, np.uint8)


def test_frames_in_order_are_read_on_to(tmp_path: Path) -> None:
    video = Counting()
    reader = FrameReader(video)
    assert [reader.frame(i)[0, 0, 0] for i in (0, 1, 2, 5, 20)] == [0, 1, 2, 5, 20]
    assert video.begun == 1
    assert reader.frame(3)[0, 0, 0] == 3
    assert reader.frame(59)[0, 0, 0] == 59
    assert video.begun == 3


def test_a_broken_frame_leaves_the_others() -> None:
    reader = FrameReader(Counting(broken=4))
    with pytest.raises(VideoError, match="frame 4 is damaged"):
        reader.frame(4)
    assert reader.frame(3)[0, 0, 0] == 3
    assert reader.frame(5)[0, 0, 0] == 5


def test_jpegs_are_kept_within_their_bytes_and_made_once(video: Video) -> None:
    cache = FrameCache(4000)
    for index in range(COUNT):
        cache.jpeg("p", video, index)
        assert cache._bytes == sum(map(len, cache._jpegs.values())) <= 4000
    assert cache.jpeg("p", video, COUNT - 1) is cache.jpeg("p", video, COUNT - 1)
    cache.evict("p")
    assert cache._bytes == 0


def test_widths_larger_than_the_video_are_its_own(video: Video) -> None:
    cache = FrameCache(10**6)
    assert cache.jpeg("p", video, 3, 4800) is cache.jpeg("p", video, 3)
    small = np.array(Image.open(io.BytesIO(cache.jpeg("p", video, 3, 24))))
    assert small.shape == (16, 24, 3)
    with pytest.raises(OptionError, match="frames 0 to 59"):
        cache.jpeg("p", video, COUNT)


def test_frames_that_are_expected_are_ready_as_wide_as_the_last_one() -> None:
    cache, video = FrameCache(10**6), Counting()
    cache.jpeg("p", video, 0, 2)
    cache.prefetch("p", video, PREFETCH_FRAMES + 3)
    until(lambda: all(("p", i, 2) in cache._jpegs for i in range(PREFETCH_FRAMES, 2 * PREFETCH_FRAMES)))
    begun = video.begun
    cache.jpeg("p", video, PREFETCH_FRAMES + 5, 2)
    assert video.begun == begun
