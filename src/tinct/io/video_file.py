"""A video file, decoded: its frames in order, found exactly, turned as they are meant to be seen."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.error import ArgumentError, DecoderNotFoundError, FFmpegError
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tinct.errors import VideoError
from tinct.io.frames import sizes_differ
from tinct.shapes import Image

FORMATS = (
    "3g2,3gp,amv,asf,av1,avi,dv,flv,gif,h261,h263,h264,hevc,ivf,m4v,matroska,mj2,mjpeg,mov,mp4,m4a,mpeg,"
    "mpegts,mpegvideo,mxf,nut,obu,ogg,rm,vc1,webm,yuv4mpegpipe"
)
"""The containers that FFmpeg may open. Of some hundred more, playlists (HLS, DASH, concat) and patterns of
images open other files by the names that they hold."""


class VideoFile:
    """A video file and its frames: one per coded frame, whatever its time.

    Attributes:
        size: (H, W) in pixels.
        rate: Average frames per second; None where the file does not say it.
        pixel_aspect: Width of a pixel / its height, upright; None where the file does not say it.

    Raises:
        VideoError: It is no video, or of a codec that cannot be decoded.
    """

    def __init__(self, path: Path) -> None:
        self._file = path
        try:
            with _container(path) as (container, stream):
                self.rate = stream.average_rate or stream.guessed_rate
                aspect = stream.sample_aspect_ratio
                first = next(container.decode(stream), None)
        except DecoderNotFoundError as error:
            raise VideoError(
                f"{path} is a video, but of a codec that cannot be decoded here; convert it to H.264 in an "
                "MP4 file, or to a folder of images."
            ) from error
        except FFmpegError as error:
            reason = "no container of video" if isinstance(error, ArgumentError) else error.strerror
            raise VideoError(
                f"{path} cannot be read as a video ({reason}); expected a file such as MP4, MOV, "
                "MKV, WebM or AVI, and no playlist. It may have been cut short."
            ) from error
        if first is None:
            raise VideoError(f"{path} is a video without frames; it may have been cut short.")
        self._display = _display_matrix(first)
        self._first_size: tuple[int, ...] | None = None
        height, width, _ = self._upright(first).shape
        self.size = self._first_size = height, width
        across = abs(self._display[1]) > abs(self._display[0])
        self.pixel_aspect = (1 / aspect if across else aspect) if aspect and aspect > 0 else None

    def __len__(self) -> int:
        """The number of frames; the first time, all packets are counted."""
        return self._index.number

    @property
    def is_counted(self) -> bool:
        """Whether the number is known without reading the file."""
        return "_index" in vars(self)

    @cached_property
    def _index(self) -> _FrameIndex:
        times: list[int | None] = []
        discarded = 0
        with _container(self._file) as (container, stream):
            # VP8 has packets without a visible frame, so that only decoding tells the number.
            decodes = stream.codec_context.name in ("vp8", "libvpx")
            promised = stream.frames if "mp4" in container.format.name else 0
            # The table that promises takes 4 bytes a frame, or frames of one size do.
            promised = promised if promised <= self._file.stat().st_size // 4 else 0
            with suppress(FFmpegError):  # a broken place is reported by whoever reads that frame
                for packet in container.demux(stream):
                    discarded += packet.is_discard
                    if decodes:
                        times += [frame.pts for frame in packet.decode()]
                    elif packet.size and not packet.is_discard:
                        times.append(packet.pts)
        known = sorted({time for time in times if time is not None})
        count = max(len(times), promised - discarded)
        return _FrameIndex(count, promised > 0, known if len(known) == len(times) else [])

    def frames(self, start: int, stop: int) -> Iterator[Image]:
        """The frames from `start` to before `stop`; both lie within the video.

        Raises:
            VideoError: A frame cannot be read; those before it have been yielded.
        """
        with ExitStack() as stack:
            decoded = self._sought(stack, start) if start else None
            if decoded is None:
                container, stream = stack.enter_context(_container(self._file))
                decoded = itertools.islice(self._checked(container.decode(stream), 0), start, None)
            index = start
            for frame in itertools.islice(decoded, stop - start):
                yield self._upright(frame, index)
                index += 1
            if index < stop and self._index.promised:
                raise VideoError(
                    f"{self._file} breaks off after {index} of its {len(self)} frames; it was cut short."
                )

    def _sought(self, stack: ExitStack, start: int) -> Iterator[VideoFrame] | None:
        """Decoded frames from exactly `start` on by jumping to a key frame; None if that is unsafe."""
        if start >= len(self._index.times):
            return None
        wanted = self._index.times[start]
        container, stream = stack.enter_context(_container(self._file))
        try:
            container.seek(wanted, stream=stream)
            frames = container.decode(stream)
            first = next((f for f in frames if f.pts is not None and f.pts >= wanted), None)
        except FFmpegError:
            return None
        if first is None or first.pts != wanted or first.is_corrupt:
            return None
        return itertools.chain([first], self._checked(frames, start + 1))

    def _checked(self, frames: Iterator[VideoFrame], index: int) -> Iterator[VideoFrame]:
        """The frames, until one is broken; `index` is that of the first."""
        first = index
        try:
            for frame in frames:
                # A video that was cut may begin with a picture that lacks its reference; it is let through.
                if frame.is_corrupt and index > first:
                    raise VideoError(self._broken(index, "its picture is damaged"))
                yield frame
                index += 1
        except FFmpegError as error:
            raise VideoError(self._broken(index, error.strerror or "it cannot be decoded")) from error

    def _broken(self, index: int, reason: str) -> str:
        return (
            f"{self._file} breaks at frame {index} of {len(self)}: {reason}. The {index} frames before it "
            "are good. Copy or download it again, or cut it there."
        )

    def _upright(self, frame: VideoFrame, index: int = 0) -> Image:
        """The frame as RGB, turned and mirrored as the file's display matrix says."""
        pixels = frame.to_ndarray(format="rgb24", threads=1)  # as exact as the video writer
        a, b, c, d = self._display
        if abs(b) > abs(a):  # x and y change places; then what runs backwards is turned round
            pixels, a, d = pixels.transpose(1, 0, 2), c, b
        pixels = np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1], np.uint8)
        if self._first_size not in (None, pixels.shape[:2]):
            differ = sizes_differ("frame 0", self.size, f"frame {index}", pixels.shape)
            raise VideoError(f"{self._file}: {differ}")
        return pixels


