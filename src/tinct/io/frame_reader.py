"""Single frames of a video, in any order; frames in order cost no seeking."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress

from tinct.errors import OptionError, VideoError
from tinct.io.video import FolderVideo, Video
from tinct.shapes import Image

READ_AHEAD_FRAMES = 24
"""Distance up to which the reader decodes on to a frame instead of seeking."""


class FrameReader:
    """Single frames of one video, in any order; frames in order cost no seeking."""

    def __init__(self, video: Video) -> None:
        self.video = video
        self._lock = threading.Lock()
        self._next = 0
        self._frames: Iterator[Image] | None = None

    def frame(self, index: int) -> Image:
        """One frame.

        Raises:
            OptionError: The video has no such frame.
            VideoError: It cannot be read.
        """
        if not 0 <= index < len(self.video):
            raise OptionError(
                f"Frame {index} was asked for; the video has frames 0 to {len(self.video) - 1}."
            )
        if isinstance(self.video, FolderVideo):
            return self.video[index]
        with self._lock:
            if self._frames is not None and self._next <= index <= self._next + READ_AHEAD_FRAMES:
                with suppress(VideoError):  # a broken frame on the way there
                    return self._read_on(index)
            self._frames, self._next = self.video.frames(index), index
            return self._read_on(index)

    def _read_on(self, index: int) -> Image:
        frames, self._frames = self._frames, None  # nothing goes on after an error
        assert frames is not None
        for image in frames:
            self._next += 1
            if self._next > index:
                self._frames = frames
                return image
        raise VideoError(f"{self.video.path} has no frame {index} that can be read; it was cut short.")
