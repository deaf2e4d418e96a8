"""DAVIS (Perazzi et al., CVPR 2016; Pont-Tuset et al., 2017): sequences of frames and label maps."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Literal

from tinct.data.lists import list_names
from tinct.data.sequences import Sequence as Sequence  # re-exported for users of DAVIS
from tinct.data.sequences import SequenceDataset, select
from tinct.errors import DatasetError, OptionError, near_match

YEARS = ("2016", "2017")
"""The two releases: all objects as one, and each object alone."""

RESOLUTIONS = ("480p", "1080p", "Full-Resolution")
"""Names of the folders of frames and annotations; 1080p is of 2016, Full-Resolution of 2017."""

Annotated = Literal["all", "first"]


class Davis(SequenceDataset):
    """A split of DAVIS in its official layout.

    Args:
        root: The folder that holds JPEGImages, Annotations and ImageSets.
        split: The name of a list, such as "train"; see `tinct.data.lists.list_names` for its path.
        year: "2016" or "2017": the lists that are used.
        resolution: "480p", "1080p" or "Full-Resolution", the name of the folders.
        only: Only these sequences of the list.
        annotated: Whether "all" frames need an annotation, or the "first" one only (as in test-dev).
        merge_objects: Read all objects as object 1: DAVIS-2016's task on 2017's annotations.

    Raises:
        DatasetError: A list, folder or annotation is missing; the message names it.
        OptionError: `only` names a sequence that is not in the list, or the year or resolution is unknown.
    """

    def __init__(
        self,
        root: Path,
        split: str,
        *,
        year: str = "2016",
        resolution: str = "480p",
        only: Collection[str] | None = None,
        annotated: Annotated = "all",
        merge_objects: bool = False,
    ) -> None:
        check_release(year, resolution)
        self.root = root
        self.split = split
        names = select(list_names(root, split, year=year, resolution=resolution), only, f"split {split!r}")
        super().__init__(tuple(self._sequence(n, resolution, annotated, merge_objects) for n in names))

    def _sequence(self, name: str, resolution: str, annotated: Annotated, merged: bool) -> Sequence:
        frames_folder = self.root / "JPEGImages" / resolution / name
        frames = tuple(sorted(frames_folder.glob("[!.]*.jpg")))
        if not frames:
            raise DatasetError(
                f"{frames_folder} holds no .jpg frame, but the list of {self.split!r} names {name!r}. "
                "Fetch the sequence, or remove it from the list."
            )
        labels = tuple(self.root / "Annotations" / resolution / name / f"{f.stem}.png" for f in frames)
        there = tuple(path.is_file() for path in labels)
        missing = [str(path) for path, found in zip(labels, there, strict=True) if not found]
        if missing and (annotated == "all" or not there[0]):
            wanted = "Every frame needs one." if annotated == "all" else "The first frame needs one."
            raise DatasetError(
                f"{name!r} lacks {len(missing)} of {len(frames)} annotations; the first that was expected "
                f"is {missing[0]}. {wanted}"
            )
        label_maps = tuple(path if found else None for path, found in zip(labels, there, strict=True))
        return Sequence(name, frames, label_maps, merged)


def check_release(year: str, resolution: str) -> None:
    """Check year and resolution; OptionError if DAVIS does not have them."""
    if year not in YEARS:
        raise OptionError(f"DAVIS has no year {year!r}. {near_match(year, YEARS)}")
    if resolution not in RESOLUTIONS:
        raise OptionError(f"DAVIS has no resolution {resolution!r}. {near_match(resolution, RESOLUTIONS)}")
