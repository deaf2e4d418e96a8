"""The ground truth of a sequence: label maps in order, without the frames."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np

from tinct.data.images import read_indices
from tinct.errors import DatasetError, MissingDatasetError, near_match
from tinct.io.image_files import opened_picture
from tinct.io.natural_order import natural_order
from tinct.io.regular_files import readable
from tinct.shapes import BACKGROUND, VOID, LabelMap


@runtime_checkable
class Annotations(Protocol):
    """The annotated frames of one sequence."""

    @property
    def sequence(self) -> str:
        """The sequence's name."""
        ...

    @property
    def frame_names(self) -> tuple[str, ...]:
        """The annotated frames in order, named as a result's files are."""
        ...

    def read(self, index: int) -> LabelMap:
        """The label map of frame `index`; DatasetError if its file is broken."""
        ...


@dataclass(frozen=True)
class ObjectFiles:
    """The annotation of one frame as one black and white image per object, the format of SegTrack v2.

    Attributes:
        stem: The frame's name.
        files: (object id, image); where two objects overlap, the later one wins.
    """

    stem: str
    files: tuple[tuple[int, Path], ...]

    def __str__(self) -> str:
        return ", ".join(str(path) for _, path in self.files)


AnnotationFile: TypeAlias = Path | ObjectFiles
"""The file or files of one label map; `stem` is the name of the frame."""


@dataclass(frozen=True)
class LabelFiles:
    """Annotations in files, in the order of the frames.

    Args:
        sequence: The sequence's name.
        files: One label image per frame, or one picture per object.
    """

    sequence: str
    files: tuple[AnnotationFile, ...]

    @property
    def frame_names(self) -> tuple[str, ...]:
        """The names of the files without suffix."""
        return tuple(file.stem for file in self.files)

    def read(self, index: int) -> LabelMap:
        """Label map `index`, as `read_annotation` reads it."""
        return read_annotation(self.files[index])


def read_annotation(file: AnnotationFile) -> LabelMap:
    """Read an annotation as a label map: uint8 [H, W], 0 background, 255 void.

    Palette indices and grey values are ids. An image of only 0 and 255 has one object, which gets id 1;
    beside other ids 255 is void. RGB images must be grey (some masks of DAVIS-2016 are stored so). In
    `ObjectFiles`, pixels above 127 belong to the object, as SegTrack v2 has soft edges.

    Raises:
        DatasetError: A file is missing, truncated, in colours or of more than 8 bits, or the
            pictures of one frame are of different sizes.
    """
    if isinstance(file, ObjectFiles):
        return _read_objects(file)
    labels, mode = read_indices(file)
    if mode in ("RGB", "RGBA"):
        _check_grey(file, mode)
    elif mode not in ("P", "L", "LA", "1"):
        raise DatasetError(
            f"{file} is an image of mode {mode}; expected a palette or grey PNG of 8 bits, with an object id "
            "per pixel. Convert it."
        )
    # The maximum is a hundred times faster, and decides for most label maps.
    if labels.max() == VOID and bool(((labels == BACKGROUND) | (labels == VOID)).all()):
        return np.asarray(labels == VOID, np.uint8)
    return labels


@readable(DatasetError)
def find_annotations(folder: Path, *, only: Collection[str] | None = None) -> tuple[Annotations, ...]:
    """Find the annotations below a folder: a folder of PNGs per sequence, or the PNGs of one sequence.

    Args:
        folder: Such as `DAVIS/Annotations/480p`. A single sequence gets the name of the folder.
        only: Only these sequences.

    Returns:
        Sorted by name; folders without a PNG, and hidden ones, are left out.

    Raises:
        DatasetError: The folder does not exist, holds no PNG, holds PNGs both directly and in folders, or
            lacks a sequence of `only`.
    """
    if not folder.is_dir():
        raise MissingDatasetError(f"There is no folder {folder}; give the one that holds the annotations.")
    below = (path for path in entries(folder) if path.is_dir() and not path.name.startswith("."))
    found = {path.name: files for path in below if (files := label_files(path))}
    alone = label_files(folder)
    if alone and found:
        raise DatasetError(
            f"{folder} holds PNGs itself, such as {alone[0].name}, and folders with PNGs, such as "
            f"{next(iter(found))}; give the folder of one sequence, or one that holds nothing but sequences."
        )
    if alone:
        found = {folder.resolve().name: alone}
    if not found:
        raise DatasetError(f"{folder} holds no PNG and no folder with PNGs.{_deeper(folder)}")
    return tuple(LabelFiles(name, found[name]) for name in _wanted(found, only, folder))


def label_files(folder: Path) -> tuple[Path, ...]:
    """The PNGs of a folder in natural order, without hidden ones."""
    return files_of(folder, frozenset({".png"}))


def files_of(folder: Path, suffixes: Collection[str]) -> tuple[Path, ...]:
    """The files of a folder with one of these (lower-case) suffixes, in natural order: 2 before 10."""
    if not folder.is_dir():
        return ()
    files = (p for p in entries(folder) if p.suffix.lower() in suffixes and not p.name.startswith("."))
    return tuple(natural_order(files, lambda path: path.name))


def entries(folder: Path) -> list[Path]:
    """The entries of a folder, sorted by name; DatasetError if it cannot be opened."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise DatasetError(f"{folder} cannot be opened ({error.strerror}); make it readable.") from error


def _wanted(found: Iterable[str], only: Collection[str] | None, folder: Path) -> Iterator[str]:
    names = sorted(found)
    if only is None:
        return iter(names)
    absent = sorted(set(only) - set(names))
    if absent:
        more = f" and {len(absent) - 1} more sequences" if len(absent) > 1 else ""
        raise DatasetError(
            f"{folder} holds no annotation of {absent[0]!r}{more}. {near_match(absent[0], names)}"
        )
    return (name for name in names if name in only)


def _deeper(folder: Path) -> str:
    """A hint at a folder that holds the annotations, if there is one near by."""
    near = sorted(path for path in folder.glob("*/*") if path.is_dir() and label_files(path))
    return f" Did you mean {near[0].parent}?" if near else ""


def _read_objects(frame: ObjectFiles) -> LabelMap:
    labels: LabelMap | None = None
    for object_id, path in frame.files:
        mask = read_indices(path)[0] > 127
        if labels is None:
            labels = np.zeros(mask.shape, np.uint8)
        if mask.shape != labels.shape:
            raise DatasetError(
                f"{path} is {mask.shape[1]}×{mask.shape[0]}, but {frame.files[0][1]} of the same frame is "
                f"{labels.shape[1]}×{labels.shape[0]}; fetch the dataset again."
            )
        labels[mask] = object_id
    if labels is None:
        raise DatasetError(f"Frame {frame.stem!r} has no picture of any object; fetch the dataset again.")
    return labels


def _check_grey(path: Path, mode: str) -> None:
    with opened_picture(path, DatasetError) as picture:
        colours = np.asarray(picture.convert("RGB"))
    if (colours != colours[..., :1]).any():
        raise DatasetError(
            f"{path} is in colours ({mode}); expected a palette or grey PNG with an object id per pixel, "
            "because a colour does not say which object it is. `tinct.read_mask` and `tinct.write_mask` "
            "turn flat colours into ids."
        )
