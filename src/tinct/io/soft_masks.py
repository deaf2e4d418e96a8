"""Soft masks on disk: one 16-bit grey PNG per object and frame.

    soft/<object id>/<frame name>.png       value / 65535 is the object's probability

A file is exact to half a step of 16 bits. The background is 1 minus the sum of the objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image as Pictures

from tinct.errors import MaskError, OutputError
from tinct.io.atomic import atomic_write, path_below
from tinct.io.image_files import opened_picture
from tinct.io.masks import ObjectMasks, check_size
from tinct.shapes import Float, Shaped

MAX_VALUE = 65535
"""The grey value of probability 1."""


def soft_path(folder: Path, object_id: int, frame_name: str) -> Path:
    """The file of an object's soft mask of a frame."""
    return path_below(folder / str(object_id), frame_name, ".png")


def soft_objects(folder: Path, frame_name: str) -> list[int]:
    """The objects that have a soft mask of a frame, increasing."""
    objects = (int(part.name) for part in folder.glob("[1-9]*") if part.name.isdecimal())
    return sorted(i for i in objects if soft_path(folder, i, frame_name).is_file())


def write_soft_mask(path: Path, probabilities: Float[np.ndarray, "H W"]) -> None:
    """Write one probability map as a 16-bit grey PNG, atomically.

    Args:
        path: The file.
        probabilities: [H, W] in [0, 1]; clipped to it.

    Raises:
        OutputError: The file cannot be written.
    """
    grey = np.rint(probabilities.clip(0, 1) * np.float32(MAX_VALUE)).astype(np.uint16)
    with atomic_write(path) as part:
        Pictures.fromarray(grey).save(part, format="PNG", compress_level=2)


def write_soft(folder: Path, frame_name: str, masks: ObjectMasks, object_ids: Sequence[int]) -> None:
    """Write the soft masks of one frame.

    Args:
        folder: Holds a folder per object, created if missing.
        frame_name: The file name without suffix.
        masks: The masks of the frame.
        object_ids: The objects that get a file; those that `masks` lacks get an empty mask.

    Raises:
        OutputError: A file cannot be written.
    """
    for object_id in object_ids:
        path = soft_path(folder, object_id, frame_name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{path.parent} cannot be made: {error.strerror or error}.") from error
        known = object_id in masks.object_ids
        empty = np.zeros(masks.size, np.float32)
        write_soft_mask(path, masks.probs[masks.object_ids.index(object_id)] if known else empty)


def read_soft_mask(path: Path, size: tuple[int, int]) -> Float[np.ndarray, "H W"]:
    """Read one object's probabilities, float32 [H, W].

    Args:
        path: A 16-bit grey PNG.
        size: The video's (H, W).

    Raises:
        MaskError: The file is missing, damaged, not of 16 bits, or of another size.
    """

    def explain(reason: str) -> MaskError:
        return MaskError(f"{path} cannot be read as a soft mask: {reason}. Run again with --soft.")

    with opened_picture(path, explain, formats=("PNG",)) as picture:
        mode = picture.mode
        values: Shaped[np.ndarray, "H W"] = np.array(picture)
    if not mode.startswith("I"):
        raise MaskError(f"{path} is an image of mode {mode}; expected a 16-bit grey PNG.")
    check_size((values.shape[0], values.shape[1]), size, name=str(path))
    return values.astype(np.float32) / np.float32(MAX_VALUE)


def read_soft(folder: Path, frame_name: str, object_ids: Sequence[int], size: tuple[int, int]) -> ObjectMasks:
    """Read the soft masks of one frame; an object without a file is absent, as before its first frame.

    Raises:
        MaskError: A file is damaged or of another size.
    """
    found = [i for i in object_ids if soft_path(folder, i, frame_name).is_file()]
    probs = np.zeros((len(object_ids), *size), np.float32)
    for object_id in found:
        path = soft_path(folder, object_id, frame_name)
        probs[list(object_ids).index(object_id)] = read_soft_mask(path, size)
    return ObjectMasks(tuple(object_ids), probs)
