"""A labels layer as a palette PNG sequence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinct.errors import MaskError
from tinct.io.atomic import atomic_folder
from tinct.io.mask_files import write_mask
from tinct.shapes import VOID, LabelMap


def write_labels(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a labels layer: one PNG of a single frame, else a folder with one per frame.

    Args:
        path: The file or folder to write.
        data: [T, H, W] or [H, W] of integers, an object id per pixel.
        attributes: Attributes of the layer; its metadata may have the `frame_names` of the reader.

    Returns:
        The paths of the written files.

    Raises:
        MaskError: The data are no label maps, or an id is above 255.
        OutputError: A file cannot be written, or the folder exists and is not empty.
    """
    shape = tuple(data.shape)
    if len(shape) not in (2, 3):
        raise MaskError(f"The layer has the shape {shape}; expected [T, H, W] or [H, W].")
    if len(shape) == 2:
        file = Path(path) if Path(path).suffix.lower() == ".png" else Path(f"{path}.png")
        write_mask(file, _label_map(data, "The layer"))
        return [str(file)]
    names = _frame_names(attributes.get("metadata") or {}, shape[0])
    with atomic_folder(Path(path)) as folder:
        for index, name in enumerate(names):
            write_mask(folder / f"{name}.png", _label_map(data[index], f"Frame {index}"))
    return [str(Path(path) / f"{name}.png") for name in names]


def _frame_names(metadata: dict[str, Any], count: int) -> Sequence[str]:
    """The frames' own names if there is one for each, and no path in it; else their indices."""
    names = [str(name) for name in metadata.get("frame_names") or ()]
    harmless = all(name and Path(name).name == name for name in names)
    fit = len(names) == len(set(names)) == count
    return names if fit and harmless else [f"{index:05d}" for index in range(count)]


def _label_map(data: Any, where: str) -> LabelMap:
    labels = np.asarray(data)
    low, high = labels.min(initial=0), labels.max(initial=0)
    if not np.issubdtype(labels.dtype, np.integer) or low < 0 or high > VOID:
        raise MaskError(
            f"{where} is of {labels.dtype} with values from {low} to {high}; object ids are whole numbers "
            "between 1 and 254. Renumber the labels."
        )
    return labels.astype(np.uint8)
