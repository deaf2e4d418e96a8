"""The predictions to score: found in a folder, read one by one, and refused when they cannot be meant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tinct.data.annotations import Annotations, entries, label_files
from tinct.data.images import stored_values
from tinct.errors import DatasetError, MaskError, MissingDatasetError
from tinct.io.image_files import opened_picture
from tinct.io.plain_png import read_plain_png
from tinct.io.regular_files import readable
from tinct.shapes import BACKGROUND, VOID, LabelMap

Predictions = dict[str, dict[str, Path]]
"""Per sequence and frame name, the mask file."""


@readable(DatasetError)
def find_predictions(folder: Path) -> Predictions:
    """The mask files of a folder, by sequence and frame name, both in order.

    These layouts are understood: `FOLDER/<sequence>/<frame>.png`, as the benchmarks have it, or the
    same below `FOLDER/Annotations`, as YouTube-VOS's server takes it; run folders,
    `FOLDER/<sequence>/masks/<frame>.png`; and the PNGs or the run of one sequence, which is then
    called as the folder is.

    Raises:
        DatasetError: There is no such folder, or it holds no PNG.
    """
    if not folder.is_dir():
        raise MissingDatasetError(f"There is no folder {folder}; give the one that holds the masks.")
    if (folder / "Annotations").is_dir() and not _masks_in(folder / "Annotations"):
        folder = folder / "Annotations"
    found = {
        entry.name: masks
        for entry in entries(folder)
        if entry.is_dir() and not entry.name.startswith(".") and (masks := _masks_in(entry))
    }
    if (folder / "run.json").is_file() or not found:
        alone = _masks_in(folder)
        found = {folder.resolve().name: alone} if alone else {}
    if not found:
        raise DatasetError(
            f"{folder} holds no mask; expected FOLDER/<sequence>/<frame>.png, or the PNGs of one sequence."
            f"{_hint(folder)}"
        )
    return found


def paired(predictions: Predictions, annotations: Sequence[Annotations]) -> Predictions:
    """The predictions by the truth's names: two folders of one sequence each need not have the same name."""
    if len(predictions) == len(annotations) == 1:
        return {annotations[0].sequence: next(iter(predictions.values()))}
    return predictions


def read_prediction(
    path: Path, size: tuple[int, int], *, merged: bool, takes_255: Callable[[], bool] | None = None
) -> LabelMap:
    """A predicted mask as a label map.

    Args:
        path: A palette, grey or 1-bit PNG.
        size: (H, W) of the truth.
        merged: Whether all that is not background is one object, so that 0/255 masks are welcome.
        takes_255: Asked of a 0/255 mask: whether it is that of object 1.

    Returns:
        uint8 [H, W]; 0 and 1 alone if merged.

    Raises:
        MaskError: The file is missing, truncated, in colours, of another size, or holds 255 where that
            cannot be an object.
    """

    def explain(reason: str) -> MaskError:
        return MaskError(f"{path} cannot be read ({reason}); write this mask again.")

    labels = _stored(path, explain)
    came = labels.shape
    if came != size:
        raise MaskError(
            f"{path} has {came[0]}×{came[1]} pixels (rows × columns), and the truth {size[0]}×{size[1]}; "
            "resize the masks to the annotation's size (nearest neighbour) before scoring."
        )
    if labels.max() == VOID:
        _check_255(path, labels)
        if not merged and not (takes_255 is not None and takes_255()):
            raise MaskError(
                f"{path} is a 0/255 mask: it shows the foreground, but not which object is which. "
                "Score it under the protocol davis-2016, where all objects are one, or write the ids "
                "(1, 2, ...)."
            )
        merged = True
    return (labels != BACKGROUND).view(np.uint8) if merged else labels


def _stored(path: Path, explain: Callable[[str], MaskError]) -> LabelMap:
    """The values of a label PNG as they are stored."""
    if (plain := read_plain_png(path)) is not None:
        return plain[0]
    with opened_picture(path, explain) as picture:
        kind, mode = picture.format, picture.mode
        labels = stored_values(picture) if kind == "PNG" and mode in ("P", "L", "1") else None
    if labels is None:
        raise MaskError(f"{path} {_no_label_map(kind, mode)}")
    return labels


def _masks_in(folder: Path) -> dict[str, Path]:
    masks = folder / "masks"
    return {file.stem: file for file in label_files(masks if masks.is_dir() else folder)}


def _hint(folder: Path) -> str:
    """What may be meant where there is no mask."""
    deeper = next((p for p in sorted(folder.glob("*/*")) if p.is_dir() and label_files(p)), None)
    if deeper is not None:
        return f" Did you mean {deeper.parent}?"
    if any(folder.glob("*.jp*g")) or any(folder.glob("*/*.jp*g")):
        return " It holds JPEGs; those change the ids, so that masks are stored as PNGs."
    return ""


def _no_label_map(kind: str | None, mode: str) -> str:
    """What a file is that is no label map, and what it should be."""
    expected = "expected a palette or 8-bit grey PNG whose values are the object ids"
    if kind != "PNG":
        return f"is a {kind} file, whatever its name says; {expected} (a JPEG changes them)."
    if mode.startswith("I"):
        return f"has 16 bits per pixel; {expected}. Save it with 8 bits."
    return f"is an image of mode {mode}; {expected}. `tinct.read_mask` turns flat colours into ids."


def _check_255(path: Path, labels: LabelMap) -> None:
    """Of a mask that holds 255: whether it can be meant."""
    if np.count_nonzero(labels) > np.count_nonzero(labels == VOID):
        raise MaskError(
            f"{path} holds 255 beside other ids; 255 is void, which only a truth may have. Give those pixels "
            "an object's id, or 0 for background."
        )
