"""The annotations to score against: found from a dataset's root or from a folder of label maps."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from tinct.data.annotations import Annotations, find_annotations
from tinct.data.lists import list_names
from tinct.data.segtrack import segtrack_annotations
from tinct.data.youtube_vos import split_folder
from tinct.errors import DatasetError, OptionError
from tinct.evaluation.protocols import Protocol

RESOLUTIONS = ("480p", "1080p", "Full-Resolution")
"""The folders that DAVIS keeps its annotations in."""


def find_truth(
    folder: Path, protocol: Protocol, *, split: str | None = None, sequences: Collection[str] | None = None
) -> tuple[Annotations, ...]:
    """The truth of every sequence that is to be scored, in the order of their names.

    Args:
        folder: A dataset's root, or the folder in it that holds a folder of label maps per sequence
            (such as `DAVIS/Annotations/480p`), or the label maps of one sequence.
        protocol: Under "segtrack-v2" the root in that dataset's own layout.
        split: Only the sequences of this list of the dataset, such as "val"; of YouTube-VOS the
            split's folder.
        sequences: Only these.

    Raises:
        DatasetError: There is no such folder, it holds no label map, or a list or sequence is missing.
        OptionError: A split is asked for where there are no lists, or nothing is left to score.
    """
    if not folder.is_dir():
        raise DatasetError(f"There is no folder {folder}; give the dataset's root or its annotations.")
    only = None if sequences is None else set(sequences)
    if protocol.name == "segtrack-v2":
        return segtrack_annotations(folder, only=only)
    if split is not None and protocol.name != "youtube-vos":
        only = _chosen(only, _listed(folder, protocol, split), split)
    return find_annotations(label_folder(folder, protocol, split), only=only)


def label_folder(folder: Path, protocol: Protocol, split: str | None) -> Path:
    """Of a root the folder that holds the label maps; any other folder as it is."""
    if protocol.name == "youtube-vos" and split is not None:
        folder = split_folder(folder, split)
    annotations = folder / "Annotations"
    if not annotations.is_dir():
        return folder
    for resolution in RESOLUTIONS:
        if (annotations / resolution).is_dir():
            return annotations / resolution
    return annotations


def _listed(folder: Path, protocol: Protocol, split: str) -> set[str]:
    """The names in a list; `folder` may be the root or lie up to two levels below it."""
    year = "2017" if protocol.name == "davis-2017" else "2016"
    for root in (folder, *folder.resolve().parents[:2]):
        if (root / "ImageSets").is_dir():
            return set(list_names(root, split, year=year))
    raise OptionError(
        f"Split {split!r} was asked for, but neither {folder} nor a folder above it has ImageSets; give the "
        "dataset's root, or name the sequences."
    )


def _chosen(only: set[str] | None, listed: set[str], split: str) -> set[str]:
    if only is None:
        return listed
    if not only & listed:
        raise OptionError(f"None of the sequences {', '.join(sorted(only))} is in {split!r}; name others.")
    return only & listed
