"""The film writer: H.264 in MP4, whole or not at all."""

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

    The film appears at its path when the block ends, and not at all if it fails. A side of odd
    length gets one more row or column, a copy of the last, because yuv420p has none.

    Args:
        path: The film to write, ending in .mp4.
        rate: Frames per second; None, as a folder of frames has it, is taken for 24.
        size: (H, W) of the frames; None takes that of the first.

    Raises:
        OutputError: The film cannot be written, or no frame was.
    """

    def __init__(
        self,
        path: str | Path,
        rate: Fraction | float | int | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        self.path = Path(path)
        self._rate = Fraction(24 if rate is None else rate).limit_denominator(1001)
        self._size = size
        self._written = 0
        self._files = ExitStack()

    def __enter__(self) -> VideoWriter:
        part = self._files.enter_context(atomic_write(self.path))
        with self._explained():
            self._container = av.open(
                str(part.resolve()), "w", format="mp4", options={"movflags": "faststart"}
            )
            self._stream = self._container.add_stream(
                "libx264", rate=self._rate, options={"crf": "20", "preset": "veryfast"}
            )
        return self

    def write(self, frame: Image) -> None:
        """Append one frame.

        Raises:
            OutputError: It is of another size than the film, or the disk is full.
        """
        H, W = frame.shape[:2]
        self._size = self._size or (H, W)
        if self._size != (H, W):
            raise OutputError(
                f"{self.path}: a film has frames of one size; frame {self._written} is {W}×{H} pixels and "
                f"the film {self._size[1]}×{self._size[0]}."
            )
        if not self._written:
            self._stream.width, self._stream.height, self._stream.pix_fmt = W + W % 2, H + H % 2, "yuv420p"
        self._written += 1
        even = np.pad(frame, ((0, H % 2), (0, W % 2), (0, 0)), mode="edge") if H % 2 or W % 2 else frame
        # One thread, as in every conversion of tinct: FFmpeg's scaler is not exact over several.
        picture = VideoFrame.from_ndarray(even, format="rgb24").reformat(format="yuv420p", threads=1)
        with self._explained():
            self._container.mux(self._stream.encode(picture))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            try:
                with self._explained():
                    if not self._written:
                        raise OutputError(f"{self.path}: a film needs one frame at least; none was written.")
                    self._container.mux(self._stream.encode(None))
                    self._container.close()
            except OutputError:
                self._abandon()
                raise
            self._files.close()
        else:
            self._abandon()

    def _abandon(self) -> None:
        """Drop the unfinished film, whatever state the container is in."""
        with suppress(FFmpegError):
            self._container.close()
        with suppress(_Abandoned):
            self._files.__exit__(_Abandoned, _Abandoned(), None)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (FFmpegError, OSError) as error:
            raise OutputError(f"{self.path} cannot be written: {error.strerror or error}.") from error


class _Abandoned(Exception):  # noqa: N818 - a signal, never seen outside
    """Tells `atomic_write` to drop its file."""
