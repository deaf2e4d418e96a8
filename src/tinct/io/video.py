"""Video: lazy frames from a file, a folder, arrays or a stream, with names, size and rate.

Frames are uint8 RGB [H, W, 3], as they are meant to be seen: turned as the metadata say, alpha
dropped, deeper than 8 bits scaled alike. One frame is in memory at a time.
"""

from __future__ import annotations

import itertools
import operator
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeAlias, overload

from tinct.errors import FrameIndexError, MissingVideoError, OptionError, UnknownLengthError, VideoError
from tinct.io.folders import IMAGE_SUFFIXES as IMAGE_SUFFIXES  # re-exported
from tinct.io.folders import frame_files
from tinct.io.frame_names import Numbers, numbered
from tinct.io.frames import FrameLike, as_frame, check_stack, sizes_differ
from tinct.io.levels import Levels
from tinct.io.picture_frames import FolderFrames, PageFrames, PictureFrames
from tinct.io.regular_files import readable
from tinct.shapes import Image

if TYPE_CHECKING:
    VideoLike: TypeAlias = "Video | str | Path | FrameLike | Iterable[FrameLike]"
else:
    VideoLike = Any
"""What people have for a video; `as_video` says what becomes of each."""


class Video(ABC):
    """Frames in order, read when they are asked for.

    Each iteration reads afresh. `video[5]` is a frame, `video[2:10]` a video of those frames.

    Attributes:
        size: (H, W) in pixels, the same for all frames.
        rate: Average frames per second; None where nothing says it (a folder of frames).
        path: Where it was opened; None for arrays, streams and parts of a video.
        pixel_aspect: Width of a pixel / its height; None where nothing says it, which means 1.
    """

    size: tuple[int, int]
    rate: Fraction | None = None
    path: Path | None = None
    pixel_aspect: Fraction | None = None

    @staticmethod
    @readable(VideoError)
    def open(path: str | Path, levels: Levels | None = None) -> Video:
        """Open a video file, a folder of frames (in natural order: frame2 before frame10) or a file of pages.

        Args:
            path: The file or folder.
            levels: Of images, the values that become black and white. None: 8 bits stay as they are, and
                deeper ones are scaled alike, by the smallest usual range that holds them.

        Raises:
            MissingVideoError: There is nothing.
            VideoError: Not a video, no frames, or frames of different sizes.
            OptionError: Levels came with a video file.
        """
        path = Path(path)
        if path.is_dir():
            return FolderVideo(path, levels)
        if not path.exists():
            raise MissingVideoError(
                f"There is no {path}; expected a video file or a folder of frames. Check the path."
            )
        if not path.is_file():
            raise VideoError(f"{path} is a pipe or a device; expected a video file or a folder of frames.")
        if path.suffix.lower() in IMAGE_SUFFIXES:
            return PagesVideo(path, levels)
        if levels is not None:
            raise OptionError(f"Levels came with the video file {path.name}; only images have them.")
        return FileVideo(path)

    @staticmethod
    def from_arrays(
        frames: FrameLike | Sequence[FrameLike],
        names: Sequence[str] | None = None,
        rate: Fraction | None = None,
    ) -> Video:
        """A video of frames that are in memory already.

        Args:
            frames: A list of frames, or an array or tensor of them, [T, H, W, 3] or [T, 3, H, W]; each as
                for `tinct.io.frames.as_frame`. They are converted when they are read.
            names: Of each frame; its index in five digits if None.
            rate: Frames per second, if that is known.

        Raises:
            VideoError: No frames, not frames of one size, or names that do not fit.
        """
        return ArrayVideo(frames, names, rate)

    @abstractmethod
    def __len__(self) -> int:
        """The number of frames; UnknownLengthError for a stream."""

    @property
    def length(self) -> int | None:
        """The number of frames; None for a stream, of which nobody knows it."""
        return len(self)

    @property
    def names(self) -> Sequence[str]:
        """The name of each frame: the file stem in a folder, else its index in five digits."""
        return numbered(len(self))

    @property
    def remarks(self) -> Sequence[str]:
        """What a person should know of how the frames are read."""
        return ()

    def files(self, start: int = 0, stop: int | None = None) -> Sequence[Path]:
        """The files that hold the frames from `start` to before `stop`; none of frames in memory."""
        return () if self.path is None else (self.path,)

    @abstractmethod
    def _read(self, start: int, stop: int) -> Iterator[Image]:
        """The frames from `start` to before `stop`; both lie within the video."""

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Image]:
        """The frames from `start` (which is found at once, not read up to) to before `stop`.

        Raises:
            FrameIndexError: `start` or `stop` lies outside the video.
            VideoError: A frame cannot be read; those before it have been yielded.
        """
        stop = len(self) if stop is None else stop
        if not 0 <= start <= stop <= len(self):
            raise FrameIndexError(
                f"Frames {start} to {stop} were asked for; the video has frames 0 to {len(self) - 1}."
            )
        return self._read(start, stop)

    def __iter__(self) -> Iterator[Image]:
        """All frames, from the first."""
        return self.frames()

    @overload
    def __getitem__(self, index: SupportsIndex) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> Video: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Image | Video:
        """One frame, or a video of a part of them, which is read when its frames are asked for.

        Negative indices count from the end, and a slice beyond the ends stops there, as in a list.

        Raises:
            FrameIndexError: There is no such frame; it is an IndexError as well.
            OptionError: The slice has a step, or no frames.
            VideoError: The frame cannot be read.
        """
        if isinstance(index, slice):
            return PartOfVideo(self, index)
        wanted = operator.index(index)
        position = wanted + len(self) if wanted < 0 else wanted
        if not 0 <= position < len(self):
            raise FrameIndexError(f"Frame {wanted} was asked for; the video has frames 0 to {len(self) - 1}.")
        for frame in self.frames(position, position + 1):
            return frame
        raise VideoError(f"Frame {position} cannot be read: the video ends before it.")

    def __repr__(self) -> str:
        """Where it is from, how many frames, of what size and rate; nothing is read for it."""
        count, path, (H, W) = self._known_length, self.path, self.size
        facts = [repr(path.name)] if path else []
        facts += ["frames" if count is None else f"{count} frame{'' if count == 1 else 's'}", f"{H}×{W}"]
        facts += [] if self.rate is None else [f"{float(self.rate):g} fps"]
        return f"{type(self).__name__}({', '.join(facts)})"

    @property
    def _known_length(self) -> int | None:
        """The number of frames, if it is known without reading."""
        return self.length


