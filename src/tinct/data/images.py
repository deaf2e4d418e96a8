"""Image files of a dataset, read whole or not at all: a broken file is named, never taken in part.

OpenCV is loaded by the first photo: a score, which reads none, does without it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from tinct.errors import DatasetError
from tinct.shapes import Image, LabelMap


def read_rgb(path: Path) -> Image:
    """A photo or frame as uint8 RGB.

    Raises:
        DatasetError: The file is missing, truncated or no image.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}; fetch the dataset anew.") from error
    # OpenCV before 5 fills what a truncated JPEG lacks with grey, and says nothing.
    picture = None if not data or _ends_early(data) else _decoded(data)
    if picture is None:
        raise DatasetError(
            f"{path} cannot be read as an image: its {len(data)} bytes are truncated or none; "
            "fetch the dataset anew."
        )
    return picture


def read_indices(path: Path) -> tuple[LabelMap, str]:
    """The pixels of a label image as they are stored, and Pillow's name of their kind.

    Returns:
        Palette indices ("P") or grey values ("L"); colours become grey values, and keep the name
        of what they were ("RGB", "RGBA", "1", ...).

    Raises:
        DatasetError: The file is missing, truncated or no image.
    """
    try:
        with PillowImage.open(path) as picture:
            mode = picture.mode
            return np.array(picture if mode in ("P", "L") else picture.convert("L"), np.uint8), mode
    except (OSError, SyntaxError, ValueError) as error:
        raise DatasetError(
            f"{path} cannot be read as a label image ({error}); fetch the dataset anew."
        ) from error


def _ends_early(data: bytes) -> bool:
    """Whether a JPEG lacks its end: neither marker can occur inside the coded pixels."""
    return data.startswith(b"\xff\xd8") and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")


def _decoded(data: bytes) -> Image | None:
    import cv2

    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return None if picture is None else np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
