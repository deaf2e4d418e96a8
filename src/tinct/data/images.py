"""Reading image files of a dataset: a broken file is an error that names it, never partly read.

OpenCV is loaded with the first photo, so that scoring, which reads none, does not need it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from tinct.errors import DatasetError, MissingDatasetError
from tinct.io.image_files import opened_picture
from tinct.io.plain_png import read_plain_png
from tinct.io.regular_files import read_regular
from tinct.shapes import Image, LabelMap

JPEG_START, _JPEG_SCAN, JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"


def read_rgb(path: Path) -> Image:
    """Read a photo or frame as uint8 RGB.

    Raises:
        DatasetError: The file is missing, truncated or no image.
    """
    try:
        data = read_regular(path)
    except OSError as error:
        kind = MissingDatasetError if isinstance(error, FileNotFoundError) else DatasetError
        raise kind(f"{path} cannot be read: {error.strerror}; fetch the dataset again.") from error
    # OpenCV before 5 fills the missing part of a truncated JPEG with grey, without an error.
    picture = None if not data or jpeg_ends_early(data) else _decode(data)
    if picture is None:
        raise DatasetError(
            f"{path} cannot be read as an image: its {len(data)} bytes are truncated or none; "
            "fetch the dataset again."
        )
    return picture


def read_indices(path: Path) -> tuple[LabelMap, str]:
    """Read the stored pixels of a label image, and their mode in Pillow.

    Returns:
        Palette indices ("P") or grey values ("L"); other modes ("RGB", "RGBA", "1", ...) are converted
        to grey, with their original mode.

    Raises:
        DatasetError: The file is missing, truncated or no image.
    """

    def explain(reason: str) -> DatasetError:
        return DatasetError(f"{path} cannot be read as a label image ({reason}); fetch the dataset again.")

    if (plain := read_plain_png(path)) is not None:
        return plain
    with opened_picture(path, explain) as picture:
        mode = picture.mode
        return stored_values(picture if mode in ("P", "L") else picture.convert("L")), mode


def stored_values(picture: PillowImage.Image) -> LabelMap:
    """The palette indices or grey values of an image of mode P, L or 1, as stored in the file.

    Pillow scales 2- and 4-bit greys to 0 to 255, which is undone here, since they are ids.
    """
    tile = getattr(picture, "tile", None)  # gone once the pixels are loaded
    stored = str(tile[0][3]) if tile else ""
    values = np.array(picture, np.uint8)
    return values // _SPREAD[stored] if stored in _SPREAD else values


_SPREAD = {"L;2": 85, "L;4": 17}


def jpeg_ends_early(data: bytes) -> bool:
    """Whether a JPEG is truncated; other data is not.

    Data may follow the end marker. Neither marker can occur inside the coded pixels.
    """
    return data.startswith(JPEG_START) and data.rfind(JPEG_END) < data.rfind(_JPEG_SCAN)


def _decode(data: bytes) -> Image | None:
    import cv2

    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return None if picture is None else np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
