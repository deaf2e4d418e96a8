"""An atomic video writer: H.264 in MP4."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.error import FFmpegError
from av.video.frame import VideoFrame

from tinct.errors import OutputError
from tinct.io.atomic import atomic_write
from tinct.shapes import Image


class VideoWriter:
    """Writes H.264 (yuv420p) MP4, which every browser and player shows. A context manager.

    The video appears at its path when the block ends, and not at all if it fails. A side of odd length
    is padded by a copy of its last row or column, because yuv420p needs even sides.

    Args:
        path: The video to write, with suffix .mp4.
        rate: Frames per second; None, as in a folder of frames, means 24.
        size: (H, W) of the frames; None for that of the first.
        pixel_aspect: Width of a pixel / its height; None means 1, and says nothing.

    Raises:
        OutputError: The video cannot be written, or has no frame.
    """

    def __init__(
        self,
        path: str | Path,
        rate: Fraction | float | int | None = None,
        size: tuple[int, int] | None = None,
        pixel_aspect: Fraction | None = None,
    ) -> None:
        self.path = Path(path)
        self._rate = Fraction(24 if rate is None else rate).limit_denominator(1001)
        self._size, self._pixel_aspect = size, pixel_aspect
        self._written = 0
        self._files = ExitStack()

    def __enter__(self) -> VideoWriter:
        part = self._files.enter_context(atomic_write(self.path))
        with self._as_output_error():
            self._container = av.open(
                str(part.resolve()), "w", format="mp4", options={"movflags": "faststart"}
            )
            self._stream = self._container.add_stream(
                "libx264", rate=self._rate, options={"crf": "20", "preset": "veryfast"}
            )
            if self._pixel_aspect is not None:
                self._stream.codec_context.sample_aspect_ratio = self._pixel_aspect
        return self

    def write(self, frame: Image) -> None:
        """Append one frame.

        Raises:
            OutputError: The frame has another size than the video, or the disk is full.
        """
        H, W = frame.shape[:2]
        self._size = self._size or (H, W)
        if self._size != (H, W):
            raise OutputError(
                f"{self.path}: a video has frames of one size; frame {self._written} is {W}×{H} pixels and "
                f"the video {self._size[1]}×{self._size[0]}."
            )
        if not self._written:
            self._stream.width, self._stream.height, self._stream.pix_fmt = W + W % 2, H + H % 2, "yuv420p"
        self._written += 1
        even = np.pad(frame, ((0, H % 2), (0, W % 2), (0, 0)), mode="edge") if H % 2 or W % 2 else frame
        # One thread, as in every conversion of tinct: FFmpeg's scaler is not deterministic over several.
        picture = VideoFrame.from_ndarray(even, format="rgb24").reformat(format="yuv420p", threads=1)
        with self._as_output_error():
            self._container.mux(self._stream.encode(picture))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            try:
                with self._as_output_error():
                    if not self._written:
                        raise OutputError(f"{self.path}: a video needs one frame at least; none was written.")
                    self._container.mux(self._stream.encode(None))
                    self._container.close()
            except OutputError:
                self._abort()
                raise
            self._files.close()
        else:
            self._abort()

    def _abort(self) -> None:
        """Delete the unfinished video, in any state of the container."""
        with suppress(FFmpegError):
            self._container.close()
        with suppress(_Aborted):
            self._files.__exit__(_Aborted, _Aborted(), None)

    @contextmanager
    def _as_output_error(self) -> Iterator[None]:
        try:
            yield
        except (FFmpegError, OSError) as error:
            raise OutputError(f"{self.path} cannot be written: {error.strerror or error}.") from error


class _Aborted(Exception):  # noqa: N818 - a signal that stays inside
    """Makes `atomic_write` delete its file."""
