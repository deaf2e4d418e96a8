"""Frames in image files, one in each or all in one, read one at a time and scaled alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from PIL import Image as Pictures

from tinct.errors import VideoError
from tinct.io.frames import rgb_of, sizes_differ
from tinct.io.image_files import check_png, opened_picture, pictures_in, turn_to, upright, upright_size
from tinct.io.levels import BitRange, Levels
from tinct.shapes import Image, Shaped

T = TypeVar("T")

LOOKED_AT = 8
"""Frames whose values tell the range of a video: the first, the last and some evenly between."""


class PictureFrames(ABC):
    """Frames in image files.

    Args:
        levels: What is to be black and white; None to take it from values that are deeper than 8 bits.

    Attributes:
        size: (H, W) in pixels of all frames.
        deep: Whether some hold more than 8 bits.
    """

    size: tuple[int, int]
    deep: bool

    def __init__(self, levels: Levels | None) -> None:
        self._levels = levels

    @abstractmethod
    def __len__(self) -> int:
        """The number of frames."""

    @abstractmethod
    def _each(self, start: int, stop: int, work: Callable[[_Stored], T]) -> Iterator[T]:
        """What `work` makes of the frames from `start` to before `stop`, while their files are open."""

    @cached_property
    def scale(self) -> Levels | BitRange:
        """How all deep values become 8 bits: by the levels given, else as some of the frames tell."""
        if self._levels is not None:
            return self._levels
        highest = 0
        for index in evenly(len(self), LOOKED_AT):
            try:
                highest = max(highest, *self._each(index, index + 1, _Stored.highest))
            except VideoError:  # reported by whoever reads that frame
                continue
        return BitRange.holding(highest)

    @property
    def remarks(self) -> Sequence[str]:
        """By what range values of more than 8 bits become 8, unless levels were given."""
        scale = self.scale if self.deep else None
        if not isinstance(scale, BitRange):
            return ()
        return (f"the frames are taken to be of {scale.bits} bits: 0 is black and {scale.high} white",)

    def frames(self, start: int, stop: int) -> Iterator[Image]:
        """The frames from `start` to before `stop`; both lie within the video.

        Raises:
            VideoError: A frame cannot be read, or changed its size; those before it have been yielded.
        """
        scale = self.scale if self.deep or self._levels is not None else None
        for index, frame in enumerate(self._each(start, stop, lambda stored: stored.frame(scale)), start):
            if frame.shape[:2] != self.size:
                differ = sizes_differ("the video", self.size, f"frame {index}", frame.shape)
                raise VideoError(f"{differ} It was changed while the video was read.")
            yield frame


class FolderFrames(PictureFrames):
    """Files of one frame each.

    Raises:
        VideoError: They differ in size, or one has no readable header.
    """

    def __init__(self, files: Sequence[Path], levels: Levels | None = None) -> None:
        super().__init__(levels)
        self.files, self.deep = files, False
        for file in files:
            with opened_picture(file, _unreadable(f"Frame {file}"), several=True) as picture:
                if (number := pictures_in(picture)) > 1:
                    raise VideoError(
                        f"{file} holds {number} pictures, and a frame is one. Give the file itself as "
                        "the video, or save its pictures one by one."
                    )
                size = upright_size(picture)
                self.deep |= _is_deep(picture)
            if file == files[0]:
                self.size = size
            if size != self.size:
                differ = sizes_differ(files[0].name, self.size, file.name, size)
                raise VideoError(f"{file.parent}: {differ}")

    def __len__(self) -> int:
        return len(self.files)

    def _each(self, start: int, stop: int, work: Callable[[_Stored], T]) -> Iterator[T]:
        for file in self.files[start:stop]:
            with opened_picture(file, _unreadable(f"Frame {file}")) as picture:
                done = work(_Stored(picture, file))
            yield done


class PageFrames(PictureFrames):
    """A file of many frames: the pages of a TIFF, an animated WebP or PNG.

    Raises:
        VideoError: It holds one picture only, pages of different sizes, or cannot be read.
    """

    def __init__(self, file: Path, levels: Levels | None = None) -> None:
        super().__init__(levels)
        self._file, self.deep = file, False
        with opened_picture(file, _unreadable(str(file)), several=True) as picture:
            self.size, self._number = upright_size(picture), pictures_in(picture)
            if self._number == 1:
                raise VideoError(f"{file} is a single image; expected a video file or a folder of frames.")
            for page in range(self._number if picture.format == "TIFF" else 1):  # others are of one form
                turn_to(picture, page)
                self.deep |= _is_deep(picture)
                if upright_size(picture) != self.size:
                    differ = sizes_differ("page 0", self.size, f"page {page}", upright_size(picture))
                    raise VideoError(f"{file}: {differ}")

    def __len__(self) -> int:
        return self._number

    def _each(self, start: int, stop: int, work: Callable[[_Stored], T]) -> Iterator[T]:
        page = start
        with opened_picture(
            self._file, lambda why: _unreadable(f"Page {page} of {self._file}")(why), several=True
        ) as picture:
            for page in range(start, stop):
                turn_to(picture, page)
                yield work(_Stored(picture, self._file, page))


def holds_several(file: Path) -> bool:
    """Whether an image file can be read and holds several pictures, so that it is a video by itself."""
    with suppress(VideoError), opened_picture(file, _unreadable(str(file)), several=True) as picture:
        return pictures_in(picture) > 1
    return False


def evenly(count: int, wanted: int) -> list[int]:
    """Up to `wanted` indices below `count`: the first, the last and some evenly between."""
    if count <= wanted:
        return list(range(count))
    return [round(i * (count - 1) / (wanted - 1)) for i in range(wanted)]


class _Stored:
    """One frame as it is stored, in an open file."""

    def __init__(self, picture: Pictures.Image, file: Path, page: int = 0) -> None:
        self._picture, self._file, self._page = picture, file, page
        self._name = f"Page {page} of {file}" if page else f"Frame {file}"

    def highest(self) -> int:
        """The largest value of a frame that is deeper than 8 bits; 255 of others and of fractions."""
        if not _is_deep(self._picture) or self._picture.mode == "F":
            return 255
        if self._picture.format == "PPM" and _coding(self._picture)[1] != 2**16 - 1:
            return 2**16 - 1  # it says its range, to which Pillow has scaled it
        return int(self._values().max())

    def frame(self, scale: Levels | BitRange | None) -> Image:
        """Uint8 RGB [H, W, 3]; frames of 8 bits are scaled only by levels that somebody gave."""
        deep = _is_deep(self._picture)
        if scale is None or not (deep or isinstance(scale, Levels)):
            return rgb_of(upright(self._picture))
        values = self._values() if deep else rgb_of(upright(self._picture))
        try:
            scaled = scale.eight_bits(values)
        except ValueError as error:
            raise VideoError(f"{self._name} cannot be shown in 8 bits: {error}.") from error
        return np.repeat(scaled[..., None], 3, axis=2) if scaled.ndim == 2 else np.ascontiguousarray(scaled)

    def _values(self) -> Shaped[np.ndarray, "H W ..."]:
        if not _is_deep_colour(self._picture):
            return np.asarray(upright(self._picture))
        self._picture.load()  # finds damage that OpenCV passes over; alone it gives only the upper 8 bits
        if self._picture.format == "PNG":
            check_png(self._file)  # OpenCV makes room for as many bytes as a part promises
        _, pages = cv2.imreadmulti(str(self._file), self._page, 1, flags=cv2.IMREAD_UNCHANGED)
        if len(pages) != 1 or pages[0].ndim != 3 or pages[0].dtype != np.uint16:
            raise ValueError("its 16 bits of colour cannot be decoded; save it as a PNG of 8 or 16 bits")
        return np.asarray(pages[0][..., 2::-1])


def _is_deep(picture: Pictures.Image) -> bool:
    return picture.mode == "F" or picture.mode.startswith("I") or _is_deep_colour(picture)


def _is_deep_colour(picture: Pictures.Image) -> bool:
    """Whether it has 16 bits a channel, of which Pillow gives the upper 8."""
    return picture.mode in ("RGB", "RGBA", "LA") and ";16" in str(_coding(picture)[0])


def _coding(picture: Pictures.Image) -> tuple[Any, ...]:
    """How the file codes the pixels, for Pillow's decoder: the raw mode, and more in some formats."""
    tiles = getattr(picture, "tile", None)  # gone when it is decoded
    arguments = tiles[0].args if tiles else ("",)
    return (arguments,) if isinstance(arguments, str) else tuple(arguments)


def _unreadable(what: str) -> Callable[[str], VideoError]:
    return lambda reason: VideoError(f"{what} cannot be read: {reason}. Save or copy it again.")
