"""The annotations to score against: found from a dataset's root or from a folder of label maps."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from tinct.data.annotations import Annotations, LabelFiles, ObjectFiles, find_annotations
from tinct.data.davis import RESOLUTIONS
from tinct.data.images import read_indices
from tinct.data.lists import list_names
from tinct.data.segtrack import segtrack_annotations
from tinct.data.sequences import select
from tinct.data.youtube_vos import split_folder
from tinct.errors import MissingDatasetError, OptionError
from tinct.evaluation.protocols import Protocol
from tinct.shapes import BACKGROUND, VOID, LabelMap


def find_truth(
    folder: Path,
    protocol: Protocol,
    *,
    split: str | None = None,
    sequences: Collection[str] | None = None,
    resolution: str | None = None,
) -> tuple[Annotations, ...]:
    """The truth of every sequence that is to be scored, in the order of their names.

    Args:
        folder: A dataset's root, or the folder in it that holds a folder of label maps per sequence
            (such as `DAVIS/Annotations/480p`), or the label maps of one sequence.
        protocol: Under "segtrack-v2" the root in that dataset's own layout.
        split: Only the sequences of this list of the dataset, such as "val"; of YouTube-VOS the
            split's folder.
        sequences: Only these.
        resolution: Of DAVIS, where the root is given; by default the first that is there.

    Raises:
        DatasetError: There is no such folder, it holds no label map, or a list or sequence is missing.
        OptionError: A split is asked for where there are no lists, or a sequence that it does not name.
    """
    if not folder.is_dir():
        raise MissingDatasetError(f"There is no folder {folder}; give the dataset's root or its annotations.")
    if protocol.name == "segtrack-v2":
        if split is not None:
            raise OptionError(f"SegTrack v2 has no splits, but {split!r} was asked for; leave the split out.")
        return segtrack_annotations(folder, only=sequences)
    if split is not None and protocol.name != "youtube-vos":
        sequences = select(_split_names(folder, protocol, split), sequences, f"split {split!r}")
    return find_annotations(label_folder(folder, protocol, split, resolution), only=sequences)


def labels_to_score(truth: LabelMap, protocol: Protocol) -> LabelMap:
    """The truth as the benchmarks' scorers take it: void is background; merged, all else is object 1."""
    if truth.max(initial=BACKGROUND) == VOID:
        truth = np.where(truth == VOID, np.uint8(BACKGROUND), truth)
    return (truth != BACKGROUND).view(np.uint8) if protocol.merged else truth


def is_of_255(truth: Annotations) -> bool:
    """Whether the files of a sequence's truth hold 0 and 255 alone, which stands for object 1.

    Raises:
        DatasetError: A file is broken.
    """
    if not isinstance(truth, LabelFiles):
        return False
    values: set[int] = set()
    for file in truth.files:
        if isinstance(file, ObjectFiles):
            return False
        values |= set(np.unique(read_indices(file)[0]).tolist())
    return values <= {BACKGROUND, VOID} and VOID in values


def label_folder(folder: Path, protocol: Protocol, split: str | None, resolution: str | None = None) -> Path:
    """Of a root the folder that holds the label maps; any other folder as it is.

    Raises:
        DatasetError: The resolution or split that is asked for is not there.
    """
    if protocol.name == "youtube-vos" and split is not None:
        folder = split_folder(folder, split)
    annotations = folder / "Annotations"
    if resolution is not None:
        if not (annotations / resolution).is_dir():
            raise MissingDatasetError(
                f"There is no folder {annotations / resolution}; give the dataset's root, or leave out the "
                "resolution and give the folder of the annotations."
            )
        return annotations / resolution
    if not annotations.is_dir():
        return folder
    for resolution in RESOLUTIONS:
        if (annotations / resolution).is_dir():
            return annotations / resolution
    return annotations


def _split_names(folder: Path, protocol: Protocol, split: str) -> tuple[str, ...]:
    """The names in a list; `folder` may be the root or lie up to two levels below it."""
    year = "2017" if protocol.name == "davis-2017" else "2016"
    for root in (folder, *folder.resolve().parents[:2]):
        if (root / "ImageSets").is_dir():
            return list_names(root, split, year=year)
    raise OptionError(
        f"Split {split!r} was asked for, but neither {folder} nor a folder above it has ImageSets; give the "
        "dataset's root, or name the sequences."
    )
