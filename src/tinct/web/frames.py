"""Frames of videos as JPEGs: quick to seek, with the latest cached in memory."""

from __future__ import annotations

import queue
import threading
from collections import OrderedDict
from contextlib import suppress

import numpy as np

from tinct.errors import TinctError, VideoError
from tinct.io.frame_reader import FrameReader
from tinct.io.video import Video
from tinct.shapes import Image

QUALITY = 88
"""Quality of the JPEGs: no visible artefacts, at a tenth of the size of a PNG."""

PREFETCH_FRAMES = 16
"""Frames that are prefetched as one block, since a backward run requests them in reverse order."""

FrameKey = tuple[str, int, int]
"""Project, frame index, width in pixels (0: the video's own)."""


class FrameCache:
    """A cache of the JPEGs that were requested last, of all projects.

    Args:
        max_bytes: Size of the cache in memory.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._jpegs: OrderedDict[FrameKey, bytes] = OrderedDict()
        self._readers: dict[str, FrameReader] = {}
        self._widths: dict[str, int] = {}  # that were requested last
        self._lock = threading.Lock()
        self._last_prefetch: tuple[str, int] | None = None
        self._prefetches: queue.Queue[tuple[str, Video, int]] = queue.Queue(maxsize=8)
        threading.Thread(target=self._prefetch, name="frames ahead", daemon=True).start()

    def jpeg(self, project: str, video: Video, index: int, width: int = 0) -> bytes:
        """A frame as JPEG.

        Args:
            project: Its id.
            video: Its video.
            index: The frame.
            width: In pixels; 0, or more than the video's own width, leaves it as it is.

        Raises:
            OptionError: The video has no such frame.
            VideoError: It cannot be read.
        """
        width = 0 if width >= video.size[1] else width
        key = (project, index, width)
        with self._lock:
            self._widths[project] = width
            if key in self._jpegs:
                self._jpegs.move_to_end(key)
                return self._jpegs[key]
        found = _encode_jpeg(self.image(project, video, index), width)
        self._store(key, found)
        return found

    def image(self, project: str, video: Video, index: int) -> Image:
        """A frame as RGB; raises the errors of `jpeg`."""
        with self._lock:
            reader = self._readers.setdefault(project, FrameReader(video))
        return reader.frame(index)

    def prefetch(self, project: str, video: Video, index: int) -> None:
        """Encode a frame and its block in the background, as wide as the last requested frame.

        This keeps finished frames quick to scrub to while others are computed.
        """
        with self._lock:
            first = index // PREFETCH_FRAMES * PREFETCH_FRAMES
            if (project, first) == self._last_prefetch:
                return
            self._last_prefetch = (project, first)
        with suppress(queue.Full):
            self._prefetches.put_nowait((project, video, first))

    def _prefetch(self) -> None:
        reader: FrameReader | None = None
        while True:
            project, video, first = self._prefetches.get()
            if reader is None or reader.video is not video:
                reader = FrameReader(video)  # of its own, so that the position of the other readers stays
            width = self._widths.get(project, 0)
            for index in range(first, min(first + PREFETCH_FRAMES, len(video))):
                with self._lock:
                    known = (project, index, width) in self._jpegs
                if not known:
                    try:
                        self._store((project, index, width), _encode_jpeg(reader.frame(index), width))
                    except TinctError:
                        break  # reported when the frame is requested

    def evict(self, project: str) -> None:
        """Drop a project's frames and reader."""
        with self._lock:
            self._readers.pop(project, None)
            self._widths.pop(project, None)
            for key in [key for key in self._jpegs if key[0] == project]:
                self._bytes -= len(self._jpegs.pop(key))

    def _store(self, key: FrameKey, jpeg: bytes) -> None:
        with self._lock:
            self._bytes += len(jpeg) - len(self._jpegs.pop(key, b""))
            self._jpegs[key] = jpeg
            while self._bytes > self._max_bytes and len(self._jpegs) > 1:
                with suppress(KeyError):
                    self._bytes -= len(self._jpegs.popitem(last=False)[1])


def _encode_jpeg(frame: Image, width: int) -> bytes:
    import cv2

    if width:
        height = max(1, round(frame.shape[0] * width / frame.shape[1]))
        frame = np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    # The colours' order is turned for OpenCV; both steps let other threads run.
    turned = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    made, jpeg = cv2.imencode(".jpg", turned, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not made:
        raise VideoError(f"A frame of {frame.shape[1]}×{frame.shape[0]} pixels cannot be made a JPEG.")
    return bytes(jpeg.tobytes())