def as_video(video: VideoLike) -> Video:
    """The video that somebody gave in one of the forms that Python has for it.

    Args:
        video: A `Video`; the path of a file or folder; a list of frames, or an array or tensor of them (see
            `Video.from_arrays`); or an iterator, such as a generator of a camera's frames, which is read
            once, frame by frame, while the results come.

    Raises:
        VideoError: It is none of these, or cannot be opened.
    """
    if isinstance(video, Video):
        return video
    if isinstance(video, (str, Path)):
        return Video.open(video)
    if hasattr(video, "__len__") and hasattr(video, "__getitem__"):
        return ArrayVideo(video)
    if isinstance(video, Iterable):
        return StreamVideo(video)
    raise VideoError(
        f"A {type(video).__name__} came as the video; expected a path, a list or array of frames "
        "[T, H, W, 3], or an iterator of frames."
    )


class ArrayVideo(Video):
    """A video of frames in memory; see `Video.from_arrays`."""

    def __init__(self, frames: Any, names: Sequence[str] | None = None, rate: Fraction | None = None) -> None:
        check_stack(frames)
        if not len(frames):
            raise VideoError("A video needs one frame at least; none came.")
        first = as_frame(frames[0], "frame 0").shape
        for index in range(1, len(frames)):
            shape = as_frame(frames[index], f"frame {index}").shape
            if shape != first:
                raise VideoError(sizes_differ("frame 0", first, f"frame {index}", shape))
        if names is not None and (len(names) != len(frames) or len(set(names)) != len(names)):
            raise VideoError(f"{len(names)} names came with {len(frames)} frames; give each its own name.")
        self._frames, self._names, self.rate = frames, names, rate
        self.size = first[0], first[1]

    def __len__(self) -> int:
        return len(self._frames)

    @cached_property
    def names(self) -> Sequence[str]:
        """The names given, or the index in five digits."""
        return numbered(len(self)) if self._names is None else tuple(self._names)

    def _read(self, start: int, stop: int) -> Iterator[Image]:
        return (as_frame(self._frames[i], f"frame {i}") for i in range(start, stop))


