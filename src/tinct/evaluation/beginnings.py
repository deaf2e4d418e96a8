"""The beginning of a video, as a video of its own: for trials where whole sequences would take too long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tinct.errors import OptionError
from tinct.io.video import Video
from tinct.shapes import Image

LEAST_FRAMES = 3
"""A protocol that scores neither the first nor the last frame has one left."""


class Beginning(Video):
    """The first frames of a video.

    Args:
        video: The whole.
        count: At most so many frames of it.
    """

    def __init__(self, video: Video, count: int) -> None:
        self._video, self._count = video, min(count, len(video))
        self.size, self.rate, self.path = video.size, video.rate, video.path

    def __len__(self) -> int:
        return self._count

    @property
    def names(self) -> Sequence[str]:
        """Those of the whole video's first frames."""
        return self._video.names[: self._count]

    def _read(self, start: int, stop: int) -> Iterator[Image]:
        return self._video.frames(start, stop)


def check_max_frames(max_frames: int | None) -> None:
    """OptionError if so few frames of a sequence leave nothing to score."""
    if max_frames is not None and max_frames < LEAST_FRAMES:
        raise OptionError(
            f"max_frames = {max_frames} came; it starts at {LEAST_FRAMES}, because the first and the last "
            "frame may not be scored."
        )