class _FrameIndex(NamedTuple):
    """What one pass over the packets tells about a file.

    Attributes:
        number: The number of frames. Headers may lie, so the packets are counted; only a sample
            table (MP4, MOV) is believed beyond the place where a file breaks off.
        promised: Whether a sample table promises that number.
        times: The frames' times in the stream's unit, in order; empty where they do not tell
            the frames apart, so that frames are found by counting only.
    """

    number: int
    promised: bool
    times: list[int]


@contextmanager
def _container(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    # Playlists could name other files, and addresses elsewhere.
    options = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
    with av.open(str(path.resolve()), options=options, metadata_errors="ignore") as container:
        pictures = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
        kind = container.format.name
        if not pictures or kind == "tty" or kind.endswith("_pipe"):
            raise VideoError(f"{path} holds no video (its format is {kind}); expected such as MP4 or MKV.")
        yield container, pictures[0]


def _display_matrix(frame: VideoFrame) -> tuple[int, int, int, int]:
    """(a, b, c, d): the point (x, y) is shown at (a x + c y, b x + d y), y pointing down."""
    side_data: Any = frame.side_data  # typed as a dictionary, but iterates over its values
    for data in side_data:
        if data.type is SideDataType.DISPLAYMATRIX:
            matrix = np.frombuffer(bytes(data)[:36], np.int32)
            return int(matrix[0]), int(matrix[1]), int(matrix[3]), int(matrix[4])
    return 1, 0, 0, 1
