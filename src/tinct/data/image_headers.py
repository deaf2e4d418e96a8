"""Headers of image files without decoding: size, mode, and whether the file is truncated."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tinct.data.images import JPEG_END, JPEG_START, jpeg_ends_early
from tinct.errors import DatasetError
from tinct.io.image_files import opened_picture
from tinct.io.regular_files import check_regular

_TAIL_BYTES = 64
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

    def explain(reason: str) -> DatasetError:
        empty = path.is_file() and not path.stat().st_size
        return DatasetError(
            f"{path} cannot be read: {'it is empty' if empty else reason}; fetch the dataset again."
        )

    try:
        check_regular(path)
        with path.open("rb") as file, opened_picture(file, explain) as picture:
            size, mode = (picture.height, picture.width), picture.mode
            return ImageHeader(size, mode, _ends_early(file))
    except OSError as error:
        raise explain(error.strerror or str(error)) from error


def _ends_early(file: BinaryIO) -> bool:
    file.seek(0)
    start = file.read(len(_PNG_START))
    file.seek(0, os.SEEK_END)
    file.seek(max(0, file.tell() - _TAIL_BYTES))
    tail = file.read()
    if start == _PNG_START:
        return _PNG_END not in tail and _PNG_END not in _whole(file)
    return start.startswith(JPEG_START) and not tail.endswith(JPEG_END) and jpeg_ends_early(_whole(file))


def _whole(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()
