"""Headers of image files without decoding: size, mode, and whether the file is truncated."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image as PillowImage

from tinct.errors import DatasetError

_TAIL_BYTES = 64
_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND"


@dataclass(frozen=True)
class ImageHeader:
    """The header of an image file.

    Attributes:
        size: (H, W) in pixels.
        mode: Pillow's mode: "P" palette, "L" grey, "1" one bit, "RGB", ...
        ends_early: Whether the file is truncated; known for JPEG and PNG only.
    """

    size: tuple[int, int]
    mode: str
    ends_early: bool


def read_header(path: Path) -> ImageHeader:
    """Read the header and the end of an image file, in 50 µs instead of milliseconds for decoding.

    Raises:
        DatasetError: The file is missing, empty or no image.
    """
    try:
        with path.open("rb") as file, PillowImage.open(file) as picture:
            size, mode = (picture.height, picture.width), picture.mode
            return ImageHeader(size, mode, _ends_early(file))
    except (OSError, SyntaxError, ValueError, PillowImage.DecompressionBombError) as error:
        # Pillow's message names the file object only.
        empty = path.is_file() and not path.stat().st_size
        reason = "it is empty" if empty else getattr(error, "strerror", None) or "it is no image"
        raise DatasetError(f"{path} cannot be read: {reason}; fetch the dataset again.") from error


def _ends_early(file: BinaryIO) -> bool:
    file.seek(0)
    start = file.read(len(_PNG_START))
    file.seek(0, os.SEEK_END)
    file.seek(max(0, file.tell() - _TAIL_BYTES))
    tail = file.read()
    if start == _PNG_START:
        return _PNG_END not in tail and _PNG_END not in _whole(file)
    if start.startswith(_JPEG_START) and not tail.endswith(_JPEG_END):
        # Data may follow the end marker. Neither marker can occur inside the coded pixels.
        data = _whole(file)
        return data.rfind(_JPEG_END) < data.rfind(_JPEG_SCAN)
    return False


def _whole(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()