class StreamVideo(Video):
    """Frames of an iterator, each read once, when it is asked for; nobody knows how many; see `as_video`.

    Args:
        frames: Each as for `tinct.io.frames.as_frame`. The first one is read at once, for its size.
        rate: Frames per second, if that is known.

    Raises:
        VideoError: There is no frame.
    """

    def __init__(self, frames: Iterable[FrameLike], rate: Fraction | None = None) -> None:
        iterator = iter(frames)
        first = [as_frame(frame, "frame 0") for frame in itertools.islice(iterator, 1)]
        if not first:
            raise VideoError("A video needs one frame at least; the iterator gave none.")
        self.size, self.rate = (first[0].shape[0], first[0].shape[1]), rate
        self._coming: Iterator[FrameLike] = itertools.chain(first, iterator)
        self._read_frames = 0

    def __len__(self) -> int:
        raise UnknownLengthError(
            "The video is a stream of frames of unknown length, of which only a streaming method can go on "
            "forward, from the first frame; to go backward, jump or see the whole, give `list(frames)`."
        )

    @property
    def length(self) -> None:
        """None."""
        return

    @property
    def names(self) -> Any:  # a Sequence[str], but its length cannot be asked for, as checkers of types do
        """The index of each frame in five digits."""
        return Numbers(self)

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Image]:
        """The frames that were not read yet; those before `start` are passed over.

        Raises:
            VideoError: The frame `start` was read before (a stream is read once), or a frame is not as the
                first one was.
        """
        if start < self._read_frames:
            raise VideoError(
                f"Frame {start} of a stream was asked for, but {self._read_frames} frames were read already, "
                "and a stream is read once; to read it again, give `list(frames)`."
            )
        coming = self._converted()
        return itertools.islice(
            coming, start - self._read_frames, None if stop is None else stop - self._read_frames
        )

    def _converted(self) -> Iterator[Image]:
        for given in self._coming:
            name = f"frame {self._read_frames}"
            frame = as_frame(given, name)
            if frame.shape[:2] != self.size:
                raise VideoError(sizes_differ("frame 0", self.size, name, frame.shape))
            self._read_frames += 1
            yield frame

    def _read(self, start: int, stop: int) -> Iterator[Image]:
        return self.frames(start, stop)


class PartOfVideo(Video):
    """Some frames of a video in a row, read when they are asked for; see `Video.__getitem__`."""

    def __init__(self, whole: Video, part: slice) -> None:
        start, stop, step = part.indices(len(whole))
        if step != 1:
            raise OptionError(
                f"A part of a video with the step {step} was asked for; only 1 is possible. Take the frames: "
                f"`Video.from_arrays([video[i] for i in range({start}, {stop}, {step})])`."
            )
        if start >= stop:
            raise OptionError(
                f"A part of a video from frame {start} to before {stop} was asked for, which has no frames; "
                f"the video has frames 0 to {len(whole) - 1}."
            )
        self._whole, self._part = whole, range(start, stop)
        self.size, self.rate, self.pixel_aspect = whole.size, whole.rate, whole.pixel_aspect

    def __len__(self) -> int:
        return len(self._part)

    @property
    def names(self) -> Sequence[str]:
        """Those that the frames have in the whole video."""
        return self._whole.names[self._part.start : self._part.stop]

    def files(self, start: int = 0, stop: int | None = None) -> Sequence[Path]:
        """Those that hold the part's frames."""
        part = self._part[start:stop]
        return self._whole.files(part.start, part.stop)

    def _read(self, start: int, stop: int) -> Iterator[Image]:
        return self._whole.frames(self._part.start + start, self._part.start + stop)


class PictureVideo(Video):
    """Frames in image files, scaled alike if they are deeper than 8 bits; see `Video.open`."""

    _pictures: PictureFrames

    def __len__(self) -> int:
        return len(self._pictures)

    @property
    def remarks(self) -> Sequence[str]:
        """By what range values of more than 8 bits became 8."""
        return self._pictures.remarks

    def _read(self, start: int, stop: int) -> Iterator[Image]:
        return self._pictures.frames(start, stop)


class FolderVideo(PictureVideo):
    """A folder of images, one a frame; see `Video.open`."""

    def __init__(self, path: Path, levels: Levels | None = None) -> None:
        self.path, self._files = path, frame_files(path)
        self._pictures = FolderFrames(self._files, levels)
        self.size = self._pictures.size

    @cached_property
    def names(self) -> Sequence[str]:
        """The file names without their endings."""
        return tuple(file.stem for file in self._files)

    def files(self, start: int = 0, stop: int | None = None) -> Sequence[Path]:
        """One for each frame."""
        return self._files[start:stop]


class PagesVideo(PictureVideo):
    """An image file of many frames: pages of a TIFF, an animated WebP or PNG; see `Video.open`."""

    def __init__(self, path: Path, levels: Levels | None = None) -> None:
        self.path, self._pictures = path, PageFrames(path, levels)
        self.size = self._pictures.size


class FileVideo(Video):
    """A video file; see `Video.open`. One frame per coded frame, whatever its time."""

    def __init__(self, path: Path) -> None:
        from tinct.io.video_file import VideoFile  # PyAV is not loaded for frames in image files

        self.path, self._file = path, VideoFile(path)
        self.size, self.rate, self.pixel_aspect = self._file.size, self._file.rate, self._file.pixel_aspect

    def __len__(self) -> int:
        return len(self._file)

    def _read(self, start: int, stop: int) -> Iterator[Image]:
        return self._file.frames(start, stop)

    @property
    def _known_length(self) -> int | None:
        return len(self) if self._file.is_counted else None
