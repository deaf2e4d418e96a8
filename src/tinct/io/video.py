"""Video: lazy frames from a file, a folder or arrays, with names, size and rate.

Frames are uint8 RGB [H, W, 3], as they are meant to be seen: turned as the metadata say, alpha
dropped, deeper than 8 bits cut to the upper 8. One frame is in memory at a time.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.error import DecoderNotFoundError, FFmpegError
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image as Pictures
from PIL import ImageOps

from tinct.errors import OptionError, VideoError
from tinct.io.natural_order import natural_key
from tinct.io.video_writer import (
    VideoWriter as VideoWriter,  # re-exported: reading and writing have one address
)
from tinct.shapes import Image, Shaped

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
"""What counts as a frame in a folder of frames."""


class Video(ABC):
    """Frames in order, read when they are asked for.

    Each iteration reads afresh.

    Attributes:
        size: (H, W) in pixels, the same for all frames.
        rate: Average frames per second; None where nothing says it (a folder of frames).
        path: Where it was opened; None for arrays.
    """

    size: tuple[int, int]
    rate: Fraction | None = None
    path: Path | None = None

    @staticmethod
    def open(path: str | Path) -> Video:
        """Open a video file or a folder of frames (in natural order: frame2 before frame10).

        Raises:
            VideoError: Nothing there, not a video, no frames, or frames of different sizes.
        """
        path = Path(path)
        if path.is_dir():
            return FolderVideo(path)
        if not path.exists():
            raise VideoError(
                f"There is no {path}; expected a video file or a folder of frames. Check the path."
            )
        if path.suffix.lower() in IMAGE_SUFFIXES:
            raise VideoError(f"{path} is a single image; expected a video file or a folder of frames.")
        return FileVideo(path)

    @staticmethod
    def from_arrays(
        frames: Sequence[Shaped[np.ndarray, "..."]],
        names: Sequence[str] | None = None,
        rate: Fraction | None = None,
    ) -> Video:
        """A video of frames that are in memory already: uint8 [H, W, 3] each.

        Raises:
            VideoError: No frames, not RGB frames of one size, or names that do not fit.
        """
        return ArrayVideo(frames, names, rate)

    @abstractmethod
    def __len__(self) -> int:
        """The number of frames."""

    @property
    @abstractmethod
    def names(self) -> Sequence[str]:
        """The name of each frame: the file stem in a folder, else its index in five digits."""

    @abstractmethod
    def _read(self, start: int, stop: int) -> Iterator[Image]:
        """The frames from `start` to before `stop`; both lie within the video."""

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Image]:
        """The frames from `start` (which is found at once, not read up to) to before `stop`.

        Raises:
            OptionError: `start` or `stop` lies outside the video.
            VideoError: A frame cannot be read; those before it have been yielded.
        """
        stop = len(self) if stop is None else stop
        if not 0 <= start <= stop <= len(self):
            raise OptionError(
                f"Frames {start} to {stop} were asked for; the video has frames 0 to {len(self) - 1}."
            )
        return self._read(start, stop)

    def __iter__(self) -> Iterator[Image]:
        """All frames, from the first."""
        return self.frames()

    def __getitem__(self, index: int) -> Image:
        """One frame; negative indices count from the end.

        Raises:
            OptionError: There is no such frame.
            VideoError: It cannot be read.
        """
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise OptionError(f"Frame {index} was asked for; the video has frames 0 to {len(self) - 1}.")
        return next(self.frames(position, position + 1))


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(f"{i:05d}" for i in range(count))


class ArrayVideo(Video):
    """A video of frames in memory; see `Video.from_arrays`."""

    def __init__(
        self,
        frames: Sequence[Shaped[np.ndarray, "..."]],
        names: Sequence[str] | None = None,
        rate: Fraction | None = None,
    ) -> None:
        if not len(frames):
            raise VideoError("A video needs one frame at least; none came.")
        for index, frame in enumerate(frames):
            if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
                raise VideoError(
                    f"Frame {index} is {frame.dtype} {frame.shape}; expected RGB frames, uint8 [H, W, 3]."
                )
            if frame.shape != frames[0].shape:
                raise VideoError(_sizes_differ("frame 0", frames[0].shape, f"frame {index}", frame.shape))
        if names is not None and (len(names) != len(frames) or len(set(names)) != len(names)):
            raise VideoError(f"{len(names)} names came with {len(frames)} frames; give each its own name.")
        self._frames, self._names, self.rate = frames, names, rate
        self.size = frames[0].shape[0], frames[0].shape[1]

    def __len__(self) -> int:
        return len(self._frames)

    @cached_property
    def names(self) -> Sequence[str]:
        """The names given, or the index in five digits."""
        return _numbered(len(self)) if self._names is None else tuple(self._names)

    def _read(self, start: int, stop: int) -> Iterator[Image]:
        return (np.ascontiguousarray(self._frames[i]) for i in range(start, stop))


def _sizes_differ(first: str, first_size: Sequence[int], other: str, other_size: Sequence[int]) -> str:
    return (
        f"Frames of different sizes: {first} is {first_size[1]}×{first_size[0]} pixels and {other} is "
        f"{other_size[1]}×{other_size[0]}. Bring all frames to one size."
    )


class FolderVideo(Video):
    """A folder of images, one a frame; see `Video.open`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files = _frame_files(path)
        sizes = [_picture_size(file) for file in self._files]
        for file, size in zip(self._files, sizes, strict=True):
            if size != sizes[0]:
                raise VideoError(f"{path}: " + _sizes_differ(self._files[0].name, sizes[0], file.name, size))
        self.size = sizes[0]

    def __len__(self) -> int:
        return len(self._files)

    @cached_property
    def names(self) -> Sequence[str]:
        """The file names without their endings."""
        return tuple(file.stem for file in self._files)

    def _read(self, start: int, stop: int) -> Iterator[Image]:
        return (_read_picture(file) for file in self._files[start:stop])


