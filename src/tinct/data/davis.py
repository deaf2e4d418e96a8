"""DAVIS (Perazzi et al., CVPR 2016; Pont-Tuset et al., 2017): sequences of frames and label maps."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinct.data.images import read_indices, read_rgb
from tinct.errors import DatasetError, OptionError, near_match
from tinct.shapes import Image, LabelMap


@dataclass(frozen=True)
class Sequence:
    """One video of a dataset: its frames and, where they are annotated, its label maps.

    Attributes:
        name: Such as "bear".
        frames: Image files in order.
        label_maps: The annotation of each frame; DAVIS annotates every one.
    """

    name: str
    frames: tuple[Path, ...]
    label_maps: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.frames)

    def read_frame(self, index: int) -> Image:
        """Frame `index` as uint8 RGB; DatasetError if its file is broken."""
        return read_rgb(self.frames[index])

    def read_labels(self, index: int) -> LabelMap:
        """Label map `index`; the one object of DAVIS-2016's 0/255 masks gets id 1."""
        return read_davis_labels(self.label_maps[index])

    def thinned(self, every: int, most: int | None = None) -> Sequence:
        """Each `every`-th frame, and at most `most` of these."""
        kept = slice(None, None, every)
        return Sequence(self.name, self.frames[kept][:most], self.label_maps[kept][:most])


class Davis:
    """A split of DAVIS in its official layout.

    Args:
        root: The folder that holds JPEGImages, Annotations and ImageSets.
        split: The name of a list in ImageSets/<year>, such as "train".
        year: "2016" or "2017".
        resolution: "480p", "1080p" or "Full-Resolution", as the folders are called.
        only: Take these sequences of the list alone.

    Raises:
        DatasetError: A list, folder or annotation is missing; the message names it.
        OptionError: `only` names a sequence that the list does not hold.
    """

    def __init__(
        self,
        root: Path,
        split: str,
        *,
        year: str = "2016",
        resolution: str = "480p",
        only: Collection[str] | None = None,
    ) -> None:
        self.root = root
        self.split = split
        names = _listed(root / "ImageSets" / year, split)
        if only is not None and not only:
            raise OptionError(
                f"No sequence of split {split!r} was chosen; name one, or leave the choice out."
            )
        for name in only or ():
            if name not in names:
                raise OptionError(f"Sequence {name!r} is not in split {split!r}. {near_match(name, names)}")
        self.sequences = tuple(self._sequence(n, resolution) for n in names if only is None or n in only)

    def _sequence(self, name: str, resolution: str) -> Sequence:
        frames_folder = self.root / "JPEGImages" / resolution / name
        frames = tuple(sorted(frames_folder.glob("*.jpg")))
        if not frames:
            raise DatasetError(
                f"{frames_folder} holds no .jpg frame, but the list of {self.split!r} names {name!r}. "
                "Fetch the sequence, or take it off the list."
            )
        labels = tuple(self.root / "Annotations" / resolution / name / f"{f.stem}.png" for f in frames)
        missing = [str(path) for path in labels if not path.is_file()]
        if missing:
            raise DatasetError(
                f"{name!r} lacks {len(missing)} of {len(frames)} annotations; the first that was expected "
                f"is {missing[0]}. Every frame needs one."
            )
        return Sequence(name, frames, labels)

    def __len__(self) -> int:
        return len(self.sequences)

    def __iter__(self) -> Iterator[Sequence]:
        return iter(self.sequences)

    def __getitem__(self, index: int) -> Sequence:
        return self.sequences[index]


def read_davis_labels(path: Path) -> LabelMap:
    """A DAVIS annotation as a label map.

    Palette indices and grey values are ids; a grey 0/255 mask has one object, id 1, and so has a
    picture in colours, where it is brighter than 127.

    Raises:
        DatasetError: The file cannot be read.
    """
    labels, mode = read_indices(path)
    if mode == "P" or (mode == "L" and not set(np.unique(labels)) <= {0, 255}):
        return labels
    return (labels > 127).astype(np.uint8)


def _listed(folder: Path, split: str) -> list[str]:
    """The names in a split's list, in its order."""
    listing = folder / f"{split}.txt"
    if not listing.is_file():
        lists = sorted(path.stem for path in folder.glob("*.txt"))
        hint = (
            near_match(split, lists)
            if lists
            else "Give the folder that holds JPEGImages, Annotations and ImageSets as the root."
        )
        raise DatasetError(f"Split {split!r} has no list {listing}. {hint}")
    names = listing.read_text(encoding="utf-8").split()
    if not names:
        raise DatasetError(f"{listing} names no sequence; list one name per line.")
    return names
