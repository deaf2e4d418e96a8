"""The one place where image files are opened: known formats alone, of a bounded size, one picture each."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import PIL.TiffImagePlugin
import PIL.WebPImagePlugin  # noqa: F401
from PIL import Image as Pictures
from PIL import UnidentifiedImageError

from tinct.errors import TinctError

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What Pillow may decode. It knows some forty more, of which one starts another program."""

# Asked for a format that is not loaded, Pillow loads all forty; these and the two imported are `FORMATS`.
Pictures.preinit()

MOST_PIXELS = 2**26
"""8192 × 8192, twice the pixels of 8K video. A file of some kilobytes can promise gigabytes."""

_ORIENTATION = 0x0112
_TURNS = {
    2: Pictures.Transpose.FLIP_LEFT_RIGHT,
    3: Pictures.Transpose.ROTATE_180,
    4: Pictures.Transpose.FLIP_TOP_BOTTOM,
    5: Pictures.Transpose.TRANSPOSE,
    6: Pictures.Transpose.ROTATE_270,
    7: Pictures.Transpose.TRANSVERSE,
    8: Pictures.Transpose.ROTATE_90,
}
"""EXIF orientation → what makes the picture upright; 1 and anything else is upright."""


@contextmanager
def opened_picture(
    file: Path | io.BytesIO | io.BufferedReader,
    explain: Callable[[str], TinctError],
    formats: tuple[str, ...] = FORMATS,
    *,
    several: bool = False,
) -> Iterator[Pictures.Image]:
    """A picture, opened but not yet decoded; every fault of the file, also while decoding, becomes one error.

    Args:
        file: A path, or the bytes in an open file.
        explain: Makes the error from a reason, such as "it holds 12 pictures".
        formats: Which of `FORMATS` are expected.
        several: Whether it may hold several pictures; `turn_to` goes to each.

    Raises:
        TinctError: As `explain` makes it: no such file, no regular file, another format, more pixels than
            `MOST_PIXELS`, several pictures in one, damaged content.
    """
    if isinstance(file, Path) and file.exists() and not file.is_file():  # to open a pipe would wait for ever
        raise explain("it is neither a file nor a copy of one, but a folder, a pipe or a device")
    try:
        with Pictures.open(file, formats=formats) as picture:
            _check_size(picture)
            if not several and (number := pictures_in(picture)) > 1:
                raise ValueError(f"it holds {number} pictures, and one is expected")
            yield picture
            if picture.format == "PNG" and not picture.tile:  # it was decoded
                check_png(file)
    except TinctError:
        raise
    except UnidentifiedImageError as error:
        raise explain(f"it is no image of a known format ({', '.join(formats)})") from error
    except OSError as error:
        raise explain(error.strerror or str(error) or "it is damaged") from error
    except (
        Exception
    ) as error:  # decoders raise whatever they stumble over: struct.error, KeyError, SyntaxError
        raise explain(str(error) or type(error).__name__) from error


def check_png(file: Path | io.BytesIO | io.BufferedReader) -> None:
    """Check the parts of a PNG against their lengths and checksums; decoders take some on trust.

    Raises:
        ValueError: A part does not fit its checksum, or promises more bytes than the file has.
    """
    if isinstance(file, Path):
        data = file.read_bytes()
    else:
        file.seek(0)
        data = file.read()
    start = len(b"\x89PNG\r\n\x1a\n")
    while start + 12 <= len(data):
        end = start + 8 + int.from_bytes(data[start : start + 4])
        kind = data[start + 4 : start + 8]
        if end > len(data):
            raise ValueError(f"its part {kind.decode('latin-1')} is longer than the file: it is damaged")
        if len(data) >= end + 4 and zlib.crc32(data[start + 4 : end]) != int.from_bytes(data[end : end + 4]):
            raise ValueError(f"the checksum of its part {kind.decode('latin-1')} does not fit: it is damaged")
        start = end + 4


def _check_size(picture: Pictures.Image) -> None:
    width, height = picture.size
    if width * height > MOST_PIXELS:
        raise ValueError(
            f"it has {width}×{height} pixels, and at most {MOST_PIXELS:,} (8192×8192) are decoded"
        )


def pictures_in(picture: Pictures.Image) -> int:
    """How many pictures its file holds; one of a phone's MPO, which has a small copy beside the picture."""
    return 1 if picture.format in ("JPEG", "MPO") else int(getattr(picture, "n_frames", 1))


def turn_to(picture: Pictures.Image, index: int) -> None:
    """Go to another picture of the same file.

    Raises:
        ValueError: It has more pixels than `MOST_PIXELS`.
    """
    picture.seek(index)
    _check_size(picture)


def orientation(picture: Pictures.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 if it says none, says something else, or cannot be read.

    Only that of photos counts: a PNG, as masks are, is taken as it is stored. Pillow turns a TIFF by itself.
    """
    if picture.format not in ("JPEG", "MPO", "WEBP"):
        return 1
    try:
        found = int(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # other, malformed entries beside it
        return 1
    return found if found in _TURNS else 1


def upright(picture: Pictures.Image) -> Pictures.Image:
    """The picture as it is meant to be seen."""
    turn = _TURNS.get(orientation(picture))
    return picture if turn is None else picture.transpose(turn)


def upright_size(picture: Pictures.Image) -> tuple[int, int]:
    """(H, W) of the upright picture, from the header alone."""
    width, height = picture.size
    return (height, width) if orientation(picture) < 5 else (width, height)