def _frame_files(folder: Path) -> list[Path]:
    files = [f for f in folder.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES and not f.name.startswith(".")]
    if not files:
        raise VideoError(f"{folder} holds no frames; expected images ({', '.join(sorted(IMAGE_SUFFIXES))}).")
    stem, times = Counter(f.stem for f in files).most_common(1)[0]
    if times > 1:
        twins = ", ".join(sorted(f.name for f in files if f.stem == stem))
        raise VideoError(f"{folder} holds one frame twice ({twins}); keep the images of one kind.")
    return sorted(files, key=lambda file: natural_key(file.stem))


def _picture_size(file: Path) -> tuple[int, int]:
    """(H, W) from the header alone, as it is meant to be seen."""
    try:
        with Pictures.open(file) as picture:
            upright = _orientation(picture) < 5
            return (picture.height, picture.width) if upright else (picture.width, picture.height)
    except (OSError, ValueError, SyntaxError, Pictures.DecompressionBombError) as error:
        raise VideoError(f"Frame {file} cannot be read: {error}. Save or copy it again.") from error


def _orientation(picture: Pictures.Image) -> int:
    """The EXIF orientation (1 to 8) of a photo; a PNG is taken as it is."""
    if picture.format not in ("JPEG", "MPO", "TIFF", "WEBP"):
        return 1
    return int(picture.getexif().get(0x0112, 1))


def _read_picture(file: Path) -> Image:
    try:
        with Pictures.open(file) as picture:
            picture.load()
            upright = picture if _orientation(picture) == 1 else ImageOps.exif_transpose(picture)
            return _rgb(upright)
    except (OSError, ValueError, SyntaxError, Pictures.DecompressionBombError) as error:
        raise VideoError(f"Frame {file} cannot be read: {error}. Save or copy it again.") from error


def _rgb(picture: Pictures.Image) -> Image:
    if picture.mode.startswith("I"):  # 16 bits, or 32 that hold 16
        grey = (np.asarray(picture).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if picture.mode == "F":
        raise ValueError("its pixels are fractions; expected 8 or 16 bits")
    if picture.mode == "P":
        picture = picture.convert("RGBA")  # else a palette with transparency makes a warning
    return np.array(picture.convert("RGB"))


class FileVideo(Video):
    """A video file; see `Video.open`. One frame per coded frame, whatever its time."""

    def __init__(self, path: Path) -> None:
        self.path = self._file = path
        try:
            with _container(path) as (container, stream):
                self.rate = stream.average_rate or stream.guessed_rate
                first = next(container.decode(stream), None)
        except DecoderNotFoundError as error:
            raise VideoError(
                f"{path} is a video, but of a codec that cannot be decoded here; convert it to H.264 in an "
                "MP4 file, or to a folder of images."
            ) from error
        except FFmpegError as error:
            raise VideoError(
                f"{path} cannot be read as a video ({error.strerror}); expected a file such as MP4, MOV, "
                "MKV, WebM or AVI. It may have been cut short."
            ) from error
        if first is None:
            raise VideoError(f"{path} is a video without frames; it may have been cut short.")
        self._display = _display_matrix(first)
        height, width, _ = self._upright(first).shape
        self.size = height, width

    def __len__(self) -> int:
        return self._index.number

    @cached_property
    def names(self) -> Sequence[str]:
        """The index of each frame in five digits."""
        return _numbered(len(self))

    @cached_property
    def _index(self) -> _FrameIndex:
        times: list[int | None] = []
        discarded = 0
        with _container(self._file) as (container, stream):
            # VP8 has packets without a visible frame, so that only decoding tells the number.
            decodes = stream.codec_context.name in ("vp8", "libvpx")
            promised = stream.frames if "mp4" in container.format.name else 0
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

    def _read(self, start: int, stop: int) -> Iterator[Image]:
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
                    f"{self.path} breaks off after {index} of its {len(self)} frames; it was cut short."
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
                # A film that was cut may begin with a picture that lacks its reference; it is let through.
                if frame.is_corrupt and index > first:
                    raise VideoError(self._broken(index, "its picture is damaged"))
                yield frame
                index += 1
        except FFmpegError as error:
            raise VideoError(self._broken(index, error.strerror or "it cannot be decoded")) from error

    def _broken(self, index: int, reason: str) -> str:
        return (
            f"{self.path} breaks at frame {index} of {len(self)}: {reason}. The {index} frames before it are "
            "good. Copy or download it again, or cut it there."
        )

    def _upright(self, frame: VideoFrame, index: int = 0) -> Image:
        """The frame as RGB, turned and mirrored as the file's display matrix says."""
        pixels = frame.to_ndarray(format="rgb24", threads=1)  # as exact as the film writer
        a, b, c, d = self._display
        if abs(b) > abs(a):  # x and y change places; then what runs backwards is turned round
            pixels, a, d = pixels.transpose(1, 0, 2), c, b
        pixels = np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1], np.uint8)
        if index and pixels.shape[:2] != self.size:
            differ = _sizes_differ("frame 0", self.size, f"frame {index}", pixels.shape)
            raise VideoError(f"{self.path}: {differ}")
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
    # Play lists could name addresses elsewhere; only files are opened.
    options = {"protocol_whitelist": "file"}
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
